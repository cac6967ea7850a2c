internal import CoffreCrypto
internal import CoffreWire

/// Whose a lease is. What ends with a service's token ends for everybody for whom the service asked, so leases are listed
/// under the service alone; the person is kept beside it, and whoever asks must be both.
struct LeaseOwner: Sendable {
    /// The token or process: `token:<hash>`, `peer:<uid>:<unit>`.
    let holder: String
    /// The entity for whom it asked.
    let person: String?

    private static let joint = ":for:"

    init(holder: String, person: String?) {
        self.holder = holder
        self.person = person
    }

    /// Takes the text of ``Caller/owner`` apart. A unit may hold the joint too, but always has a stop, which no id has.
    init(_ text: String) {
        let bytes = Array(text.utf8)
        let joint = Array(Self.joint.utf8)
        let starts = stride(from: bytes.count - joint.count, through: 0, by: -1)
        guard let start = starts.first(where: { bytes[$0...].starts(with: joint) }),
            case let id = bytes[(start + joint.count)...], id.allSatisfy({ $0 != 0x2e && $0 != 0x3a }), !id.isEmpty
        else {
            self.init(holder: text, person: nil)
            return
        }
        self.init(holder: String(decoding: bytes[..<start], as: UTF8.self), person: String(decoding: id, as: UTF8.self))
    }

    var text: String { person.map { holder + Self.joint + $0 } ?? holder }
}

/// A time-bounded grant, with all that is needed to revoke it.
struct LeaseRecord: Sendable {
    enum State: String, Sendable {
        /// Being made: revoked at the next start whatever happened.
        case preparing
        case active
        /// Being taken back, until the target system has confirmed it.
        case revoking
    }

    /// What a login of a connection was made with.
    struct Grant: Sendable {
        /// For whom; empty for an administrator in nobody's name.
        var entity: String
        /// The service that asked for them; nil when nobody stood between.
        var service: String?
        var isAdministrator: Bool
        /// ``EffectiveRights/json``.
        var rights: JSONValue
        /// The role of the database that holds the rights.
        var role: String
    }

    /// `<request path>/<24 base62>`.
    let id: String
    var state: State
    let issued: Timestamp
    var expires: Timestamp
    let latest: Timestamp
    var lastRenewal: Timestamp?
    /// Who it was issued to, with the person for whom a service asked: nobody else may renew or revoke it without sudo.
    let owner: LeaseOwner
    /// Name of the database configuration, which cannot be deleted while leases need it.
    let connection: String
    let username: String
    let revocationStatements: [String]
    let renewStatements: [String]
    var attempts: Int64 = 0
    /// Nil for a login of the database engine.
    var grant: Grant?

