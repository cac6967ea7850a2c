internal import CSodium

/// An Ed25519 key pair (RFC 8032); the seed lies in guarded memory.
package final class SigningKey: Sendable {
    private let secret: SecretBytes  // 64 bytes: seed ‖ public key, as libsodium wants it
    /// 32 bytes.
    package let publicKey: [UInt8]

    /// A fresh key.
    package convenience init() {
        let seed = SecretBytes.randomKey(count: 32)
        self.init(validSeed: seed)
    }

    /// - Parameter seed: exactly 32 bytes.
    /// - Throws: ``CryptoError`` `.invalidLength`.
    package convenience init(seed: borrowing SecretBytes) throws(CryptoError) {
        guard seed.count == 32 else { throw CryptoError(.invalidLength, "an Ed25519 seed has 32 bytes") }
        self.init(validSeed: seed)
    }

    private init(validSeed seed: borrowing SecretBytes) {
        Sodium.require()
        var publicKey = [UInt8](repeating: 0, count: 32)
        secret = SecretBytes.key(count: 64) { target in
            _ = seed.withBytes { seed in
                crypto_sign_seed_keypair(
                    &publicKey,
                    target.octets,
                    seed.octets
                )
            }
        }
        self.publicKey = publicKey
    }

    /// Lends the 32-byte seed, for wrapping.
    package func withSeed<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try secret.withBytes { secret throws(E) in try body(UnsafeRawBufferPointer(rebasing: secret[..<32])) }
    }

    /// A 64-byte signature over `message`.
    package func sign(_ message: [UInt8]) -> [UInt8] { message.withUnsafeBytes { sign($0) } }

    /// A 64-byte signature over `message`, which stays where it lies.
    package func sign(_ message: UnsafeRawBufferPointer) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: 64)
        _ = secret.withBytes { secret in
            // Nothing is read of an empty message, but libsodium wants a valid pointer.
            crypto_sign_detached(
                &signature,
                nil,
                message.isEmpty ? secret.octets : message.octets,
                UInt64(message.count),
                secret.octets
            )
        }
        return signature
    }

    /// Whether `signature` (64 bytes) is one of `publicKey` (32 bytes) over `message`.
    package static func isValid(_ signature: [UInt8], over message: [UInt8], publicKey: [UInt8]) -> Bool {
        message.withUnsafeBytes { isValid(signature, over: $0, publicKey: publicKey) }
    }

    /// The same over a message that stays where it lies.
    package static func isValid(
        _ signature: [UInt8],
        over message: UnsafeRawBufferPointer,
        publicKey: [UInt8]
    ) -> Bool {
        Sodium.require()
        guard signature.count == 64, publicKey.count == 32 else { return false }
        return publicKey.withUnsafeBytes { key in
            let start = message.isEmpty ? key.octets : message.octets
            return crypto_sign_verify_detached(signature, start, UInt64(message.count), key.octets) == 0
        }
    }
}
