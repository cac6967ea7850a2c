internal import COpenSSL

/// Hash functions that a caller may choose, by the names that Vault clients use (FIPS 180-4, FIPS 202).
package enum HashAlgorithm: String, Sendable, CaseIterable {
    case sha224 = "sha2-224"
    case sha256 = "sha2-256"
    case sha384 = "sha2-384"
    case sha512 = "sha2-512"
    case sha3Bits224 = "sha3-224"
    case sha3Bits256 = "sha3-256"
    case sha3Bits384 = "sha3-384"
    case sha3Bits512 = "sha3-512"

    private var function: OpaquePointer? {
        switch self {
        case .sha224: EVP_sha224()
        case .sha256: EVP_sha256()
        case .sha384: EVP_sha384()
        case .sha512: EVP_sha512()
        case .sha3Bits224: EVP_sha3_224()
        case .sha3Bits256: EVP_sha3_256()
        case .sha3Bits384: EVP_sha3_384()
        case .sha3Bits512: EVP_sha3_512()
        }
    }

    /// The digest of `bytes`: 28, 32, 48 or 64 bytes.
    /// - Throws: ``CryptoError`` `.libraryFailure` when libcrypto lacks the function.
    package func hash(_ bytes: UnsafeRawBufferPointer) throws(CryptoError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var written: UInt32 = 0
        guard EVP_Digest(bytes.baseAddress, bytes.count, &output, &written, function, nil) == 1 else {
            throw CryptoError(.libraryFailure, "libcrypto does not have this hash function")
        }
        return Array(output.prefix(Int(written)))
    }

    /// The HMAC of `bytes` (RFC 2104), as long as ``hash(_:)``.
    /// - Parameter key: any length.
    /// - Throws: ``CryptoError`` `.libraryFailure` when libcrypto lacks the function.
    package func authenticate(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(CryptoError)
        -> [UInt8]
    {
        var output = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var written: UInt32 = 0
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        // HMAC(3) takes a null key for "the key of the call before".
        var none: UInt8 = 0
        let made = withUnsafeMutablePointer(to: &none) { none in
            HMAC(function, key.baseAddress ?? .init(none), Int32(key.count), start, bytes.count, &output, &written)
                != nil
        }
        guard made else { throw CryptoError(.libraryFailure, "libcrypto does not have this hash function") }
        return Array(output.prefix(Int(written)))
    }
}
