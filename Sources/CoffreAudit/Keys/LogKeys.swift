internal import CoffreCrypto

/// The log's lasting private keys. They work while the vault is sealed. What changes with the day is ``EpochKeys``.
final class LogKeys: Sendable {
    static let path = "keys/log.keys"

    /// The identity that readers and witnesses know (Ed25519).
    let stable: SigningKey
    /// Keys every digest in the log.
    let digest: HMACKey
    /// SHA-256 over the digest key, written into genesis.
    let digestCommitment: Digest
    /// Opens cards (X25519, 32 bytes).
    let cardPrivateKey: SharedSecret
    let cardPublicKey: [UInt8]
    /// The seed of epoch 0 in a file of before epochs had a file of their own; nil in others.
    let oldEpochSeed: SharedSecret?

    // Four 32-byte parts: stable seed, zeros (once the seed of epoch 0), digest key, card private key.
    private static let file = KeyFile(path: path, name: "coffre-log-keys 1", publicCount: 32, secretCount: 128)

    private init(_ secret: SharedSecret, cardPublicKey: [UInt8]) throws(AuditError) {
        func part(_ index: Int) -> SecretBytes {
            secret.withBytes {
                SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[(32 * index)..<(32 * index + 32)]))
            }
        }
        do throws(CryptoError) {
            stable = try SigningKey(seed: part(0))
        } catch {
            throw .keysUnavailable(reason: error.message)
        }
        let digestKey = part(2)
        digest = HMACKey(digestKey)
        digestCommitment = digestKey.withBytes { key in
            var hash = SHA256()
            hash.update(Array("coffre log digest key\n".utf8))
            hash.update(key)
            return hash.finish()
        }
        cardPrivateKey = SharedSecret(part(3))
        self.cardPublicKey = cardPublicKey
        let isEmpty = secret.withBytes { $0[32..<64].allSatisfy { $0 == 0 } }
        oldEpochSeed = isEmpty ? nil : SharedSecret(part(1))
    }

    /// Reads the keys, or makes and stores them when there are none and `create`.
    static func load(
        from files: any LogFileSystem,
        material: AuditLogConfiguration.KeyMaterial,
        create: Bool
    ) throws(AuditError) -> LogKeys {
        if let (publicPart, secret) = try file.read(files, material) {
            return try LogKeys(secret, cardPublicKey: publicPart)
        }
        guard create else {
            throw .keysUnavailable(reason: "the log's keys (\(path)) are missing; restore them from the backup")
        }
        let card = SealedBox.KeyPair()
        let secret = SharedSecret(
            SecretBytes.key(count: file.secretCount) { target in
                Random.fill(UnsafeMutableRawBufferPointer(rebasing: target[..<32]))
                Random.fill(UnsafeMutableRawBufferPointer(rebasing: target[64..<96]))
                card.privateKey.withBytes { key in
                    UnsafeMutableRawBufferPointer(rebasing: target[96...]).copyMemory(from: key)
                }
            }
        )
        try file.store(card.publicKey, secret, files, material)
        return try LogKeys(secret, cardPublicKey: card.publicKey)
    }

    /// Erases the seed of epoch 0 from the file, once it has a file of its own.
    static func dropOldEpochSeed(
        _ files: any LogFileSystem,
        _ material: AuditLogConfiguration.KeyMaterial
    ) throws(AuditError) {
        guard let (publicPart, secret) = try file.read(files, material) else { return }
        let rest = SharedSecret(
            SecretBytes.key(count: file.secretCount) { target in
                secret.withBytes { target.copyMemory(from: $0) }
                UnsafeMutableRawBufferPointer(rebasing: target[32..<64]).copyBytes(
                    from: [UInt8](repeating: 0, count: 32)
                )
            }
        )
        try file.store(publicPart, rest, files, material)
    }
}
