import CoffreCrypto
import Testing

struct EncodingsTests {
    /// RFC 4648 §10.
    static let base64 = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]

    @Test(arguments: base64)
    func base64GivesTheValuesOfTheRFC(plain: String, encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(Array(encoded.utf8)) == Array(plain.utf8))
        let secret = SharedSecret(guarded(Array(plain.utf8)).withSecret { Base64.encodeSecret($0) })
        #expect(secret.bytes == Array(encoded.utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=", "====", "Zg==Zg==", "Z g=", "Zm9v\n", " Zm9v", "Zm-_",
        "Zm\u{0}v",
    ])
    func base64RefusesEverythingElse(text: String) {
        #expect(Base64.decode(Array(text.utf8)) == nil)
    }

    @Test(arguments: 0..<200)
    func anyBytesComeBack(count: Int) {
        let bytes = Random.bytes(count)
        #expect(Hex.decode(Array(Hex.encode(bytes).utf8)) == bytes)
        #expect(Base64.decode(Array(Base64.encode(bytes).utf8)) == bytes)
        let secret = guarded(bytes)
        let hexText = SharedSecret(secret.withSecret { Hex.encodeSecret($0) })
        #expect(hexText.bytes == Array(Hex.encode(bytes).utf8))
        let decoded = hexText.withBytes { text -> SharedSecret? in
            guard let secret = Hex.decodeSecret(text) else { return nil }
            return SharedSecret(secret)
        }
        #expect(decoded?.bytes == (count == 0 ? nil : bytes), "an empty secret is no secret")
    }

    @Test(arguments: ["0", "0g", "zz", "00 11", "0x00"])
    func hexRefusesEverythingElse(text: String) {
        #expect(Hex.decode(Array(text.utf8)) == nil)
        let isRefused = Array(text.utf8).withUnsafeBytes { text in
            guard Hex.decodeSecret(text) != nil else { return true }
            return false
        }
        #expect(isRefused)
    }

    @Test func hexTakesBothCases() {
        #expect(Hex.decode(Array("aBcD".utf8)) == [0xab, 0xcd])
        #expect(Hex.encode([0xab, 0x09]) == "ab09")
    }
}
