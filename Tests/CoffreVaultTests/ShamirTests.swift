import CoffreCrypto
import CoffreVault
import Testing

/// Shamir's sharing: every subset of enough shares restores, fewer do not, and hostile records do not trap.
struct ShamirTests {
    private func secret(_ bytes: [UInt8]) -> SharedSecret { SharedSecret(copying: bytes) }

    private func bytes(_ secret: SharedSecret?) -> [UInt8]? { secret.map { $0.withBytes { Array($0) } } }

    @Test(arguments: [(1, 1), (2, 2), (3, 2), (5, 3), (6, 5)])
    func everySubsetOfEnoughSharesRestoresTheSecret(_ count: Int, _ threshold: Int) {
        let original: [UInt8] = (0..<32).map { (byte: Int) -> UInt8 in UInt8(byte * 7 + 1) }
        let shares = secret(original).withSecret { ShamirSharing.split($0, shares: count, threshold: threshold) }
        for mask in 1..<(1 << count) {
            let chosen: [SharedSecret] = shares.enumerated().filter { (mask >> $0.offset) & 1 == 1 }.map(\.element)
            if chosen.count >= threshold {
                #expect(bytes(ShamirSharing.combine(chosen)) == original)
            } else {
                #expect(bytes(ShamirSharing.combine(chosen)) != original)
            }
        }
    }

    // Shares of Vault's form, `y ‖ x`, computed by hand: secret 0x2a with f(x) = 0x2a + 0x05·x over GF(2^8).
    @Test func sharesOfAKnownPolynomialGiveItsConstant() {
        let shares = [secret([0x2f, 1]), secret([0x20, 2]), secret([0x3e, 4])]
        #expect(bytes(ShamirSharing.combine([shares[0], shares[1]])) == [0x2a])
        #expect(bytes(ShamirSharing.combine([shares[2], shares[0]])) == [0x2a])
        #expect(bytes(ShamirSharing.combine([shares[1], shares[2]])) == [0x2a])
    }

    // FIPS 197 §4.2: {57} · {83} = {c1}, {57} · {13} = {fe}.
    @Test func multiplicationIsThatOfTheField() {
        #expect(ShamirSharing.multiply(0x57, 0x83) == 0xc1)
        #expect(ShamirSharing.multiply(0x57, 0x13) == 0xfe)
        for value in 1...255 { #expect(ShamirSharing.multiply(UInt8(value), ShamirSharing.invert(UInt8(value))) == 1) }
    }

    @Test func sharesThatDoNotFitTogetherAreRefused() {
        #expect(ShamirSharing.combine([]) == nil)
        #expect(ShamirSharing.combine([secret([1, 1]), secret([2, 1])]) == nil)
        #expect(ShamirSharing.combine([secret([1, 0]), secret([2, 1])]) == nil)
        #expect(ShamirSharing.combine([secret([1, 1]), secret([2, 2, 2])]) == nil)
    }

    @Test func aSealRecordSurvivesItsEncodingAndRefusesChanges() throws {
        let record = SealRecord(
            type: .shamir,
            vaultID: [UInt8](repeating: 3, count: 16),
            shares: 5,
            threshold: 3,
            wrappedRoot: [UInt8](repeating: 9, count: 60),
            wrappedForRecovery: nil
        )
        #expect(try SealRecord(decoding: record.encoded) == record)
        var random = SeededGenerator(11)
        for _ in 0..<3000 {
            var bytes = record.encoded
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            if let read = try? SealRecord(decoding: bytes) {
                #expect(try SealRecord(decoding: read.encoded) == read)
                #expect((1...255).contains(read.shares) && (1...read.shares).contains(read.threshold))
            }
        }
        for count in 0..<record.encoded.count {
            #expect(throws: BarrierError.self) { try SealRecord(decoding: Array(record.encoded[..<count])) }
        }
    }

    // RFC 7677 §3: password "pencil", this salt, 4096 rounds; the server signature there is made with ServerKey.
    @Test func aScramVerifierIsThatOfTheStandard() throws {
        let salt = try #require(Base64.decode(Array("W22ZaJ0SNY7soEsUEjb6gQ==".utf8)))
        let verifier = try ScramVerifier.make(password: secret(Array("pencil".utf8)), salt: salt)
        #expect(
            verifier == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                + "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        )
    }
}
