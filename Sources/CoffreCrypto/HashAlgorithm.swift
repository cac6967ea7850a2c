internal import COpenSSL

/// The SHA-2 family (FIPS 180-4) in one call, and HMAC (RFC 2104) with it.
package enum HashAlgorithm: String, Sendable, CaseIterable {
    case sha224 = "sha2-224"
    case sha256 = "sha2-256"
    case sha384 = "sha2-384"
    case sha512 = "sha2-512"

    private var type: OpaquePointer? {
        switch self {
        case .sha224: EVP_sha224()
        case .sha256: EVP_sha256()
        case .sha384: EVP_sha384()
        case .sha512: EVP_sha512()
        }
    }

    /// Length of a digest in bytes.
    package var count: Int {
        switch self {
        case .sha224: 28
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// - Throws: ``CryptoError`` `.libraryFailure`.
    package func hash(_ bytes: UnsafeRawBufferPointer) throws(CryptoError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: count)
        var length: UInt32 = 0
        guard EVP_Digest(bytes.baseAddress, bytes.count, &digest, &length, type, nil) == 1, Int(length) == count else {
            throw CryptoError(.libraryFailure, "libcrypto has no \(rawValue)")
        }
        return digest
    }

    /// - Throws: ``CryptoError`` `.libraryFailure`.
    package func authenticate(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(CryptoError)
        -> [UInt8]
    {
        var code = [UInt8](repeating: 0, count: count)
        var length: UInt32 = 0
        let done = HMAC(
            type,
            key.baseAddress,
            Int32(key.count),
            bytes.bytePointer,
            bytes.count,
            &code,
            &length
        )
        guard done != nil, Int(length) == count else {
            throw CryptoError(.libraryFailure, "libcrypto has no HMAC with \(rawValue)")
        }
        return code
    }
}
