internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// A lease under which a caller has an access token already.
struct HandedToken: Sendable {
    let lease: String
    /// Of the grant: another token is another lease.
    let generation: Int64
    /// The lease as it was read last, and the version of its row then.
    var read: (version: UInt64, record: LeaseRecord)?
}

/// A service that asks again while the token is the same gets it again under the lease that it has: one record and no change, so
/// that asking each time costs about as much as reading a secret.
extension Vault {
    /// The endpoint of such a request; nil when there is no lease that says the same as a new one would.
    func handOutAgainEndpoint(_ context: RequestContext, _ name: String, _ what: AuditWhat) -> Endpoint? {
        guard let (handed, first) = try? handedBefore(name, context) else { return nil }
        var what = what
        what.lease = handed.lease
        let facts = what
        return .read(.leaseIssue, facts, .capability(.read)) { vault, context in
            // Without an intent nothing has happened since the look above: this runs in the same turn.
            guard context.intent != nil else { return first(facts) }
            guard let (handed, effect) = try vault.handedBefore(name, context), handed.lease == facts.lease else {
                throw VaultError.badRequest("the connection was changed at this very moment: ask again")
            }
            return effect(facts)
        }
    }

    /// What was handed out comes with the lease's own end, never later than a new lease would end, and not after half of its time.
    private func handedBefore(
        _ name: String,
        _ context: RequestContext
    ) throws -> (HandedToken, @Sendable (AuditWhat) -> Effect)? {
        guard let state = unsealed, let caller = context.caller, let found = state.connections.find(name),
            let grant = state.grants[found.id], let handed = state.handedTokens[Self.handedKey(caller, found.id)],
            handed.generation == Int64(grant.life.generation), grant.life.state == .healthy, grant.life.isUsed
        else { return nil }
        let order = try connectionOrder(name, ttl: try requestedTTL(context), context)
        let connection = order.connection
        let now = clock.now()
        let left = grant.life.left(at: now)
        guard !connection.needsApproval, left.map({ $0 >= grant.life.leastLeft }) ?? true,
            let lease = try handedLease(handed, Self.handedKey(caller, found.id), state), lease.state == .active,
            lease.owner.text.utf8.elementsEqual(caller.owner.utf8),
            // The rights of this moment, of the same person and service, are those of the lease: it is covered.
            let was = lease.grant, was.entity == order.entity, was.service == order.service,
            was.isAdministrator == order.isAdministrator, was.rights == order.rights.json,
            let token = try barrier.get(OAuthKey.access(connection.id))?.value
        else { return nil }
        let seconds = min(order.ttl, left ?? order.ttl, configuration.maximumLeaseTTL)
        let remaining = Int64(lease.remaining(at: now))
        guard remaining > 0, remaining <= seconds + 1, remaining * 2 >= seconds else { return nil }
        var reply = Reply.data(answer(token, grant, connection))
        reply.leaseID = lease.id
        reply.leaseDuration = remaining
        if let doubt = doubt(about: grant, connection) { reply.warnings.append(doubt) }
        let answer = reply
        return (
            handed,
            { what in
                var what = what
                what.connector = connection.id
                what.version = Int(grant.life.generation)
                what.details += [
                    ("again", .flag(true)), ("level", .text(order.rights.level.rawValue)),
                    ("flow", .text(grant.flow.rawValue)),
                ]
                return Effect(answer, what: what)
            }
        )
    }

    /// The lease of a token that was handed out, decoded once for each version of its row.
    private func handedLease(_ handed: HandedToken, _ key: [UInt8], _ state: UnsealedState) throws -> LeaseRecord? {
        if let read = handed.read, try barrier.version(of: .lease(handed.lease)) == read.version { return read.record }
        guard let row = try barrier.get(.lease(handed.lease)) else { return nil }
        let record = try LeaseRecord(id: handed.lease, decoding: row.value)
        state.handedTokens[key] = HandedToken(
            lease: handed.lease,
            generation: handed.generation,
            read: (row.version, record)
        )
        return record
    }

    func rememberHanded(_ lease: LeaseRecord, to caller: Caller, _ connection: String, _ grant: OAuthGrant) {
        unsealed?.handedTokens[Self.handedKey(caller, connection)] = HandedToken(
            lease: lease.id,
            generation: Int64(grant.life.generation)
        )
    }

    private static func handedKey(_ caller: Caller, _ connection: String) -> [UInt8] {
        Array("\(connection)\n\(caller.owner)".utf8)
    }
}
