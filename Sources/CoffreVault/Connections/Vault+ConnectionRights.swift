internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `connectors/connections/<name>/permissions`: who may do what, cell by cell.
extension Vault {
    /// To its owner everything; to everybody else what they may do themselves.
    func describeRights(_ connection: Connection, _ access: ConnectionAccess) throws -> JSONValue {
        guard let state = unsealed else { throw VaultError.sealed }
        let own = access.isAdministrator && access.entity.isEmpty ? connection.rights.ofAdministrator : access.rights
        var members: [JSONValue.Member] = [
            .init("id", .string(connection.id)), .init("version", .integer(connection.rightsVersion)),
            .init("yours", own.json),
        ]
        guard access.mayManage else { return .object(members) }
        let rights = connection.rights
        members.append(.init("grants", .array(rights.grants.map { Self.named($0, state) })))
        members.append(.init("masked", rights.json["masked"] ?? .array([])))
        members.append(.init("owner", .string(rights.owner)))
        members.append(.init("read_only", .bool(rights.isReadOnly)))
        members.append(.init("tables", .array(rights.tables.map(\.json))))
        members.append(.init("visibility", .string(connection.visibility.rawValue)))
        return .object(members)
    }

    /// With the name beside the id, for people.
    private static func named(_ grant: ConnectionGrant, _ state: UnsealedState) -> JSONValue {
        guard case .object(var members) = grant.json else { return grant.json }
        switch grant.subject {
        case .entity(let id): members.append(.init("name", .string(state.identity.entities[id]?.name ?? "")))
        case .group(let id): members.append(.init("name", .string(state.identity.groups[id]?.name ?? "")))
        case .organisation: break
        }
        return .object(members)
    }

    func changeRights(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let (connection, generation) = try await inConnectionTurn { state in
            var (connection, _) = try managedConnection(name, context)
            guard connection.state != .deleted else { throw VaultError.badRequest("this connection was deleted") }
            try withBody(context) { try RightsInput.read($0, into: &connection.rights, state.identity) }
            connection.rightsVersion += 1
            connection.updated = context.now
            return (connection, try await store(connection, [:], state))
        }
        // After the turn: a lease may be in the hands of a server that does not answer.
        guard let state = unsealed else { throw VaultError.sealed }
        let ended = try await revokeWiderLeases(of: connection, state)
        var what = what
        what.connector = connection.id
        what.version = Int(connection.rightsVersion)
        what.details.append(("leases_ended", .int(Int64(ended))))
        return Effect(
            .data(["leases_ended": .integer(ended), "version": .integer(connection.rightsVersion)]),
            generation: generation,
            what: what
        )
    }

    /// Ends what was issued with more than its person may have now.
    /// - Returns: how many leases that were.
    @discardableResult
    func revokeWiderLeases(of connection: Connection, _ state: UnsealedState) async throws -> Int {
        var ended = 0
        let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
        for name in try barrier.names(in: .lease, parent: parent) {
            let id = String(decoding: name, as: UTF8.self)
            guard let lease = try lease(id), lease.state != .revoking else { continue }
            guard !isCovered(lease, connection, state) else { continue }
            _ = try await beginRevocation(id)
            revokeInBackground(id)
            ended += 1
        }
        return ended
    }

    func isCovered(_ lease: LeaseRecord, _ connection: Connection, _ state: UnsealedState) -> Bool {
        guard connection.state == .active, let grant = lease.grant, let was = EffectiveRights(json: grant.rights) else {
            return false
        }
        if grant.isAdministrator, grant.entity.isEmpty { return connection.rights.ofAdministrator.covers(was) }
        guard let entity = state.identity.entities[grant.entity], !entity.isDisabled else { return false }
        if let service = grant.service {
            guard let entity = state.identity.entities[service], !entity.isDisabled else { return false }
        }
        return effectiveRights(of: grant.entity, through: grant.service, connection, state).covers(was)
    }

    /// People, teams or memberships have changed: every connection with leases is looked at again.
    func reviewConnectionLeases() async {
        guard let state = unsealed else { return }
        // Most connections have no leases at most times: those that had none are not looked at again.
        let candidates = state.leasedConnections ?? Set(state.connections.connections.keys)
        state.leasedConnections = candidates
        for id in candidates.sorted() {
            guard let connection = state.connections[id] else { continue }
            do {
                let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
                guard try !barrier.names(in: .lease, parent: parent).isEmpty else {
                    state.leasedConnections?.remove(id)
                    continue
                }
                try await revokeWiderLeases(of: connection, state)
            } catch {
                journal(true, "leases of a connection could not be held to its rights", ["connection": connection.id])
            }
        }
    }
}

