internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What somebody asks of a new token.
struct TokenRequest: Sendable {
    var policies: [String] = []
    var ttl: Int64 = 0
    var explicitMaximumTTL: Int64 = 0
    var period: Int64 = 0
    var displayName = "token"
    var meta: [String: String] = [:]
    var isRenewable = true
    var isOrphan = false
    var isWithoutDefault = false
    var isUnbound = false

    init() {}

    /// - Throws: ``VaultError`` `.badRequest` for what this version does not do, naming it.
    init(_ body: JSONView?) throws(VaultError) {
        func duration(_ field: String) throws(VaultError) -> Int64 {
            guard let value = body?[field] else { return 0 }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            return seconds
        }
        if let value = body?["policies"] {
            guard let names = value.stringList else { throw .badRequest("policies is a list of names") }
            policies = names
        }
        ttl = try duration("ttl")
        explicitMaximumTTL = try duration("explicit_max_ttl")
        period = try duration("period")
        if let name = body?["display_name"]?.string, !name.isEmpty { displayName = "token-" + name }
        for member in body?["meta"]?.members ?? [] {
            guard let text = member.value.string else { throw .badRequest("meta takes texts") }
            meta[member.key] = text
        }
        if let type = body?["type"]?.string, type != "service", !type.isEmpty {
            throw .badRequest("token type \"\(type)\" is not available in this version: use \"service\"")
        }
        if let uses = body?["num_uses"]?.weakInteger, uses != 0 {
            throw .badRequest("num_uses is not available in this version: leave it out or send 0")
        }
        if body?["id"] != nil { throw .badRequest("the id of a token cannot be chosen") }
        if let alias = body?["entity_alias"]?.string, !alias.isEmpty {
            throw .badRequest("entity_alias is not available in this version")
        }
        isRenewable = body?["renewable"]?.weakBool ?? true
        isOrphan = body?["no_parent"]?.weakBool ?? false
        isWithoutDefault = body?["no_default_policy"]?.weakBool ?? false
        isUnbound = body?["unbound"]?.weakBool ?? false
    }
}

extension Vault {
    /// `auth/token/create`: a child of the caller's token with rights that the caller has.
    func createToken(_ context: RequestContext, isOrphanRoute: Bool) async throws -> Effect {
        guard let caller = context.caller else { throw VaultError.permissionDenied }
        var wanted = try withBody(context) { try TokenRequest($0) }
        let hasSudo = caller.acl.decide(.update, path: context.path).hasSudo
        let isRoot = caller.policies.contains("root")
        if wanted.isOrphan || wanted.isUnbound, !hasSudo {
            throw VaultError.badRequest("root or sudo privileges required to create an orphan or unbound token")
        }
        if wanted.period > 0, !hasSudo {
            throw VaultError.badRequest("root or sudo privileges required to create a periodic token")
        }
        if wanted.policies.isEmpty { wanted.policies = caller.policies }
        wanted.policies = wanted.policies.map { $0.lowercased() }
        if wanted.policies.contains("root"), !isRoot {
            throw VaultError.badRequest("root tokens may not be created without parent token being root")
        }
        if !isRoot, !hasSudo, !Set(wanted.policies).subtracting(["default"]).isSubset(of: caller.policies) {
            throw VaultError.badRequest("child policies must be subset of parent")
        }
        if !wanted.isWithoutDefault, !wanted.policies.contains("root") { wanted.policies.append("default") }
        wanted.isOrphan = wanted.isOrphan || isOrphanRoute
        // A binding is inherited: a child is no way out of it.
        let binding =
            wanted.isUnbound ? nil : caller.token.flatMap { token in token.boundUID.map { ($0, token.boundUnit) } }
        let peerBinding =
            caller.token == nil && !wanted.isUnbound ? (context.principal.uid, context.principal.unit) : nil
        return try await issueToken(wanted, context, path: context.pathText, binding: binding ?? peerBinding)
    }

    /// Makes, stores and answers a token.
    func issueToken(
        _ wanted: TokenRequest,
        _ context: RequestContext,
        path: String,
        binding: (uid: UInt32, unit: String?)?
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let policies = Set(wanted.policies).sorted()
        let isRoot = policies.contains("root")
        var warnings: [String] = []
        var ttl = wanted.period > 0 ? wanted.period : wanted.ttl
        if ttl == 0, !isRoot { ttl = configuration.maximumTokenTTL }
        var limit = wanted.period > 0 || (isRoot && ttl == 0) ? Int64.max : configuration.maximumTokenTTL
        if wanted.explicitMaximumTTL > 0 { limit = min(limit, wanted.explicitMaximumTTL) }
        if ttl > limit {
            warnings.append(
                "TTL of \"\(GoDuration.text(ttl))\" exceeded the effective max TTL of \"\(GoDuration.text(limit))\"; "
                    + "TTL value is capped accordingly"
            )
            ttl = limit
        }
        for name in policies where name != "root" && state.policies[name] == nil {
            warnings.append("Policy \"\(name)\" does not exist")
        }
        let parent = wanted.isOrphan ? nil : context.caller?.token
        let token = Random.secretBase62(24, prefix: "s.")
        let entry = TokenEntry(
            hash: token.withBytes { state.tokenKey.authenticate($0) },
            accessor: Random.base62(24),
            policies: policies,
            path: path,
            displayName: wanted.displayName,
            meta: wanted.meta,
            created: context.now,
            ttl: ttl,
            explicitMaximumTTL: wanted.explicitMaximumTTL,
            period: wanted.period,
            isRenewable: wanted.isRenewable && ttl > 0,
            isOrphan: parent == nil,
            parent: parent?.hash,
            expires: ttl > 0 ? context.now.adding(seconds: ttl) : nil,
            boundUID: binding?.uid,
            boundUnit: binding?.unit
        )
        if let parent {
            // Nothing suspends between this look and the queueing: a revocation that begins later sees the child.
            guard try tokenEntry(parent.hash, state) != nil else { throw VaultError.permissionDenied }
            state.childrenInFlight[parent.hash, default: 0] += 1
        }
        defer { if let parent { state.childCommitted(of: parent.hash) } }
        let generation = try await commit(storing(entry))
        if let expires = entry.expires { state.leases.schedule(.token(entry.hash), at: expires) }
        var reply = Reply.auth(authBlock(entry, token: token, context))
        reply.warnings = warnings
        var what = AuditWhat()
        what.path = path
        what.details = [("accessor", .text(entry.accessor)), ("policies", .text(policies.joined(separator: ",")))]
        return Effect(reply, generation: generation, what: what)
    }

    /// The rows of a new token.
    func storing(_ entry: TokenEntry) -> [BarrierMutation] {
        var mutations: [BarrierMutation] = [
            .put(.token(entry.hash), entry.encoded, expect: .absent),
            .put(.tokenAccessor(entry.accessor), SharedSecret(copying: entry.hash.bytes), expect: .absent),
        ]
        if let parent = entry.parent {
            mutations.append(.put(.tokenChild(entry.hash, of: parent), LeaseSchedule.marker, expect: .any))
        }
        if let expires = entry.expires { mutations.append(.expiry(of: entry.hash, at: expires)) }
        return mutations
    }
}
