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
                guard let table = vault.unsealed?.mounts else { throw VaultError.sealed }
                let visible = table.mounts.filter { mount in
                    mount.tuning.isListedToAnyone
                        || context.caller?.acl.hasAnyCapability(underMount: Array(mount.path.utf8)) ?? false
                }
                .sorted { $0.path < $1.path }
                var (secret, auth): ([JSONValue.Member], [JSONValue.Member]) = ([], [])
                for mount in visible {
                    let member = JSONValue.Member(mount.shownPath, vault.describe(mount))
                    if mount.type.isAuth { auth.append(member) } else { secret.append(member) }
                }
                return Effect(.data(["secret": .object(secret), "auth": .object(auth)]))
            }
        default: break
        }
        if context.path.starts(with: "sys/wrapping/".utf8) {
            return try wrappingEndpoint(context, String(context.pathText.dropFirst(13)), state)
        }
        guard context.path.starts(with: "auth/".utf8), context.path.suffix(6).elementsEqual("/login".utf8),
            let mount = state.mounts.mount(of: context.path), context.path.count == mount.path.utf8.count + 5
        else { return nil }
        switch mount.type {
        case .approle: return try appRoleLogin(context, mount)
        case .jwt: return try jwtLoginEndpoint(context, mount)
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
        if rest == "leases" || rest.hasPrefix("leases/") { return try leaseEndpoint(context, rest) }
        if rest.hasPrefix("internal/ui/mounts/") { return preflight(context, Array(rest.utf8.dropFirst(19))) }
        if let found = try mountEndpoint(context, rest) { return found }
        if let found = remountEndpoint(context, rest) { return found }
        if rest.hasPrefix("tools/random") || rest.hasPrefix("tools/hash") {
            let parts = rest.split(separator: "/").map(String.init)
            guard parts.count <= 4, ["random", "hash"].contains(parts[1]) else { return nil }
            guard context.verb == .write else { return .unsupported(what) }
            return toolEndpoint(parts[1], Array(parts[2...]), what, .sysRead)
        }
        if let found = keyEndpoint(context, rest) { return found }
        if rest.hasPrefix("control-group/") { return try controlGroupEndpoint(context, String(rest.dropFirst(14))) }
        if rest == "internal/specs/openapi" { return openAPIEndpoint(context) }
        if rest == "metrics" { return metricsEndpoint(context) }
        if rest == "storage/snapshot" { return snapshotEndpoint(context, what) }
        if let found = decoyEndpoint(context, rest, what) { return found }
        if let endpoint = auditRetentionEndpoint(context, rest, what) { return endpoint }
        if let endpoint = auditPeopleEndpoint(context, rest, what) { return endpoint }
        if let endpoint = try anomalyEndpoint(context, rest, what) { return endpoint }
        switch (rest, context.verb) {
        case ("capabilities-self", .write), ("capabilities", .write), ("capabilities-accessor", .write):
            return .read(.sysRead, what, .capability(.update)) { vault, context in
                try vault.capabilities(context, ofSelf: rest == "capabilities-self", byAccessor: rest.hasSuffix("r"))
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
        case ("audit/log", .get):
            let query = try auditQuery(context)
            what.details += query.details
            return .inquiry(.auditRead, what, .capability(.read)) { vault, _ in
                Effect(.data(try await vault.auditPage(query.query)))
            }
        case (let path, .get) where path.hasPrefix("audit/why/"):
            let number = UInt64(path.dropFirst(10)).flatMap { $0 < 1 << 53 ? $0 : nil }
            return .inquiry(.auditRead, what, .capability(.read)) { vault, context in
                guard let number else { throw VaultError.badRequest("sys/audit/why/ takes the number of a record") }
                return Effect(.data(try await vault.auditWhy(number, context)))
            }
        case ("audit/verified", .write):
            return .read(.auditRead, what, .capability(.update)) { vault, context in
                try vault.auditVerified(context)
            }
        case ("audit/export", .write):
            return .read(.auditExport, what, .capability(.update)) { vault, context in
                Effect(.noContent, what: try vault.auditExport(context))
            }
        case (let path, .write) where path.hasPrefix("audit-hash/"):
            return .read(.auditRead, what, .capability(.update)) { vault, context in
                guard path.dropFirst(11).split(separator: "/") == ["coffre"] else {
                    throw VaultError.badRequest("unknown audit backend: the one that there is, is called coffre/")
                }
                let digest = try vault.withBody(context) { body -> String in
                    guard let input = body?["input"], let count = input.stringCount, count > 0 else {
                        throw VaultError.badRequest("the \"input\" parameter is empty")
                    }
                    return SecretBytes(count: count) { input.decodeString(into: $0) }
                        .withBytes { vault.audit.keyedDigest($0, domain: "path") }
                }
                return Effect(.doubled([.init("hash", .string("hmac-sha256:" + digest))]))
            }
        case (let path, .write) where path.hasPrefix("audit/"), (let path, .delete) where path.hasPrefix("audit/"):
            return .read(.sysWrite, what, .sudo(context.verb == .delete ? .delete : .update)) { _, _ in
                throw VaultError.badRequest(
                    "cannot enable or disable \(path) by the API: the audit log is set in coffre.toml and always on"
                )
            }
        case ("ha-status", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                let node: JSONValue = [
                    "hostname": "localhost", "api_address": "", "cluster_address": "", "active_node": .bool(true),
                    "last_echo": .null, "version": .string(vault.configuration.version),
                ]
                return Effect(.doubled([.init("nodes", .array([node]))]))
            }
        case ("version-history", .list):
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                let version = vault.configuration.version
                return Effect(.data(["keys": .strings([version]), "key_info": .object([.init(version, .object([]))])]))
            }
        case ("config/cors", .get):
            return .read(.sysRead, what, .sudo(.read)) { _, _ in Effect(.doubled([.init("enabled", .bool(false))])) }
        case ("config/auditing/request-headers", .get):
            return .read(.sysRead, what, .sudo(.read)) { _, _ in Effect(.doubled([.init("headers", .object([]))])) }
        case ("audit/status", .get):
            return .read(.auditRead, what, .capability(.read)) { vault, _ in Effect(.data(vault.auditStatus())) }
        case ("capabilities-self", _), ("capabilities", _), ("seal", _), ("audit", _):
            return .unsupported(what)
        default: return nil
        }
    }

    /// What the record of an export says: which records, how many of them are shown, under which signed head, and the
    /// hash that pins the bundle.
    private func auditExport(_ context: RequestContext) throws -> AuditWhat {
        var what = AuditWhat(path: "sys/audit/export")
        try withBody(context) { body in
            func count(_ name: String) throws -> Int64 {
                guard let value = body?[name]?.integer, value >= 0 else {
                    throw VaultError.badRequest("\"\(name)\" must be a number of records")
                }
                return value
            }
            let (first, end, shown, size) = try (count("first"), count("end"), count("shown"), count("size"))
            guard first < end, end <= size, UInt64(size) <= audit.health.size, shown <= end - first else {
                throw VaultError.badRequest("this log holds no such range")
            }
            guard let sums = body?["sums"]?.string, sums.utf8.count == 64,
                sums.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
            else { throw VaultError.badRequest("\"sums\" must be the SHA-256 of the bundle's SHA256SUMS, in hex") }
            let purpose = body?["purpose"]?.string ?? ""
            guard purpose.utf8.count <= 500 else { throw VaultError.badRequest("\"purpose\" is longer than 500 bytes") }
            what.details += [
                ("end", .int(end)), ("first", .int(first)), ("purpose", .text(purpose)), ("shown", .int(shown)),
                ("size", .int(size)), ("sums", .text(sums)),
            ]
        }
        return what
    }

    func diskStatus(_ disk: DiskReport) -> JSONValue {
        .object([
            "state": .string(disk.level.name), "free_bytes": .integer(disk.freeBytes),
            "total_bytes": .integer(disk.totalBytes), "free_files": disk.freeFiles.map { .integer($0) } ?? .null,
            "growth_per_day": disk.growthPerDay.map { .integer($0) } ?? .null,
            "days_left": disk.daysLeft.map { .integer($0) } ?? .null, "reserve": .string(disk.reserve.rawValue),
            "preallocation": .string(disk.preallocation.rawValue),
            "error": disk.failure.map { .string($0.message) } ?? .null,
        ])
    }

    // MARK: preflight

    /// What every `kv` command of a client asks first: which mount, and which version.
    private func preflight(_ context: RequestContext, _ path: [UInt8]) -> Endpoint {
        var what = AuditWhat()
        what.path = "sys/internal/ui/mounts"
        guard context.verb == .get else { return .unsupported(what) }
        return .read(.sysRead, what, .caller) { vault, context in
            guard let caller = context.caller, let state = vault.unsealed else { throw VaultError.permissionDenied }
            let asked = path.last == 0x2f ? path : path + [0x2f]
            guard let mount = state.mounts.mount(of: asked),
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

    /// Names below a place of the storage, as `keys`; nothing there is 404.
    func listing(_ namespace: StorageNamespace, _ parent: [UInt8]) throws -> Effect {
        let names = try barrier.names(in: namespace, parent: parent)
        guard !names.isEmpty else { throw VaultError.notFound }
        return Effect(.data(["keys": .strings(names.map { String(decoding: $0, as: UTF8.self) })]))
    }

    // MARK: capabilities

    private func capabilities(_ context: RequestContext, ofSelf: Bool, byAccessor: Bool) throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.permissionDenied }
        let (paths, acl) = try withBody(context) { body -> ([String], ACL) in
            let paths = (body?["paths"] ?? body?["path"])?.stringList ?? []
            guard !paths.isEmpty else { throw VaultError.badRequest("paths must be supplied") }
            guard paths.count <= 1000 else { throw VaultError.badRequest("at most 1000 paths at once") }
            if ofSelf { return (paths, caller.acl) }
            if byAccessor {
                let accessor = body?["accessor"]?.string ?? ""
                let hash = try barrier.get(.tokenAccessor(accessor))?.value.withBytes { Digest(Array($0)) }
                guard let hash, let entry = try tokenEntry(hash, state), !entry.isExpired(at: context.now) else {
                    throw VaultError.badRequest("invalid accessor")
                }
                let entity = state.identity.entities[entry.entityID]
                return (paths, self.acl(of: entry.policies + identityPolicies(of: entry), entity, state))
            }
            guard let token = body?["token"], let count = token.stringCount,
                (1...Self.maximumTokenBytes).contains(count)
            else {
                throw VaultError.badRequest("missing token")
            }
            let secret = SharedSecret(SecretBytes(count: count) { token.decodeString(into: $0) })
            let hash = secret.withBytes { state.tokenKey.authenticate($0) }
            guard let entry = try self.entry(of: secret, hash, state), !entry.isExpired(at: context.now) else {
                throw VaultError.badRequest("invalid token")
            }
            let entity = state.identity.entities[entry.entityID]
            let policies = entry.policies + (entity.map { state.identity.policies(of: $0) } ?? [])
            return (paths, self.acl(of: policies, entity, state))
        }
        var members = paths.map { path in
            JSONValue.Member(path, .strings(acl.capabilities(path: Array(path.utf8))))
        }
        if paths.count == 1, let only = members.first { members.append(.init("capabilities", only.value)) }
        return Effect(.doubled(members))
    }
}
