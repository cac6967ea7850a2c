internal import CoffreAudit
internal import CoffreCrypto

extension Vault {
    /// Who asks, and with which rights: the token when one is sent, the process itself otherwise.
    ///
    /// A token wins over the process's own rights, also when it is worthless: what a caller sends is what it means.
    /// - Throws: ``VaultError`` `.permissionDenied`, with the same text for every cause.
    func identify(_ context: RequestContext, _ state: UnsealedState) throws -> Caller {
        guard let token = context.request.token else { return try ambientCaller(context.principal, state, context.now) }
        guard (1...Self.maximumTokenBytes).contains(token.count) else { throw VaultError.permissionDenied }
        let hash = token.withBytes { state.tokenKey.authenticate($0) }
        let key = CallerKey(principal: context.principal, token: hash)
        if let caller = state.callers[key], let entry = caller.token, !entry.isExpired(at: context.now),
            caller.isCurrent(at: context.now)
        {
            return caller
        }
        guard let entry = try self.entry(of: token, hash, state), !entry.isExpired(at: context.now), entry.usesLeft >= 0
        else {
            throw VaultError.permissionDenied
        }
        try checkBinding(entry, context)
        let entity = try self.entity(of: entry, state)
        let caller = makeCaller(
            who: tokenWho(entry, context.principal),
            policies: entry.policies,
            entity: entity,
            token: entry,
            owner: owner(of: entry),
            state
        )
        // Who has a number of uses is looked at anew each time.
        if entry.usesLeft == 0 { state.callers[key] = caller }
        return caller
    }

    /// Longest token that is looked at, in bytes: a batch token carries its policies.
    static let maximumTokenBytes = 8192

    /// The stored entry of a service token, or what a batch token says of itself; nil for a worthless one.
    func entry(of token: SharedSecret, _ hash: Digest, _ state: UnsealedState) throws -> TokenEntry? {
        guard BatchToken.isBatch(token) else { return token.count <= 512 ? try tokenEntry(hash, state) : nil }
        guard let entry = BatchToken.open(token, hash: hash, key: state.batchKey) else { return nil }
        return try isAlive(entry, state) ? entry : nil
    }

    /// Whether a token has not been revoked; a batch token lives as long as its parent.
    func isAlive(_ entry: TokenEntry, _ state: UnsealedState) throws -> Bool {
        guard entry.kind == .batch else { return try tokenEntry(entry.hash, state) != nil }
        return try entry.parent.map { try tokenEntry($0, state) != nil } ?? true
    }

    /// The entity behind a token.
    /// - Throws: ``VaultError`` `.permissionDenied` when it is gone or disabled.
    private func entity(of entry: TokenEntry, _ state: UnsealedState) throws -> IdentityEntity? {
        guard !entry.entityID.isEmpty else { return nil }
        guard let entity = state.identity.entities[entry.entityID], !entity.isDisabled else {
            throw VaultError.permissionDenied
        }
        return entity
    }

    /// What belongs to a batch token goes with its parent.
    func owner(of entry: TokenEntry) -> String {
        let hash = entry.kind == .batch ? entry.parent ?? entry.hash : entry.hash
        return "token:" + Hex.encode(hash.bytes)
    }

    private func makeCaller(
        who: AuditWho,
        policies: [String],
        entity: IdentityEntity?,
        token: TokenEntry?,
        subject: AuditWhy.Subject = .none,
        owner: String,
        _ state: UnsealedState
    ) -> Caller {
        var all = policies
        if let entity { all = Set(policies + state.identity.policies(of: entity)).sorted() }
        let person = entity.map { self.subject(of: $0, state) }
        return Caller(
            who: who,
            acl: acl(of: all, entity, state),
            policySet: PolicySet(Array(Set(all)), state.policies, subject: person),
            subject: subject,
            token: token,
            policies: all,
            owner: owner,
            entityID: entity?.id ?? ""
        )
    }

    private func ambientCaller(_ principal: Principal, _ state: UnsealedState, _ now: Timestamp) throws -> Caller {
        let key = CallerKey(principal: principal, token: nil)
        if let caller = state.callers[key], caller.isCurrent(at: now) { return caller }
        let roles = state.peerRoles.values.filter { $0.isAmbient && $0.matches(principal) }
        // A role that demands a person behind the service cannot be used without one.
        guard !roles.isEmpty, !roles.contains(where: { $0.subject == .required }) else {
            throw VaultError.permissionDenied
        }
        let entity = peerEntity(principal, state)
        if entity?.isDisabled ?? false { throw VaultError.permissionDenied }
        let caller = makeCaller(
            who: who(of: principal),
            policies: Set(roles.flatMap(\.policies)).union(["default"]).sorted(),
            entity: entity,
            token: nil,
            subject: roles.contains { $0.subject == .optional } ? .optional : .none,
            owner: "peer:\(principal.uid):\(principal.unit ?? "")",
            state
        )
        state.callers[key] = caller
        return caller
    }

