internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// A connection to one of the catalogue's systems, without its secrets: those lie in rows of their own.
struct Connection: Sendable {
    enum State: String, Sendable {
        case active
        /// Nobody gets anything out of it; everything is kept.
        case disabled
        /// Nobody gets anything any more; what is left at the server is being taken back.
        case removing
        /// Its secrets are wiped; what is left can be restored as another connection.
        case deleted
    }

    /// Who finds it in a list, and may read by it where nothing else is said.
    enum Visibility: String, Sendable {
        case me, team, organisation
    }

    /// `c-` and twelve characters, never used twice: leases, grants and approvals name it, not the name.
    let id: String
    /// As paths have it: `[A-Za-z0-9._-]`, 1 to 64 bytes.
    var name: String
    /// Of the catalogue: `postgresql`.
    let type: String
    /// For people, at most 256 bytes.
    var label = ""
    var state = State.active
    var labels: [String: String] = [:]
    /// What is no secret, by the catalogue's names.
    var fields: [String: String] = [:]
    /// Which secrets are stored, and since when.
    var secrets: [String: Timestamp] = [:]
    var rights = ConnectionRights()
    /// Differences between rights and database that its owner accepts, as a refusal names them.
    var accepted: [String] = []
    /// Another person has to agree to each use.
    var needsApproval = false
    var rotation = ConnectionRotation()
    /// Roles of the database that were made for its rights, sorted.
    var roles: [String] = []
    /// Shown, and not enforced: the database has no such limit for a login.
    var rowLimit: Int64 = 0
    /// Days after which its passwords are changed, 1 to 365.
    var rotationDays: Int64 = 30
    let created: Timestamp
    var updated: Timestamp
    var deleted: Timestamp?
    /// Counts changes of anything but the rights.
    var generation: Int64 = 1
    /// Counts changes of the rights.
    var rightsVersion: Int64 = 1

    init(id: String, name: String, type: String, owner: String, at now: Timestamp) {
        self.id = id
        self.name = name
        self.type = type
        rights.owner = owner
        created = now
        updated = now
    }

    var visibility: Visibility {
        switch rights.audience {
        case nil: .me
        case .group, .entity: .team
        case .organisation: .organisation
        }
    }

    /// Who waits when its server is slow: everything of its owner, or itself alone where it is nobody's.
    var ownerOfTurns: String { rights.owner.isEmpty ? id : rights.owner }

    /// Of these, what waits for one server.
    var serverOfTurns: String {
        let (host, port) = (fields["host"] ?? "", fields["port"] ?? "")
        return "\(ownerOfTurns)\0\(host.lowercased())\0\(port)"
    }

    /// Whether a field has the same bytes in both: texts that only look the same are different accounts.
    func hasSame(_ field: String, as other: Connection) -> Bool {
        guard let mine = fields[field], let its = other.fields[field] else {
            return fields[field] == nil && other.fields[field] == nil
        }
        return mine.utf8.elementsEqual(its.utf8)
    }

    /// Servers and accounts whose passwords it stores.
    var accounts: [[UInt8]] { ConnectionRotation.accounts.values.compactMap { account($0) } }

    /// Server and account behind a field that names one.
    func account(_ field: String) -> [UInt8]? {
        fields[field].map { Array("\(fields["host"] ?? "")\n\(fields["port"] ?? "5432")\n\($0)".utf8) }
    }

    static func makeID() -> String { "c-" + Random.base62(12) }

    static func isValidName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && !name.hasPrefix(".") && !name.hasSuffix(".")
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
                    || $0 == 0x5f || $0 == 0x2e
            }
    }

    /// What leases remember of it.
    var leaseConnection: String { Self.leasePrefix + id }
    static let leasePrefix = "connectors/"

    /// Whether a change of this field leaves stored secrets where they are. Every other field may decide where they are
    /// sent, or as whom, or over which line: then they must be entered again.
    func isHarmless(_ field: String) -> Bool { ["schema", "timeout"].contains(field) || isChoice(field) }

    /// Whether a field chooses among what the provider has listed for the grant, and decides nothing else.
    func isChoice(_ field: String) -> Bool {
        (Catalogue.shared[type]?.oauth?.learns ?? []).contains { $0.source == .call && $0.field == field }
    }
}

/// Where connections lie in the barrier.
enum ConnectionKey {
    static let records = Array("record".utf8)

    static func record(_ id: String) -> BarrierKey { key(records, id) }

    static func secrets(_ id: String) -> [UInt8] { Array("secret/\(id)".utf8) }

    static func secret(_ id: String, _ field: String) -> BarrierKey { key(secrets(id), field) }

    /// A password that may be the one in force already.
    static func pending(_ id: String, _ field: String) -> BarrierKey { key(pending(id), field) }

    static func pending(_ id: String) -> [UInt8] { Array("pending/\(id)".utf8) }

    private static func key(_ parent: [UInt8], _ name: String) -> BarrierKey {
        BarrierKey(namespace: .connection, parent: parent, name: Array(name.utf8))
    }
}

// MARK: storage form

extension Connection {
    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("name", .string(name)), .init("type", .string(type)), .init("label", .string(label)),
            .init("state", .string(state.rawValue)), .init("labels", .object(labels)), .init("fields", .object(fields)),
            .init(
                "secrets",
                .object(
                    secrets.sorted { $0.key < $1.key }.map { .init($0.key, .integer($0.value.nanoseconds)) }
                )
            ), .init("rights", rights.json), .init("accepted", .strings(accepted)),
            .init("approval", .bool(needsApproval)), .init("roles", .strings(roles)),
            .init("rotation", rotation.json), .init("rows", .integer(rowLimit)),
            .init("days", .integer(rotationDays)), .init("created", .integer(created.nanoseconds)),
            .init("updated", .integer(updated.nanoseconds)), .init("generation", .integer(generation)),
            .init("rights_version", .integer(rightsVersion)),
        ]
        if let deleted { members.append(.init("deleted", .integer(deleted.nanoseconds))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(id: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a connection")
        guard let name = value["name"]?.string, let type = value["type"]?.string,
            let state = value["state"]?.string.flatMap({ State(rawValue: $0) }),
            let created = value["created"]?.integer,
            let rights = value["rights"].flatMap({ ConnectionRights(json: $0) })
        else { throw VaultError(.storageCorrupt, "a connection cannot be read") }
        self.init(id: id, name: name, type: type, owner: rights.owner, at: Timestamp(nanoseconds: created))
        self.state = state
        self.rights = rights
        label = value["label"]?.string ?? ""
        labels = value["labels"]?.texts ?? [:]
        fields = value["fields"]?.texts ?? [:]
        for member in value["secrets"]?.members ?? [] {
            secrets[member.key] = member.value.integer.map { Timestamp(nanoseconds: $0) }
        }
        accepted = value["accepted"]?.array?.compactMap(\.string) ?? []
        needsApproval = value["approval"]?.bool ?? false
        rotation = value["rotation"].map { ConnectionRotation(json: $0) } ?? ConnectionRotation()
        roles = value["roles"]?.array?.compactMap(\.string) ?? []
        rowLimit = value["rows"]?.integer ?? 0
        rotationDays = value["days"]?.integer ?? 30
        updated = Timestamp(nanoseconds: value["updated"]?.integer ?? created)
        deleted = value["deleted"]?.integer.map { Timestamp(nanoseconds: $0) }
        generation = value["generation"]?.integer ?? 1
        rightsVersion = value["rights_version"]?.integer ?? 1
    }
}
