internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Stored passwords are changed before they are old: the new one is durable before the server hears of it, proven by a
/// login before it counts, and then takes the place of the old one. One at a time per connection.
extension Vault {
    /// Connections are rotated and changed in turn.
    func inRotationTurn<R>(_ id: String, _ body: () async throws -> R) async throws -> R {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("rotation/\(id)".utf8)) { try await body() }
    }

    static func rotationItem(_ id: String) -> LeaseSchedule.Item { .rotation(Connection.leasePrefix + id) }

    /// The secrets of a connection that are rotated by themselves, the administrator's last: it sets the others. An account
    /// that several connections have is changed by hand.
    func rotated(_ connection: Connection, _ state: UnsealedState) -> [String] {
        guard connection.type == Self.postgresType, connection.state == .active else { return [] }
        return ConnectionRotation.accounts.filter { secret, field in
            guard connection.secrets[secret] != nil, let account = connection.account(field) else { return false }
            return !state.connections.isShared(account, by: connection.id)
        }.map(\.key).sorted(by: >)
    }

    /// When the oldest secret is due; nil when there is none.
    func nextRotation(_ connection: Connection, _ state: UnsealedState) -> Timestamp? {
        rotated(connection, state).compactMap { connection.secrets[$0] }.min().map {
            ConnectionRotation.due(after: $0, days: connection.rotationDays)
        }
    }

    /// What became another connection's too, or is nobody else's any more, has another due date now.
    func refreshRotation(of id: String) async throws {
        try await inConnectionTurn { state in
            guard var connection = state.connections[id] else { return }
            let isRotated = !rotated(connection, state).isEmpty
            let isLate = connection.rotation.due.map { $0.adding(seconds: 7200) < clock.now() } ?? true
            guard isRotated ? isLate : connection.rotation.due != nil else { return }
            connection.rotation.due = nextRotation(connection, state)
            _ = try await store(connection, [:], state)
        }
    }

    func rotateConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let (connection, _) = try managedConnection(name, context)
        guard let state = unsealed else { throw VaultError.sealed }
        if let grant = state.grants[connection.id] {
            guard grant.life.state != .needsConsent else { throw Self.noToken(grant) }
            guard grant.life.renewal != .none else {
                throw VaultError.badRequest("only a new consent renews the tokens of this connection: connect again")
            }
            try await refreshGrant(connection.id, .forced)
            return Effect(.noContent, generation: barrier.generation, what: what)
        }
        guard !rotated(connection, state).isEmpty else {
            throw VaultError.badRequest(
                "this connection has no password that can be rotated: none is stored, or other connections have the account"
            )
        }
        var what = what
        what.connector = connection.id
        let generation = try await rotateAll(connection.id)
        return Effect(.noContent, generation: generation, what: what)
    }

    /// - Throws: ``VaultError``; what was done is kept, and the next attempt goes on with the same new password.
    func rotateAll(_ id: String) async throws -> UInt64 {
        try await inRotationTurn(id) {
            guard let state = unsealed, let connection = state.connections[id] else { throw VaultError.notFound }
            var generation = barrier.generation ?? 0
            // What an earlier attempt has left open, the administrator's first: it is needed for the others.
            try await settleSecrets(of: connection)
            for secret in rotated(connection, state) { generation = try await rotateSecret(id, secret) }
            return generation
        }
    }

    private func settleSecrets(
        of connection: Connection,
        _ secrets: [String] = ["admin_password", "password"]
    ) async throws {
        guard connection.type == Self.postgresType else { return }
        for secret in secrets where connection.secrets[secret] != nil {
            try await settle(connection.id, secret)
        }
    }

    /// Settles what a restart, or a broker that went away, has left open in a connection.
    /// - Throws: ``VaultError``.
    func settleRotation(of id: String, _ secrets: [String] = ["admin_password", "password"]) async throws {
        let parent = ConnectionKey.pending(id)
        guard try !barrier.names(in: .connection, parent: parent).isEmpty else { return }
        try await inRotationTurn(id) {
            guard let connection = unsealed?.connections[id] else { return }
            try await settleSecrets(of: connection, secrets)
        }
    }

    /// A rotation that was cut off: finds out whether the new password is in force already.
    private func settle(_ id: String, _ secret: String) async throws {
        guard let connection = unsealed?.connections[id],
            let pending = try barrier.get(ConnectionKey.pending(id, secret))?.value,
            let account = ConnectionRotation.accounts[secret], let user = connection.fields[account]
        else { return }
        let hasAdministrator = connection.secrets["admin_password"] != nil && connection.fields["admin_username"] != nil
        let (target, old) = try postgres(connection, administrator: secret == "admin_password")
        if try await works(pending, as: user, target, id, secret) {
            _ = try await promote(id, secret, pending)
        } else if try await works(old, as: user, target, id, secret) {
            try await inConnectionTurn { state in
                guard var connection = state.connections[id] else { return }
                connection.rotation.unsure.removeAll { $0 == secret }
                _ = try await store(connection, [:], state)
            }
        } else if secret == "admin_password" || !hasAdministrator {
            let reason =
                "whether the password of \(user) was changed is unsure: neither the old nor the new one works now"
            try await failed(id, secret, isSure: false, reason)
            throw VaultError(.upstream, reason)
        }
        // Else the administrator sets it again at the next rotation, whatever it is now.
    }

    /// - Throws: ``VaultError`` when the server says neither yes nor no: then nothing is known.
    private func works(
        _ password: SharedSecret,
        as user: String,
        _ target: DatabaseTarget,
        _ id: String,
        _ secret: String
    ) async throws -> Bool {
        do {
            return try await provesItself(user, password, target, Connection.leasePrefix + id)
        } catch {
            let reason = VaultError(mapping: error).message
            try await failed(
                id,
                secret,
                isSure: false,
                "whether the password of \(user) was changed is unsure: \(reason)"
            )
            throw error
        }
    }

    private func rotateSecret(_ id: String, _ secret: String) async throws -> UInt64 {
        guard let connection = unsealed?.connections[id], let account = ConnectionRotation.accounts[secret],
            let user = connection.fields[account]
        else { throw VaultError.notFound }
        // The administration account sets it, itself too; without one the account sets its own.
        let hasAdministrator = connection.secrets["admin_password"] != nil && connection.fields["admin_username"] != nil
        let (target, password) = try postgres(connection, administrator: hasAdministrator)
        let key = ConnectionKey.pending(id, secret)
        let known = try barrier.get(key)?.value
        let pending = known ?? Random.secretBase62(32)
        if known == nil { _ = try await commit([.put(key, pending, expect: .any)]) }
        do {
            try await setPassword(of: user, to: pending, [], target, connection.leaseConnection, password)
        } catch {
            let failure = VaultError(mapping: error)
            if Self.hasSetNothing(error, isNew: known == nil, []) {
                // To try passwords now would only add to the refusals.
                if known == nil { _ = try await commit([.delete(key, expect: .any)]) }
                try await failed(id, secret, isSure: known == nil, failure.message)
                throw error
            }
            guard await worksAs(user, pending, target, connection.leaseConnection) else {
                let old = try barrier.get(ConnectionKey.secret(id, secret))?.value
                let isSure = if let old { await worksAs(user, old, target, connection.leaseConnection) } else { false }
                try await failed(id, secret, isSure: isSure, failure.message)
                throw error
            }
        }
        return try await promote(id, secret, pending)
    }

    private func promote(_ id: String, _ secret: String, _ pending: SharedSecret) async throws -> UInt64 {
        try await inConnectionTurn { state in
            guard var connection = state.connections[id], let set = connection.secrets[secret] else {
                throw VaultError(.upstream, "the connection changed while its password was rotated")
            }
            let now = clock.now()
            connection.rotation.replaced(secret, set: set, days: connection.rotationDays, at: now)
            connection.secrets[secret] = now
            connection.rotation.last = now
            connection.rotation.attempts = 0
            connection.rotation.failure = nil
            connection.rotation.unsure.removeAll { $0 == secret }
            return try await store(connection, [secret: pending], state)
        }
    }

    /// Tried again after 10, 20, 40 … 3600 seconds: an account that locks after failures is not kept locked.
    private func failed(_ id: String, _ secret: String, isSure: Bool, _ reason: String) async throws {
        try await inConnectionTurn { state in
            guard var connection = state.connections[id] else { return }
            connection.rotation.attempts += 1
            connection.rotation.failure = reason
            if isSure {
                connection.rotation.unsure.removeAll { $0 == secret }
            } else if !connection.rotation.unsure.contains(secret) {
                connection.rotation.unsure.append(secret)
            }
            let delay = min(3600, Int64(10) << min(connection.rotation.attempts - 1, 9))
            connection.rotation.due = clock.now().adding(seconds: delay)
            _ = try await store(connection, [:], state)
        }
    }

    /// A due rotation of the schedule, between records of its own.
    func rotateConnectionWhenDue(_ item: String, _ now: Timestamp) {
        let id = String(item.dropFirst(Connection.leasePrefix.utf8.count))
        guard let state = unsealed, let connection = state.connections[id], let due = connection.rotation.due else {
            return
        }
        guard due <= now else { return state.leases.schedule(.rotation(item), at: due) }
        guard !state.rotations.isBusy(id) else { return }
        state.rotations.append(id, of: connection.ownerOfTurns)
        continueRotations(state)
    }

    private func continueRotations(_ state: UnsealedState) {
        while unsealed === state, let id = state.rotations.next() {
            let now = clock.now()
            guard let connection = state.connections[id], let due = connection.rotation.due, due <= now else {
                // Rotated by hand while it waited.
                state.rotations.end(id)
                rotateConnectionWhenDue(Connection.leasePrefix + id, now)
                continue
            }
            Task {
                do {
                    try await self.recorded(.rotationStart, AuditWhat(connector: id)) {
                        _ = try await self.rotateAll(id)
                    }
                } catch {
                    self.journal(
                        true,
                        "passwords of a connection could not be rotated and are tried again",
                        ["connection": connection.name, "reason": VaultError(mapping: error).message]
                    )
                    // A failure before the attempt was written down: the schedule knows nothing of it.
                    if self.unsealed?.connections[id]?.rotation.due ?? now <= now {
                        state.leases.push(Self.rotationItem(id), at: self.clock.now().adding(seconds: 60))
                    }
                }
                state.rotations.end(id)
                self.continueRotations(state)
            }
        }
    }

    // MARK: overview

    /// `connectors/rotations`: age, due date and last result of every stored password, and how many credential-days of the
    /// last 30 days were within their limit.
    func rotationsOverview(_ context: RequestContext) throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        var rows: [JSONValue] = []
        var (within, all): (Int64, Int64) = (0, 0)
        for connection in state.connections.all where connection.state == .active || connection.state == .disabled {
            guard try access(to: connection, context).maySee else { continue }
            if let grant = rotation(of: connection, at: context.now) {
                (within, all) = (within + grant.within, all + grant.all)
                rows.append(grant.row)
            }
            let rotated = rotated(connection, state)
            for (secret, set) in connection.secrets.sorted(by: { $0.key < $1.key }) {
                let isRotated = rotated.contains(secret)
                let days = connection.rotation.compliance(
                    secret,
                    set: set,
                    days: connection.rotationDays,
                    since: connection.created,
                    at: context.now
                )
                (within, all) = (within + days.within, all + days.all)
                rows.append([
                    "age_days": .integer((context.now.seconds - set.seconds) / 86_400),
                    "automatic": .bool(isRotated), "connection": .string(connection.name),
                    "due": .string(set.adding(seconds: connection.rotationDays * 86_400).rfc3339),
                    "failure": connection.rotation.failure.map { .string($0) } ?? .null,
                    "is_unsure": .bool(connection.rotation.unsure.contains(secret)),
                    "next_attempt": isRotated
                        ? connection.rotation.due.map { .string($0.rfc3339) } ?? .null : .null,
                    "secret": .string(secret), "since": .string(set.rfc3339),
                ])
            }
        }
        // What was stored this very second has not been late yet.
        let perMille = all == 0 ? 1000 : within * 1000 / all
        return Effect(
            .data([
                "compliance": [
                    "credential_days": .integer(all / 86_400), "days": .integer(30),
                    "percent": rows.isEmpty ? .null : .number("\(perMille / 10).\(perMille % 10)"),
                    "within_limit": .integer(within / 86_400),
                ], "rotations": .array(rows),
            ])
        )
    }
}
