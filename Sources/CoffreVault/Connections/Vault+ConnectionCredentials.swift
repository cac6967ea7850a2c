internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What a caller is about to get through a connection.
struct ConnectionOrder: Sendable {
    let connection: Connection
    let rights: EffectiveRights
    /// Of the person or service; empty for an administrator in nobody's name.
    let entity: String
    /// Of the service that asks for the person; nil when nobody stands between.
    let service: String?
    let isAdministrator: Bool
    /// Seconds.
    let ttl: Int64
}

/// `connectors/creds/<name>`: a login for minutes, with the rights of the person who asks.
///
/// The order is that of `database/creds`: lease row `preparing`, the job, `active`, outcome record, answer.
extension Vault {
    func connectionCredentialsEndpoint(_ context: RequestContext, _ name: String, _ what: AuditWhat) -> Endpoint {
        var what = what
        what.connector = unsealed?.connections.find(name)?.id
        if let again = handOutAgainEndpoint(context, name, what) { return again }
        let leaseID = context.pathText + "/" + Random.base62(24)
        what.lease = leaseID
        let facts = what
        return .change(.leaseIssue, facts, .capability(.read)) { vault, context in
            try await vault.issueConnectionLogin(leaseID, name, facts, context)
        }
    }

    private func issueConnectionLogin(
        _ leaseID: String,
        _ name: String,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        let order = try connectionOrder(name, ttl: try requestedTTL(context), context)
        guard !order.connection.needsApproval else { return try await requestApproval(order, what, context) }
        return try await handOut(order, leaseID, what, context)
    }

    /// What would be handed out to this caller now.
    /// - Throws: ``VaultError`` when that is nothing.
    func connectionOrder(
        _ name: String,
        ttl: Int64,
        _ context: RequestContext,
        on path: [UInt8]? = nil
    ) throws -> ConnectionOrder {
        guard let caller = context.caller else { throw VaultError.permissionDenied }
        guard caller.person != nil || !caller.demandsPerson else {
            throw VaultError(
                .permissionDenied,
                "this service gets credentials for a person only, whom X-Coffre-Subject must name"
            )
        }
        let (connection, access) = try visibleConnection(name, context, on: path)
        guard connection.state == .active else {
            throw VaultError.badRequest("this connection is \(connection.state.rawValue): nothing is handed out")
        }
        let isAdministrator = access.isAdministrator && access.entity.isEmpty
        let rights = isAdministrator ? connection.rights.ofAdministrator : access.rights
        // Who may see every connection by sudo gets nothing of one that says none to it.
        guard rights.level > .none else { throw VaultError.permissionDenied }
        if isOAuth(connection) {
            try checkTokenRights(connection, rights)
        } else if rights.cells.isEmpty {
            throw VaultError(
                .permissionDenied,
                "no table of this connection is open to you: its owner gives rights with coffre connection permissions"
            )
        }
        return ConnectionOrder(
            connection: connection,
            rights: rights,
            entity: access.entity,
            service: access.service,
            isAdministrator: isAdministrator,
            ttl: ttl
        )
    }

    func handOut(
        _ order: ConnectionOrder,
        _ leaseID: String,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        let (connection, rights) = (order.connection, order.rights)
        guard !isOAuth(connection) else { return try await handOutToken(order, leaseID, what, context) }
        let (target, password) = try postgres(connection, administrator: true)
        try checkLeaseCount(of: caller)
        let login = try NewLogin(
            username: Self.makeUsername(connection: connection.name),
            password: Random.secretBase62(32),
            expires: context.now.adding(seconds: order.ttl)
        )
        let role = Self.groupRole(connection, rights)
        var lease = LeaseRecord(
            id: leaseID,
            issued: context.now,
            expires: login.expires,
            latest: connection.needsApproval
                ? login.expires : context.now.adding(seconds: configuration.maximumLeaseTTL),
            owner: caller.owner,
            connection: connection.leaseConnection,
            username: login.username,
            revocationStatements: [],
            renewStatements: []
        )
        lease.grant = LeaseRecord.Grant(
            entity: order.entity,
            service: order.service,
            isAdministrator: order.isAdministrator,
            rights: rights.json,
            role: role
        )
        let plan = try await grantPlan(connection, rights, target, password)
        // Until this request is over nobody takes the lease for one whose login can be revoked.
        state.preparing.insert(leaseID)
        defer { state.preparing.remove(leaseID) }
        try await prepare(lease, role, of: connection)
        do {
            try await provision(login, plan, target, password, of: connection.leaseConnection)
            lease.state = .active
            let active = lease
            // With fewer rights meanwhile nothing becomes active either.
            let generation = try await activate(active, for: caller, state) {
                guard let now = state.connections[connection.id] else { return false }
                return now.generation == connection.generation && isCovered(active, now, state)
            }
            state.leases.schedule(.lease(leaseID), at: lease.expires)
            var reply = Reply.data(answer(login, connection, rights))
            reply.leaseID = leaseID
            reply.isRenewable = true
            reply.leaseDuration = lease.remaining(at: clock.now())
            var what = what
            what.connector = connection.id
            what.version = Int(connection.rightsVersion)
            what.details += [
                ("level", .text(rights.level.rawValue)), ("role", .text(role)),
                ("tables", .int(Int64(rights.cells.count))),
            ]
            return Effect(reply, generation: generation, what: what)
        } catch {
            await abandon(leaseID, after: error, state)
            throw error
        }
    }

