internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// The OAuth grant of a connection, without its tokens: those lie in rows of their own.
struct OAuthGrant: Sendable {
    /// How it was given.
    enum Flow: String, Sendable {
        /// A person's browser comes back with a code.
        case code
        /// A person types a code in on another device.
        case device
        /// The client asks in its own name.
        case client
        /// An account of a service signs a statement.
        case service
        /// OAuth 1.0a: a person's browser, and signatures.
        case first = "oauth1"

        /// Whether no person is asked: a new token is had by asking again.
        var needsNobody: Bool { self == .client || self == .service }
        /// Whether a browser comes back.
        var isBrowser: Bool { self == .code || self == .first }
    }

    let connection: String
    var flow: Flow
    var life: OAuthLifecycle
    /// Scopes that were asked for.
    var asked: [String] = []
    /// Scopes that were granted; nil when the provider did not say, which means "as asked" (RFC 6749 §5.1).
    var granted: [String]?
    /// Values that came with the consent, by the catalogue's names.
    var learnt: [String: String] = [:]
    /// What calls after the consent have listed, by the catalogue's names.
    var choices: [String: [Choice]] = [:]
    /// Where the consent came back to; some want it repeated.
    var redirect: String?
    var tokenType: String?
    /// Id of the person who consented; empty for an administrator in nobody's name.
    var entity = ""
    /// For how long its credential was older than its limit.
    var ages = ConnectionRotation()
    /// What became of the tokens at the provider; nil before a revocation.
    var revocation: String?

    static let credential = "refresh_token"

    init(connection: String, flow: Flow, lives: OAuthLifecycle.Lives, at now: Timestamp) {
        self.connection = connection
        self.flow = flow
        life = OAuthLifecycle(lives: lives, at: now)
    }

    /// Scopes that were asked for and not granted.
    var missing: [String] {
        guard let granted else { return [] }
        return asked.filter { wanted in !granted.contains { $0.utf8.elementsEqual(wanted.utf8) } }
    }

    static func lives(_ oauth: ConnectorOAuth, rotationDays: Int64) -> OAuthLifecycle.Lives {
        OAuthLifecycle.Lives(
            access: oauth.accessTokenSeconds,
            refreshIdle: oauth.refreshIdleSeconds,
            grant: oauth.grantSeconds,
            rotates: oauth.refreshRotates ?? true,
            rotationDays: rotationDays
        )
    }

    // MARK: storage form

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("flow", .string(flow.rawValue)), .init("life", life.json), .init("asked", .strings(asked)),
            .init("learnt", .object(learnt)), .init("entity", .string(entity)), .init("ages", ages.json),
        ]
        if !choices.isEmpty {
            let lists = choices.sorted { $0.key < $1.key }.map { name, list in
                JSONValue.Member(name, .array(list.map(\.json)))
            }
            members.append(.init("choices", .object(lists)))
        }
        if let granted { members.append(.init("granted", .strings(granted))) }
        for (name, text) in [("redirect", redirect), ("token_type", tokenType), ("revocation", revocation)] {
            if let text { members.append(.init(name, .string(text))) }
        }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(connection: String, decoding stored: SharedSecret, lives: OAuthLifecycle.Lives) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a grant")
        guard let flow = value["flow"]?.string.flatMap({ Flow(rawValue: $0) }),
            let life = value["life"].flatMap({ OAuthLifecycle(json: $0, lives: lives) })
        else { throw VaultError(.storageCorrupt, "a grant cannot be read") }
        self.connection = connection
        self.flow = flow
        self.life = life
        asked = value["asked"]?.array?.compactMap(\.string) ?? []
        granted = value["granted"]?.array?.compactMap(\.string)
        learnt = value["learnt"]?.texts ?? [:]
        for member in value["choices"]?.members ?? [] {
            choices[member.key] = member.value.array?.compactMap { Choice($0) }
        }
        entity = value["entity"]?.string ?? ""
        ages = value["ages"].map { ConnectionRotation(json: $0) } ?? ConnectionRotation()
        redirect = value["redirect"]?.string
        tokenType = value["token_type"]?.string
        revocation = value["revocation"]?.string
    }
}

/// Where grants lie in the barrier.
enum OAuthKey {
    static let records = Array("grant".utf8)

    static func record(_ id: String) -> BarrierKey {
        BarrierKey(namespace: .connection, parent: records, name: Array(id.utf8))
    }

    static func access(_ id: String) -> BarrierKey { token(id, "access") }

    static func refresh(_ id: String) -> BarrierKey { token(id, "refresh") }

    /// The secret of an OAuth 1.0a token.
    static func proof(_ id: String) -> BarrierKey { token(id, "proof") }

    private static func token(_ id: String, _ name: String) -> BarrierKey {
        BarrierKey(namespace: .connection, parent: Array("token/\(id)".utf8), name: Array(name.utf8))
    }
}

/// What a job's row remembers, so that its answer can be used after a restart.
struct OAuthErrand: Sendable {
    enum Step: String, Sendable {
        case consent, refresh, revoke, probe
    }

    let step: Step
    let connection: String
    /// Of the grant when the job was made.
    let generation: Int64
    // Of a consent:
    /// Of the connection: with other fields it is another client's.
    var connectionGeneration: Int64 = 0
    var flow = OAuthGrant.Flow.code
    var asked: [String] = []
    var learnt: [String: String] = [:]
    var redirect: String?
    var entity = ""

    init(_ step: Step, _ connection: String, _ generation: Int64) {
        self.step = step
        self.connection = connection
        self.generation = generation
    }

    var encoded: [UInt8] {
        var members: [JSONValue.Member] = [
            .init("step", .string(step.rawValue)), .init("connection", .string(connection)),
            .init("generation", .integer(generation)), .init("flow", .string(flow.rawValue)),
            .init("fields", .integer(connectionGeneration)),
            .init("asked", .strings(asked)), .init("learnt", .object(learnt)), .init("entity", .string(entity)),
        ]
        if let redirect { members.append(.init("redirect", .string(redirect))) }
        return JSONValue.object(members).encoded()
    }

    init?(_ bytes: [UInt8]) {
        guard let value = try? JSONValue(parsing: bytes),
            let step = value["step"]?.string.flatMap({ Step(rawValue: $0) }),
            let connection = value["connection"]?.string, let generation = value["generation"]?.integer
        else { return nil }
        self.init(step, connection, generation)
        flow = value["flow"]?.string.flatMap { OAuthGrant.Flow(rawValue: $0) } ?? .code
        connectionGeneration = value["fields"]?.integer ?? 0
        asked = value["asked"]?.array?.compactMap(\.string) ?? []
        learnt = value["learnt"]?.texts ?? [:]
        redirect = value["redirect"]?.string
        entity = value["entity"]?.string ?? ""
    }
}
