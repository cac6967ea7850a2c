package import CoffreCrypto
internal import CoffreWire

/// A transit key as requests use it, with the key schedules that are in use. Confined to the vault's executor.
package final class LoadedTransitKey {
    package let key: TransitKey
    private var ciphers: [Int64: AESGCM] = [:]
    /// One only: each takes a page of guarded memory.
    private var signer: (version: Int64, key: SigningKey)?

    package init(_ key: TransitKey) { self.key = key }

    // MARK: encryption

    /// Encrypts under `wanted`, or under the latest version when it is 0.
    /// - Returns: `vault:v<version>:` and base64 of `nonce(12) ‖ ciphertext ‖ tag(16)` (NIST SP 800-38D).
    /// - Throws: ``VaultError`` `.badRequest`.
    package func encrypt(_ plaintext: SharedSecret, associatedData: SharedSecret?, version wanted: Int64) throws -> (
        text: String, version: Int64
    ) {
        guard key.kind.encrypts else {
            throw VaultError.badRequest("message encryption not supported for key type \(key.kind.rawValue)")
        }
        let version = try key.version(wanted, for: "encryption")
        let cipher = try cipher(version)
        let overhead = AESGCM.nonceBytes + AESGCM.tagBytes
        var output = [UInt8](repeating: 0, count: plaintext.count + overhead)
        output.replaceSubrange(0..<AESGCM.nonceBytes, with: Random.bytes(AESGCM.nonceBytes))
        try output.withUnsafeMutableBytes { output in
            try plaintext.withBytes { plaintext in
                try Self.lend(associatedData) { aad in
                    try cipher.encrypt(
                        plaintext,
                        nonce: UnsafeRawBufferPointer(rebasing: output[..<AESGCM.nonceBytes]),
                        aad: aad,
                        into: UnsafeMutableRawBufferPointer(rebasing: output[AESGCM.nonceBytes...])
                    )
                }
            }
        }
        return (TransitText.make(version, output), version)
    }

    /// What `text` was made from.
    /// - Throws: ``VaultError`` `.badRequest`.
    package func decrypt(_ text: String, associatedData: SharedSecret?) throws -> (
        plaintext: SharedSecret, version: Int64
    ) {
        guard !text.isEmpty else { throw VaultError.badRequest("missing ciphertext to decrypt") }
        guard key.kind.encrypts else {
            throw VaultError.badRequest("message decryption not supported for key type \(key.kind.rawValue)")
        }
        let (version, bytes) = try TransitText.ciphertext.parse(text, key)
        guard bytes.count >= AESGCM.nonceBytes else { throw VaultError.badRequest("invalid ciphertext length") }
        let length = bytes.count - AESGCM.nonceBytes - AESGCM.tagBytes
        guard length >= 0 else { throw Self.notAuthentic }
        let cipher = try cipher(version)
        do {
            let plaintext = try SecretBytes(count: length) { target throws(CryptoError) in
                try bytes.withRaw { bytes throws(CryptoError) in
                    try Self.lend(associatedData) { aad throws(CryptoError) in
                        try cipher.decrypt(
                            UnsafeRawBufferPointer(rebasing: bytes[AESGCM.nonceBytes...]),
                            nonce: UnsafeRawBufferPointer(rebasing: bytes[..<AESGCM.nonceBytes]),
                            aad: aad,
                            into: target
                        )
                    }
                }
            }
            return (SharedSecret(plaintext), version)
        } catch {
            throw Self.notAuthentic
        }
    }

    private static let notAuthentic = VaultError.badRequest("cipher: message authentication failed")

    private func cipher(_ version: Int64) throws -> AESGCM {
        if let known = ciphers[version] { return known }
        let made = try key.withBytes(.secret, of: version) { try AESGCM(key: SecretBytes(copying: $0)) }
        guard let made else { throw TransitKey.missing(version) }
        if ciphers.count >= 16 { ciphers.removeAll() }
        ciphers[version] = made
        return made
    }

    private static func lend<R, E: Error>(
        _ secret: SharedSecret?,
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        guard let secret else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return try secret.withBytes(body)
    }

    // MARK: signatures

    /// Signs with Ed25519 (RFC 8032) under `wanted`, or under the latest version when it is 0.
    /// - Returns: `vault:v<version>:` and base64 of 64 bytes.
    /// - Throws: ``VaultError`` `.badRequest`.
    package func sign(_ message: SharedSecret, version wanted: Int64) throws -> (text: String, version: Int64) {
        guard key.kind.signs else {
            throw VaultError.badRequest("key type \(key.kind.rawValue) does not support signing")
        }
        let version = try key.version(wanted, for: "signing")
        let signer = try signer(version)
        return (TransitText.make(version, message.withBytes { signer.sign($0) }), version)
    }

    /// Whether `text` is a signature of `message`.
    /// - Throws: ``VaultError`` `.badRequest` for a signature that has no valid form.
    package func verify(_ text: String, over message: SharedSecret) throws -> (isValid: Bool, version: Int64) {
        guard key.kind.signs else {
            throw VaultError.badRequest("key type \(key.kind.rawValue) does not support verification")
        }
        let (version, signature) = try TransitText.signature.parse(text, key)
        guard let publicKey = key.publicKey(version) else { throw TransitKey.missing(version) }
        return (message.withBytes { SigningKey.isValid(signature, over: $0, publicKey: publicKey) }, version)
    }

    private func signer(_ version: Int64) throws -> SigningKey {
        if let signer, signer.version == version { return signer.key }
        let made = try key.withBytes(.secret, of: version) { try SigningKey(seed: SecretBytes(copying: $0)) }
        guard let made else { throw TransitKey.missing(version) }
        signer = (version, made)
        return made
    }

    // MARK: HMAC

    /// The HMAC of `message` under `wanted`, or under the latest version when it is 0.
    /// - Returns: `vault:v<version>:` and base64 of the tag.
    /// - Throws: ``VaultError`` `.badRequest`.
    package func authenticate(_ message: SharedSecret, _ algorithm: HashAlgorithm, version wanted: Int64) throws -> (
        text: String, version: Int64
    ) {
        let version = wanted == 0 ? key.latest : wanted
        if version != key.latest {
            guard version >= 0 else {
                throw VaultError.badRequest("key version does not exist (cannot be negative)")
            }
            guard version < key.latest else {
                throw VaultError.badRequest("key version does not exist; latest key version is \(key.latest)")
            }
            guard version >= key.minimumEncryption else {
                throw VaultError.badRequest("cannot generate HMAC: version is too old (disallowed by policy)")
            }
            try key.checkReadable(version)
        }
        return (TransitText.make(version, try tag(message, algorithm, version)), version)
    }

    /// Whether `text` is an HMAC of `message`.
    /// - Throws: ``VaultError`` `.badRequest` for an HMAC that has no valid form.
    package func verifyHMAC(_ text: String, over message: SharedSecret, _ algorithm: HashAlgorithm) throws -> (
        isValid: Bool, version: Int64
    ) {
        let (version, given) = try TransitText.hmac.parse(text, key)
        let expected = try tag(message, algorithm, version)
        let isValid = given.withUnsafeBytes { given in expected.withUnsafeBytes { Memory.isEqual(given, $0) } }
        return (isValid, version)
    }

    private func tag(_ message: SharedSecret, _ algorithm: HashAlgorithm, _ version: Int64) throws -> [UInt8] {
        let tag = try key.withBytes(.hmac, of: version) { secret in
            try message.withBytes { try algorithm.authenticate($0, key: secret) }
        }
        guard let tag else { throw TransitKey.missing(version) }
        return tag
    }
}

extension TransitKey {
    static func missing(_ version: Int64) -> VaultError {
        VaultError(.storageCorrupt, "version \(version) of this key is missing from the storage")
    }

    /// The version to encrypt or sign with; 0 asks for the latest.
    /// - Throws: ``VaultError`` `.badRequest`.
    func version(_ wanted: Int64, for purpose: String) throws(VaultError) -> Int64 {
        if wanted == 0 { return latest }
        guard wanted > 0 else { throw .badRequest("requested version for \(purpose) is negative") }
        guard wanted <= latest else {
            throw .badRequest("requested version for \(purpose) is higher than the latest key version")
        }
        guard wanted >= minimumEncryption else {
            throw .badRequest("requested version for \(purpose) is less than the minimum encryption key version")
        }
        try checkReadable(wanted)
        return wanted
    }

    /// What is made under a version must be readable again.
    /// - Throws: ``VaultError`` `.badRequest`.
    func checkReadable(_ version: Int64) throws(VaultError) {
        guard version >= minimumDecryption, version >= first else { throw .badRequest("no such key version") }
    }
}

extension [UInt8] {
    fileprivate func withRaw<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let result = withUnsafeBytes { bytes -> Result<R, E> in
            do throws(E) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