    func remaining(at now: Timestamp) -> Int64 {
        max(0, (expires.nanoseconds - now.nanoseconds + 999_999_999) / 1_000_000_000)
    }

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("state", .string(state.rawValue)), .init("issued", .integer(issued.nanoseconds)),
            .init("expires", .integer(expires.nanoseconds)), .init("latest", .integer(latest.nanoseconds)),
            .init("owner", .string(owner.holder)), .init("connection", .string(connection)),
            .init("username", .string(username)), .init("revoke", .strings(revocationStatements)),
            .init("renew", .strings(renewStatements)), .init("attempts", .integer(attempts)),
        ]
        if let person = owner.person { members.append(.init("person", .string(person))) }
        if let grant {
            var value: [JSONValue.Member] = [
                .init("entity", .string(grant.entity)), .init("admin", .bool(grant.isAdministrator)),
                .init("rights", grant.rights), .init("role", .string(grant.role)),
            ]
            if let service = grant.service { value.append(.init("service", .string(service))) }
            members.append(.init("grant", .object(value)))
        }
        if let lastRenewal { members.append(.init("renewed", .integer(lastRenewal.nanoseconds))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    init(
        id: String,
        issued: Timestamp,
        expires: Timestamp,
        latest: Timestamp,
        owner: String,
        connection: String,
        username: String,
        revocationStatements: [String],
        renewStatements: [String]
    ) {
        self.id = id
        state = .preparing
        self.issued = issued
        self.expires = expires
        self.latest = latest
        self.owner = LeaseOwner(owner)
        self.connection = connection
        self.username = username
        self.revocationStatements = revocationStatements
        self.renewStatements = renewStatements
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(id: String, decoding stored: SharedSecret) throws(VaultError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try stored.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
        } catch {
            throw VaultError(.storageCorrupt, "a stored lease cannot be read", cause: error)
        }
        guard let state = value["state"]?.string.flatMap({ State(rawValue: $0) }),
            let issued = value["issued"]?.integer, let expires = value["expires"]?.integer,
            let latest = value["latest"]?.integer, let owner = value["owner"]?.string,
            let connection = value["connection"]?.string, let username = value["username"]?.string
        else { throw VaultError(.storageCorrupt, "a stored lease cannot be read") }
        self.id = id
        self.state = state
        self.issued = Timestamp(nanoseconds: issued)
        self.expires = Timestamp(nanoseconds: expires)
        self.latest = Timestamp(nanoseconds: latest)
        lastRenewal = value["renewed"]?.integer.map { Timestamp(nanoseconds: $0) }
        self.owner = LeaseOwner(holder: owner, person: value["person"]?.string)
        self.connection = connection
        self.username = username
        revocationStatements = value["revoke"]?.array?.compactMap(\.string) ?? []
        renewStatements = value["renew"]?.array?.compactMap(\.string) ?? []
        attempts = value["attempts"]?.integer ?? 0
        if let stored = value["grant"], let entity = stored["entity"]?.string, let rights = stored["rights"],
            let role = stored["role"]?.string
        {
            grant = Grant(
                entity: entity,
                service: stored["service"]?.string,
                isAdministrator: stored["admin"]?.bool ?? false,
                rights: rights,
                role: role
            )
        }
    }
}

/// Where leases lie in the barrier.
extension BarrierKey {
    static func lease(_ id: String) -> BarrierKey {
        let bytes = Array(id.utf8)
        let slash = bytes.lastIndex(of: 0x2f) ?? bytes.startIndex
        return BarrierKey(
            namespace: .lease,
            parent: Array("id/".utf8) + bytes[..<slash],
            name: Array(bytes[slash...].drop { $0 == 0x2f })
        )
    }

    /// The parent of the leases and folders of a path.
    static func leaseFolder(_ folder: some Collection<UInt8>) -> [UInt8] { Array("id/".utf8) + folder }

    /// Folder entries of a lease from the top down: each with the row that lists it, and the parent of its own children.
    static func leaseFolders(_ id: String) -> [(entry: BarrierKey, children: [UInt8])] {
        let bytes = Array(id.utf8)
        return bytes.indices.filter { bytes[$0] == 0x2f }.map { slash in
            let start = bytes[..<slash].lastIndex(of: 0x2f).map { $0 + 1 } ?? 0
            let parent = leaseFolder(start == 0 ? [] : bytes[..<(start - 1)])
            return (
                BarrierKey(namespace: .lease, parent: parent, name: Array(bytes[start...slash])),
                leaseFolder(bytes[..<slash])
            )
        }
    }

    static func leaseOwnerParent(_ owner: String) -> [UInt8] { Array("owner/\(owner)".utf8) }

    static func leaseOwner(_ owner: String, _ id: String) -> BarrierKey {
        BarrierKey(namespace: .lease, parent: leaseOwnerParent(owner), name: Array(id.utf8))
    }

    static func leaseConnectionParent(_ name: String) -> [UInt8] { Array("connection/\(name)".utf8) }

    static func leaseConnection(_ name: String, _ id: String) -> BarrierKey {
        BarrierKey(namespace: .lease, parent: leaseConnectionParent(name), name: Array(id.utf8))
    }

    static let unfinishedLeases = Array("unfinished".utf8)

    /// Leases that are `preparing` or `revoking`: what a start has to finish.
    static func unfinishedLease(_ id: String) -> BarrierKey {
        BarrierKey(namespace: .lease, parent: unfinishedLeases, name: Array(id.utf8))
    }
}
