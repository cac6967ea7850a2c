internal import CoffreCrypto

/// The log's private keys. They work while the vault is sealed.
final class LogKeys: Sendable {
    static let path = "keys/log.keys"

    /// The identity that readers and witnesses know (Ed25519).
    let stable: SigningKey
    /// The epoch's key (Ed25519); this version keeps epoch 0 open.
    let epoch: SigningKey
    /// Keys every digest in the log.
    let digest: HMACKey
    /// SHA-256 over the digest key, written into genesis.
    let digestCommitment: Digest
    /// Opens cards (X25519, 32 bytes).
    let cardPrivateKey: SharedSecret
    let cardPublicKey: [UInt8]

    private static let count = 128  // four 32-byte parts: stable seed, epoch seed, digest key, card private key
    private static let clearHeader = Array("coffre-log-keys 1 file\n".utf8)
    private static let wrappedHeader = Array("coffre-log-keys 1 credential\n".utf8)

    private init(_ blob: borrowing SecretBytes, cardPublicKey: [UInt8]) throws(AuditError) {
        do throws(CryptoError) {
            stable = try SigningKey(seed: Self.part(0, of: blob))
            epoch = try SigningKey(seed: Self.part(1, of: blob))
        } catch {
            throw .keysUnavailable(reason: error.message)
        }
        let digestKey = Self.part(2, of: blob)
        digest = HMACKey(digestKey)
        digestCommitment = digestKey.withBytes { key in
            var hash = SHA256()
            hash.update(Array("coffre log digest key\n".utf8))
            hash.update(key)
            return hash.finish()
        }
        cardPrivateKey = SharedSecret(Self.part(3, of: blob))
        self.cardPublicKey = cardPublicKey
    }

    private static func part(_ index: Int, of blob: borrowing SecretBytes) -> SecretBytes {
        blob.withBytes {
            SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[(32 * index)..<(32 * index + 32)]))
        }
    }

    /// Reads the keys, or makes and stores them when there are none and `create`.
    static func load(
        from files: any LogFileSystem,
        material: AuditLogConfiguration.KeyMaterial,
        create: Bool
    ) throws(AuditError) -> LogKeys {
        let stored: [UInt8]?
        do throws(FileFailure) {
            stored = try files.contents(of: path, limit: 4096)
        } catch {
            throw error.asAuditError
        }
        if let stored { return try open(stored, files: files, material: material) }
        guard create else {
            throw .keysUnavailable(reason: "the log's keys (\(path)) are missing; restore them from the backup")
        }
        let card = SealedBox.KeyPair()
        let blob = SecretBytes.key(count: count) { target in
            Random.fill(UnsafeMutableRawBufferPointer(rebasing: target[..<96]))
            card.privateKey.withBytes { key in
                UnsafeMutableRawBufferPointer(rebasing: target[96...]).copyMemory(from: key)
            }
        }
        try store(blob, cardPublicKey: card.publicKey, files: files, material: material)
        return try LogKeys(blob, cardPublicKey: card.publicKey)
    }

    private static func open(
        _ stored: [UInt8],
        files: any LogFileSystem,
        material: AuditLogConfiguration.KeyMaterial
    ) throws(AuditError) -> LogKeys {
        var stored = stored
        defer { stored.withUnsafeMutableBytes { Memory.wipe($0) } }
        let damaged = AuditError.keysUnavailable(
            reason: "the log's keys (\(path)) are damaged; restore them from the backup"
        )
        if stored.starts(with: clearHeader) {
            let body = stored.dropFirst(clearHeader.count)
            guard body.count == 32 + count + 32,
                SHA256.hash(Array(stored.dropLast(32))).bytes == Array(stored.suffix(32))
            else { throw damaged }
            let blob = SecretBytes.key(count: count) { target in
                let start = clearHeader.count + 32
                target.copyBytes(from: stored[start..<(start + count)])
            }
            let publicKey = Array(body.prefix(32))
            // A credential has been given since: the keys move under it.
            if case .credential = material {
                try store(blob, cardPublicKey: publicKey, files: files, material: material)
            }
            return try LogKeys(blob, cardPublicKey: publicKey)
        }
        guard stored.starts(with: wrappedHeader), stored.count == wrappedHeader.count + 32 + 12 + count + 16 else {
            throw damaged
        }
        guard case .credential(let credential) = material else {
            throw .keysUnavailable(
                reason: "the log's keys are wrapped by the credential coffre.audit, which was not given; "
                    + "start with LoadCredentialEncrypted=coffre.audit"
            )
        }
        let head = Array(stored.prefix(wrappedHeader.count + 32))
        do {
            let cipher = try wrapper(credential)
            let blob = try stored.withUnsafeBytes { bytes in
                let nonce = UnsafeRawBufferPointer(rebasing: bytes[head.count..<(head.count + 12)])
                let sealed = UnsafeRawBufferPointer(rebasing: bytes[(head.count + 12)...])
                return SharedSecret(
                    try SecretBytes(count: count) { target in
                        try head.withUnsafeBytes { try cipher.decrypt(sealed, nonce: nonce, aad: $0, into: target) }
                    }
                )
            }
            return try blob.withSecret { blob in try LogKeys(blob, cardPublicKey: Array(head.suffix(32))) }
        } catch {
            throw .keysUnavailable(reason: "the credential coffre.audit is not the one that wraps the log's keys")
        }
    }

    /// Writes the file: header ‖ card public key(32) ‖ body. The body is the blob and a SHA-256 over all before it, or
    /// nonce(12) ‖ AES-256-GCM of the blob with header and public key as AAD ‖ tag(16).
    private static func store(
        _ blob: borrowing SecretBytes,
        cardPublicKey: [UInt8],
        files: any LogFileSystem,
        material: AuditLogConfiguration.KeyMaterial
    ) throws(AuditError) {
        var bytes: [UInt8]
        switch material {
        case .file:
            bytes = clearHeader + cardPublicKey
            blob.withBytes { bytes += $0 }
            bytes += SHA256.hash(bytes).bytes
        case .credential(let credential):
            bytes = wrappedHeader + cardPublicKey
            let nonce = Random.bytes(12)
            var sealed = [UInt8](repeating: 0, count: count + 16)
            do {
                let cipher = try wrapper(credential)
                try blob.withBytes { blob in
                    try sealed.withUnsafeMutableBytes { sealed in
                        try nonce.withUnsafeBytes { nonce in
                            try bytes.withUnsafeBytes { head in
                                try cipher.encrypt(blob, nonce: nonce, aad: head, into: sealed)
                            }
                        }
                    }
                }
            } catch {
                throw .keysUnavailable(reason: "the log's keys could not be wrapped by the credential coffre.audit")
            }
            bytes += nonce + sealed
        }
        defer { bytes.withUnsafeMutableBytes { Memory.wipe($0) } }
        do throws(FileFailure) {
            try files.makeFolder("keys", isPrivate: true)
            try files.replace(path, with: bytes, isPrivate: true)
        } catch {
            throw error.asAuditError
        }
    }

    private static func wrapper(_ credential: SharedSecret) throws -> AESGCM {
        guard credential.count == 32 else { throw CryptoError(.invalidLength, "the credential has 32 bytes") }
        return try credential.withSecret { credential in
            try AESGCM(key: KeyDerivation.subkey(from: credential, context: "coffre audit log keys 1"))
        }
    }
}
