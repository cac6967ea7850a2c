import CoffreCrypto
import Testing

/// AES-256-GCM against McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, and against every change.
struct AESGCMTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let key: String
        let nonce: String
        var plaintext = ""
        var aad = ""
        var ciphertext = ""
        let tag: String
    }

    private static let longKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
    private static let longText =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
    private static let longOutput =
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"

    static let vectors = [
        Vector(
            testDescription: "case 13",
            key: String(repeating: "00", count: 32),
            nonce: String(repeating: "00", count: 12),
            tag: "530f8afbc74536b9a963b4f1c4cb738b"
        ),
        Vector(
            testDescription: "case 14",
            key: String(repeating: "00", count: 32),
            nonce: String(repeating: "00", count: 12),
            plaintext: String(repeating: "00", count: 16),
            ciphertext: "cea7403d4d606b6e074ec5d3baf39d18",
            tag: "d0d1c8a799996bf0265b98b5d48ab919"
        ),
        Vector(
            testDescription: "case 15",
            key: longKey,
            nonce: "cafebabefacedbaddecaf888",
            plaintext: longText,
            ciphertext: longOutput,
            tag: "b094dac5d93471bdec1a502270e3cc6c"
        ),
        Vector(
            testDescription: "case 16",
            key: longKey,
            nonce: "cafebabefacedbaddecaf888",
            plaintext: String(longText.dropLast(8)),
            aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            ciphertext: String(longOutput.dropLast(8)),
            tag: "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ]

    private func encrypt(_ cipher: AESGCM, _ plaintext: [UInt8], _ nonce: [UInt8], _ aad: [UInt8]) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: plaintext.count + AESGCM.tagBytes)
        try output.withUnsafeMutableBytes { output in
            try plaintext.withUnsafeBytes { plaintext in
                try nonce.withUnsafeBytes { nonce in
                    try aad.withUnsafeBytes { try cipher.encrypt(plaintext, nonce: nonce, aad: $0, into: output) }
                }
            }
        }
        return output
    }

    /// What is in the output afterwards, and why it failed.
    private func decrypt(
        _ cipher: AESGCM,
        _ sealed: [UInt8],
        _ nonce: [UInt8],
        _ aad: [UInt8]
    ) -> (code: CryptoError.Code?, output: [UInt8]) {
        var output = [UInt8](repeating: 0x55, count: max(0, sealed.count - AESGCM.tagBytes))
        var code: CryptoError.Code?
        output.withUnsafeMutableBytes { output in
            sealed.withUnsafeBytes { sealed in
                nonce.withUnsafeBytes { nonce in
                    aad.withUnsafeBytes { aad in
                        do throws(CryptoError) {
                            try cipher.decrypt(sealed, nonce: nonce, aad: aad, into: output)
                        } catch {
                            code = error.code
                        }
                    }
                }
            }
        }
        return (code, output)
    }

    @Test(arguments: vectors)
    func aCiphertextIsThatOfTheStandard(_ vector: Vector) throws {
        let cipher = try AESGCM(key: key(hex(vector.key)))
        let sealed = try encrypt(cipher, hex(vector.plaintext), hex(vector.nonce), hex(vector.aad))
        #expect(sealed == hex(vector.ciphertext) + hex(vector.tag))
        let opened = decrypt(cipher, sealed, hex(vector.nonce), hex(vector.aad))
        #expect(opened.code == nil)
        #expect(opened.output == hex(vector.plaintext))
    }

    @Test func oneChangedBitOpensNothingAndLeavesNothing() throws {
        let vector = Self.vectors[3]
        let (nonce, aad) = (hex(vector.nonce), hex(vector.aad))
        let cipher = try AESGCM(key: key(hex(vector.key)))
        let sealed = hex(vector.ciphertext) + hex(vector.tag)
        for bit in 0..<sealed.count * 8 {
            var changed = sealed
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            let opened = decrypt(cipher, changed, nonce, aad)
            #expect(opened.code == .authenticationFailed)
            #expect(opened.output.allSatisfy { $0 == 0 })
        }
        #expect(decrypt(cipher, sealed, hex("cafebabefacedbaddecaf889"), aad).code == .authenticationFailed)
        #expect(decrypt(cipher, sealed, nonce, [0x7e] + aad.dropFirst()).code == .authenticationFailed)
        #expect(decrypt(cipher, sealed, nonce, []).code == .authenticationFailed)
        let other = try AESGCM(key: key([UInt8](repeating: 1, count: 32)))
        #expect(decrypt(other, sealed, nonce, aad).code == .authenticationFailed)
        #expect(decrypt(cipher, sealed, nonce, aad).code == nil, "a failure does not spoil the next call")
    }

    @Test func wrongLengthsAreRefused() throws {
        #expect(throws: CryptoError(.invalidLength, "")) { _ = try AESGCM(key: key([UInt8](repeating: 0, count: 16))) }
        let cipher = try AESGCM(key: key([UInt8](repeating: 0, count: 32)))
        #expect(throws: CryptoError(.invalidLength, "")) {
            _ = try encrypt(cipher, [1], [UInt8](repeating: 0, count: 11), [])
        }
        let short = [UInt8](repeating: 0, count: 15)
        #expect(decrypt(cipher, short, hex("cafebabefacedbaddecaf888"), []).code == .invalidLength)
    }

    @Test func manyThreadsShareOneKey() async throws {
        let cipher = try AESGCM(key: key([UInt8](repeating: 7, count: 32)))
        await withTaskGroup(of: Bool.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    (0..<200).allSatisfy { round in
                        let nonce = [UInt8](repeating: UInt8(worker), count: 11) + [UInt8(round)]
                        let text = [UInt8](repeating: UInt8(round), count: 100 + worker)
                        guard let sealed = try? encrypt(cipher, text, nonce, []) else { return false }
                        let opened = decrypt(cipher, sealed, nonce, [])
                        return opened.code == nil && opened.output == text
                    }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
