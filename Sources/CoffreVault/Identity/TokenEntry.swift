internal import CoffreCrypto
internal import CoffreWire

/// A token as it is known: everything but the token itself, of which only a keyed hash exists.
struct TokenEntry: Sendable {
    enum Kind: String, Sendable {
        /// Stored; can be renewed, revoked and counted.
        case service
        /// Carries all of this itself, encrypted; nothing is stored of it.
        case batch
    }

    let hash: Digest
    var kind = Kind.service
    /// Empty for a batch token.
    let accessor: String
    let policies: [String]
    /// Where it was made, such as `auth/token/create`.
    let path: String
    let displayName: String
    var meta: [String: String] = [:]
    let created: Timestamp
    /// Seconds; 0 never expires.
    var ttl: Int64
    var explicitMaximumTTL: Int64 = 0
    /// Longest life that its maker allows, in seconds; 0 means the vault's.
    var maximumTTL: Int64 = 0
    /// Seconds; 0 when the token has no period.
    var period: Int64 = 0
    var isRenewable: Bool
    var isOrphan: Bool
    var parent: Digest?
    var expires: Timestamp?
    var lastRenewal: Timestamp?
    /// Requests that it is still good for: 0 any number, −1 none.
    var usesLeft: Int64 = 0
    /// The person or service behind it; empty when there is none.
    var entityID = ""
    /// The token role or auth role that made it.
    var role = ""
    /// The uid and unit that this token is bound to: any other uid is refused.
    var boundUID: UInt32?
    var boundUnit: String?
    /// The peer roles whose rights it came from, through however many tokens: what they demand, it demands.
    var peerRoles: [String] = []

    /// A root token: it never expires and has no parent.
    static func root(hash: Digest, created: Timestamp) -> TokenEntry {
        TokenEntry(
            hash: hash,
            accessor: Random.base62(24),
            policies: ["root"],
            path: "auth/token/root",
            displayName: "root",
            created: created,
            ttl: 0,
            isRenewable: false,
            isOrphan: true,
            parent: nil,
            expires: nil
        )
    }

    init(
        hash: Digest,
        accessor: String,
        policies: [String],
        path: String,
        displayName: String,
        created: Timestamp,
        ttl: Int64,
        isRenewable: Bool,
        isOrphan: Bool,
        parent: Digest?,
        expires: Timestamp?
    ) {
        self.hash = hash
        self.accessor = accessor
        self.policies = policies
        self.path = path
        self.displayName = displayName
        self.created = created
        self.ttl = ttl
        self.isRenewable = isRenewable
        self.isOrphan = isOrphan
        self.parent = parent
        self.expires = expires
    }

    func isExpired(at now: Timestamp) -> Bool { expires.map { $0 <= now } ?? false }

    /// Seconds left, 0 for a token that never expires.
    func remaining(at now: Timestamp) -> Int64 {
        expires.map { max(0, ($0.nanoseconds - now.nanoseconds + 999_999_999) / 1_000_000_000) } ?? 0
    }

    /// The latest moment that a renewal may reach; nil without limit.
    func latest(_ vaultMaximum: Int64) -> Timestamp? {
        var limit = Int64.max
        if period == 0 { limit = maximumTTL > 0 ? maximumTTL : vaultMaximum }
        if explicitMaximumTTL > 0 { limit = min(limit, explicitMaximumTTL) }
        return limit == .max ? nil : created.adding(seconds: limit)
    }

    // MARK: storage form

    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("accessor", .string(accessor)), .init("policies", .strings(policies)), .init("path", .string(path)),
            .init("display_name", .string(displayName)), .init("created", .integer(created.nanoseconds)),
            .init("ttl", .integer(ttl)), .init("max", .integer(explicitMaximumTTL)), .init("period", .integer(period)),
            .init("renewable", .bool(isRenewable)), .init("orphan", .bool(isOrphan)),
            .init("meta", .object(meta.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })),
        ]
        if maximumTTL > 0 { members.append(.init("limit", .integer(maximumTTL))) }
        if let parent { members.append(.init("parent", .string(Hex.encode(parent.bytes)))) }
        if let expires { members.append(.init("expires", .integer(expires.nanoseconds))) }
        if let lastRenewal { members.append(.init("renewed", .integer(lastRenewal.nanoseconds))) }
        if usesLeft != 0 { members.append(.init("uses", .integer(usesLeft))) }
        if !entityID.isEmpty { members.append(.init("entity", .string(entityID))) }
        if !role.isEmpty { members.append(.init("role", .string(role))) }
        if let boundUID { members.append(.init("uid", .integer(boundUID))) }
        if let boundUnit { members.append(.init("unit", .string(boundUnit))) }
        if !peerRoles.isEmpty { members.append(.init("peers", .strings(peerRoles))) }
        return .object(members)
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(hash: Digest, decoding stored: SharedSecret, kind: Kind = .service) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a stored token")
        guard let accessor = value["accessor"]?.string, let created = value["created"]?.integer,
            let policies = value["policies"]?.array?.compactMap(\.string)
        else { throw VaultError(.storageCorrupt, "a stored token cannot be read") }
        self.init(
            hash: hash,
            accessor: accessor,
            policies: policies,
            path: value["path"]?.string ?? "",
            displayName: value["display_name"]?.string ?? "",
            created: Timestamp(nanoseconds: created),
            ttl: value["ttl"]?.integer ?? 0,
            isRenewable: value["renewable"]?.bool ?? false,
            isOrphan: value["orphan"]?.bool ?? true,
            parent: value["parent"]?.string.flatMap { Hex.decode(Array($0.utf8)) }.flatMap { Digest($0) },
            expires: value["expires"]?.integer.map { Timestamp(nanoseconds: $0) }
        )
        self.kind = kind
        for member in value["meta"]?.members ?? [] { meta[member.key] = member.value.string }
        explicitMaximumTTL = value["max"]?.integer ?? 0
        maximumTTL = value["limit"]?.integer ?? 0
        period = value["period"]?.integer ?? 0
        lastRenewal = value["renewed"]?.integer.map { Timestamp(nanoseconds: $0) }
        usesLeft = value["uses"]?.integer ?? 0
        entityID = value["entity"]?.string ?? ""
        role = value["role"]?.string ?? ""
        boundUID = value["uid"]?.integer.flatMap { UInt32(exactly: $0) }
        boundUnit = value["unit"]?.string
        peerRoles = value["peers"]?.array?.compactMap(\.string) ?? []
    }
}
