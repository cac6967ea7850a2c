internal import CoffreCrypto
internal import CoffreWire

/// A use of a connection that waits for another person: for one request, of one version of the connection and its rights,
/// used once, and only for a while.
struct ConnectionApproval: Sendable {
    enum State: String, Sendable {
        case pending, approved, denied, used
    }

    /// Of the wrapping token behind which the answer will be.
    let accessor: String
    let connection: String
    /// What was asked for: if either changes, the approval is void.
    let generation: Int64
    let rightsVersion: Int64
    /// Seconds.
    let ttl: Int64
    /// ``EffectiveRights/json`` of what was asked for.
    let rights: JSONValue
    /// Who asked: the person, and the token or peer.
    let entity: String
    let owner: String
    let path: String
    let created: Timestamp
    let expires: Timestamp
    var state = State.pending
    /// Who decided, and why.
    var approver = ""
    var reason = ""
    var decided: Timestamp?

    /// How long a request waits, in seconds.
    static let life: Int64 = 3600
    /// Of one caller, and of all.
    static let mostPending = 20
    static let most = 1000

    static let parent = Array("approval".utf8)

    static func key(_ accessor: String) -> BarrierKey {
        BarrierKey(namespace: .connection, parent: parent, name: Array(accessor.utf8))
    }

    init(_ order: ConnectionOrder, owner: String, path: String, at now: Timestamp) {
        accessor = Random.base62(24)
        connection = order.connection.id
        generation = order.connection.generation
        rightsVersion = order.connection.rightsVersion
        ttl = order.ttl
        rights = order.rights.json
        entity = order.entity
        self.owner = owner
        self.path = path
        created = now
        expires = now.adding(seconds: Self.life)
    }

    /// Whether the connection is still as it was when somebody asked.
    func fits(_ connection: Connection) -> Bool {
        connection.id == self.connection && connection.generation == generation
            && connection.rightsVersion == rightsVersion
    }

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("connection", .string(connection)), .init("generation", .integer(generation)),
            .init("rights", .integer(rightsVersion)), .init("ttl", .integer(ttl)),
            .init("asked", rights), .init("entity", .string(entity)),
            .init("owner", .string(owner)), .init("path", .string(path)),
            .init("created", .integer(created.nanoseconds)), .init("expires", .integer(expires.nanoseconds)),
            .init("state", .string(state.rawValue)), .init("approver", .string(approver)),
            .init("reason", .string(reason)),
        ]
        if let decided { members.append(.init("decided", .integer(decided.nanoseconds))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(accessor: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "an approval")
        guard let connection = value["connection"]?.string, let generation = value["generation"]?.integer,
            let rights = value["rights"]?.integer, let ttl = value["ttl"]?.integer,
            let asked = value["asked"], let entity = value["entity"]?.string, let owner = value["owner"]?.string,
            let path = value["path"]?.string, let created = value["created"]?.integer,
            let expires = value["expires"]?.integer,
            let state = value["state"]?.string.flatMap({ State(rawValue: $0) })
        else { throw VaultError(.storageCorrupt, "an approval cannot be read") }
        self.accessor = accessor
        self.connection = connection
        self.generation = generation
        rightsVersion = rights
        self.ttl = ttl
        self.rights = asked
        self.entity = entity
        self.owner = owner
        self.path = path
        self.created = Timestamp(nanoseconds: created)
        self.expires = Timestamp(nanoseconds: expires)
        self.state = state
        approver = value["approver"]?.string ?? ""
        reason = value["reason"]?.string ?? ""
        decided = value["decided"]?.integer.map { Timestamp(nanoseconds: $0) }
    }
}
