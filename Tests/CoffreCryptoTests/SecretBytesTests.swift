import CoffreCrypto
import Testing

/// Secrets are wiped, compared by content, and never printed.
@Suite(.serialized)
struct SecretBytesTests {
    /// The address of a secret's bytes: the arena stays mapped after the secret is gone.
    private func address(_ secret: borrowing SecretBytes) -> UnsafeRawPointer {
        secret.withBytes { UnsafeRawPointer(bitPattern: UInt(bitPattern: $0.baseAddress))! }
    }

    @Test(arguments: GuardedArena.sizeClasses.map(\.bytes))
    func aSlotOfTheArenaIsWipedWhenItsSecretGoes(_ bytes: Int) {
        let count = bytes - 3
        let place: UnsafeRawPointer
        do {
            let secret = SecretBytes(count: count) { $0.copyBytes(from: [UInt8](repeating: 0xa5, count: count)) }
            place = address(secret)
            let content = secret.copy()
            #expect(content == [UInt8](repeating: 0xa5, count: count))
        }
        let left = UnsafeRawBufferPointer(start: place, count: count)
        #expect(!left.starts(with: [UInt8](repeating: 0xa5, count: count)))
    }

    @Test func aSlotIsUsedAgainAndSeenEmpty() {
        var places: Set<UnsafeRawPointer> = []
        var wasEmpty = true
        for _ in 0..<100 {
            let secret = SecretBytes(count: 50_000) { target in
                wasEmpty = wasEmpty && target.allSatisfy { $0 == 0 }
                target.copyBytes(from: [UInt8](repeating: 0x5a, count: 50_000))
            }
            places.insert(address(secret))
        }
        #expect(wasEmpty)
        #expect(places.count < 50, "slots of freed secrets serve again")
    }

    @Test func aFullArenaStillGivesMemory() {
        let secrets = (0..<40).map { number in
            SharedSecret(copying: [UInt8](repeating: UInt8(number), count: 60_000))
        }
        for (number, secret) in secrets.enumerated() {
            let isIntact = secret.withBytes { bytes in bytes.allSatisfy { $0 == UInt8(number) } }
            #expect(isIntact)
        }
    }

    @Test func aFillThatFailsLeavesNoSecret() {
        struct Refused: Error {}
        #expect(throws: Refused.self) {
            _ = SharedSecret(try SecretBytes(count: 100) { _ throws(Refused) in throw Refused() })
        }
        #expect(throws: Refused.self) {
            _ = SharedSecret(try SecretBytes.key(count: 32) { _ throws(Refused) in throw Refused() })
        }
    }

    @Test func secretsCompareByContent() {
        let secret = key([1, 2, 3])
        let same = secret.isEqual(to: key([1, 2, 3]))
        let different = secret.isEqual(to: key([1, 2, 4]))
        let shorter = secret.isEqual(to: key([1, 2]))
        #expect(same)
        #expect(!different)
        #expect(!shorter)
    }

    @Test func randomKeysDiffer() {
        let keys = Set((0..<100).map { _ in SecretBytes.randomKey(count: 32).copy() })
        #expect(keys.count == 100)
    }

    @Test func aPrintedSecretShowsItsLengthOnly() {
        let secret = SharedSecret(copying: ascii("hunter2-canary"))
        #expect("\(secret)" == "<14 secret bytes>")
        #expect(!String(reflecting: secret).contains("hunter2"))
        #expect(!String(describing: [secret]).contains("hunter2"))
    }

    @Test func aRangeOfASecretLendsNoMore() {
        let secret = SharedSecret(key(ascii("0123456789")), range: 3..<6)
        #expect(secret.count == 3)
        #expect(secret.withBytes { Array($0) } == ascii("345"))
        let copy = secret.withSecret { $0.copy() }
        #expect(copy == ascii("345"))
    }

    @Test func wipingOverwritesEveryByte() {
        var bytes = [UInt8](repeating: 9, count: 77)
        bytes.withUnsafeMutableBytes { Memory.wipe($0) }
        #expect(bytes == [UInt8](repeating: 0, count: 77))
    }
}
