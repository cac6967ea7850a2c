internal import CoffreCrypto
internal import CoffreWire

/// A token as it is stored: everything but the token itself, of which only a keyed hash exists.
final class TokenEntry: Sendable {
    let hash: Digest
    let accessor: String
    let policies: [String]
    let path: String
    let displayName: String
    let meta: [String: String]
    let created: Timestamp
    /// Seconds; 0 never expires.
    let ttl: Int64
    let explicitMaximumTTL: Int64
    /// Seconds; 0 when the token has no period.
    let period: Int64
    let isRenewable: Bool
    let isOrphan: Bool
    let parent: Digest?
    let expires: Timestamp?
    let lastRenewal: Timestamp?
    /// The uid and unit that this token is bound to: any other uid is refused.
    let boundUID: UInt32?
    let boundUnit: String?

    init(
        hash: Digest,
        accessor: String,
        policies: [String],
        path: String,
        displayName: String,
        meta: [String: String] = [:],
        created: Timestamp,
        ttl: Int64,
        explicitMaximumTTL: Int64 = 0,
        period: Int64 = 0,
        isRenewable: Bool,
        isOrphan: Bool,
        parent: Digest?,
        expires: Timestamp?,
        lastRenewal: Timestamp? = nil,
        boundUID: UInt32? = nil,
        boundUnit: String? = nil
    ) {
        self.hash = hash
        self.accessor = accessor
        self.policies = policies
        self.path = path
        self.displayName = displayName
        self.meta = meta
        self.created = created
        self.ttl = ttl
        self.explicitMaximumTTL = explicitMaximumTTL
        self.period = period
        self.isRenewable = isRenewable
        self.isOrphan = isOrphan
        self.parent = parent
        self.expires = expires
        self.lastRenewal = lastRenewal
        self.boundUID = boundUID
        self.boundUnit = boundUnit
    }

    func isExpired(at now: Timestamp) -> Bool { expires.map { $0 <= now } ?? false }

    /// Seconds left, 0 for a token that never expires.
    func remaining(at now: Timestamp) -> Int64 {
        expires.map { max(0, ($0.nanoseconds - now.nanoseconds + 999_999_999) / 1_000_000_000) } ?? 0
    }

    func renewed(until expires: Timestamp, ttl: Int64, at now: Timestamp) -> TokenEntry {
        TokenEntry(
            hash: hash,
            accessor: accessor,
            policies: policies,
            path: path,
            displayName: displayName,
            meta: meta,
            created: created,
            ttl: ttl,
            explicitMaximumTTL: explicitMaximumTTL,
            period: period,
            isRenewable: isRenewable,
            isOrphan: isOrphan,
            parent: parent,
            expires: expires,
            lastRenewal: now,
            boundUID: boundUID,
            boundUnit: boundUnit
        )
    }

    // MARK: storage form

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("accessor", .string(accessor)), .init("policies", .strings(policies)), .init("path", .string(path)),
            .init("display_name", .string(displayName)), .init("created", .integer(created.nanoseconds)),
            .init("ttl", .integer(ttl)), .init("max", .integer(explicitMaximumTTL)), .init("period", .integer(period)),
            .init("renewable", .bool(isRenewable)), .init("orphan", .bool(isOrphan)),
            .init("meta", .object(meta.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })),
        ]
        if let parent { members.append(.init("parent", .string(Hex.encode(parent.bytes)))) }
        if let expires { members.append(.init("expires", .integer(expires.nanoseconds))) }
        if let lastRenewal { members.append(.init("renewed", .integer(lastRenewal.nanoseconds))) }
        if let boundUID { members.append(.init("uid", .integer(boundUID))) }
        if let boundUnit { members.append(.init("unit", .string(boundUnit))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(hash: Digest, decoding stored: SharedSecret) throws(VaultError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try stored.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
        } catch {
            throw VaultError(.storageCorrupt, "a stored token cannot be read", cause: error)
        }
        guard let accessor = value["accessor"]?.string, let created = value["created"]?.integer,
            let policies = value["policies"]?.array?.compactMap(\.string)
        else { throw VaultError(.storageCorrupt, "a stored token cannot be read") }
        self.hash = hash
        self.accessor = accessor
        self.policies = policies
        path = value["path"]?.string ?? ""
        displayName = value["display_name"]?.string ?? ""
        var meta: [String: String] = [:]
        for member in value["meta"]?.members ?? [] { meta[member.key] = member.value.string }
        self.meta = meta
        self.created = Timestamp(nanoseconds: created)
        ttl = value["ttl"]?.integer ?? 0
        explicitMaximumTTL = value["max"]?.integer ?? 0
        period = value["period"]?.integer ?? 0
        isRenewable = value["renewable"]?.bool ?? false
        isOrphan = value["orphan"]?.bool ?? true
        parent = value["parent"]?.string.flatMap { Hex.decode(Array($0.utf8)) }.flatMap { Digest($0) }
        expires = value["expires"]?.integer.map { Timestamp(nanoseconds: $0) }
        lastRenewal = value["renewed"]?.integer.map { Timestamp(nanoseconds: $0) }
        boundUID = value["uid"]?.integer.flatMap { UInt32(exactly: $0) }
        boundUnit = value["unit"]?.string
    }
}
