internal import CoffreCrypto

/// A file of private keys: header ‖ public part ‖ body.
///
/// The body is the secret and a SHA-256 over all before it, or, under the credential, nonce(12) ‖ AES-256-GCM of the
/// secret with header and public part as AAD ‖ tag(16).
struct KeyFile {
    let path: String
    /// Begins the header and separates the key that wraps it: `coffre-log-keys 1`.
    let name: String
    let publicCount: Int
    let secretCount: Int

    private var clearHeader: [UInt8] { Array("\(name) file\n".utf8) }
    private var wrappedHeader: [UInt8] { Array("\(name) credential\n".utf8) }

    /// - Returns: nil when there is no such file. A clear one is wrapped if `material` is a credential.
    /// - Throws: ``AuditError`` `.keysUnavailable` when it is damaged or another credential wraps it; `.system`.
    func read(
        _ files: any LogFileSystem,
        _ material: AuditLogConfiguration.KeyMaterial
    ) throws(AuditError) -> (publicPart: [UInt8], secret: SharedSecret)? {
        let contents: [UInt8]?
        do throws(FileFailure) {
            contents = try files.contents(of: path, limit: 4096)
        } catch {
            throw error.asAuditError
        }
        guard var stored = contents else { return nil }
        defer { stored.withUnsafeMutableBytes { Memory.wipe($0) } }
        if stored.starts(with: clearHeader) {
            guard stored.count == clearHeader.count + publicCount + secretCount + 32,
                SHA256.hash(Array(stored.dropLast(32))).bytes == Array(stored.suffix(32))
            else { throw damaged }
            let start = clearHeader.count + publicCount
            let secret = SharedSecret(
                SecretBytes.key(count: secretCount) { $0.copyBytes(from: stored[start..<(start + secretCount)]) }
            )
            let publicPart = Array(stored[clearHeader.count..<start])
            if case .credential = material { try store(publicPart, secret, files, material) }
            return (publicPart, secret)
        }
        let headCount = wrappedHeader.count + publicCount
        guard stored.starts(with: wrappedHeader), stored.count == headCount + 12 + secretCount + 16 else {
            throw damaged
        }
        guard case .credential(let credential) = material else {
            throw .keysUnavailable(
                reason: "the log's keys are wrapped by the credential coffre.audit, which was not given; "
                    + "start with LoadCredentialEncrypted=coffre.audit"
            )
        }
        let head = Array(stored[..<headCount])
        do {
            let cipher = try Self.wrapper(credential)
            let secret = try stored.withUnsafeBytes { bytes in
                let nonce = UnsafeRawBufferPointer(rebasing: bytes[headCount..<(headCount + 12)])
                let sealed = UnsafeRawBufferPointer(rebasing: bytes[(headCount + 12)...])
                return SharedSecret(
                    try SecretBytes(count: secretCount) { target in
                        try head.withUnsafeBytes { try cipher.decrypt(sealed, nonce: nonce, aad: $0, into: target) }
                    }
                )
            }
            return (Array(head.suffix(publicCount)), secret)
        } catch {
            throw .keysUnavailable(reason: "the credential coffre.audit is not the one that wraps the log's keys")
        }
    }

    /// Replaces the file, durably, and overwrites what the old one held.
    func store(
        _ publicPart: [UInt8],
        _ secret: SharedSecret,
        _ files: any LogFileSystem,
        _ material: AuditLogConfiguration.KeyMaterial
    ) throws(AuditError) {
        precondition(publicPart.count == publicCount && secret.count == secretCount, "the lengths are the format's")
        var bytes: [UInt8]
        switch material {
        case .file:
            bytes = clearHeader + publicPart
            secret.withBytes { bytes += $0 }
            bytes += SHA256.hash(bytes).bytes
        case .credential(let credential):
            bytes = wrappedHeader + publicPart
            let nonce = Random.bytes(12)
            var sealed = [UInt8](repeating: 0, count: secretCount + 16)
            do {
                let cipher = try Self.wrapper(credential)
                try secret.withBytes { secret in
                    try sealed.withUnsafeMutableBytes { sealed in
                        try nonce.withUnsafeBytes { nonce in
                            try bytes.withUnsafeBytes { head in
                                try cipher.encrypt(secret, nonce: nonce, aad: head, into: sealed)
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
            try files.makeFolder(parentFolder(of: path), isPrivate: true)
            let old = try files.identity(of: path) == nil ? nil : try files.open(path, writable: true)
            try files.replace(path, with: bytes, isPrivate: true)
            // The old file has no name any more; what it holds goes as far as the device lets it.
            if let old {
                try old.writeAll([UInt8](repeating: 0, count: try old.size()), path: path)
                try old.sync()
            }
        } catch {
            throw error.asAuditError
        }
    }

    private var damaged: AuditError {
        .keysUnavailable(reason: "the log's keys (\(path)) are damaged; restore them from the backup")
    }

    private static func wrapper(_ credential: SharedSecret) throws -> AESGCM {
        guard credential.count == 32 else { throw CryptoError(.invalidLength, "the credential has 32 bytes") }
        return try credential.withSecret { credential in
            try AESGCM(key: KeyDerivation.subkey(from: credential, context: "coffre audit log keys 1"))
        }
    }
}
