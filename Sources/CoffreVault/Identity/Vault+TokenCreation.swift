internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `auth/token/create[-orphan]` and `auth/token/create/<role>`: a child of the caller's token with rights that the
    /// caller has, or that the role gives.
    func createToken(_ context: RequestContext, isOrphanRoute: Bool, role roleName: String?) async throws -> Effect {
        guard let caller = context.caller else { throw VaultError.permissionDenied }
        if caller.token?.kind == .batch { throw VaultError.badRequest("batch tokens cannot create more tokens") }
        if context.usesLimitedToken {
            throw VaultError.badRequest("restricted use token cannot generate child tokens")
        }
        var role: TokenRole?
        if let roleName {
            role = try tokenRole(roleName)
            if role == nil { throw VaultError.badRequest("unknown role \(roleName)") }
        }
        var wanted = try withBody(context) { try TokenRequest($0) }
        let hasSudo = caller.acl.decide(.update, path: context.path).hasSudo
        if (wanted.isOrphan && !(role?.isOrphan ?? false)) || wanted.isUnbound, !hasSudo {
            throw VaultError.badRequest("root or sudo privileges required to create an orphan or unbound token")
        }
        if wanted.period > 0, !hasSudo, role == nil {
            throw VaultError.badRequest("root or sudo privileges required to create a periodic token")
        }
        if let role { try apply(role, to: &wanted, hasSudo: hasSudo) }
        wanted.policies = try choosePolicies(wanted, role, caller, hasSudo: hasSudo)
        wanted.isOrphan = wanted.isOrphan || isOrphanRoute
        try wanted.checkBatch()
        wanted.entityID = caller.entityID
        if !wanted.entityAlias.isEmpty { wanted.entityID = try await aliasEntity(wanted.entityAlias, role, context) }
        // A binding is inherited: a child is no way out of it.
        let binding =
            wanted.isUnbound ? nil : caller.token.flatMap { token in token.boundUID.map { ($0, token.boundUnit) } }
        let peerBinding =
            caller.token == nil && !wanted.isUnbound ? (context.principal.uid, context.principal.unit) : nil
        if !wanted.isUnbound, let state = unsealed {
            wanted.peerRoles =
                caller.token?.peerRoles ?? showingRoles(nil, context.principal, state).map(\.name).sorted()
        }
        var path = context.pathText
        if let suffix = role?.pathSuffix, !suffix.isEmpty { path += "/" + suffix }
        return try await issueToken(wanted, context, path: path, binding: binding ?? peerBinding)
    }

    private func apply(_ role: TokenRole, to wanted: inout TokenRequest, hasSudo: Bool) throws {
        wanted.role = role.name
        if role.isOrphan { wanted.isOrphan = true }
        wanted.isRenewable = wanted.isRenewable && role.isRenewable
        if role.isWithoutDefault { wanted.isWithoutDefault = true }
        if role.period > 0 {
            wanted.period = wanted.period > 0 && hasSudo ? min(wanted.period, role.period) : role.period
        } else if !hasSudo {
            wanted.period = 0
        }
        if role.explicitMaximumTTL > 0 {
            wanted.explicitMaximumTTL =
                wanted.explicitMaximumTTL > 0
                ? min(wanted.explicitMaximumTTL, role.explicitMaximumTTL) : role.explicitMaximumTTL
        }
        if role.uses > 0 { wanted.uses = wanted.uses > 0 ? min(wanted.uses, role.uses) : role.uses }
        switch role.tokenType {
        case "service": wanted.isBatch = false
        case "batch": wanted.isBatch = true
        case "default-batch": wanted.isBatch = wanted.isBatch ?? true
        default: break
        }
    }

    private func choosePolicies(_ wanted: TokenRequest, _ role: TokenRole?, _ caller: Caller, hasSudo: Bool) throws
        -> [String]
    {
        let isRoot = caller.policies.contains("root")
        // What the entity adds, it adds to the child as well: only the token's own policies are handed on.
        let own = caller.token?.policies ?? caller.policies
        var policies = wanted.policies.map { $0.lowercased() }
        if let role, role.restrictsPolicies {
            if policies.isEmpty { policies = role.allowedPolicies.isEmpty ? own : role.allowedPolicies }
            let refused = policies.filter { $0 != "default" && !role.allows(policy: $0) }
            guard refused.isEmpty, !policies.contains("root") || isRoot else {
                throw VaultError.badRequest(
                    "token policies (\(list(policies))) must be subset of the role's allowed policies "
                        + "(\(list(role.allowedPolicies))) or glob policies (\(list(role.allowedGlobs)))"
                )
            }
            if role.disallowedPolicies.contains("default") { return policies.filter { $0 != "default" } }
        } else {
            if policies.isEmpty { policies = own }
            if policies.contains("root"), !isRoot {
                throw VaultError.badRequest("root tokens may not be created without parent token being root")
            }
            if !isRoot, !hasSudo, !Set(policies).subtracting(["default"]).isSubset(of: own) {
                throw VaultError.badRequest("child policies must be subset of parent")
            }
        }
        if !wanted.isWithoutDefault, !policies.contains("root") { policies.append("default") }
        return policies
    }

    private func list(_ names: [String]) -> String {
        "[" + names.map { "\"\($0)\"" }.joined(separator: " ") + "]"
    }

    private func aliasEntity(_ name: String, _ role: TokenRole?, _ context: RequestContext) async throws -> String {
        guard let role else {
            throw VaultError.badRequest("'entity_alias' is only allowed in combination with token role")
        }
        guard role.allowedAliases.contains(where: { Glob.matches($0, name.lowercased()) }) else {
            throw VaultError.badRequest("invalid 'entity_alias' value")
        }
        guard let mount = unsealed?.mounts.mount(at: "auth/token/") else { throw VaultError.sealed }
        return try await entityAtLogin(alias: try identityName(name), mount: mount, metadata: [:], context).id
    }

    /// Makes, stores and answers a token.
    func issueToken(
        _ wanted: TokenRequest,
        _ context: RequestContext,
        path: String,
        binding: (uid: UInt32, unit: String?)?
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        // It would outlive the person's token, and leave the person out.
        guard context.person == nil else {
            throw VaultError.badRequest("no token is made in a person's name: leave X-Coffre-Subject out")
        }
        let policies = Set(wanted.policies).sorted()
        var warnings: [String] = []
        let ttl = lifetime(wanted, isRoot: policies.contains("root"), path: path, state, &warnings)
        // Who logs in cannot do anything about it; who makes a token can.
        for name in policies
        where path.hasPrefix("auth/token/create") && name != "root" && state.policies[name] == nil {
            warnings.append("Policy \"\(name)\" does not exist")
        }
        let isBatch = wanted.isBatch ?? false
        guard !isBatch || ttl > 0 else { throw VaultError.badRequest("batch tokens cannot be root tokens") }
        let parent = wanted.isOrphan ? nil : context.caller?.token
        let accessor = isBatch ? "" : Random.base62(24)
        func describe(_ hash: Digest) -> TokenEntry {
            var entry = TokenEntry(
                hash: hash,
                accessor: accessor,
                policies: policies,
                path: path,
                displayName: wanted.displayName,
                created: context.now,
                ttl: ttl,
                isRenewable: wanted.isRenewable && ttl > 0 && !isBatch,
                isOrphan: parent == nil,
                parent: parent?.hash,
                expires: ttl > 0 ? context.now.adding(seconds: ttl) : nil
            )
            entry.kind = isBatch ? .batch : .service
            entry.meta = wanted.meta
            entry.explicitMaximumTTL = wanted.explicitMaximumTTL
            entry.maximumTTL = wanted.maximumTTL
            entry.period = wanted.period
            entry.usesLeft = wanted.uses
            entry.entityID = wanted.entityID
            entry.role = wanted.role
            entry.boundUID = binding?.uid
            entry.boundUnit = binding?.unit
            entry.peerRoles = wanted.peerRoles
            return entry
        }
        let token: SharedSecret
        let entry: TokenEntry
        var generation: UInt64?
        if isBatch {
            (token, entry) = try BatchToken.make(describe, key: state.batchKey, hashKey: state.tokenKey)
        } else {
            token = Random.secretBase62(24, prefix: "s.")
            entry = describe(token.withBytes { state.tokenKey.authenticate($0) })
            generation = try await store(entry, parent: parent, state)
        }
        var reply = Reply.auth(authBlock(entry, token: token, context))
        reply.warnings = warnings
        reply.wrappedAccessor = accessor
        var what = AuditWhat(path: path)
        what.details = [("accessor", .text(entry.accessor)), ("policies", .text(policies.joined(separator: ",")))]
        return Effect(reply, generation: generation, what: what)
    }

    /// Seconds that the token lives; 0 for a root token without end.
    private func lifetime(
        _ wanted: TokenRequest,
        isRoot: Bool,
        path: String,
        _ state: UnsealedState,
        _ warnings: inout [String]
    ) -> Int64 {
        let mount = state.mounts.mount(of: Array(path.utf8))
        let bounds =
            mount.map { lifetime(of: $0) }
            ?? (standard: configuration.maximumTokenTTL, maximum: configuration.maximumTokenTTL)
        var ttl = wanted.period > 0 ? wanted.period : wanted.ttl
        if ttl == 0, !isRoot { ttl = bounds.standard }
        var limit = wanted.period > 0 || (isRoot && ttl == 0) ? Int64.max : bounds.maximum
        if wanted.maximumTTL > 0, wanted.period == 0 { limit = min(limit, wanted.maximumTTL) }
        if wanted.explicitMaximumTTL > 0 { limit = min(limit, wanted.explicitMaximumTTL) }
        if ttl > limit {
            warnings.append(
                "TTL of \"\(GoDuration.text(ttl))\" exceeded the effective max_ttl of \"\(GoDuration.text(limit))\"; "
                    + "TTL value is capped accordingly"
            )
            ttl = limit
        }
        return ttl
    }

    private func store(_ entry: TokenEntry, parent: TokenEntry?, _ state: UnsealedState) async throws -> UInt64 {
        if let parent {
            // Nothing suspends between this look and the queueing: a revocation that begins later sees the child.
            guard try tokenEntry(parent.hash, state) != nil else { throw VaultError.permissionDenied }
            state.childrenInFlight[parent.hash, default: 0] += 1
        }
        defer { if let parent { state.childCommitted(of: parent.hash) } }
        let generation = try await commit(storing(entry))
        if let expires = entry.expires { state.leases.schedule(.token(entry.hash), at: expires) }
        return generation
    }

    /// The rows of a new token.
    func storing(_ entry: TokenEntry) -> [BarrierMutation] {
        var mutations: [BarrierMutation] = [
            .put(.token(entry.hash), entry.encoded, expect: .absent),
            .put(.tokenAccessor(entry.accessor), SharedSecret(copying: entry.hash.bytes), expect: .absent),
            .insertIfAbsent(.issuingPath(entry.path), LeaseSchedule.marker),
            .put(.issuedToken(entry.hash, path: entry.path), LeaseSchedule.marker, expect: .any),
        ]
        if let parent = entry.parent {
            mutations.append(.put(.tokenChild(entry.hash, of: parent), LeaseSchedule.marker, expect: .any))
        }
        if let expires = entry.expires { mutations.append(.expiry(of: entry.hash, at: expires)) }
        return mutations
    }
}
