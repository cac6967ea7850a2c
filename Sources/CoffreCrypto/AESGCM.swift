internal import COpenSSL
internal import Synchronization

/// AES-256-GCM (NIST SP 800-38D) under one key: 96-bit nonces, 128-bit tags.
///
/// The key schedule sits in a context of libcrypto, on its heap, and is cleansed when this object goes.
/// Calls from several threads take turns.
package final class AESGCM: Sendable {
    package static let nonceBytes = 12
    package static let tagBytes = 16

    private struct Contexts: @unchecked Sendable {  // Used under the mutex only.
        let encrypt: OpaquePointer
        let decrypt: OpaquePointer
    }

    private let contexts: Mutex<Contexts>

    /// - Parameter key: exactly 32 bytes.
    /// - Throws: ``CryptoError`` `.invalidLength`, or `.libraryFailure` when libcrypto has no AES-256-GCM.
    package init(key: borrowing SecretBytes) throws(CryptoError) {
        guard key.count == 32 else { throw CryptoError(.invalidLength, "an AES-256 key has 32 bytes") }
        guard let encrypt = EVP_CIPHER_CTX_new(), let decrypt = EVP_CIPHER_CTX_new() else {
            throw CryptoError(.libraryFailure, "libcrypto gave no cipher context")
        }
        let done = key.withBytes { key in
            let bytes = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
            return EVP_EncryptInit_ex(encrypt, EVP_aes_256_gcm(), nil, bytes, nil) == 1
                && EVP_DecryptInit_ex(decrypt, EVP_aes_256_gcm(), nil, bytes, nil) == 1
        }
        guard done else {
            EVP_CIPHER_CTX_free(encrypt)
            EVP_CIPHER_CTX_free(decrypt)
            throw CryptoError(.libraryFailure, "libcrypto has no AES-256-GCM")
        }
        contexts = Mutex(Contexts(encrypt: encrypt, decrypt: decrypt))
    }

    deinit {
        contexts.withLock {
            EVP_CIPHER_CTX_free($0.encrypt)
            EVP_CIPHER_CTX_free($0.decrypt)
        }
    }

    /// Encrypts `plaintext` into `output`, which receives ciphertext ‖ tag (`plaintext.count + 16` bytes exactly).
    /// - Parameter nonce: 12 bytes, never used twice under this key.
    /// - Throws: ``CryptoError`` `.invalidLength`, `.libraryFailure`.
    package func encrypt(
        _ plaintext: UnsafeRawBufferPointer,
        nonce: UnsafeRawBufferPointer,
        aad: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(CryptoError) {
        guard nonce.count == Self.nonceBytes, output.count == plaintext.count + Self.tagBytes,
            let target = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { throw CryptoError(.invalidLength, "nonce or output has the wrong length") }
        let done = contexts.withLock { contexts in
            let context = contexts.encrypt
            var written: Int32 = 0
            return EVP_EncryptInit_ex(context, nil, nil, nil, nonce.baseAddress?.assumingMemoryBound(to: UInt8.self))
                == 1
                && (aad.isEmpty || EVP_EncryptUpdate(context, nil, &written, aad.bytePointer, Int32(aad.count)) == 1)
                && (plaintext.isEmpty
                    || EVP_EncryptUpdate(context, target, &written, plaintext.bytePointer, Int32(plaintext.count)) == 1)
                && EVP_EncryptFinal_ex(context, target + plaintext.count, &written) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, target + plaintext.count) == 1
        }
        guard done else { throw CryptoError(.libraryFailure, "AES-256-GCM encryption failed") }
    }

    /// Decrypts ciphertext ‖ tag into `output` (`sealed.count - 16` bytes exactly). On failure `output` is wiped.
    /// - Throws: ``CryptoError`` `.invalidLength`, `.authenticationFailed`.
    package func decrypt(
        _ sealed: UnsafeRawBufferPointer,
        nonce: UnsafeRawBufferPointer,
        aad: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(CryptoError) {
        let length = sealed.count - Self.tagBytes
        guard nonce.count == Self.nonceBytes, length >= 0, output.count == length, let source = sealed.bytePointer
        else {
            throw CryptoError(.invalidLength, "nonce, ciphertext or output has the wrong length")
        }
        var none: UInt8 = 0
        let done = contexts.withLock { contexts in
            let context = contexts.decrypt
            var written: Int32 = 0
            let target = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
            return EVP_DecryptInit_ex(context, nil, nil, nil, nonce.bytePointer) == 1
                && (aad.isEmpty || EVP_DecryptUpdate(context, nil, &written, aad.bytePointer, Int32(aad.count)) == 1)
                && (length == 0 || EVP_DecryptUpdate(context, target, &written, source, Int32(length)) == 1)
                && EVP_CIPHER_CTX_ctrl(
                    context,
                    EVP_CTRL_AEAD_SET_TAG,
                    16,
                    UnsafeMutableRawPointer(mutating: source + length)
                ) == 1
                && EVP_DecryptFinal_ex(context, &none, &written) == 1
        }
        guard done else {
            Memory.wipe(output)
            throw CryptoError(.authenticationFailed, "the ciphertext does not belong to this key and place")
        }
    }
}

extension UnsafeRawBufferPointer {
    var bytePointer: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
