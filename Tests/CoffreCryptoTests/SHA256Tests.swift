import CoffreCrypto
import Testing

/// FIPS 180-4 examples (NIST CSRC, "Secure Hash Standard" sample values).
struct SHA256Tests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func givesThePublishedValues(message: String, expected: String) {
        #expect(SHA256.hash(Array(message.utf8)).description == expected)
    }

    @Test func aMillionLettersInPiecesGiveThePublishedValue() {
        var context = SHA256()
        let piece = [UInt8](repeating: 0x61, count: 999)
        for _ in 0..<1001 { context.update(piece) }
        context.update(byte: 0x61)
        #expect(
            context.finish().description == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        )
    }

    @Test func aCopyOfTheContextGoesItsOwnWay() {
        var one = SHA256()
        one.update(Array("ab".utf8))
        var other = one
        other.update(Array("x".utf8))
        one.update(Array("c".utf8))
        #expect(one.finish() == SHA256.hash(Array("abc".utf8)))
        #expect(other.finish() == SHA256.hash(Array("abx".utf8)))
    }

    @Test func digestsAreMadeOf32BytesOnly() {
        #expect(Digest([UInt8](repeating: 0, count: 31)) == nil)
        #expect(Digest([UInt8](repeating: 0, count: 33)) == nil)
        #expect(Digest([UInt8](repeating: 0, count: 32)) == .zero)
        let bytes = Array(UInt8(0)..<32)
        #expect(Digest(bytes)?.bytes == bytes)
    }
}
