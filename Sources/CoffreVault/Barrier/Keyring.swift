internal import CoffreCrypto
internal import CoffreStorage

/// The data keys by term, and the two keys that never rotate. Immutable: a rotation makes another one.
final class Keyring: Sendable {
    /// Bytes of one stored term: number ‖ key.
    private static let termBytes = 4 + 32
    static let format: UInt8 = 1

    private let secret: SecretBytes  // address key(32) ‖ set key(32) ‖ terms
    let terms: [UInt32]
    private let ciphers: [UInt32: AESGCM]
    let addressKey: HMACKey
    let setKey: HMACKey

    /// The newest term: what is written goes under it.
    var currentTerm: UInt32 { terms.last ?? 0 }

    /// A fresh keyring with term 1.
    static func make() throws(CryptoError) -> Keyring {
        let secret = SecretBytes.key(count: 64 + termBytes) { target in
            Random.fill(target)
            target.storeBytes(of: UInt32(1).bigEndian, toByteOffset: 64, as: UInt32.self)
        }
        return try Keyring(secret)
    }

    /// - Throws: ``CryptoError`` `.invalidLength` when the bytes are no keyring.
    private init(_ secret: consuming SecretBytes) throws(CryptoError) {
        guard secret.count >= 64 + Self.termBytes, (secret.count - 64).isMultiple(of: Self.termBytes) else {
            throw CryptoError(.invalidLength, "the keyring has no valid form")
        }
        let count = (secret.count - 64) / Self.termBytes
        var terms: [UInt32] = []
        var ciphers: [UInt32: AESGCM] = [:]
        for index in 0..<count {
            let offset = 64 + index * Self.termBytes
            let term = secret.withBytes {
                UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            }
            guard term > terms.last ?? 0 else {
                throw CryptoError(.invalidLength, "the keyring's terms are out of order")
            }
            let key = secret.withBytes {
                SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[(offset + 4)..<(offset + 36)]))
            }
            ciphers[term] = try AESGCM(key: key)
            terms.append(term)
        }
        let address = secret.withBytes { SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[0..<32])) }
        let set = secret.withBytes { SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[32..<64])) }
        addressKey = HMACKey(address)
        setKey = HMACKey(set)
        self.terms = terms
        self.ciphers = ciphers
        self.secret = secret
    }

    /// Authenticates the manifests of snapshots. Derived from the set key, so that it does not rotate either.
    var snapshotKey: HMACKey {
        let set = secret.withBytes { SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[32..<64])) }
        return HMACKey(KeyDerivation.subkey(from: set, context: "coffre snapshot 1"))
    }

    func cipher(_ term: UInt32) -> AESGCM? { ciphers[term] }

    /// The same keys and one more term.
    func addingTerm() throws(CryptoError) -> Keyring {
        try secret.withBytes { old throws(CryptoError) in
            try Keyring(
                SecretBytes.key(count: old.count + Self.termBytes) { target in
                    Random.fill(target)
                    target.copyMemory(from: old)
                    target.storeBytes(of: (currentTerm + 1).bigEndian, toByteOffset: old.count, as: UInt32.self)
                }
            )
        }
    }

    /// The same keys without the terms that no row uses.
    func keepingTerms(_ used: Set<UInt32>) throws(CryptoError) -> Keyring {
        let kept = terms.indices.filter { used.contains(terms[$0]) || terms[$0] == currentTerm }
        return try secret.withBytes { old throws(CryptoError) in
            try Keyring(
                SecretBytes.key(count: 64 + kept.count * Self.termBytes) { target in
                    UnsafeMutableRawBufferPointer(rebasing: target[..<64])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: old[..<64]))
                    for (position, index) in kept.enumerated() {
                        let from = 64 + index * Self.termBytes
                        let to = 64 + position * Self.termBytes
                        UnsafeMutableRawBufferPointer(rebasing: target[to..<to + Self.termBytes])
                            .copyMemory(from: UnsafeRawBufferPointer(rebasing: old[from..<from + Self.termBytes]))
                    }
                }
            )
        }
    }

    /// Wrapped by `root`.
    func wrapped(by root: WrappingKey) throws(CryptoError) -> [UInt8] {
        try secret.withBytes { bytes throws(CryptoError) in try root.wrap(bytes, context: "coffre keyring 1") }
    }

    /// - Throws: ``CryptoError`` `.authenticationFailed` under another root key.
    static func unwrap(_ wrapped: [UInt8], by root: WrappingKey) throws(CryptoError) -> Keyring {
        try Keyring(try root.unwrap(wrapped, context: "coffre keyring 1"))
    }
}

/// A key that wraps keys: `nonce(12) ‖ ciphertext ‖ tag(16)`, bound to a context and to the vault.
struct WrappingKey: Sendable {
    private let cipher: AESGCM
    private let vault: [UInt8]

    /// - Parameters:
    ///   - key: 32 bytes.
    ///   - vault: the vault's id, 16 bytes.
    init(_ key: borrowing SecretBytes, vault: [UInt8]) throws(CryptoError) {
        cipher = try AESGCM(key: key)
        self.vault = vault
    }

    /// - Parameter cipher: of a key that is counted, such as a term.
    init(_ cipher: AESGCM, vault: [UInt8]) {
        self.cipher = cipher
        self.vault = vault
    }

    func wrap(_ bytes: UnsafeRawBufferPointer, context: String) throws(CryptoError) -> [UInt8] {
        var output = Random.bytes(AESGCM.nonceBytes) + [UInt8](repeating: 0, count: bytes.count + AESGCM.tagBytes)
        let aad = Array(context.utf8) + vault
        try output.withRaw { output throws(CryptoError) in
            try aad.withRawBytes { aad throws(CryptoError) in
                try cipher.encrypt(
                    bytes,
                    nonce: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output)[..<AESGCM.nonceBytes]),
                    aad: aad,
                    into: UnsafeMutableRawBufferPointer(rebasing: output[AESGCM.nonceBytes...])
                )
            }
        }
        return output
    }

    func unwrap(_ wrapped: [UInt8], context: String) throws(CryptoError) -> SecretBytes {
        let overhead = AESGCM.nonceBytes + AESGCM.tagBytes
        guard wrapped.count >= overhead else { throw CryptoError(.invalidLength, "a wrapped key is too short") }
        let aad = Array(context.utf8) + vault
        return try SecretBytes.key(count: wrapped.count - overhead) { target throws(CryptoError) in
            try wrapped.withRawBytes { wrapped throws(CryptoError) in
                try aad.withRawBytes { aad throws(CryptoError) in
                    try cipher.decrypt(
                        UnsafeRawBufferPointer(rebasing: wrapped[AESGCM.nonceBytes...]),
                        nonce: UnsafeRawBufferPointer(rebasing: wrapped[..<AESGCM.nonceBytes]),
                        aad: aad,
                        into: target
                    )
                }
            }
        }
    }
}
