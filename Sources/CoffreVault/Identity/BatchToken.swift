internal import CoffreCrypto
internal import CoffreWire

/// Tokens that carry all that is known of them, encrypted, so that nothing is stored: `b.` and base64url of
/// nonce(12) ‖ ciphertext ‖ tag(16) under a key of the vault. They cannot be renewed or revoked; they end with their time,
/// or with their parent.
enum BatchToken {
    private static let aad = Array("coffre batch token 1".utf8)

    static func isBatch(_ token: SharedSecret) -> Bool { token.withBytes { $0.starts(with: "b.".utf8) } }

    /// - Returns: the token, and its entry with the hash filled in.
    /// - Throws: ``VaultError``.
    static func make(
        _ describe: (Digest) -> TokenEntry,
        key: AESGCM,
        hashKey: HMACKey
    ) throws(VaultError) -> (SharedSecret, TokenEntry) {
        let none = Digest { _ in }
        let content = describe(none).encoded
        let sealed: SecretBytes
        do throws(CryptoError) {
            sealed = try content.withBytes { content throws(CryptoError) in
                try SecretBytes(count: 12 + content.count + 16) { target throws(CryptoError) in
                    Random.fill(UnsafeMutableRawBufferPointer(rebasing: target[..<12]))
                    try aad.withRawBytes { aad throws(CryptoError) in
                        try key.encrypt(
                            content,
                            nonce: UnsafeRawBufferPointer(rebasing: target[..<12]),
                            aad: aad,
                            into: UnsafeMutableRawBufferPointer(rebasing: target[12...])
                        )
                    }
                }
            }
        } catch {
            throw VaultError(.internalError, "internal error", cause: error)
        }
        let text = Base64URL.encodeSecret(sealed)
        let token = text.withBytes { text in
            SharedSecret(
                SecretBytes(count: text.count + 2) { target in
                    target[0] = 0x62
                    target[1] = 0x2e
                    UnsafeMutableRawBufferPointer(rebasing: target[2...]).copyMemory(from: text)
                }
            )
        }
        guard token.count <= Vault.maximumTokenBytes else {
            throw .badRequest("a batch token cannot carry this many policies: use a service token")
        }
        return (token, describe(token.withBytes { hashKey.authenticate($0) }))
    }

    /// What a batch token says of itself; nil when this vault did not make it.
    static func open(_ token: SharedSecret, hash: Digest, key: AESGCM) -> TokenEntry? {
        let opened = token.withBytes { token -> SharedSecret? in
            guard token.count > 2, let sealed = Base64URL.decodeSecret(UnsafeRawBufferPointer(rebasing: token[2...]))
            else { return nil }
            return sealed.withBytes { sealed -> SharedSecret? in
                guard sealed.count > 28 else { return nil }
                do throws(CryptoError) {
                    let content = try SecretBytes(count: sealed.count - 28) { target throws(CryptoError) in
                        try aad.withRawBytes { aad throws(CryptoError) in
                            try key.decrypt(
                                UnsafeRawBufferPointer(rebasing: sealed[12...]),
                                nonce: UnsafeRawBufferPointer(rebasing: sealed[..<12]),
                                aad: aad,
                                into: target
                            )
                        }
                    }
                    return SharedSecret(content)
                } catch {
                    return nil
                }
            }
        }
        return opened.flatMap { try? TokenEntry(hash: hash, decoding: $0, kind: .batch) }
    }
}
