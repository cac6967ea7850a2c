internal import CoffreCrypto

/// What the encrypted meta row holds.
struct TransactionState: Sendable, Equatable {
    private static let context = "coffre transaction 1"

    var generation: UInt64 = 0
    var setHash = SetHash()
    /// Encryptions under the current term, meta rows included.
    var encryptions: UInt64 = 0

    init() {}

    /// `term(4, BE) ‖ nonce(12) ‖ ciphertext ‖ tag(16)` of `generation(8, BE) ‖ set hash(32) ‖ encryptions(8, BE)`.
    ///
    /// Under the current term, not the root key: one per transaction would exhaust a key that never changes.
    func wrapped(by keyring: Keyring, vault: [UInt8]) throws(CryptoError) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: generation.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: setHash.bytes)
        withUnsafeBytes(of: encryptions.bigEndian) { bytes.append(contentsOf: $0) }
        let term = keyring.currentTerm
        let key = try keyring.wrappingKey(term, vault: vault)
        let wrapped = try bytes.withRawBytes { bytes throws(CryptoError) in
            try key.wrap(bytes, context: Self.context)
        }
        return withUnsafeBytes(of: term.bigEndian) { Array($0) } + wrapped
    }

    /// - Throws: ``CryptoError`` `.authenticationFailed` when it was made under another key, `.invalidLength`.
    init(unwrapping wrapped: [UInt8], by keyring: Keyring, vault: [UInt8]) throws(CryptoError) {
        guard let term = Self.term(of: wrapped) else {
            throw CryptoError(.invalidLength, "the meta row has no valid form")
        }
        let key = try keyring.wrappingKey(term, vault: vault)
        let bytes = try key.unwrap(Array(wrapped[4...]), context: Self.context).withBytes { Array($0) }
        guard bytes.count == 48, let hash = SetHash(bytes[8..<40]) else {
            throw CryptoError(.invalidLength, "the meta row has no valid form")
        }
        generation = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        setHash = hash
        encryptions = bytes[40...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    fileprivate static func term(of wrapped: [UInt8]) -> UInt32? {
        wrapped.count > 4 ? wrapped[..<4].reduce(0) { $0 << 8 | UInt32($1) } : nil
    }
}

extension Keyring {
    /// Whether the term of a wrapped ``TransactionState`` is here.
    func opensTransaction(_ wrapped: [UInt8]) -> Bool {
        TransactionState.term(of: wrapped).flatMap { cipher($0) } != nil
    }

    fileprivate func wrappingKey(_ term: UInt32, vault: [UInt8]) throws(CryptoError) -> WrappingKey {
        guard let cipher = cipher(term) else {
            throw CryptoError(.authenticationFailed, "the meta row was made under a key that does not exist")
        }
        return WrappingKey(cipher, vault: vault)
    }
}
