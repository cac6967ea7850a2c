import CoffreCrypto
import Testing

struct SealedBoxTests {
    private func seal(_ message: [UInt8], to key: [UInt8]) throws -> [UInt8] {
        try message.withUnsafeBytes { try SealedBox.seal($0, to: key) }
    }

    private func open(_ box: [UInt8], _ key: SharedSecret) throws -> [UInt8] {
        try box.withUnsafeBytes { box in
            try key.withSecret { key in
                let opened = try SealedBox.open(box, privateKey: key)
                return opened.withBytes { Array($0) }
            }
        }
    }

    private func makePair() -> (publicKey: [UInt8], privateKey: SharedSecret) {
        let pair = SealedBox.KeyPair()
        return (pair.publicKey, SharedSecret(pair.privateKey.withBytes { SecretBytes.key(copying: $0) }))
    }

    @Test(arguments: [0, 1, 1000, 100_000])
    func whatIsSealedOpensWithThePrivateKeyAlone(count: Int) throws {
        let pair = makePair()
        let stranger = makePair()
        let message = Random.bytes(count)
        let box = try seal(message, to: pair.publicKey)
        #expect(box.count == count + SealedBox.overheadBytes)
        #expect(try open(box, pair.privateKey) == message)
        #expect(throws: CryptoError(.authenticationFailed, "")) { try open(box, stranger.privateKey) }
    }

    @Test func aChangedBoxDoesNotOpen() throws {
        let pair = makePair()
        let box = try seal(Array("answer".utf8), to: pair.publicKey)
        for position in box.indices {
            var changed = box
            changed[position] ^= 0x40
            #expect(throws: CryptoError(.authenticationFailed, "")) { try open(changed, pair.privateKey) }
        }
        #expect(throws: CryptoError(.invalidLength, "")) { try open(Array(box.prefix(47)), pair.privateKey) }
        #expect(throws: CryptoError(.invalidLength, "")) { try seal([1], to: [1, 2, 3]) }
    }
}