    /// The entity that has this process's unit, or else its uid, as an alias of `auth/peer`: `unit:payroll.service`,
    /// `uid:1000`. A unit that is not pinned could be another's by now and does not count.
    func peerEntity(_ principal: Principal, _ state: UnsealedState) -> IdentityEntity? {
        guard let accessor = state.mounts.mount(at: "auth/peer/")?.accessor else { return nil }
        if let unit = principal.unit, principal.isUnitPinned,
            let entity = state.identity.entity(alias: "unit:" + unit, accessor: accessor)
        {
            return entity
        }
        return state.identity.entity(alias: "uid:\(principal.uid)", accessor: accessor)
    }

    private func checkBinding(_ entry: TokenEntry, _ context: RequestContext) throws {
        guard let uid = entry.boundUID else { return }
        let principal = context.principal
        let unitFits = entry.boundUnit.map { $0.utf8.elementsEqual((principal.unit ?? "").utf8) } ?? true
        if uid == principal.uid, unitFits { return }
        journal(
            true,
            "a bound token was used by another process",
            ["accessor": entry.accessor, "uid": "\(principal.uid)"]
        )
        throw VaultError.permissionDenied
    }

    /// The rights of these policies together; a policy that does not exist gives none.
    func acl(of names: [String], _ entity: IdentityEntity?, _ state: UnsealedState) -> ACL {
        if names.contains("root") { return .root }
        return ACL(
            policies: names.compactMap { state.policies[$0] },
            subject: entity.map { subject(of: $0, state) },
            now: clock.now().seconds
        )
    }

    // MARK: facts for the record

    private func tokenWho(_ entry: TokenEntry, _ principal: Principal) -> AuditWho {
        let isRoot = entry.policies.contains("root")
        let isBound = entry.boundUID != nil
        let sid =
            isBound ? nil : sid(kind: isRoot ? .admin : .service, uid: nil, entity: isRoot ? "root" : entry.displayName)
        return makeWho(principal, sid: sid, accessor: entry.accessor, kind: isRoot ? .admin : nil)
    }

    /// A process under 1000, or of a system unit, is a service and stands in clear; anybody else is a person.
    func makeWho(_ principal: Principal, sid: String?, accessor: String?, kind: AuditWho.Kind? = nil) -> AuditWho {
        let isService = principal.uid < 1000 || principal.unit != nil
        let kernelSid = isService ? nil : self.sid(kind: .human, uid: principal.uid, entity: nil)
        let own = isService ? self.sid(kind: .service, uid: principal.uid, entity: principal.unit) : kernelSid
        return AuditWho(
            kind: kind ?? (isService ? .service : .human),
            sid: sid ?? own ?? "",
            kernelSid: kernelSid,
            uid: isService ? principal.uid : nil,
            gid: isService ? principal.gid : nil,
            pid: principal.pid,
            unit: principal.unit,
            team: nil,
            tokenAccessor: accessor,
            forSid: nil,
            tokenDigest: nil
        )
    }

    private func sid(kind: AuditWho.Kind, uid: UInt32?, entity: String?) -> String {
        do {
            let card = JSONCard.encode(kind: kind.rawValue, uid: uid, entity: entity)
            return try audit.subject(kind: kind, uid: uid, entity: entity, card: card)
        } catch {
            journal(true, "a caller's pseudonym cannot be stored", ["error": "\(error)"])
            return ""
        }
    }

    /// One object per rule, set and right, so that the record's text of it is made once.
    /// - Parameter right: what was asked for, as records name it.
    func why(of decision: ACLDecision, _ caller: Caller, right: String) -> AuditWhy {
        guard let state = unsealed else { return .none }
        let key = RuleKey(
            policy: decision.policy ?? "",
            version: decision.policyVersion ?? 0,
            rule: decision.rule ?? -1,
            set: caller.policySet.digest,
            right: right
        )
        if let known = state.reasons[key] { return known }
        let why = AuditWhy(
            right: right,
            policy: decision.policy,
            policyVersion: decision.policyVersion,
            rule: decision.rule,
            set: caller.policySet.digest,
            subject: caller.subject
        )
        state.reasons[key] = why
        return why
    }
}

/// A rule of a policy's version.
struct RuleKey: Hashable {
    let policy: String
    let version: Int
    let rule: Int
    let set: String
    let right: String
}
