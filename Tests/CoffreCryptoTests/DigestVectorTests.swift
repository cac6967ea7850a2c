import CoffreCrypto
import Testing

/// SHA-256, HMAC, HKDF-Expand and PBKDF2 against the vectors of their standards.
struct DigestVectorTests {
    // FIPS 180-4, NIST "Examples with Intermediate Values".
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func sha256GivesTheDigestsOfTheStandard(_ message: String, _ digest: String) {
        #expect(SHA256.hash(ascii(message)).bytes == hex(digest))
    }

    @Test func sha256OfAMillionLettersIsThatOfTheStandard() {
        var context = SHA256()
        for _ in 0..<1000 { context.update([UInt8](repeating: 0x61, count: 1000)) }
        #expect(context.finish().bytes == hex("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"))
    }

    @Test(arguments: [0, 1, 63, 64, 65, 500, 999, 1000])
    func anIncrementalDigestDoesNotDependOnTheCut(_ cut: Int) {
        let message = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        var context = SHA256()
        context.update(Array(message[..<cut]))
        context.update(Array(message[cut...]))
        #expect(context.finish() == SHA256.hash(message))
    }

    // RFC 4231 §4.2–4.8.
    @Test(arguments: [
        (
            String(repeating: "0b", count: 20), "4869205468657265",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            String(repeating: "aa", count: 20), String(repeating: "dd", count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
            "0102030405060708090a0b0c0d0e0f10111213141516171819", String(repeating: "cd", count: 50),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
        ),
        (
            String(repeating: "aa", count: 131),
            "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
        (
            String(repeating: "aa", count: 131),
            "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b657920616e64"
                + "2061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565647320746f20626520"
                + "686173686564206265666f7265206265696e6720757365642062792074686520484d414320616c676f726974686d2e",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
        ),
    ])
    func hmacGivesTheTagsOfTheStandard(_ secret: String, _ message: String, _ tag: String) {
        let hmac = HMACKey(key(hex(secret)))
        #expect(hmac.authenticate(hex(message)).bytes == hex(tag))
        #expect(hmac.authenticate(hex(message)).bytes == hex(tag))
    }

    // RFC 5869 A.3, whose info is empty: the PRK goes in, the OKM comes out.
    @Test func hkdfExpandGivesTheOutputOfTheStandard() {
        let secret = key(hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"))
        let output = KeyDerivation.subkey(from: secret, context: "", count: 42).copy()
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        #expect(output == hex(expected))
    }

    // RFC 5869 §2.3, written out.
    @Test func hkdfExpandChainsItsBlocksAndIsBoundToItsContext() {
        let secret = key((0..<32).map { UInt8($0) })
        let hmac = HMACKey(secret)
        let first = hmac.authenticate(ascii("coffre test") + [1]).bytes
        let second = hmac.authenticate(first + ascii("coffre test") + [2]).bytes
        let third = hmac.authenticate(second + ascii("coffre test") + [3]).bytes
        let output = KeyDerivation.subkey(from: secret, context: "coffre test", count: 80).copy()
        #expect(output == Array((first + second + third)[..<80]))
        let other = KeyDerivation.subkey(from: secret, context: "coffre tesu", count: 80).copy()
        #expect(other != output)
    }

    // RFC 7914 §11: the first of the two blocks of each output.
    @Test(arguments: [
        ("passwd", "73616c74", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
        ("Password", "4e61436c", 80_000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
    ])
    func pbkdf2GivesTheKeysOfTheStandard(_ password: String, _ salt: String, _ rounds: Int, _ output: String) throws {
        let derived = try KeyDerivation.pbkdf2(password: key(ascii(password)), salt: hex(salt), iterations: rounds)
            .copy()
        #expect(derived == hex(output))
    }
}
