internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Use by a second person's leave. The answer to the request is a wrapping token, as Vault's control groups give one;
/// who asked opens it once somebody else has agreed (`sys/control-group/authorize`, `connectors/approvals/…`).
extension Vault {
    func requestApproval(
        _ order: ConnectionOrder,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        guard !order.entity.isEmpty else {
            throw VaultError(.permissionDenied, "who asks for an approval must be somebody: use a token of a person")
        }
        let all = try approvals().filter { $0.state == .pending && $0.expires > context.now }
        let pending = all.filter { $0.entity == order.entity }
        guard pending.count < ConnectionApproval.mostPending, all.count < ConnectionApproval.most else {
            throw VaultError(.rateLimited, "too many requests wait for an approval already")
        }
        let approval = ConnectionApproval(order, owner: caller.owner, path: context.pathText, at: context.now)
        let token = Random.secretBase62(24, prefix: "s.")
        let hash = token.withBytes { state.tokenKey.authenticate($0) }
        var record = WrapRecord(
            accessor: approval.accessor,
            created: context.now,
            ttl: ConnectionApproval.life,
            path: context.pathText,
            status: 200,
            wrappedAccessor: ""
        )
        record.approval = approval.accessor
        let item = LeaseSchedule.Item.wrap(hash)
        let generation = try await commit([
            .put(.wrap(hash), record.encoded, expect: .absent),
            .put(ConnectionApproval.key(approval.accessor), approval.encoded, expect: .absent),
            .put(item.key(at: record.expires), LeaseSchedule.marker, expect: .any),
        ])
        state.leases.schedule(item, at: record.expires)
        journal(
            false,
            "a use of a connection waits for an approval",
            ["connection": order.connection.name, "accessor": approval.accessor]
        )
        var what = what
        what.lease = nil
        what.connector = order.connection.id
        what.details += [("approval", .text(approval.accessor)), ("ttl", .int(order.ttl))]
        var effect = Effect(.wrapped(record, token: token), generation: generation, what: what)
        effect.operation = .approvalRequest
        return effect
    }

    func approvals() throws -> [ConnectionApproval] {
        try barrier.entries(in: .connection, parent: ConnectionApproval.parent, limit: .max).map { name, entry in
            try ConnectionApproval(accessor: String(decoding: name, as: UTF8.self), decoding: entry.value)
        }
    }

    private func approval(_ accessor: String) throws -> ConnectionApproval? {
        try barrier.get(ConnectionApproval.key(accessor)).map {
            try ConnectionApproval(accessor: accessor, decoding: $0.value)
        }
    }

    // MARK: deciding

    /// `connectors/approvals[/<accessor>[/approve|deny]]`.
    func approvalsEndpoint(_ context: RequestContext, _ parts: [String], _ what: AuditWhat) -> Endpoint? {
        switch (parts.count, parts.last ?? "", context.verb) {
        case (1, _, .list):
            return .read(.connectionRead, what, .capability(.list)) { vault, context in
                let shown = try vault.approvals().filter { vault.mayLook(at: $0, context) && $0.expires > context.now }
                guard !shown.isEmpty else { throw VaultError.notFound }
                let sorted = shown.sorted { ($0.created, $0.accessor) < ($1.created, $1.accessor) }
                return Effect(
                    .data([
                        "key_info": .object(sorted.map { .init($0.accessor, vault.describe($0, context.now)) }),
                        "keys": .strings(sorted.map(\.accessor)),
                    ])
                )
            }
        case (2, let accessor, .get):
            return .read(.connectionRead, what, .capability(.read)) { vault, context in
                guard let approval = try vault.approval(accessor), vault.mayLook(at: approval, context) else {
                    throw VaultError.permissionDenied
                }
                return Effect(.data(vault.describe(approval, context.now)))
            }
        case (3, "approve", .write), (3, "deny", .write):
            let grants = parts[2] == "approve"
            let accessor = parts[1]
            return .change(grants ? .approvalGrant : .approvalDeny, what, .capability(.update)) { vault, context in
                try await vault.decide(accessor, grants: grants, what, context)
            }
        case (1...3, _, _): return .unsupported(what)
        default: return nil
        }
    }

    /// `sys/control-group/authorize|request`, in the words of Vault's clients.
    func controlGroupEndpoint(_ context: RequestContext, _ action: String) throws -> Endpoint? {
        let what = AuditWhat(path: "sys/control-group/" + action)
        guard ["authorize", "request"].contains(action) else { return nil }
        guard context.verb == .write else { return .unsupported(what) }
        let accessor = try withBody(context) { $0?["accessor"]?.string ?? "" }
        if action == "authorize" {
            return .change(.approvalGrant, what, .capability(.update)) { vault, context in
                try await vault.decide(accessor, grants: true, what, context)
            }
        }
        return .read(.connectionRead, what, .capability(.update)) { vault, context in
            guard let approval = try vault.approval(accessor), vault.mayLook(at: approval, context) else {
                throw VaultError.permissionDenied
            }
            return Effect(.data(vault.describe(approval, context.now)))
        }
    }

    private func mayLook(at approval: ConnectionApproval, _ context: RequestContext) -> Bool {
        guard let caller = context.caller else { return false }
        if caller.owner.utf8.elementsEqual(approval.owner.utf8) { return true }
        if !approval.entity.isEmpty, caller.entityID == approval.entity { return true }
        return mayDecide(approval, context)
    }

    /// Another person, who is known, who may manage the connection, and who comes without a service: one that has the tokens of
    /// two people is not two persons.
    private func mayDecide(_ approval: ConnectionApproval, _ context: RequestContext) -> Bool {
        guard let state = unsealed, let caller = context.caller, caller.person == nil, !caller.entityID.isEmpty,
            caller.entityID != approval.entity, caller.owner != approval.owner,
            let connection = state.connections[approval.connection]
        else { return false }
        let path = Array("connectors/connections/\(connection.name)".utf8)
        return (try? access(to: connection, context, on: path).mayManage) ?? false
    }

