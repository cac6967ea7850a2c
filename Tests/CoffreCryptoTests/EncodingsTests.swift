import CoffreCrypto
import Testing

/// Hex, base64 and base62: what is accepted, and what is not.
struct EncodingsTests {
    // RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64IsThatOfTheStandard(_ plain: String, _ encoded: String) {
        #expect(Base64.encode(ascii(plain)) == encoded)
        #expect(Base64.decode(ascii(encoded)) == ascii(plain))
        let secret = Base64.encodeSecret(key(ascii(plain))).copy()
        #expect(secret == ascii(encoded))
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zg===", "Z", "Zm9v=", "Zm9vY", " Zm9v", "Zm9v ", "Zm\n9v", "Zm9v\n", "Zm-_", "====", "Zg==Zg==",
        "Zm=v", "Zh==", "Zm9=",
    ])
    func base64ThatIsNotExactIsRefused(_ text: String) {
        #expect(Base64.decode(ascii(text)) == nil)
    }

    @Test(arguments: ["0", "0g", "g0", "0x10", " 00", "00 ", "00:11", "é", "0\u{0}"])
    func hexThatIsNotExactIsRefused(_ text: String) {
        #expect(Hex.decode(ascii(text)) == nil)
        let isRefused = ascii(text).withUnsafeBytes { text in
            if Hex.decodeSecret(text) != nil { false } else { true }
        }
        #expect(isRefused)
    }

    @Test func everyByteSurvivesHexAndBase64() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Hex.decode(ascii(Hex.encode(bytes))) == bytes)
        #expect(Hex.decode(ascii(Hex.encode(bytes).uppercased())) == bytes)
        let secret = Hex.encodeSecret(key(bytes)).copy()
        #expect(secret == ascii(Hex.encode(bytes)))
        for count in 0...bytes.count {
            let part = Array(bytes[..<count])
            #expect(Base64.decode(ascii(Base64.encode(part))) == part)
        }
    }

    @Test func base62TokensAreAsLongAsAskedAndDiffer() {
        let text = Random.secretBase62(24, prefix: "s.").withBytes { Array($0) }
        #expect(text.count == 26)
        #expect(text.starts(with: ascii("s.")))
        #expect(text.dropFirst(2).allSatisfy { Base62.alphabet.contains($0) })
        #expect(Set((0..<1000).map { _ in Random.base62(24) }).count == 1000)
    }
}
