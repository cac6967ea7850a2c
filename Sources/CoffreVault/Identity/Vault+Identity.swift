internal import CoffreAudit
internal import CoffreCrypto

extension Vault {
    /// Who asks, and with which rights: the token when one is sent, the process itself otherwise.
    ///
    /// A token wins over the process's own rights, also when it is worthless: what a caller sends is what it means.
    /// - Throws: ``VaultError`` `.permissionDenied`, with the same text for every cause.
    func identify(_ context: RequestContext, _ state: UnsealedState) throws -> Caller {
        let service = try service(of: context, state)
        if let person = context.person { return try caller(service, for: person.get(), context, state) }
        // A role that demands a person behind the service cannot be used without one, by a token that it gave either.
        guard service.subject != .required else { throw VaultError.permissionDenied }
        return service
    }

    /// Who asks, without the person that it may ask for.
    func service(of context: RequestContext, _ state: UnsealedState) throws -> Caller {
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
            subject: requiresPerson(entry, state) ? .required : .none,
            demandsPerson: demandsPerson(entry, context.principal, state),
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
        demandsPerson: Bool,
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
            entityID: entity?.id ?? "",
            demandsPerson: demandsPerson
        )
    }

    private func ambientCaller(_ principal: Principal, _ state: UnsealedState, _ now: Timestamp) throws -> Caller {
        let key = CallerKey(principal: principal, token: nil)
        if let caller = state.callers[key], caller.isCurrent(at: now) { return caller }
        let roles = state.peerRoles.values.filter { $0.isAmbient && $0.matches(principal) }
        guard !roles.isEmpty else { throw VaultError.permissionDenied }
        let subjects = Set(roles.map(\.subject))
        let entity = peerEntity(principal, state)
        if entity?.isDisabled ?? false { throw VaultError.permissionDenied }
        let caller = makeCaller(
            who: who(of: principal),
            policies: Set(roles.flatMap(\.policies)).union(["default"]).sorted(),
            entity: entity,
            token: nil,
            subject: subjects.contains(.required) ? .required : subjects == [.forbidden] ? .none : .optional,
            demandsPerson: demandsPerson(nil, principal, state),
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
        let owner = Principal(pid: 0, uid: uid, gid: 0, groups: [], unit: entry.boundUnit, isUnitPinned: false)
        var details: [AuditWhat.Detail] = [
            ("accessor", .text(entry.accessor)), ("of", .text(makeWho(owner, sid: nil, accessor: nil).sid)),
        ]
        if let unit = entry.boundUnit { details.append(("of_unit", .text(unit))) }
        throw VaultError.boundToken(details)
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
        let kind: AuditWho.Kind? = entry.policies.contains("root") ? .admin : person(of: entry) == nil ? nil : .human
        return makeWho(principal, sid: tokenSID(entry), accessor: entry.accessor, kind: kind)
    }

    /// The pseudonym that a token stands for; nil for that of the process, to which it is bound.
    func tokenSID(_ entry: TokenEntry) -> String? {
        guard entry.boundUID == nil else { return nil }
        if let (mount, alias) = person(of: entry) { return personSID(mount, alias) }
        let isRoot = entry.policies.contains("root")
        return sid(kind: isRoot ? .admin : .service, uid: nil, entity: isRoot ? "root" : entry.displayName)
    }

    /// Whom a token of a `jwt` auth method is of.
    private func person(of entry: TokenEntry) -> (Mount, String)? {
        guard let state = unsealed, entry.path.hasSuffix("/login"),
            let mount = state.mounts.mount(at: String(entry.path.dropLast(5))), mount.type == .jwt,
            let entity = state.identity.entities[entry.entityID],
            let alias = entity.aliases.first(where: { $0.mountAccessor == mount.accessor })
        else { return nil }
        return (mount, alias.name)
    }

    /// A person is the same in records whether a token of their own asks or a service does for them.
    func personSID(_ mount: Mount, _ alias: String) -> String {
        sid(kind: .human, uid: nil, entity: mount.path + alias)
    }

    /// A process under 1000, or of a system unit, is a service and stands in clear; anybody else is a person.
    func makeWho(
        _ principal: Principal,
        sid: String?,
        accessor: String?,
        kind: AuditWho.Kind? = nil,
        forSid: String? = nil,
        tokenDigest: String? = nil
    ) -> AuditWho {
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
            forSid: forSid,
            tokenDigest: tokenDigest
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
        let set = decision.isOfSecond ? caller.person?.policySet ?? caller.policySet : caller.policySet
        let key = RuleKey(
            policy: decision.policy ?? "",
            version: decision.policyVersion ?? 0,
            rule: decision.rule ?? -1,
            set: set.digest,
            right: right,
            subject: caller.subject
        )
        if let known = state.reasons[key] { return known }
        let why = AuditWhy(
            right: right,
            policy: decision.policy,
            policyVersion: decision.policyVersion,
            rule: decision.rule,
            set: set.digest,
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
    let subject: AuditWhy.Subject
}