    /// In turn with changes of the connection: what was looked at must still hold when the lease begins. Before a role is
    /// made it is known of: whatever happens, it can be found again and dropped.
    private func prepare(_ lease: LeaseRecord, _ role: String, of connection: Connection) async throws {
        try await inConnectionTurn { state in
            guard var now = state.connections[connection.id], now.state == .active,
                now.generation == connection.generation
            else { throw VaultError.badRequest("the connection was changed at this very moment: ask again") }
            if !now.roles.contains(role) {
                now.roles = (now.roles + [role]).sorted()
                _ = try await store(now, [:], state)
            }
            _ = try await commit(storing(lease))
            state.leasedConnections?.insert(connection.id)
        }
    }

    /// As for a role of the database engine; what would look like a role that holds rights (`coffre_g_…`) gets a letter
    /// before it.
    private static func makeUsername(connection name: String) -> String {
        makeUsername(role: name.lowercased().hasPrefix("g") ? "c-" + name : name)
    }

    /// `?ttl=`, within the vault's limits.
    func requestedTTL(_ context: RequestContext) throws -> Int64 {
        guard let text = context.query("ttl") else { return configuration.defaultLeaseTTL }
        guard let seconds = GoDuration.seconds(text), seconds > 0 else {
            throw VaultError.badRequest("ttl is a duration such as 15m")
        }
        return min(seconds, configuration.maximumLeaseTTL)
    }

    private func provision(
        _ login: NewLogin,
        _ plan: GrantPlan,
        _ target: DatabaseTarget,
        _ password: SharedSecret,
        of account: String
    ) async throws {
        let provision: GrantProvision
        do throws(BrokerWireError) {
            provision = try GrantProvision(plan: plan, verifier: login.verifier)
        } catch {
            throw VaultError(.internalError, "internal error", cause: error)
        }
        let job = target.job(
            .provision,
            login: login.username,
            validUntil: login.expires.seconds,
            task: .provision(provision)
        )
        let answer = try await runJob(job, of: account, adminPassword: password, loginPassword: login.password)
        if case .differs(let differences) = answer { throw Self.refusal(differences) }
    }

    private func answer(_ login: NewLogin, _ connection: Connection, _ rights: EffectiveRights) -> ResponseBody {
        let members: [JSONValue.Member] = ["database", "host", "port", "ssl_mode"].compactMap { name in
            connection.fields[name].map { .init(name, .string($0)) }
        }
        var body = ResponseBody(Array(JSONValue.object(members).encoded().dropLast()))
        body.append(text: (members.isEmpty ? "" : ",") + #""password":"#)
        body.append(login.password.asJSONText)
        body.append(text: #","rights":"#)
        body.append(rights.json.encoded())
        body.append(text: #","username":"\#(login.username)"}"#)
        return body
    }

    // MARK: the end of a login

    private func connection(of lease: LeaseRecord) throws -> Connection {
        guard let state = unsealed else { throw VaultError.sealed }
        let id = String(lease.connection.dropFirst(Connection.leasePrefix.utf8.count))
        guard let connection = state.connections[id] else {
            throw VaultError(.upstream, "the connection that this lease needs is missing")
        }
        return connection
    }

    func revokeConnectionLogin(_ lease: LeaseRecord) async throws {
        // A token that was handed out is everybody's of that connection: it ends by itself, or with the grant.
        guard !lease.username.isEmpty else { return }
        try await withdraw(lease.username, of: try connection(of: lease).id)
    }

    func renewConnectionLogin(_ lease: LeaseRecord) async throws {
        guard let state = unsealed else { throw VaultError.sealed }
        let connection = try connection(of: lease)
        guard isCovered(lease, connection, state) else { throw VaultError.permissionDenied }
        guard !lease.username.isEmpty else {
            throw VaultError.badRequest("lease is not renewable: ask for the token again, it is refreshed in time")
        }
        let (target, password) = try postgres(connection, administrator: true)
        let job = target.job(.renew, login: lease.username, validUntil: lease.expires.seconds)
        _ = try await runJob(job, of: lease.connection, adminPassword: password)
    }

    /// Drops the roles that held its rights at the server, as far as leases tell of them.
    /// - Returns: those that the server does not let go, because they own something; they hold rights for nobody.
    func retireRoles(of connection: Connection) async throws -> [String] {
        guard connection.type == Self.postgresType, connection.secrets["admin_password"] != nil else { return [] }
        let (target, password) = try postgres(connection, administrator: true)
        var stuck: [String] = []
        for role in connection.roles {
            do {
                try await retire(role, of: connection, target, password)
            } catch let error as VaultError where error.brokerFailure?.sqlState == "2BP01" {
                stuck.append(role)
            }
        }
        return stuck
    }

    /// Drops one role that holds rights for nobody any more, between records of its own.
    func retire(
        _ role: String,
        of connection: Connection,
        _ target: DatabaseTarget,
        _ password: SharedSecret
    ) async throws {
        try await recorded(.roleRevoke, AuditWhat(connector: connection.id, details: [("role", .text(role))])) {
            let job = target.job(.retire, task: .retire(group: role))
            _ = try await runJob(job, of: connection.leaseConnection, adminPassword: password)
        }
    }
}
