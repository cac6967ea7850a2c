internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    func leaseEndpoint(_ context: RequestContext, _ rest: String) throws -> Endpoint? {
        let parts = rest.dropFirst("leases/".utf8.count).split(separator: "/", maxSplits: 1).map(String.init)
        guard let action = parts.first else { return nil }
        let inPath = parts.count > 1 ? parts[1] : nil
        guard ["lookup", "renew", "revoke"].contains(action) else { return nil }
        var what = AuditWhat()
        what.path = "sys/leases/" + action
        guard context.verb == .write else { return .unsupported(what) }
        let id = try withBody(context) { body in inPath ?? body?["lease_id"]?.string ?? "" }
        guard !id.isEmpty, id.utf8.count <= 1024 else { throw VaultError.badRequest("lease_id must be specified") }
        what.lease = id
        switch action {
        case "lookup":
            return .read(.leaseLookup, what, .capability(.update)) { vault, context in
                let lease = try vault.ownedLease(id, context, missing: "invalid lease")
                return Effect(.data(vault.describe(lease, context)))
            }
        case "renew":
            return .change(.leaseRenew, what, .capability(.update)) { vault, context in
                let increment = try vault.withBody(context) { body -> Int64 in
                    guard let value = body?["increment"] else { return 0 }
                    guard let seconds = GoDuration.seconds(value) else {
                        throw VaultError.badRequest("increment is not a duration")
                    }
                    return seconds
                }
                return try await vault.renewLease(id, increment: increment, context)
            }
        default:
            return .change(.leaseRevoke, what, .capability(.update)) { vault, context in
                let isSync = try vault.withBody(context) { $0?["sync"]?.weakBool ?? true }
                guard try vault.lease(id) != nil else { return Effect(isSync ? .noContent : .empty(status: 202)) }
                _ = try vault.ownedLease(id, context, missing: "lease not found")
                let generation = try await vault.beginRevocation(id)
                if isSync {
                    try await vault.finishRevocation(id)
                    return Effect(.noContent, generation: generation)
                }
                vault.revokeInBackground(id)
                return Effect(.empty(status: 202), generation: generation)
            }
        }
    }

    func lease(_ id: String) throws -> LeaseRecord? {
        guard let row = try barrier.get(.lease(id)) else { return nil }
        return try LeaseRecord(id: id, decoding: row.value)
    }

    /// A lease id alone is never enough: the caller owns the lease, or may do everything.
    private func ownedLease(_ id: String, _ context: RequestContext, missing: String) throws -> LeaseRecord {
        guard let caller = context.caller else { throw VaultError.permissionDenied }
        guard let lease = try lease(id) else { throw VaultError.badRequest(missing) }
        let isOwner = lease.owner.utf8.elementsEqual(caller.owner.utf8)
        let hasSudo = caller.acl.decide(.update, path: context.path).hasSudo
        guard isOwner || hasSudo else { throw VaultError.badRequest(missing) }
        return lease
    }

    private func describe(_ lease: LeaseRecord, _ context: RequestContext) -> JSONValue {
        [
            "id": .string(lease.id), "issue_time": .string(lease.issued.rfc3339),
            "expire_time": .string(lease.expires.rfc3339),
            "last_renewal": lease.lastRenewal.map { .string($0.rfc3339) } ?? .null,
            "renewable": .bool(lease.state == .active), "ttl": .integer(lease.remaining(at: context.now)),
            "path": .string(lease.id.split(separator: "/").dropLast().joined(separator: "/")),
            "state": .string(lease.state.rawValue), "revocation_attempts": .integer(lease.attempts),
        ]
    }

    private func renewLease(_ id: String, increment: Int64, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("lease/\(id)".utf8)) {
            var lease = try ownedLease(id, context, missing: "lease not found")
            guard lease.state == .active else { throw VaultError.badRequest("lease is not renewable") }
            guard lease.expires > context.now else { throw VaultError.badRequest("lease expired") }
            let wanted = context.now.adding(seconds: increment > 0 ? increment : configuration.defaultLeaseTTL)
            let old = lease.expires
            lease.expires = min(wanted, lease.latest)
            lease.lastRenewal = context.now
            // The database first: a lease never promises more than the login has.
            try await renewLogin(lease)
            let item = LeaseSchedule.Item.lease(id)
            let generation = try await commit([
                .delete(item.key(at: old), expect: .any), .put(.lease(id), lease.encoded, expect: .any),
                .put(item.key(at: lease.expires), LeaseSchedule.marker, expect: .any),
            ])
            state.leases.schedule(item, at: lease.expires)
            var reply = Reply.empty()
            reply.leaseID = id
            reply.isRenewable = true
            reply.leaseDuration = lease.remaining(at: context.now)
            if lease.expires < wanted {
                reply.warnings = [
                    "TTL of \"\(GoDuration.text(increment))\" exceeded the effective max TTL; capped accordingly"
                ]
            }
            return Effect(reply, generation: generation)
        }
    }

    // MARK: revocation

    /// Makes the wish durable: from here on the lease dies, also across a crash.
    func beginRevocation(_ id: String) async throws -> UInt64 {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("lease/\(id)".utf8)) {
            guard var lease = try lease(id) else { return barrier.generation ?? 0 }
            lease.state = .revoking
            return try await commit([
                .put(.lease(id), lease.encoded, expect: .any),
                .put(.unfinishedLease(id), LeaseSchedule.marker, expect: .any),
            ])
        }
    }

    /// Takes the login back in the target system, then forgets the lease. Gone already counts as done.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.upstream`; the lease stays `revoking` and is tried again.
    func finishRevocation(_ id: String) async throws {
        guard let state = unsealed else { throw VaultError.sealed }
        try await state.locks.withLock(Array("lease/\(id)".utf8)) {
            guard var lease = try lease(id) else { return }
            do {
                try await revokeLogin(lease)
            } catch {
                lease.attempts += 1
                _ = try await commit([.put(.lease(id), lease.encoded, expect: .any)])
                scheduleRetry(id, attempts: lease.attempts)
                throw error
            }
            _ = try await commit([
                .delete(.lease(id), expect: .any), .delete(.unfinishedLease(id), expect: .any),
                .delete(LeaseSchedule.Item.lease(id).key(at: lease.expires), expect: .any),
                .delete(.leaseOwner(lease.owner, id), expect: .any),
                .delete(.leaseConnection(lease.connection, id), expect: .any),
            ])
        }
    }

    func revokeLeases(ownedBy owner: String) async throws {
        for name in try barrier.names(in: .lease, parent: BarrierKey.leaseOwnerParent(owner)) {
            let id = String(decoding: name, as: UTF8.self)
            _ = try await beginRevocation(id)
            revokeInBackground(id)
        }
    }

    /// Revokes on the vault's own account, with records of its own.
    func revokeInBackground(_ id: String) {
        Task { await self.revokeRecorded(id) }
    }

    private func revokeRecorded(_ id: String) async {
        var what = AuditWhat()
        what.lease = id
        let start = clock.monotonic()
        func record(_ phase: AuditDraft.Phase, _ outcome: AuditDraft.Outcome, _ error: String?, _ references: [UInt64])
            -> AuditDraft
        {
            AuditDraft(
                .leaseRevoke,
                phase: phase,
                outcome: outcome,
                error: error,
                correlation: Random.base62(16),
                references: references,
                generation: phase == .outcome ? barrier.generation : nil,
                acceptedAt: start,
                who: AuditWho.system,
                what: what
            )
        }
        do {
            let intent = try await appendRecord(record(.intent, .granted, nil, []))
            var failure: VaultError?
            do {
                _ = try await beginRevocation(id)
                try await finishRevocation(id)
            } catch {
                failure = VaultError(mapping: error)
            }
            let outcome = failure == nil ? AuditDraft.Outcome.granted : .error
            _ = try await appendRecord(record(.outcome, outcome, failure?.code.rawValue, [intent.index]))
        } catch {
            journal(true, "a revocation could not be recorded and waits", ["lease": id])
            scheduleRetry(id, attempts: 4)
        }
    }

    /// Tries again after 1, 2, 4 … 600 seconds.
    private func scheduleRetry(_ id: String, attempts: Int64) {
        let delay = min(600, Int64(1) << min(attempts - 1, 10))
        unsealed?.leases.push(.lease(id), at: clock.now().adding(seconds: delay))
        if attempts == 3 {
            journal(true, "a lease cannot be revoked yet and is tried again", ["lease": id, "attempts": "\(attempts)"])
        }
    }

    // MARK: time

    /// Once a second: what has expired is revoked, flood windows are closed.
    package func tick() {
        closeFloodWindows()
        guard let state = unsealed, holdReason == nil else { return }
        let now = clock.now()
        do {
            try loadBuckets(state, now)
        } catch {
            journal(true, "expired leases cannot be read", ["error": "\(error)"])
        }
        while let item = state.leases.popDue(at: now) {
            switch item {
            case .token(let hash): expireToken(hash, now)
            case .lease(let id): expireLease(id, now)
            case .wrap(let hash): expireWrapped(hash, now)
            }
        }
        upkeep(state, now)
        continueRemovals(state)
    }

    private func loadBuckets(_ state: UnsealedState, _ now: Timestamp) throws {
        let minute = now.seconds / 60 + 1
        // A clock that was set back must not unload anything; one that jumps forward loads what is due by then.
        while state.leases.loadedThrough < minute {
            let next = state.leases.loadedThrough + 1
            for name in try barrier.names(in: .expiry, parent: LeaseSchedule.bucket(minute: next)) {
                if let item = LeaseSchedule.Item(name: name) {
                    state.leases.push(item, at: Timestamp(seconds: next * 60))
                }
            }
            state.leases.loadedThrough = next
        }
    }

    private func expireToken(_ hash: Digest, _ now: Timestamp) {
        guard let state = unsealed, let entry = try? tokenEntry(hash, state), let expires = entry.expires else {
            return
        }
        if expires > now {
            state.leases.push(.token(hash), at: expires)
            return
        }
        Task {
            do {
                _ = try await self.revoke(tokenTree: hash)
            } catch {
                self.journal(true, "an expired token cannot be removed", ["accessor": entry.accessor])
            }
        }
    }

    private func expireLease(_ id: String, _ now: Timestamp) {
        guard let state = unsealed, let lease = try? lease(id) else { return }
        if lease.state == .active, lease.expires > now {
            state.leases.push(.lease(id), at: lease.expires)
        } else {
            revokeInBackground(id)
        }
    }
}
