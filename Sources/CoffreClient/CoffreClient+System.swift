public import CoffreWire

/// The state of the vault and what an operator does to it.
extension CoffreClient {
    /// `sys/seal-status`.
    public struct SealStatus: Sendable, Equatable {
        /// Whether the vault has been initialised.
        public let isInitialized: Bool
        /// Whether it is sealed.
        public let isSealed: Bool
        /// `shamir` or `credential`.
        public let type: String
        /// Shares needed to unseal.
        public let threshold: Int
        /// Shares that exist.
        public let shares: Int
        /// Shares given so far.
        public let progress: Int
        /// The whole answer.
        public let json: JSONValue

        /// Whether `init` gives recovery shares instead of unseal shares.
        public var hasRecoveryShares: Bool { json["recovery_seal"]?.bool == true || type != "shamir" }

        init(_ answer: Answer) throws(ClientError) {
            guard let json = answer.json, let initialized = json["initialized"]?.bool, let sealed = json["sealed"]?.bool
            else { throw ClientError(.malformedAnswer, "the answer is not a seal status") }
            isInitialized = initialized
            isSealed = sealed
            type = json["type"]?.string ?? ""
            threshold = Int(json["t"]?.integer ?? 0)
            shares = Int(json["n"]?.integer ?? 0)
            progress = Int(json["progress"]?.integer ?? 0)
            self.json = json
        }
    }

    /// What `sys/init` gives out, once.
    public struct Initialization: Sendable {
        /// Unseal shares in hexadecimal.
        public let keys: [String]
        /// Unseal shares in base64.
        public let keysBase64: [String]
        /// Recovery shares in base64, for a seal that opens by itself.
        public let recoveryKeysBase64: [String]
        /// The first token.
        public let rootToken: String
        /// The whole answer.
        public let json: JSONValue
    }

    /// `sys/seal-status`; needs no right.
    public func sealStatus() async throws(ClientError) -> SealStatus {
        try SealStatus(await send(.get, "sys/seal-status"))
    }

    /// `sys/leader`; needs no right.
    public func leader() async throws(ClientError) -> Answer {
        try await send(.get, "sys/leader")
    }

    /// `sys/init`: makes the keys of an empty vault.
    /// - Parameters:
    ///   - shares: 1 to 255.
    ///   - threshold: 1 to `shares`.
    ///   - recovery: ask for recovery shares, for a seal that opens by itself.
    public func initialize(
        shares: Int,
        threshold: Int,
        recovery: Bool
    ) async throws(ClientError) -> Initialization {
        let prefix = recovery ? "recovery" : "secret"
        let body = JSONValue.object([
            .init("\(prefix)_shares", .integer(shares)), .init("\(prefix)_threshold", .integer(threshold)),
        ])
        let answer = try await send(.put, "sys/init", json: body)
        guard let json = answer.json, let token = json["root_token"]?.string else {
            throw ClientError(.malformedAnswer, "the answer to init has no root token")
        }
        let strings = { (name: String) in json[name]?.array?.compactMap(\.string) ?? [] }
        return Initialization(
            keys: strings("keys"),
            keysBase64: strings("keys_base64"),
            recoveryKeysBase64: strings("recovery_keys_base64"),
            rootToken: token,
            json: json
        )
    }

    /// `sys/unseal` with one share, in hexadecimal or base64.
    public func unseal(share: String) async throws(ClientError) -> SealStatus {
        try SealStatus(await send(.put, "sys/unseal", json: .object(["key": .string(share)])))
    }

    /// `sys/unseal` with `reset`: forgets the shares given so far.
    public func resetUnseal() async throws(ClientError) -> SealStatus {
        try SealStatus(await send(.put, "sys/unseal", json: .object(["reset": .bool(true)])))
    }

    /// `sys/seal`.
    public func seal() async throws(ClientError) {
        _ = try await send(.put, "sys/seal")
    }

    /// Ends a decoy (`sys/decoys`); needs `sudo`.
    /// - Parameter keepsSecret: leaves the secret behind it, which is an ordinary one then.
    public func deleteDecoy(_ path: String, keepsSecret: Bool) async throws(ClientError) {
        _ = try await send(.delete, "sys/decoys/\(path)", query: keepsSecret ? [("keep", "true")] : [])
    }
}
