internal import COpenSSL

/// Key derivation: HKDF-Expand and PBKDF2, both with SHA-256.
package enum KeyDerivation {
    /// Derives a subkey bound to `context`.
    ///
    /// HKDF-Expand with SHA-256 (RFC 5869 §2.3); no extract step, so `rootKey` must already be uniform.
    /// - Parameters:
    ///   - rootKey: 32 bytes or more, uniform.
    ///   - context: ASCII, unique per use.
    ///   - count: 1–8160 bytes, 32 by default.
    /// - Returns: a key in guarded memory.
    package static func subkey(
        from rootKey: borrowing SecretBytes,
        context: String,
        count: Int = 32
    ) -> SecretBytes {
        precondition((1...8160).contains(count), "HKDF gives 1 to 8160 bytes")
        let key = HMACKey(rootKey)
        return SecretBytes.key(count: count) { target in
            var previous: Digest?
            var written = 0
            var counter: UInt8 = 1
            while written < count {
                let block = key.authenticate { update in
                    if let previous { previous.withUnsafeBytes { update($0) } }
                    Array(context.utf8).withUnsafeBytes { update($0) }
                    withUnsafeBytes(of: counter) { update($0) }
                }
                let take = min(32, count - written)
                block.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(rebasing: target[written..<written + take])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<take]))
                }
                previous = block
                written += take
                counter &+= 1
            }
        }
    }

    /// PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2), 32 bytes, as SCRAM uses it.
    /// - Throws: ``CryptoError`` `.libraryFailure`.
    package static func pbkdf2(
        password: borrowing SecretBytes,
        salt: [UInt8],
        iterations: Int
    ) throws(CryptoError) -> SecretBytes {
        try password.withBytes { password throws(CryptoError) in
            try SecretBytes.key(count: 32) { target throws(CryptoError) in
                let done = PKCS5_PBKDF2_HMAC(
                    password.baseAddress?.assumingMemoryBound(to: CChar.self),
                    Int32(password.count),
                    salt,
                    Int32(salt.count),
                    Int32(iterations),
                    EVP_sha256(),
                    Int32(target.count),
                    target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                )
                guard done == 1 else { throw CryptoError(.libraryFailure, "PBKDF2 failed") }
            }
        }
    }
}
