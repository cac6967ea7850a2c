internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Once an hour, and soon after each opening: what is at the servers is held against the leases.
///
/// Only what carries a role of our own connection is ours: another vault may use the same server.
extension Vault {
    private static let period: Int64 = 3600
    /// Seconds after which a visit begins nothing more, and logins without a lease that it removes: a server names as many
    /// as it likes, and each costs two records.
    private static let longestVisit: Int64 = 300
    private static let mostOrphans = 100

    func reconcileWhenDue(_ state: UnsealedState, _ now: Timestamp) {
        guard now.seconds >= state.nextReconciliation else { return }
        state.nextReconciliation = now.seconds + Self.period
        for connection in state.connections.all
        where connection.state == .active && connection.type == Self.postgresType {
            state.reconciliations.append(connection.id, of: connection.ownerOfTurns)
        }
        continueReconciliations(state)
    }

    private func continueReconciliations(_ state: UnsealedState) {
        while unsealed === state, let id = state.reconciliations.next() {
            Task {
                do {
                    try await self.settleRotation(of: id)
                    try await self.refreshRotation(of: id)
                    if self.unsealed?.connections[id]?.roles.isEmpty == false { try await self.reconcile(id) }
                } catch {
                    self.journal(
                        true,
                        "a connection could not be held against its server",
                        ["connection": id, "reason": VaultError(mapping: error).message]
                    )
                }
                state.reconciliations.end(id)
                self.continueReconciliations(state)
            }
        }
    }

    /// What was found and mended.
    struct Reconciliation: Sendable {
        /// Logins of ours without a lease.
        var orphans: [String] = []
        /// Leases whose login is gone.
        var lost: [String] = []
        /// Roles that hold rights for nobody any more.
        var idleRoles: [String] = []
        /// Logins without a lease that the server does not let go, such as owners of a table.
        var stuck: [String] = []
        /// What logins could do other than their plan says, and can no more.
        var mended: [String] = []
        /// What they still can: it is not Coffre's to take away.
        var wider: [String] = []
        /// Roles that hold rights for nobody any more, and that the server does not let go.
        var stuckRoles: [String] = []
        /// Whether the visit did all that there was to do.
        var isComplete = true

        var json: JSONValue {
            [
                "idle_roles_dropped": .strings(idleRoles), "is_complete": .bool(isComplete),
                "leases_without_login": .strings(lost),
                "logins_that_stay": .strings(stuck), "logins_without_lease": .strings(orphans),
                "rights_mended": .strings(mended),
                "rights_that_differ": .strings(wider), "roles_that_stay": .strings(stuckRoles),
            ]
        }
    }