    private func describe(_ approval: ConnectionApproval, _ now: Timestamp) -> JSONValue {
        let state = unsealed
        let isOver = approval.expires <= now && approval.state == .pending
        return [
            "accessor": .string(approval.accessor), "approved": .bool(approval.state == .approved),
            "approver": .string(state?.identity.entities[approval.approver]?.name ?? approval.approver),
            "authorizations": approval.state == .approved
                ? .array([
                    [
                        "entity_id": .string(approval.approver),
                        "entity_name": .string(state?.identity.entities[approval.approver]?.name ?? ""),
                    ]
                ]) : .null,
            "connection": .string(state?.connections[approval.connection]?.name ?? approval.connection),
            "created": .string(approval.created.rfc3339), "expires": .string(approval.expires.rfc3339),
            "reason": .string(approval.reason),
            "request_entity": [
                "id": .string(approval.entity),
                "name": .string(state?.identity.entities[approval.entity]?.name ?? ""),
            ], "request_path": .string(approval.path),
            "state": .string(isOver ? "expired" : approval.state.rawValue), "ttl": .integer(approval.ttl),
        ]
    }

    private func decide(
        _ accessor: String,
        grants: Bool,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        let reason = try withBody(context) { $0?["reason"]?.string ?? "" }
        guard reason.utf8.count <= 400 else { throw VaultError.badRequest("reason has at most 400 bytes") }
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("approval/\(accessor)".utf8)) {
            guard var approval = try approval(accessor), mayDecide(approval, context) else {
                throw VaultError.permissionDenied
            }
            guard approval.state == .pending, approval.expires > context.now else {
                throw VaultError.badRequest("this request was decided already, or its time is over")
            }
            guard let connection = state.connections[approval.connection], approval.fits(connection) else {
                throw VaultError.badRequest(
                    "the connection or its rights have changed since: it must be asked for again"
                )
            }
            approval.state = grants ? .approved : .denied
            approval.approver = context.caller?.entityID ?? ""
            approval.reason = reason
            approval.decided = context.now
            let generation = try await commit([
                .put(ConnectionApproval.key(accessor), approval.encoded, expect: .any)
            ])
            var what = what
            what.connector = approval.connection
            what.details.append(("approval", .text(accessor)))
            return Effect(.data(["approved": .bool(grants)]), generation: generation, what: what)
        }
    }

    // MARK: opening

    /// `sys/wrapping/unwrap` of a token behind which nothing is yet: who asked gets it made now, once.
    func approvedEndpoint(
        _ accessor: String,
        _ hash: Digest,
        _ version: UInt64,
        _ record: WrapRecord,
        _ what: AuditWhat,
        _ access: Endpoint.Access
    ) -> Endpoint {
        var what = what
        let leaseID = record.path + "/" + Random.base62(24)
        what.lease = leaseID
        let facts = what
        return .change(.leaseIssue, facts, access) { vault, context in
            try await vault.openApproved(accessor, leaseID, hash, version, record, facts, context)
        }
    }

    private func openApproved(
        _ accessor: String,
        _ leaseID: String,
        _ hash: Digest,
        _ version: UInt64,
        _ record: WrapRecord,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let order = try await state.locks.withLock(Array("approval/\(accessor)".utf8)) {
            guard var approval = try approval(accessor), let caller = context.caller,
                caller.owner.utf8.elementsEqual(approval.owner.utf8)
                    || !approval.entity.isEmpty && caller.entityID == approval.entity
            else {
                throw VaultError(.permissionDenied, "only who asked for this can open it, with the same identity")
            }
            switch approval.state {
            case .approved where approval.expires > context.now: break
            case .denied: throw VaultError(.permissionDenied, "this request was denied")
            case .pending where approval.expires > context.now:
                throw VaultError.badRequest("Request needs further approval")
            default: throw VaultError.badRequest("wrapping token is not valid or does not exist")
            }
            guard let connection = state.connections[approval.connection], approval.fits(connection) else {
                throw VaultError.badRequest(
                    "the connection or its rights have changed since: it must be asked for again"
                )
            }
            guard caller.acl.decide(.read, path: Array(approval.path.utf8)).isAllowed else {
                throw VaultError.permissionDenied
            }
            // The rights of who asked, as they are now; the path is that of the request.
            let order = try connectionOrder(
                connection.id,
                ttl: approval.ttl,
                context,
                on: Array(approval.path.utf8)
            )
            guard let asked = EffectiveRights(json: approval.rights), asked.covers(order.rights) else {
                throw VaultError.badRequest("your rights are others than those that were agreed to: ask again")
            }
            approval.state = .used
            _ = try await commit(
                opening(hash, record, version, at: clock.now())
                    + [.put(ConnectionApproval.key(accessor), approval.encoded, expect: .any)]
            )
            return order
        }
        var what = what
        what.details.append(("approval", .text(accessor)))
        return try await handOut(order, leaseID, what, context)
    }

    /// Once a minute: requests whose time was over a day ago are forgotten; the log has them.
    func forgetApprovals(_ now: Timestamp) {
        guard let old = try? approvals().filter({ $0.expires.adding(seconds: 86_400) < now }), !old.isEmpty else {
            return
        }
        Task {
            let rows = old.prefix(500).map { BarrierMutation.delete(ConnectionApproval.key($0.accessor), expect: .any) }
            do { _ = try await self.commit(Array(rows)) } catch {
                self.journal(true, "old approvals could not be forgotten yet", ["error": "\(error)"])
            }
        }
    }
}
