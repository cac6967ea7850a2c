internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    func leaseEndpoint(_ context: RequestContext, _ rest: String) throws -> Endpoint? {
        if rest == "leases" { return stuckLeasesEndpoint(context) }
        let parts = rest.dropFirst("leases/".utf8.count).split(separator: "/", maxSplits: 1).map(String.init)
        guard let action = parts.first else { return nil }
        let inPath = parts.count > 1 ? parts[1] : nil
        if let found = leasePrefixEndpoint(context, action, inPath) { return found }
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
                guard try vault.lease(id) != nil else { return Effect(isSync ? .noContent : .bare(status: 202)) }
                _ = try vault.ownedLease(id, context, missing: "lease not found")
                let generation = try await vault.beginRevocation(id)
                if isSync {
                    try await vault.finishRevocation(id)
                    return Effect(.noContent, generation: generation)
                }
                vault.revokeInBackground(id)
                return Effect(.bare(status: 202), generation: generation)
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
        let isOwner = lease.owner.text.utf8.elementsEqual(caller.owner.utf8)
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

    // MARK: issuing

    /// Before each new lease. They are counted when as many may be there as are allowed: in between every one is added, and
    /// none that has ended taken away, so that it is never less than there are.
    func checkLeaseCount(of caller: Caller) throws {
        guard let state = unsealed else { throw VaultError.sealed }
        let most = configuration.leasesPerOwner
        // Of a service, for whomever it asks.
        let holder = LeaseOwner(caller.owner).holder
        let owner = Array(holder.utf8)
        var count = state.leaseCounts[owner] ?? most
        if count >= most {
            count = try barrier.names(in: .lease, parent: BarrierKey.leaseOwnerParent(holder)).count
        }
        state.leaseCounts[owner] = count + 1
        guard count < most else {
            throw VaultError(
                .rateLimited,
                "there are \(most) leases of this caller already: revoke some, or use those that there are"
            )
        }
    }

    /// Makes a lease count whose login is there, in turn with revocations of it, so that none is written over.
    /// - Parameters:
    ///   - lease: `active` already.
    ///   - isStillRight: whether what it was made for still holds.
    /// - Throws: ``VaultError`` `.permissionDenied` when it was revoked, the vault sealed or its caller's token ended
    ///   meanwhile.
    func activate(
        _ lease: LeaseRecord,
        for caller: Caller,
        _ state: UnsealedState,
        _ isStillRight: () throws -> Bool
    ) async throws -> UInt64 {
        try await state.locks.withLock(Array("lease/\(lease.id)".utf8)) {
            guard unsealed === state, try self.lease(lease.id)?.state == .preparing, try isStillRight(),
                try caller.token.map({ try tokenEntry($0.hash, state) != nil }) ?? true
            else { throw VaultError.permissionDenied }
            return try await commit([
                .put(.lease(lease.id), lease.encoded, expect: .any),
                .delete(.unfinishedLease(lease.id), expect: .any),
            ])
        }
    }

    /// The end of a lease whose login could not be made: taken back, or forgotten at once when the server let nobody in.
    func abandon(_ id: String, after error: any Error, _ state: UnsealedState) async {
        defer { state.preparing.remove(id) }
        if (error as? VaultError)?.brokerFailure?.isBeforeAnyWork == true, (try? await forgetUnmade(id, state)) != nil {
            return
        }
        state.preparing.remove(id)
        revokeInBackground(id)
    }

    private func forgetUnmade(_ id: String, _ state: UnsealedState) async throws {
        try await state.locks.withLock(Array("lease/\(id)".utf8)) {
            guard unsealed === state, let lease = try lease(id) else { return }
            _ = try await commit(forgetting(lease))
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
                // The login may come into being a moment later: taken back now, it would stay.
                guard !state.preparing.contains(id) else {
                    throw VaultError(.brokerUnavailable, "the login is still being made: it is revoked right after")
                }
                try await revokeLogin(lease)
            } catch {
                lease.attempts += 1
                _ = try await commit([.put(.lease(id), lease.encoded, expect: .any)])
                scheduleRetry(id, attempts: lease.attempts)
                throw error
            }
            _ = try await commit(forgetting(lease))
        }
    }

    /// The rows of a new lease, `preparing`.
    func storing(_ lease: LeaseRecord) -> [BarrierMutation] {
        [
            .put(.lease(lease.id), lease.encoded, expect: .absent),
            .put(.unfinishedLease(lease.id), LeaseSchedule.marker, expect: .any),
            .put(LeaseSchedule.Item.lease(lease.id).key(at: lease.expires), LeaseSchedule.marker, expect: .any),
            .put(.leaseOwner(lease.owner.holder, lease.id), LeaseSchedule.marker, expect: .any),
            .put(.leaseConnection(lease.connection, lease.id), LeaseSchedule.marker, expect: .any),
        ] + BarrierKey.leaseFolders(lease.id).map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }
    }

    /// The rows of a lease that is over; folders that are left empty go with it.
    func forgetting(_ lease: LeaseRecord) -> [BarrierMutation] {
        [
            .delete(.lease(lease.id), expect: .any), .delete(.unfinishedLease(lease.id), expect: .any),
            .delete(LeaseSchedule.Item.lease(lease.id).key(at: lease.expires), expect: .any),
            .delete(.leaseOwner(lease.owner.holder, lease.id), expect: .any),
            .delete(.leaseConnection(lease.connection, lease.id), expect: .any),
        ]
            + BarrierKey.leaseFolders(lease.id).reversed()
            .map { .deleteIfChildless($0.entry, namespace: .lease, parent: $0.children) }
    }

    func revokeLeases(ownedBy owner: String) async throws {
        for name in try barrier.names(in: .lease, parent: BarrierKey.leaseOwnerParent(owner)) {
            let id = String(decoding: name, as: UTF8.self)
            _ = try await beginRevocation(id)
            revokeInBackground(id)
        }
    }

    /// Revocations that run at the same time at one place; the others wait in line. What is slow there holds up nothing
    /// elsewhere. Logins of a connection are taken back together: while its server removes some, the next ones get ready.
    static func revocationPlace(of lease: String) -> (name: String, limit: Int) {
        guard lease.hasPrefix("connectors/creds/"), let end = lease.lastIndex(of: "/") else { return ("", 8) }
        return (String(lease[..<end]), 2 * DatabaseWithdrawals.maximumLogins)
    }

    /// Revokes on the vault's own account, with records of its own.
    func revokeInBackground(_ id: String) {
        guard let state = unsealed, state.waitingRevocations.insert(id).inserted else { return }
        let place = Self.revocationPlace(of: id)
        state.revocationLines[place.name, default: RevocationLine(limit: place.limit)].waiting.append(id)
        startRevocations(at: place.name, state)
    }

    private func startRevocations(at place: String, _ state: UnsealedState) {
        while let id = state.revocationLines[place]?.next() {
            state.waitingRevocations.remove(id)
            Task {
                do {
                    try await self.revokeRecorded(id)
                } catch is AuditError {
                    self.journal(true, "a revocation could not be recorded and waits", ["lease": id])
                    self.scheduleRetry(id, attempts: 4)
                } catch {
                    // What the target system refused is scheduled already.
                    if (try? self.lease(id))?.attempts ?? 0 == 0 { self.scheduleRetry(id, attempts: 4) }
                }
                state.revocationLines[place]?.running -= 1
                if state.revocationLines[place]?.running == 0, state.revocationLines[place]?.waiting.isEmpty == true {
                    state.revocationLines[place] = nil
                }
                if self.unsealed === state { self.startRevocations(at: place, state) }
            }
        }
    }

    /// - Throws: ``VaultError``; the lease stays `revoking` and is tried again.
    func revokeRecorded(_ id: String) async throws {
        try await recorded(.leaseRevoke, AuditWhat(lease: id)) {
            _ = try await beginRevocation(id)
            try await finishRevocation(id)
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
        // A flood of things that end at once is dealt with over several ticks.
        var budget = 2000
        while budget > 0, let item = state.leases.popDue(at: now) {
            budget -= 1
            switch item {
            case .token(let hash): expireToken(hash, now)
            case .lease(let id): expireLease(id, now)
            case .wrap(let hash): expireWrapped(hash, now)
            case .rotation(let role): rotateWhenDue(role, now)
            case .grant(let id): grantIsDue(id, now)
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
