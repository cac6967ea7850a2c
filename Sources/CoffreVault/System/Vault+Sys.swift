internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// Routes that any caller may use while the vault is open, also without rights.
    func openEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        switch (context.pathText, context.verb) {
        case ("auth/peer/login", .write): return peerLogin()
        case ("sys/internal/ui/mounts", .get):
            return .read(.sysRead, AuditWhat(), .anyone) { vault, context in
                guard let caller = context.caller, let state = vault.unsealed else {
                    return Effect(.data(["secret": .object([]), "auth": .object([])]))
                }
                let visible = state.mounts.filter { caller.acl.hasAnyCapability(underMount: Array($0.path.utf8)) }
                let secret = JSONValue.object(visible.map { .init($0.path, vault.describe($0)) })
                return Effect(.data(["secret": secret, "auth": .object(vault.authMounts)]))
            }
        default: return nil
        }
    }

    func systemEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let rest = String(decoding: context.path.dropFirst(4), as: UTF8.self)
        var what = AuditWhat()
        what.path = "sys/" + rest
        if rest.hasPrefix("policies/acl") || rest == "policy" || rest.hasPrefix("policy/") {
            return policyEndpoint(context, rest, state)
        }
        if rest == "policies/password" || rest.hasPrefix("policies/password/") {
            return passwordPolicyEndpoint(context, rest)
        }
        if rest.hasPrefix("policies/") { return policyQuestionEndpoint(context, rest) }
        if rest.hasPrefix("leases/") { return try leaseEndpoint(context, rest) }
        if rest.hasPrefix("internal/ui/mounts/") { return preflight(context, Array(rest.utf8.dropFirst(19))) }
        switch (rest, context.verb) {
        case ("mounts", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                Effect(.doubled(vault.unsealed?.mounts.map { .init($0.path, vault.describe($0)) } ?? []))
            }
        case ("auth", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in Effect(.doubled(vault.authMounts)) }
        case ("capabilities-self", .write), ("capabilities", .write):
            return .read(.sysRead, what, .capability(.update)) { vault, context in
                try vault.capabilities(context, ofSelf: rest == "capabilities-self")
            }
        case ("internal/ui/resultant-acl", .get):
            return .read(.sysRead, what, .capability(.read)) { _, context in
                let isRoot = context.caller?.policies.contains("root") ?? false
                return Effect(.data(["root": .bool(isRoot), "exact_paths": .object([]), "glob_paths": .object([])]))
            }
        case ("seal", .write):
            return .change(.seal, what, .sudo(.update)) { vault, _ in
                vault.sealNow()
                return Effect(.noContent)
            }
        case ("audit", .get):
            return .read(.sysRead, what, .sudo(.read)) { vault, _ in
                let device = JSONValue.object([
                    "type": "file", "description": "hash-chained segments, always on", "local": .bool(false),
                    "path": "coffre/", "options": .object([.init("origin", .string(vault.audit.origin))]),
                ])
                return Effect(.doubled([.init("coffre/", device)]))
            }
        case ("audit/status", .get):
            return .read(.auditRead, what, .capability(.read)) { vault, _ in Effect(.data(vault.auditStatus())) }
        case ("mounts", _), ("capabilities-self", _), ("capabilities", _), ("seal", _), ("auth", _), ("audit", _):
            return .unsupported(what)
        default: return nil
        }
    }

    private func auditStatus() -> JSONValue {
        let health = audit.health
        return .object([
            "origin": .string(audit.origin), "size": .integer(health.size), "writable": .bool(health.isWritable),
            "key_location": .string(health.keyLocation.rawValue), "witness": "none",
        ])
    }

    // MARK: mounts

    func describe(_ mount: Mount) -> JSONValue {
        let options: JSONValue = mount.type == .kv ? .object([.init("version", "2")]) : .null
        return describeMount(mount.type.rawValue, mount.description, mount.accessor, mount.id, options, leases: true)
    }

    var authMounts: [JSONValue.Member] {
        [
            .init(
                "peer/",
                describeMount("peer", "rights of local processes", "auth_peer", "auth-peer", .null, leases: false)
            ),
            .init("token/", describeMount("token", "tokens", "auth_token", "auth-token", .null, leases: false)),
        ]
    }

    private func describeMount(
        _ type: String,
        _ description: String,
        _ accessor: String,
        _ uuid: String,
        _ options: JSONValue,
        leases: Bool
    ) -> JSONValue {
        .object([
            "accessor": .string(accessor),
            "config": .object([
                "default_lease_ttl": .integer(leases ? configuration.defaultLeaseTTL : configuration.maximumTokenTTL),
                "force_no_cache": .bool(false),
                "max_lease_ttl": .integer(leases ? configuration.maximumLeaseTTL : configuration.maximumTokenTTL),
            ]),
            "description": .string(description), "external_entropy_access": .bool(false), "local": .bool(false),
            "options": options, "plugin_version": "",
            "running_plugin_version": .string("v\(configuration.version)+builtin"),
            "running_sha256": "", "seal_wrap": .bool(false), "type": .string(type), "uuid": .string(uuid),
        ])
    }

    /// What every `kv` command of a client asks first: which mount, and which version.
    private func preflight(_ context: RequestContext, _ path: [UInt8]) -> Endpoint {
        var what = AuditWhat()
        what.path = "sys/internal/ui/mounts"
        guard context.verb == .get else { return .unsupported(what) }
        return .read(.sysRead, what, .caller) { vault, context in
            guard let caller = context.caller, let state = vault.unsealed else { throw VaultError.permissionDenied }
            let asked = path.last == 0x2f ? path : path + [0x2f]
            guard let mount = state.mounts.first(where: { asked.starts(with: $0.path.utf8) }),
                caller.acl.hasAnyCapability(underMount: Array(mount.path.utf8))
            else {
                let name = String(decoding: path, as: UTF8.self)
                throw VaultError(
                    .permissionDenied,
                    "preflight capability check returned 403, please ensure client's policies grant access to path \"\(name)/\""
                )
            }
            guard case .object(let members) = vault.describe(mount) else { throw VaultError(.internalError) }
            return Effect(.data(.object(members + [.init("path", .string(mount.path))])))
        }
    }

    // MARK: capabilities

    private func capabilities(_ context: RequestContext, ofSelf: Bool) throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.permissionDenied }
        let (paths, acl) = try withBody(context) { body -> ([String], ACL) in
            let paths = (body?["paths"] ?? body?["path"])?.stringList ?? []
            guard !paths.isEmpty else { throw VaultError.badRequest("paths must be supplied") }
            guard paths.count <= 1000 else { throw VaultError.badRequest("at most 1000 paths at once") }
            if ofSelf { return (paths, caller.acl) }
            guard let token = body?["token"], let count = token.stringCount, (1...512).contains(count) else {
                throw VaultError.badRequest("missing token")
            }
            let hash = SharedSecret(SecretBytes(count: count) { token.decodeString(into: $0) })
                .withBytes { state.tokenKey.authenticate($0) }
            guard let entry = try tokenEntry(hash, state), !entry.isExpired(at: context.now) else {
                throw VaultError.badRequest("invalid token")
            }
            return (paths, self.acl(of: entry.policies, state))
        }
        var members = paths.map { path in
            JSONValue.Member(path, .strings(acl.capabilities(path: Array(path.utf8))))
        }
        if paths.count == 1, let only = members.first { members.append(.init("capabilities", only.value)) }
        return Effect(.doubled(members))
    }
}
