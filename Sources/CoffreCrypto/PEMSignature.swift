internal import COpenSSL

/// Signatures by a private key that somebody else has made and gives as PEM, as JSON Web Signature wants them.
package enum PEMSignature {
    package enum Algorithm: Sendable, CaseIterable {
        /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3): at least 2048 bits.
        case rs256
        /// ECDSA with P-256 and SHA-256 (RFC 7518 §3.4): r ‖ s, 64 bytes.
        case es256
    }

    /// Signs `message`.
    /// - Parameter pem: a private key without a password, PKCS #8 or the older forms of its kind.
    /// - Throws: ``CryptoError`` `.invalidEncoding` when `pem` holds no such key, or one of another kind or too short a one;
    ///   `.libraryFailure`.
    package static func sign(
        _ message: UnsafeRawBufferPointer,
        with pem: UnsafeRawBufferPointer,
        _ algorithm: Algorithm
    ) throws(CryptoError) -> [UInt8] {
        // What libcrypto notes of a failure is nobody's to read here, and must not be the next caller's.
        defer { ERR_clear_error() }
        guard let source = BIO_new_mem_buf(pem.baseAddress, Int32(clamping: pem.count)) else {
            throw CryptoError(.libraryFailure, "libcrypto gave no memory")
        }
        defer { BIO_free(source) }
        // Without the callback libcrypto would ask for a password at the terminal.
        guard let key = PEM_read_bio_PrivateKey(source, nil, { _, _, _, _ in 0 }, nil) else {
            throw CryptoError(.invalidEncoding, "not a private key in PEM without a password")
        }
        defer { EVP_PKEY_free(key) }
        try check(key, algorithm)
        guard let context = EVP_MD_CTX_new() else { throw CryptoError(.libraryFailure, "libcrypto gave no context") }
        defer { EVP_MD_CTX_free(context) }
        var length = Int(EVP_PKEY_get_size(key))
        var signature = [UInt8](repeating: 0, count: length)
        guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1,
            EVP_DigestSign(context, &signature, &length, message.bytePointer, message.count) == 1
        else { throw CryptoError(.libraryFailure, "signing failed") }
        signature.removeLast(signature.count - length)
        return algorithm == .es256 ? try fixedWidth(signature) : signature
    }

    private static func check(_ key: OpaquePointer, _ algorithm: Algorithm) throws(CryptoError) {
        switch algorithm {
        case .rs256:
            guard EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA, EVP_PKEY_get_bits(key) >= 2048 else {
                throw CryptoError(.invalidEncoding, "not an RSA key of at least 2048 bits")
            }
        case .es256:
            var name = [CChar](repeating: 0, count: 32)
            var length = 0
            guard EVP_PKEY_get_base_id(key) == EVP_PKEY_EC,
                EVP_PKEY_get_group_name(key, &name, name.count, &length) == 1,
                name.prefix(length).map({ UInt8(bitPattern: $0) }) == Array("prime256v1".utf8)
            else { throw CryptoError(.invalidEncoding, "not an elliptic-curve key on P-256") }
        }
    }

    /// DER's two integers as 32 bytes each.
    private static func fixedWidth(_ der: [UInt8]) throws(CryptoError) -> [UInt8] {
        let failure = CryptoError(.libraryFailure, "a signature of libcrypto cannot be read")
        let parsed = der.withUnsafeBufferPointer { der in
            var start = der.baseAddress
            return d2i_ECDSA_SIG(nil, &start, der.count)
        }
        guard let parsed else { throw failure }
        defer { ECDSA_SIG_free(parsed) }
        var output = [UInt8](repeating: 0, count: 64)
        let done = output.withUnsafeMutableBufferPointer { output in
            guard let start = output.baseAddress else { return false }
            return BN_bn2binpad(ECDSA_SIG_get0_r(parsed), start, 32) == 32
                && BN_bn2binpad(ECDSA_SIG_get0_s(parsed), start + 32, 32) == 32
        }
        guard done else { throw failure }
        return output
    }
}

/// HMAC-SHA-1 (RFC 2104), for OAuth 1.0a, which knows no better one (RFC 5849 §3.4.2). Not for anything of our own.
package enum HMACSHA1 {
    /// - Returns: 20 bytes.
    /// - Throws: ``CryptoError`` `.libraryFailure` when libcrypto does not offer it.
    package static func authenticate(
        _ message: UnsafeRawBufferPointer,
        key: UnsafeRawBufferPointer
    ) throws(CryptoError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 20)
        var written: UInt32 = 0
        var none: UInt8 = 0
        let made = withUnsafeMutablePointer(to: &none) { none in
            HMAC(
                EVP_sha1(),
                key.baseAddress ?? .init(none),
                Int32(key.count),
                message.bytePointer,
                message.count,
                &output,
                &written
            ) != nil
        }
        guard made, written == 20 else { throw CryptoError(.libraryFailure, "libcrypto does not offer HMAC-SHA-1") }
        return output
    }
}
