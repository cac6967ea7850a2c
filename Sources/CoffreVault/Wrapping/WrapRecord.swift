internal import CoffreCrypto
internal import CoffreWire

/// What is known of a wrapping token besides the answer that waits behind it.
struct WrapRecord: Sendable {
    let accessor: String
    let created: Timestamp
    let expires: Timestamp
    /// Seconds.
    let ttl: Int64
    /// The path whose answer was wrapped.
    let path: String
    /// HTTP status of the answer.
    let status: Int
    /// Of a wrapped login.
    let wrappedAccessor: String
    /// When it was opened; until its time is over the record stays, so that a second reader is noticed.
    var opened: Timestamp?
    /// Accessor of the approval that the answer waits for: nothing is stored behind the token then.
    var approval: String?

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("accessor", .string(accessor)), .init("created", .integer(created.nanoseconds)),
            .init("expires", .integer(expires.nanoseconds)), .init("ttl", .integer(ttl)), .init("path", .string(path)),
            .init("status", .integer(status)), .init("wrapped", .string(wrappedAccessor)),
        ]
        if let opened { members.append(.init("opened", .integer(opened.nanoseconds))) }
        if let approval { members.append(.init("approval", .string(approval))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    init(
        accessor: String = Random.base62(24),
        created: Timestamp,
        ttl: Int64,
        path: String,
        status: Int,
        wrappedAccessor: String
    ) {
        self.accessor = accessor
        self.created = created
        expires = created.adding(seconds: ttl)
        self.ttl = ttl
        self.path = path
        self.status = status
        self.wrappedAccessor = wrappedAccessor
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a wrapped answer")
        guard let accessor = value["accessor"]?.string, let created = value["created"]?.integer,
            let expires = value["expires"]?.integer, let ttl = value["ttl"]?.integer,
            let path = value["path"]?.string, let status = value["status"]?.integer
        else { throw VaultError(.storageCorrupt, "a wrapped answer cannot be read") }
        self.accessor = accessor
        self.created = Timestamp(nanoseconds: created)
        self.expires = Timestamp(nanoseconds: expires)
        self.ttl = ttl
        self.path = path
        self.status = Int(clamping: status)
        wrappedAccessor = value["wrapped"]?.string ?? ""
        approval = value["approval"]?.string
        opened = value["opened"]?.integer.map { Timestamp(nanoseconds: $0) }
    }
}

/// Where wrapped answers lie in the barrier.
extension BarrierKey {
    static func wrap(_ token: Digest) -> BarrierKey {
        BarrierKey(namespace: .other, parent: Array("wrap".utf8), name: token.bytes)
    }

    static func wrapped(_ token: Digest) -> BarrierKey {
        BarrierKey(namespace: .other, parent: Array("wrapped".utf8), name: token.bytes)
    }
}