    /// `connectors/connections/<name>/reconcile`.
    func reconcileConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let (connection, _) = try managedConnection(name, context)
        var what = what
        what.connector = connection.id
        return Effect(.data(try await reconcile(connection.id).json), generation: barrier.generation, what: what)
    }

    @discardableResult
    func reconcile(_ id: String) async throws -> Reconciliation {
        guard let connection = unsealed?.connections[id] else { throw VaultError.notFound }
        let (target, password) = try postgres(connection, administrator: true)
        let before = clock.now()
        let end = before.adding(seconds: Self.longestVisit)
        let roles = try await rolesAtServer(target, password, of: connection.leaseConnection, until: end)
        // Leases after the server was asked: a login that was made meanwhile has one.
        var leases: [String: LeaseRecord] = [:]
        let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
        for name in try barrier.names(in: .lease, parent: parent) {
            if let lease = try lease(String(decoding: name, as: UTF8.self)) { leases[lease.username] = lease }
        }
        var found = Reconciliation()
        let ours = Set(connection.roles)
        for role in roles where role.isLogin && role.memberOf.contains(where: ours.contains) {
            guard leases[role.name] == nil else { continue }
            guard found.orphans.count < Self.mostOrphans, clock.now() < end else {
                found.isComplete = false
                break
            }
            found.orphans.append(role.name)
            let what = AuditWhat(connector: id, details: [("login", .text(role.name)), ("orphan", .flag(true))])
            do {
                try await recorded(.leaseRevoke, what) {
                    let job = target.job(.revoke, login: role.name)
                    _ = try await runJob(job, of: connection.leaseConnection, adminPassword: password)
                }
            } catch let error as VaultError where error.brokerFailure?.code == .statement {
                // It is in the way of itself alone.
                found.stuck.append(role.name)
            }
        }
        let names = Set(roles.map(\.name))
        for (username, lease) in leases
        where lease.state == .active && lease.issued < before && !names.contains(username) {
            found.lost.append(lease.id)
            try await revokeRecorded(lease.id)
        }
        let needed = Set(leases.values.compactMap { $0.grant?.role })
        let idle = roles.filter {
            !$0.isLogin && ours.contains($0.name) && !needed.contains($0.name) && $0.members == 0
        }
        // Before anything is tidied: what is in the way of that must not keep wider rights from being seen.
        try await checkRights(
            connection,
            leases.values.filter { names.contains($0.username) },
            target,
            password,
            until: end,
            &found
        )
        for role in idle.map(\.name) + ours.filter({ !names.contains($0) && !needed.contains($0) }) {
            if names.contains(role) {
                guard clock.now() < end else {
                    found.isComplete = false
                    break
                }
                do {
                    try await retire(role, of: connection, target, password)
                } catch let error as VaultError where Self.isInItsOwnWay(error) {
                    found.stuckRoles.append(role)
                    continue
                }
                found.idleRoles.append(role)
            }
            try await forget(role, of: id)
        }
        if !found.orphans.isEmpty || !found.lost.isEmpty {
            journal(
                true,
                "logins and leases of a connection differed and were mended",
                [
                    "connection": connection.name, "logins_without_lease": "\(found.orphans.count)",
                    "leases_without_login": "\(found.lost.count)",
                ]
            )
        }
        return found
    }

    /// A role that the server does not let go, or not by this administrator, is in the way of itself alone.
    static func isInItsOwnWay(_ error: VaultError) -> Bool {
        error.brokerFailure?.code == .statement || error.brokerFailure?.code == .rights
    }

    private func rolesAtServer(
        _ target: DatabaseTarget,
        _ password: SharedSecret,
        of account: String,
        until end: Timestamp
    ) async throws -> [DatabaseRoles.Role] {
        var all: [DatabaseRoles.Role] = []
        var after: String?
        while true {
            let job = target.job(.audit, task: .audit(after: after))
            let answer = try await runJob(job, of: account, adminPassword: password)
            guard case .audited(let page) = answer else {
                throw VaultError(.upstream, "the broker answered something else than was asked")
            }
            all += page.roles
            guard page.isTruncated, let last = page.roles.last else { return all }
            // With a part of them, leases would be taken for lost.
            guard all.count < 200_000, clock.now() < end else {
                throw VaultError(.upstream, "the server names more roles than can be looked at in one visit")
            }
            after = last.name
        }
    }

    /// A role that a lease has taken up again meanwhile is kept.
    private func forget(_ role: String, of id: String) async throws {
        try await inConnectionTurn { state in
            guard var connection = state.connections[id], connection.roles.contains(role) else { return }
            let parent = BarrierKey.leaseConnectionParent(connection.leaseConnection)
            for name in try barrier.names(in: .lease, parent: parent)
            where try lease(String(decoding: name, as: UTF8.self))?.grant?.role == role { return }
            connection.roles.removeAll { $0 == role }
            _ = try await store(connection, [:], state)
        }
    }

    // MARK: rights

    /// Holds what the logins can do against the rights that they were issued with: one login of each role, as the role has
    /// the rights. What the role was given or lost is set right; what comes another way, such as a grant to PUBLIC, is told.
    private func checkRights(
        _ connection: Connection,
        _ leases: [LeaseRecord],
        _ target: DatabaseTarget,
        _ password: SharedSecret,
        until end: Timestamp,
        _ found: inout Reconciliation
    ) async throws {
        var seen: Set<String> = []
        for lease in leases.sorted(by: { $0.expires > $1.expires }) where lease.state == .active {
            guard let grant = lease.grant, let rights = EffectiveRights(json: grant.rights),
                Self.groupRole(connection, rights) == grant.role, seen.insert(grant.role).inserted
            else { continue }
            guard clock.now() < end else {
                found.isComplete = false
                return
            }
            let plan = try await grantPlan(connection, rights, target, password)
            // It may have been renewed, or ended, since the leases were read.
            guard let lease = try self.lease(lease.id), lease.state == .active else { continue }
            func differences(isRepairing: Bool) async throws -> [String] {
                let job: BrokerJob
                do throws(BrokerWireError) {
                    job = target.job(
                        .check,
                        login: lease.username,
                        validUntil: lease.expires.seconds,
                        task: .check(try GrantCheck(plan: plan, isRepairing: isRepairing))
                    )
                } catch {
                    throw VaultError(.internalError, "internal error", cause: error)
                }
                let answer = try await runJob(job, of: connection.leaseConnection, adminPassword: password)
                guard case .differs(let differences) = answer else { return [] }
                return differences.list.map { "\($0.kind.name):\($0.object)" }
            }
            let before: [String]
            do {
                before = try await differences(isRepairing: false)
            } catch {
                // A login that ended since, or a server that went away: the next look tells.
                guard VaultError(mapping: error).brokerFailure?.sqlState != "42704" else { continue }
                throw error
            }
            guard !before.isEmpty, try self.lease(lease.id)?.expires == lease.expires else { continue }
            let after: [String]
            do {
                after = try await repaired(before, connection, grant.role) {
                    try await differences(isRepairing: true)
                }
            } catch let error as VaultError where error.brokerFailure?.sqlState == "42704" {
                continue
            }
            let mended = before.filter { !after.contains($0) }
            found.mended += mended
            found.wider += after
            try await tellOfRights(connection, grant.role, mended, after)
        }
    }

    /// GRANT and REVOKE between records of their own: what is about to be changed is in the log before it is.
    private func repaired(
        _ differences: [String],
        _ connection: Connection,
        _ role: String,
        _ body: () async throws -> [String]
    ) async throws -> [String] {
        let what = AuditWhat(
            connector: connection.id,
            details: [
                ("role", .text(role)), ("differences", .int(Int64(differences.count))),
                ("first", .text(differences.prefix(4).joined(separator: "; "))),
            ]
        )
        var left: [String] = []
        try await recorded(.roleGrant, what) { left = try await body() }
        return left
    }

    /// Somebody at the server gave, or took, what is not in the matrix.
    private func tellOfRights(
        _ connection: Connection,
        _ role: String,
        _ mended: [String],
        _ left: [String]
    ) async throws {
        let draft = AuditDraft(
            .anomalyRaise,
            outcome: .error,
            error: "rights_differ",
            correlation: Random.base62(16),
            acceptedAt: clock.monotonic(),
            who: AuditWho.system,
            what: AuditWhat(
                connector: connection.id,
                details: [
                    ("kind", .text("rights_differ")), ("role", .text(role)), ("mended", .int(Int64(mended.count))),
                    ("left", .int(Int64(left.count))),
                ]
            )
        )
        try await appendRecord(draft)
        journal(
            true,
            "logins of a connection could do other than its matrix says",
            [
                "connection": connection.name, "mended": mended.prefix(8).joined(separator: "; "),
                "left": left.prefix(8).joined(separator: "; "),
            ]
        )
    }
}