/// What a client sends as permissions; lists that are there replace those that were.
private enum RightsInput {
    static func read(
        _ body: JSONView?,
        into rights: inout ConnectionRights,
        _ identity: IdentityTable
    ) throws(VaultError) {
        guard let body else { throw .badRequest("send grants, tables, masked or read_only") }
        let known: Set<String> = ["grants", "tables", "masked", "read_only"]
        if let unknown = body.members.first(where: { !known.contains($0.key) }) {
            throw .badRequest("\(unknown.key.prefix(64)) is not one of grants, tables, masked and read_only")
        }
        if let value = body["grants"] {
            let list = try elements(value, "grants", most: ConnectionRights.mostGrants)
            var grants: [ConnectionGrant] = []
            for view in list { grants.append(try grant(view, identity)) }
            guard Set(grants.map(\.subject)).count == grants.count else {
                throw .badRequest("grants names somebody twice")
            }
            rights.grants = grants
        }
        if let value = body["tables"] { rights.tables = try rules(value, "tables", allowsNone: false) }
        if let value = body["masked"] {
            var masked: [TableName: [SQLName]] = [:]
            for view in try elements(value, "masked", most: ConnectionRights.mostTables) {
                try check(view, ["schema", "table", "columns"], "masked")
                let table = try table(view, "masked")
                guard let columns = try columns(view, "masked") else {
                    throw .badRequest("masked: columns is missing: which columns nobody sees")
                }
                guard masked[table] == nil else { throw .badRequest("masked names a table twice") }
                masked[table] = columns
            }
            rights.masked = masked
        }
        if let value = body["read_only"] {
            guard let flag = value.weakBool else { throw .badRequest("read_only is true or false") }
            rights.isReadOnly = flag
        }
    }

    /// A word that is misspelt would widen what is given.
    private static func check(_ view: JSONView, _ known: Set<String>, _ name: String) throws(VaultError) {
        guard let unknown = view.members.first(where: { !known.contains($0.key) }) else { return }
        throw .badRequest("\(name): \(unknown.key.prefix(64)) is not one of \(known.sorted().joined(separator: ", "))")
    }

    private static func elements(_ value: JSONView, _ name: String, most: Int) throws(VaultError) -> [JSONView] {
        guard value.isArray, value.elements.count <= most, value.elements.allSatisfy(\.isObject) else {
            throw .badRequest("\(name) is a list of at most \(most) objects")
        }
        return value.elements
    }

    private static func grant(_ view: JSONView, _ identity: IdentityTable) throws(VaultError) -> ConnectionGrant {
        // `name` is what is shown beside an id.
        try check(view, ["entity", "group", "organisation", "level", "tables", "name"], "a grant")
        guard let level = view["level"]?.string.flatMap({ ConnectionLevel(rawValue: $0) }) else {
            throw .badRequest("a grant has a level: none, read, read-write or owner")
        }
        let tables = try view["tables"].map { value throws(VaultError) in
            try rules(value, "tables of a grant", allowsNone: true)
        }
        return ConnectionGrant(subject: try subject(view, identity), level: level, tables: tables)
    }

    private static func subject(
        _ view: JSONView,
        _ identity: IdentityTable
    ) throws(VaultError) -> ConnectionGrant.Subject {
        let given = ["entity", "group", "organisation"].filter { view[$0] != nil }
        guard given.count == 1 else { throw .badRequest("a grant names one of entity, group and organisation") }
        if let name = view["entity"]?.string {
            guard let entity = identity.entities[name] ?? identity.entity(named: name) else {
                throw .badRequest("there is no person or service \"\(name.prefix(128))\" in identity/entity")
            }
            return .entity(entity.id)
        }
        if let name = view["group"]?.string {
            guard let group = identity.groups[name] ?? identity.group(named: name) else {
                throw .badRequest("there is no team \"\(name.prefix(128))\" in identity/group")
            }
            return .group(group.id)
        }
        guard view["organisation"]?.weakBool == true else { throw .badRequest("organisation is true") }
        return .organisation
    }

    private static func rules(
        _ value: JSONView,
        _ name: String,
        allowsNone: Bool
    ) throws(VaultError) -> [TableRule] {
        var rules: [TableRule] = []
        for view in try elements(value, name, most: ConnectionRights.mostTables) {
            try check(view, ["schema", "table", "level", "columns"], name)
            guard let level = ConnectionLevel(rawValue: view["level"]?.string ?? "read"), level != .owner,
                allowsNone || level != .none
            else {
                throw .badRequest("\(name): a level is read or read-write\(allowsNone ? ", or none" : "")")
            }
            rules.append(TableRule(table: try table(view, name), level: level, columns: try columns(view, name)))
        }
        guard Set(rules.map(\.table)).count == rules.count else { throw .badRequest("\(name) names a table twice") }
        return rules
    }

    private static func table(_ view: JSONView, _ name: String) throws(VaultError) -> TableName {
        guard let table = view["table"]?.string, SQLName.isValid(table) else {
            throw .badRequest("\(name): table is a name of 1 to 63 bytes")
        }
        let schema = view["schema"]?.string ?? "public"
        guard SQLName.isValid(schema) else { throw .badRequest("\(name): schema is a name of 1 to 63 bytes") }
        return TableName(schema: SQLName(schema), name: SQLName(table))
    }

    private static func columns(_ view: JSONView, _ name: String) throws(VaultError) -> [SQLName]? {
        guard let value = view["columns"] else { return nil }
        let list = value.isArray ? value.elements.map(\.string) : [nil]
        let texts = list.compactMap { $0 }
        guard texts.count == list.count, (1...ConnectionRights.mostColumns).contains(texts.count),
            texts.allSatisfy({ SQLName.isValid($0) })
        else { throw .badRequest("\(name): columns is a list of names of 1 to 63 bytes") }
        return Set(texts.map { SQLName($0) }).sorted()
    }
}
