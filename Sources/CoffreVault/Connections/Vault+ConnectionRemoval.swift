internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// A connection ends on both sides: what it has issued is taken back at the server first, then its secrets are wiped here.
/// Its configuration stays, so that another connection can be made of it.
extension Vault {
    private static let daysOfUse: Int64 = 30

    /// `connectors/connections/<name>/consequences`: who would miss it.
    func connectionConsequences(_ name: String, _ context: RequestContext) async throws -> Effect {
        let (connection, _) = try managedConnection(name, context)
        return Effect(.data(try await consequences(of: connection, context.now)))
    }

    func consequences(of connection: Connection, _ now: Timestamp) async throws -> JSONValue {
        let leases = try barrier.names(
            in: .lease,
            parent: BarrierKey.leaseConnectionParent(connection.leaseConnection)
        ).count
        var query = AuditQuery()
        query.since = (now.seconds - Self.daysOfUse * 86_400) * 1_000_000
        query.filter.connector = connection.id
        query.filter.operation = .leaseIssue
        query.limit = 1000
        let page = try await auditPage(query)
        var users: [String: Int64] = [:]
        for record in page["records"]?.array ?? [] where record["ph"]?.string == "outcome" {
            guard let who = record["who"] else { continue }
            let actor = who["for"]?.string ?? who["sid"]?.string ?? who["unit"]?.string ?? "uid"
            users[actor, default: 0] += 1
        }
        return [
            "id": .string(connection.id), "leases": .integer(leases), "days": .integer(Self.daysOfUse),
            "users": .array(
                users.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
                    ["subject": .string($0.key), "records": .integer($0.value)]
                }
            ), "is_complete": .bool(page["next"] == .null),
            "secrets": .strings(connection.secrets.keys.sorted()),
        ]
    }

    func removeConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        if GoBool.parse(context.query("dry_run") ?? "false") ?? true {
            return try await connectionConsequences(name, context)
        }
        let isForced = GoBool.parse(context.query("force") ?? "false") ?? false
        let (id, generation) = try await inConnectionTurn { state in
            var (connection, access) = try managedConnection(name, context)
            guard connection.state != .deleted else { throw VaultError.notFound }
            guard !isForced || access.isAdministrator else {
                throw VaultError(.permissionDenied, "only an administrator may forget what is left at a server (force)")
            }
            connection.state = .removing
            connection.generation += 1
            connection.updated = context.now
            return (connection.id, try await store(connection, [:], state))
        }
        let local = unsealed.flatMap { localEnding(of: id, $0) }
        var what = what
        what.connector = id
        if isForced { what.details.append(("forced", .flag(true))) }
        let left: [String]
        do {
            left = try await finishRemoval(id, isForced: isForced)
        } catch {
            var reply = Reply.data(["id": .string(id), "state": "removing"], status: 202)
            let reason = VaultError(mapping: error).message
            reply.warnings = [
                "the connection gives nothing out any more; what it left at the server is still being taken back, "
                    + "tried again until it works: \(reason); where the server is gone for good, an administrator can force it"
            ]
            return Effect(reply, generation: generation, what: what)
        }
        var reply = Reply.data(["id": .string(id), "state": "deleted"])
        if let local { reply.warnings = [local] }
        if !left.isEmpty {
            reply.warnings += [
                "roles that hold rights for nobody stay at the server, because they own something there: "
                    + left.prefix(8).joined(separator: ", ")
            ]
        }
        return Effect(reply, generation: barrier.generation, what: what)
    }

    /// Takes back what is left, then wipes. Done again by the tick until it works.
    /// - Parameter isForced: nothing is asked of the server, which is gone for good: what is left there is forgotten.
    /// - Returns: roles that stay at the server.
    /// - Throws: ``VaultError`` of the broker or the server.
    @discardableResult
    func finishRemoval(_ id: String, isForced: Bool = false) async throws -> [String] {
        guard let state = unsealed else { throw VaultError.sealed }
        guard let connection = state.connections[id], connection.state == .removing else { return [] }
        var left: [String] = []
        let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
        if !isForced, connection.secrets["admin_password"] != nil {
            // The password that is in force may be the one of a rotation that was cut off.
            try await settleRotation(of: id, ["admin_password"])
        }
        let leases = try barrier.names(in: .lease, parent: parent).map { String(decoding: $0, as: UTF8.self) }
        if let failure = await revokeTogether(leases, isForced: isForced).values.first { throw failure }
        if !isForced {
            if !connection.roles.isEmpty, connection.secrets["admin_password"] != nil {
                let found = try await reconcile(id)
                guard found.stuck.isEmpty else {
                    throw VaultError(
                        .upstream,
                        "logins that own something stay at the server: \(found.stuck.prefix(8).joined(separator: ", "))"
                    )
                }
                guard found.isComplete else {
                    throw VaultError(.upstream, "there is more at the server than one visit removes: it goes on")
                }
            }
            // A role without members gives nobody anything: it is no reason to keep the secrets.
            left = try await retireRoles(of: connection)
            if !left.isEmpty {
                journal(
                    true,
                    "roles of a connection that is removed stay at its server, because they own something there",
                    ["connection": connection.name, "roles": left.prefix(8).joined(separator: "; ")]
                )
            }
        }
        if !isForced { try await revokeGrant(id) }
        try await beginForgetting(id)
        try await inConnectionTurn { state in
            guard var connection = state.connections[id], connection.state == .removing else { return }
            let fields = try barrier.names(in: .connection, parent: ConnectionKey.secrets(id)).map {
                String(decoding: $0, as: UTF8.self)
            }
            connection.state = .deleted
            connection.secrets = [:]
            connection.deleted = clock.now()
            _ = try await store(connection, [:], voiding: fields, state)
        }
        return left
    }

    /// Once a minute: removals that a crash, or a server that was away, has left unfinished.
    func continueConnectionRemovals(_ state: UnsealedState) {
        for connection in state.connections.all where connection.state == .removing {
            guard !state.removals.isBusy(connection.id) else { continue }
            state.removals.append(connection.id, of: connection.ownerOfTurns)
        }
        endConnections(state)
    }

    private func endConnections(_ state: UnsealedState) {
        while unsealed === state, let id = state.removals.next() {
            Task {
                do { try await self.finishRemoval(id) } catch {
                    self.journal(
                        true,
                        "a connection could not be removed at its server yet and is tried again",
                        ["connection": id, "reason": VaultError(mapping: error).message]
                    )
                }
                state.removals.end(id)
                self.endConnections(state)
            }
        }
    }

    /// Makes a new connection of a deleted one: its configuration, not its secrets, and its rights for its owner alone.
    func restoreConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        try await inConnectionTurn { state in
            let found =
                state.connections[name]
                ?? state.connections.all.filter { $0.state == .deleted && $0.name == name }
                .max { ($0.deleted ?? $0.created) < ($1.deleted ?? $1.created) }
            guard let old = found else { throw VaultError.permissionDenied }
            let caller = context.caller
            let isOwner = !old.rights.owner.isEmpty && caller?.entityID == old.rights.owner && caller?.person == nil
            guard isOwner || caller?.acl.decide(.update, path: context.path).hasSudo ?? false else {
                throw VaultError.permissionDenied
            }
            guard old.state == .deleted else { throw VaultError.badRequest("this connection is not deleted") }
            try checkName(old.name, state)
            try checkCount(of: old.rights.owner, state)
            var connection = Connection(
                id: Connection.makeID(),
                name: old.name,
                type: old.type,
                owner: old.rights.owner,
                at: context.now
            )
            connection.label = old.label
            connection.labels = old.labels
            connection.fields = old.fields
            connection.rotationDays = old.rotationDays
            connection.needsApproval = old.needsApproval
            connection.rowLimit = old.rowLimit
            // The cells, so that they need not be entered again; the grants must be given anew.
            connection.rights.tables = old.rights.tables
            connection.rights.masked = old.rights.masked
            connection.rights.isReadOnly = old.rights.isReadOnly
            let generation = try await store(connection, [:], state)
            var what = what
            what.connector = connection.id
            what.details.append(("from", .text(old.id)))
            var reply = Reply.data(describe(connection, try access(to: connection, context)))
            reply.warnings = [
                "its secrets were wiped: enter them again; it is its owner's alone until permissions are given again"
            ]
            return Effect(reply, generation: generation, what: what)
        }
    }
}
