import CoffreCrypto
import Testing

struct HashAlgorithmTests {
    /// Digests of "hello", as `sha224sum` and its like and `openssl dgst -sha3-…` print them.
    @Test(arguments: [
        (HashAlgorithm.sha224, "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193"),
        (.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        (
            .sha384,
            "59e1748777448c69de6b800d7a33bbfb9ff1b463e44354c3553bcdb9c666fa90125a3c79f90397bdf5f6a13de828684f"
        ),
        (
            .sha512,
            "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7"
                + "2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
        ),
        (.sha3Bits224, "b87f88c72702fff1748e58b87e9141a42c0dbedc29a78cb0d4a5cd81"),
        (.sha3Bits256, "3338be694f50c5f338814986cdf0686453a888b84f424d792af4b9202398f392"),
    ])
    func aDigestIsTheOneOfOtherTools(algorithm: HashAlgorithm, expected: String) throws {
        let digest = try Array("hello".utf8).withUnsafeBytes { try algorithm.hash($0) }
        #expect(Hex.encode(digest) == expected)
    }

    /// RFC 4231 §4.3, test case 2.
    @Test(arguments: [
        (HashAlgorithm.sha224, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
        (.sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            .sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
        ),
        (
            .sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                + "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        ),
    ])
    func anHMACIsTheOneOfTheRFC(algorithm: HashAlgorithm, expected: String) throws {
        let tag = try Array("Jefe".utf8).withUnsafeBytes { key in
            try Array("what do ya want for nothing?".utf8).withUnsafeBytes { try algorithm.authenticate($0, key: key) }
        }
        #expect(Hex.encode(tag) == expected)
    }

    @Test(arguments: HashAlgorithm.allCases)
    func anEmptyMessageHasADigestOfTheRightLength(algorithm: HashAlgorithm) throws {
        let bits = Int(algorithm.rawValue.suffix(3))
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(try algorithm.hash(empty).count * 8 == bits)
        #expect(try algorithm.authenticate(empty, key: empty).count * 8 == bits)
    }

    @Test func aMessageThatStaysWhereItLiesIsSignedLikeACopy() {
        let key = SigningKey()
        for message in [[], [1], [UInt8](repeating: 7, count: 1000)] {
            let signature = message.withUnsafeBytes { key.sign($0) }
            #expect(signature == key.sign(message))
            #expect(message.withUnsafeBytes { SigningKey.isValid(signature, over: $0, publicKey: key.publicKey) })
            let other = message + [0]
            #expect(!other.withUnsafeBytes { SigningKey.isValid(signature, over: $0, publicKey: key.publicKey) })
        }
    }
}
