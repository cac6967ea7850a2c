internal import CoffreAudit
internal import CoffreCrypto

extension Vault {
    /// Who asks, and with which rights: the token when one is sent, the process itself otherwise.
    ///
    /// A token wins over the process's own rights, also when it is worthless: what a caller sends is what it means.
    /// - Throws: ``VaultError`` `.permissionDenied`, with the same text for every cause.
    func identify(_ context: RequestContext, _ state: UnsealedState) throws -> Caller {
        guard let token = context.request.token else { return try ambientCaller(context.principal, state, context.now) }
        guard (1...512).contains(token.count) else { throw VaultError.permissionDenied }
        let hash = token.withBytes { state.tokenKey.authenticate($0) }
        let key = CallerKey(principal: context.principal, token: hash)
        if let caller = state.callers[key], let entry = caller.token, !entry.isExpired(at: context.now),
            caller.isCurrent(at: context.now)
        {
            return caller
        }
        guard let entry = try tokenEntry(hash, state), !entry.isExpired(at: context.now) else {
            throw VaultError.permissionDenied
        }
        try checkBinding(entry, context)
        let caller = Caller(
            who: tokenWho(entry, context.principal),
            acl: acl(of: entry.policies, state),
            token: entry,
            policies: entry.policies,
            owner: "token:" + Hex.encode(hash.bytes)
        )
        state.callers[key] = caller
        return caller
    }

    private func ambientCaller(_ principal: Principal, _ state: UnsealedState, _ now: Timestamp) throws -> Caller {
        let key = CallerKey(principal: principal, token: nil)
        if let caller = state.callers[key], caller.isCurrent(at: now) { return caller }
        let roles = state.peerRoles.values.filter { $0.isAmbient && $0.matches(principal) }
        // A role that demands a person behind the service cannot be used without one.
        guard !roles.isEmpty, !roles.contains(where: { $0.subject == .required }) else {
            throw VaultError.permissionDenied
        }
        let policies = Set(roles.flatMap(\.policies)).union(["default"]).sorted()
        let caller = Caller(
            who: who(of: principal),
            acl: acl(of: policies, state),
            token: nil,
            policies: policies,
            owner: "peer:\(principal.uid):\(principal.unit ?? "")"
        )
        state.callers[key] = caller
        return caller
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
    /// - Parameter subject: whom templates speak of.
    func acl(of names: [String], subject: PolicySubject? = nil, _ state: UnsealedState) -> ACL {
        if names.contains("root") { return .root }
        return ACL(policies: names.compactMap { state.policies[$0] }, subject: subject, now: clock.now().seconds)
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

    /// One object per rule, so that the record's text of it is made once.
    func why(of decision: ACLDecision) -> AuditWhy {
        guard let policy = decision.policy, let state = unsealed else { return .none }
        let key = RuleKey(policy: policy, version: decision.policyVersion ?? 0, rule: decision.rule ?? -1)
        if let known = state.reasons[key] { return known }
        let why = AuditWhy(
            policy: policy,
            policyVersion: decision.policyVersion,
            rule: decision.rule,
            subject: AuditWhy.Subject.none
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
}
