internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Changes of one connection follow each other; what an answer says is durable.
extension Vault {
    func inConnectionTurn<R>(_ body: (UnsealedState) async throws -> R) async throws -> R {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("connections".utf8)) { try await body(state) }
    }

    func createConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let (input, doubts) = try readConnection(nil, context)
        guard let type = input.type else { throw VaultError.badRequest("type names a connector, such as postgresql") }
        try checkName(name, state)
        let owner = try owner(input.owner, context, state)
        try checkCount(of: owner, state)
        var connection = Connection(id: Connection.makeID(), name: name, type: type, owner: owner, at: context.now)
        try apply(input, to: &connection, context, state)
        try checkAccounts(connection)
        // Before the turn: a server that does not answer holds up nobody else.
        let report = try await tried(connection, input, context)
        let made = connection
        return try await inConnectionTurn { state in
            try checkName(name, state)
            guard state.connections[made.id] == nil else { throw VaultError(.internalError, "internal error") }
            let generation = try await store(made, input.secrets, state)
            var what = what
            what.connector = made.id
            what.fields = made.fields.keys.sorted() + input.secrets.keys.sorted()
            var description = describe(made, try access(to: made, context))
            if let report, case .object(let members) = description {
                description = .object(members + [.init("test", report)])
            }
            var reply = Reply.data(description)
            reply.warnings = doubts
            return Effect(reply, generation: generation, what: what)
        }
    }

    /// Deleted ones count too: nobody fills the vault by making and deleting.
    func checkCount(of owner: String, _ state: UnsealedState) throws(VaultError) {
        guard state.connections.count(ownedBy: owner) < ConnectionTable.mostOfOneOwner else {
            throw .badRequest(
                "this owner has \(ConnectionTable.mostOfOneOwner) connections already, deleted ones included"
            )
        }
    }

    func checkName(_ name: String, _ state: UnsealedState) throws(VaultError) {
        guard !name.hasPrefix("c-") else { throw VaultError.badRequest("a name cannot begin with c-: ids do") }
        guard state.connections.isNameFree(name) else {
            throw VaultError.badRequest("there is a connection of that name already")
        }
        guard state.connections.count < ConnectionTable.mostConnections else {
            throw VaultError.badRequest("there are \(ConnectionTable.mostConnections) connections already")
        }
    }

    func updateConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let id = try managedConnection(name, context).0.id
        return try await inRotationTurn(id) {
            let (input, _) = try readConnection(try managedConnection(name, context).0, context)
            if !input.secrets.isEmpty {
                // What is stored may be the only copy of a password that works: it is not replaced by one that does not.
                let (candidate, _) = try changed(try managedConnection(name, context).0, input, context, state)
                _ = try await tried(candidate, input, context)
            }
            let former = try formerTokens(of: id, state)
            var (effect, ended) = try await updateInTurn(name, what, context)
            if let former, state.grants[id].map({ $0.life.isVoided(since: former.grant.life) }) ?? true,
                let doubt = await endLeft(former)
            {
                effect.reply.warnings.append(doubt)
            }
            if let ended { try await revokeWiderLeases(of: ended, state) }
            return effect
        }
    }

    /// The connection as it would be, and the secrets that the change voids.
    private func changed(
        _ before: Connection,
        _ input: ConnectionInput,
        _ context: RequestContext,
        _ state: UnsealedState
    ) throws -> (connection: Connection, voided: [String]) {
        var connection = before
        if let type = input.type, type != connection.type {
            throw VaultError.badRequest("the type of a connection cannot be changed: make another one")
        }
        if input.owner != nil { connection.rights.owner = try owner(input.owner, context, state) }
        try apply(input, to: &connection, context, state)
        try checkAccounts(connection)
        var voided: [String] = []
        let names = Set(connection.fields.keys).union(before.fields.keys)
        if names.contains(where: { !connection.isHarmless($0) && !connection.hasSame($0, as: before) }) {
            voided = before.secrets.keys.filter { input.secrets[$0] == nil }.sorted()
            for field in voided { connection.secrets[field] = nil }
        }
        return (connection, voided)
    }

    /// - Returns: the connection too, when its rights have changed.
    private func updateInTurn(
        _ name: String,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> (Effect, rightsChanged: Connection?) {
        try await inConnectionTurn { state in
            let (before, _) = try managedConnection(name, context)
            let (input, doubts) = try readConnection(before, context)
            var (connection, voided) = try changed(before, input, context, state)
            let names = Set(connection.fields.keys).union(before.fields.keys)
            let moves = !names.allSatisfy { connection.hasSame($0, as: before) || connection.isChoice($0) }
            if moves || !input.verifies && input.secrets["admin_password"] != nil { try refuseWhileLeased(before) }
            if connection.rights != before.rights { connection.rightsVersion += 1 }
            connection.generation += 1
            connection.updated = context.now
            let hadGrant = state.grants[connection.id]?.life.state == .needsConsent
            let generation = try await store(connection, input.secrets, voiding: voided, state)
            var what = what
            what.connector = connection.id
            what.fields = input.fields.keys.sorted() + input.secrets.keys.sorted()
            let losesGrant = !hadGrant && state.grants[connection.id]?.life.state == .needsConsent
            if !voided.isEmpty { what.details.append(("voided", .int(Int64(voided.count)))) }
            var reply = Reply.data(describe(connection, try access(to: connection, context)))
            reply.warnings = doubts
            if !voided.isEmpty {
                reply.warnings += [
                    "where or as whom this connection connects has changed, which voids its stored secrets: enter "
                        + voided.joined(separator: ", ") + " again"
                ]
            }
            if losesGrant {
                reply.warnings += [
                    "the tokens of this connection belonged to its former client or host and are wiped: connect again"
                ]
            }
            let effect = Effect(reply, generation: generation, what: what)
            return (effect, connection.rights != before.rights ? connection : nil)
        }
    }

    /// Each of its accounts is rotated by itself.
    private func checkAccounts(_ connection: Connection) throws(VaultError) {
        guard let administrator = connection.fields["admin_username"], let user = connection.fields["username"],
            administrator.utf8.elementsEqual(user.utf8)
        else { return }
        throw .badRequest("username and admin_username must be two accounts: the password of each is changed by itself")
    }

    /// Tries a connection before it is stored, when it is of a kind that can be tried.
    /// - Throws: ``VaultError`` `.badRequest` with the reason when it does not work: nothing is stored then.
    private func tried(
        _ connection: Connection,
        _ input: ConnectionInput,
        _ context: RequestContext
    ) async throws -> JSONValue? {
        guard input.verifies, connection.type == Self.postgresType else { return nil }
        let report = try await test(connection, secrets: input.secrets, nil, context)
        for part in [report, report["administration"] ?? .null] where part["works"] == .bool(false) {
            let reason = part["failure"]?["en"]?.string ?? ""
            let whose = part["works"] == report["works"] ? "" : " (administration account)"
            throw VaultError.badRequest("the connection was tried and does not work\(whose): \(reason)")
        }
        return report
    }

    /// Logins that live need the account that made them, where it is.
    private func refuseWhileLeased(_ connection: Connection) throws {
        let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
        let live = try barrier.names(in: .lease, parent: parent).count
        guard live == 0 else {
            throw VaultError.badRequest(
                "\(live) leases still need this connection as it is: disable it, which ends them, and try again"
            )
        }
    }

    /// - Returns: what was sent, and what the catalogue finds doubtful about it.
    private func readConnection(
        _ known: Connection?,
        _ context: RequestContext
    ) throws -> (input: ConnectionInput, doubts: [String]) {
        try withBody(context) { body in
            let input = try ConnectionInput(body) { type, field in
                ConnectorFields.isSecret(field, of: known?.type ?? type ?? "")
            }
            guard let type = known?.type ?? input.type else {
                throw VaultError.badRequest("type names a connector, such as postgresql")
            }
            let unknown = Self.unrecognized(body, ConnectionInput.known)
            if let fields = body?["fields"] {
                return (input, unknown + (try ConnectorFields.check(fields, of: type, isWhole: known == nil)))
            }
            guard known == nil else { return (input, unknown) }
            let nothing = Array("{}".utf8)
            return try nothing.withUnsafeBytes {
                (input, unknown + (try ConnectorFields.check(try JSONView($0), of: type, isWhole: true)))
            }
        }
    }

    /// Whoever creates a connection has it; only an administrator gives one to somebody else, who would be charged for it.
    private func owner(_ wanted: String?, _ context: RequestContext, _ state: UnsealedState) throws -> String {
        let caller = context.caller?.entityID ?? ""
        let isAdministrator = context.caller?.acl.decide(.update, path: context.path).hasSudo ?? false
        guard isAdministrator else {
            guard !caller.isEmpty else {
                throw VaultError.badRequest(
                    "a connection needs an owner, and you are nobody in particular here: have an administrator make you an "
                        + "entity with an alias (identity/entity-alias)"
                )
            }
            let isOwn = wanted.map { $0.isEmpty || $0 == caller || state.identity.entity(named: $0)?.id == caller }
            guard isOwn ?? true else {
                throw VaultError(.permissionDenied, "only an administrator gives a connection to another owner")
            }
            return caller
        }
        guard let wanted, !wanted.isEmpty else { return caller }
        guard let entity = state.identity.entities[wanted] ?? state.identity.entity(named: wanted) else {
            throw VaultError.badRequest("owner names a person or service of identity/entity")
        }
        return entity.id
    }

    private func apply(
        _ input: ConnectionInput,
        to connection: inout Connection,
        _ context: RequestContext,
        _ state: UnsealedState
    ) throws {
        if let label = input.label { connection.label = label }
        if let labels = input.labels { connection.labels = labels }
        if let days = input.rotationDays { connection.rotationDays = days }
        if let flag = input.needsApproval { connection.needsApproval = flag }
        if let limit = input.rowLimit { connection.rowLimit = limit }
        if let accepted = input.accepted { connection.accepted = accepted.sorted() }
        for (field, text) in input.fields { connection.fields[field] = text.isEmpty ? nil : text }
        for field in input.secrets.keys { connection.secrets[field] = context.now }
        switch input.visibility {
        case .me: connection.rights.audience = nil
        case .organisation: connection.rights.audience = .organisation
        case .team:
            guard let team = input.team,
                let group = state.identity.groups[team] ?? state.identity.group(named: team)
            else { throw VaultError.badRequest("visibility team needs team, a group of identity/group") }
            connection.rights.audience = .group(group.id)
        case nil: break
        }
    }

    /// The one place that writes a connection: its record, its secrets, and when they are rotated next. A new secret takes
    /// the place of one that was on its way.
    func store(
        _ connection: Connection,
        _ secrets: [String: SharedSecret],
        voiding voided: [String] = [],
        _ state: UnsealedState
    ) async throws -> UInt64 {
        var connection = connection
        let before = state.connections[connection.id]
        let isOther = before?.state != connection.state || before?.rotationDays != connection.rotationDays
        if isOther || !secrets.isEmpty || !voided.isEmpty { connection.rotation.due = nextRotation(connection, state) }
        let item = Self.rotationItem(connection.id)
        var mutations: [BarrierMutation] = []
        if let old = before?.rotation.due { mutations.append(.delete(item.key(at: old), expect: .any)) }
        if let due = connection.rotation.due {
            mutations.append(.put(item.key(at: due), LeaseSchedule.marker, expect: .any))
        }
        mutations.append(.put(ConnectionKey.record(connection.id), connection.encoded, expect: .any))
        for (field, secret) in secrets.sorted(by: { $0.key < $1.key }) {
            mutations.append(.put(ConnectionKey.secret(connection.id, field), secret, expect: .any))
            mutations.append(.delete(ConnectionKey.pending(connection.id, field), expect: .any))
        }
        for field in voided {
            mutations.append(.delete(ConnectionKey.secret(connection.id, field), expect: .any))
            mutations.append(.delete(ConnectionKey.pending(connection.id, field), expect: .any))
        }
        let ending = endingGrant(of: connection, before: before, state)
        mutations += ending?.mutations ?? []
        let generation = try await commit(mutations)
        state.connections.put(connection)
        if let ending {
            if let grant = ending.grant { stored(grant, state) } else { state.grants[connection.id] = nil }
        }
        if let due = connection.rotation.due { state.leases.schedule(item, at: due) }
        return generation
    }

    func setState(
        _ name: String,
        _ wanted: Connection.State,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        var what = what
        what.details.append(("state", .text(wanted.rawValue)))
        let (connection, generation) = try await inConnectionTurn { state -> (Connection, UInt64?) in
            var (connection, _) = try managedConnection(name, context)
            guard connection.state == .active || connection.state == .disabled else {
                throw VaultError.badRequest("this connection was deleted: restore it as another one")
            }
            guard connection.state != wanted else { return (connection, nil) }
            connection.state = wanted
            connection.generation += 1
            connection.updated = context.now
            return (connection, try await store(connection, [:], state))
        }
        if wanted == .disabled, generation != nil { try await revokeLeases(of: connection) }
        return Effect(.noContent, generation: generation, what: what)
    }

    /// Everything issued through a connection ends, sessions too.
    func revokeLeases(of connection: Connection) async throws {
        let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
        for name in try barrier.names(in: .lease, parent: parent) {
            let id = String(decoding: name, as: UTF8.self)
            _ = try await beginRevocation(id)
            revokeInBackground(id)
        }
    }
}
