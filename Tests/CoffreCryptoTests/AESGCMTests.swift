import CoffreCrypto
import Testing

/// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, the cases with 256-bit keys and 96-bit nonces.
struct AESGCMTests {
    struct Vector: Sendable {
        let key: String
        let nonce: String
        let plaintext: String
        let aad: String
        let sealed: String
    }

    static let feffe9 = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
    static let d93132 =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    static let sealed522d =
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

    static let vectors = [
        Vector(
            key: String(repeating: "00", count: 32),
            nonce: String(repeating: "00", count: 12),
            plaintext: "",
            aad: "",
            sealed: "530f8afbc74536b9a963b4f1c4cb738b"
        ),
        Vector(
            key: String(repeating: "00", count: 32),
            nonce: String(repeating: "00", count: 12),
            plaintext: String(repeating: "00", count: 16),
            aad: "",
            sealed: "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        ),
        Vector(
            key: feffe9,
            nonce: "cafebabefacedbaddecaf888",
            plaintext: d93132 + "1aafd255",
            aad: "",
            sealed: sealed522d + "898015ad" + "b094dac5d93471bdec1a502270e3cc6c"
        ),
        Vector(
            key: feffe9,
            nonce: "cafebabefacedbaddecaf888",
            plaintext: d93132,
            aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            sealed: sealed522d + "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ]

    private func cipher(_ key: String) throws -> AESGCM {
        try guarded(hex(key)).withSecret { try AESGCM(key: $0) }
    }

    private func encrypt(_ cipher: AESGCM, _ plain: [UInt8], nonce: [UInt8], aad: [UInt8]) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: plain.count + AESGCM.tagBytes)
        try plain.withUnsafeBytes { plain in
            try nonce.withUnsafeBytes { nonce in
                try aad.withUnsafeBytes { aad in
                    try output.withUnsafeMutableBytes { output in
                        try cipher.encrypt(plain, nonce: nonce, aad: aad, into: output)
                    }
                }
            }
        }
        return output
    }

    private func decrypt(_ cipher: AESGCM, _ sealed: [UInt8], nonce: [UInt8], aad: [UInt8]) throws -> [UInt8] {
        var output = [UInt8](repeating: 0xee, count: max(0, sealed.count - AESGCM.tagBytes))
        do {
            try sealed.withUnsafeBytes { sealed in
                try nonce.withUnsafeBytes { nonce in
                    try aad.withUnsafeBytes { aad in
                        try output.withUnsafeMutableBytes { output in
                            try cipher.decrypt(sealed, nonce: nonce, aad: aad, into: output)
                        }
                    }
                }
            }
        } catch let error as CryptoError where error.code == .authenticationFailed {
            #expect(output.allSatisfy { $0 == 0 }, "a failed decryption leaves no plaintext")
            throw error
        }
        return output
    }

    @Test(arguments: vectors)
    func givesThePublishedValues(vector: Vector) throws {
        let cipher = try cipher(vector.key)
        let (nonce, aad) = (hex(vector.nonce), hex(vector.aad))
        for _ in 0..<2 {
            #expect(try encrypt(cipher, hex(vector.plaintext), nonce: nonce, aad: aad) == hex(vector.sealed))
            #expect(try decrypt(cipher, hex(vector.sealed), nonce: nonce, aad: aad) == hex(vector.plaintext))
        }
    }

    @Test(arguments: vectors)
    func everyFlippedBitIsNoticed(vector: Vector) throws {
        let cipher = try cipher(vector.key)
        let (sealed, nonce, aad) = (hex(vector.sealed), hex(vector.nonce), hex(vector.aad))
        func isRefused(_ sealed: [UInt8], _ nonce: [UInt8], _ aad: [UInt8]) -> Bool {
            (try? decrypt(cipher, sealed, nonce: nonce, aad: aad)) == nil
        }
        func mutants(_ bytes: [UInt8]) -> [[UInt8]] {
            (0..<bytes.count * 8).map { bit in
                var mutant = bytes
                mutant[bit / 8] ^= 1 << UInt8(bit % 8)
                return mutant
            }
        }
        #expect(mutants(sealed).allSatisfy { isRefused($0, nonce, aad) })
        #expect(mutants(nonce).allSatisfy { isRefused(sealed, $0, aad) })
        #expect(mutants(aad).allSatisfy { isRefused(sealed, nonce, $0) })
        #expect(isRefused(sealed, nonce, aad + [0]))
        // What failed before must not disturb what comes after.
        #expect(try decrypt(cipher, sealed, nonce: nonce, aad: aad) == hex(vector.plaintext))
    }

    @Test func lengthsThatCannotBeAreRefused() throws {
        let cipher = try cipher(Self.feffe9)
        let wrong = CryptoError(.invalidLength, "")
        #expect(throws: wrong) { try encrypt(cipher, [1], nonce: [1, 2, 3], aad: []) }
        #expect(throws: wrong) { try decrypt(cipher, [1, 2, 3], nonce: Random.bytes(12), aad: []) }
        #expect(throws: wrong) { try guarded(Random.bytes(31)).withSecret { try AESGCM(key: $0) } }
    }

    @Test func severalThreadsMayShareACipher() async throws {
        let cipher = try cipher(Self.feffe9)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<4 {
                group.addTask {
                    for round in 0..<500 {
                        let plain = [UInt8](repeating: UInt8(number), count: round)
                        let nonce = Random.bytes(12)
                        let sealed = try encrypt(cipher, plain, nonce: nonce, aad: [UInt8(number)])
                        guard try decrypt(cipher, sealed, nonce: nonce, aad: [UInt8(number)]) == plain else {
                            return false
                        }
                    }
                    return true
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }
}
