internal import CSodium

/// Anonymous public-key encryption: libsodium's `crypto_box_seal` (X25519, XSalsa20-Poly1305).
package enum SealedBox {
    /// What a sealed box is longer than its content, in bytes.
    package static let overheadBytes = 48

    /// An X25519 pair: 32 public bytes, 32 private bytes in guarded memory.
    package struct KeyPair: ~Copyable {
        package let publicKey: [UInt8]
        package let privateKey: SecretBytes

        package init() {
            Sodium.require()
            var publicKey = [UInt8](repeating: 0, count: 32)
            privateKey = SecretBytes.key(count: 32) { target in
                _ = crypto_box_keypair(&publicKey, target.octets)
            }
            self.publicKey = publicKey
        }
    }

    /// Seals `message` so that only the owner of `publicKey` (32 bytes) can read it.
    /// - Throws: ``CryptoError`` `.invalidLength`, `.libraryFailure`.
    package static func seal(_ message: UnsafeRawBufferPointer, to publicKey: [UInt8]) throws(CryptoError) -> [UInt8] {
        Sodium.require()
        guard publicKey.count == 32 else { throw CryptoError(.invalidLength, "an X25519 key has 32 bytes") }
        var box = [UInt8](repeating: 0, count: message.count + overheadBytes)
        let start = message.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard crypto_box_seal(&box, start, UInt64(message.count), publicKey) == 0 else {
            throw CryptoError(.libraryFailure, "sealing failed")
        }
        return box
    }

    /// Opens a box sealed to `privateKey`'s public half.
    /// - Throws: ``CryptoError`` `.invalidLength`, `.authenticationFailed`.
    package static func open(_ box: UnsafeRawBufferPointer, privateKey: borrowing SecretBytes) throws(CryptoError)
        -> SecretBytes
    {
        Sodium.require()
        guard privateKey.count == 32, box.count >= overheadBytes else {
            throw CryptoError(.invalidLength, "a sealed box has at least 48 bytes and its key 32")
        }
        return try SecretBytes(count: box.count - overheadBytes) { target throws(CryptoError) in
            let opened = privateKey.withBytes { key in
                var publicKey = [UInt8](repeating: 0, count: 32)
                let secret = key.octets
                guard crypto_scalarmult_base(&publicKey, secret) == 0 else { return false }
                // Open into scratch when the content is empty: libsodium wants a valid pointer.
                var scratch: UInt8 = 0
                let output = target.isEmpty ? nil : target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                return withUnsafeMutablePointer(to: &scratch) { scratch in
                    crypto_box_seal_open(
                        output ?? scratch,
                        box.octets,
                        UInt64(box.count),
                        publicKey,
                        secret
                    ) == 0
                }
            }
            guard opened else {
                throw CryptoError(.authenticationFailed, "the sealed box does not belong to this key")
            }
        }
    }
}
