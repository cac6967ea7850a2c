internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `sys/mounts[/PATH[/tune]]` and `sys/auth[/PATH[/tune]]`.
    func mountEndpoint(_ context: RequestContext, _ rest: String) throws -> Endpoint? {
        let isAuth = rest == "auth" || rest.hasPrefix("auth/")
        guard isAuth || rest == "mounts" || rest.hasPrefix("mounts/") else { return nil }
        var what = AuditWhat()
        what.path = "sys/" + rest
        guard let slash = rest.firstIndex(of: "/") else {
            guard context.verb == .get else { return .unsupported(what) }
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let table = vault.unsealed?.mounts else { throw VaultError.sealed }
                let list = isAuth ? table.auths : table.secrets
                var members = list.map { JSONValue.Member($0.shownPath, vault.describe($0)) }
                if !isAuth { members += vault.systemMounts }
                return Effect(.doubled(members.sorted { $0.key < $1.key }))
            }
        }
        var given = String(rest[rest.index(after: slash)...])
        let isTune = given.hasSuffix("/tune")
        if isTune { given.removeLast(5) }
        let path = try MountTable.path(given, isAuth: isAuth)
        func access(_ capability: Capability) -> Endpoint.Access {
            isAuth ? .sudo(capability) : .capability(capability)
        }
        let change: AuditOperation = isAuth ? .authChange : .mountChange
        switch context.verb {
        case .get:
            return .read(.sysRead, what, access(.read)) { vault, _ in
                guard let mount = vault.unsealed?.mounts.mount(at: path) else {
                    throw VaultError.badRequest(
                        isTune ? "cannot fetch sysview for path \"\(path)\"" : "No secret engine mount at \(path)"
                    )
                }
                guard case .object(let members) = isTune ? vault.tuning(of: mount) : vault.describe(mount) else {
                    throw VaultError(.internalError)
                }
                return Effect(.doubled(members))
            }
        case .write where isTune:
            return .change(change, what, access(.update)) { vault, context in try await vault.tune(path, context) }
        case .write:
            return .change(change, what, access(.update)) { vault, context in
                try await vault.enable(path, isAuth: isAuth, context)
            }
        case .delete where !isTune:
            return .change(change, what, access(.delete)) { vault, context in try await vault.disable(path) }
        default: return .unsupported(what)
        }
    }

    // MARK: what clients see

    func describe(_ mount: Mount) -> JSONValue {
        let tuning = mount.tuning
        var config: [JSONValue.Member] = [
            .init("default_lease_ttl", .integer(tuning.defaultTTL)),
            .init("force_no_cache", .bool(tuning.forcesNoCache)),
        ]
        if tuning.showsVisibility {
            config.append(.init("listing_visibility", .string(tuning.isListedToAnyone ? "unauth" : "hidden")))
        }
        config.append(.init("max_lease_ttl", .integer(tuning.maximumTTL)))
        if mount.type.isAuth { config.append(.init("token_type", .string(tuning.tokenType))) }
        let options = JSONValue.object(
            tuning.options.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }
        )
        return describeMount(
            mount.type.rawValue,
            tuning.description,
            mount.accessor,
            mount.id,
            mount.isBuiltIn ? .null : options,
            config: config
        )
    }

    /// Mounts that cannot be moved or tuned.
    private var systemMounts: [JSONValue.Member] {
        let config: [JSONValue.Member] = [
            .init("default_lease_ttl", .integer(0)), .init("force_no_cache", .bool(false)),
            .init("max_lease_ttl", .integer(0)),
        ]
        return [
            ("connectors", "connections to databases and services"), ("cubbyhole", "private storage of each token"),
            ("identity", "people, teams and services"),
            ("sys", "the vault itself"),
        ].map { name, description in
            let type = name == "sys" ? "system" : name
            return JSONValue.Member(
                name + "/",
                describeMount(type, description, "\(type)_\(name)", name, .null, config: config)
            )
        }
    }

    private func describeMount(
        _ type: String,
        _ description: String,
        _ accessor: String,
        _ uuid: String,
        _ options: JSONValue,
        config: [JSONValue.Member]
    ) -> JSONValue {
        .object([
            "accessor": .string(accessor), "config": .object(config), "description": .string(description),
            "external_entropy_access": .bool(false), "local": .bool(type == "cubbyhole"), "options": options,
            "plugin_version": "", "running_plugin_version": .string("v\(configuration.version)+builtin"),
            "running_sha256": "", "seal_wrap": .bool(false), "type": .string(type), "uuid": .string(uuid),
        ])
    }

    private func tuning(of mount: Mount) -> JSONValue {
        let lifetime = lifetime(of: mount)
        var members: [JSONValue.Member] = [
            .init("default_lease_ttl", .integer(lifetime.standard)),
            .init("description", .string(mount.tuning.description)),
            .init("force_no_cache", .bool(mount.tuning.forcesNoCache)),
            .init("max_lease_ttl", .integer(lifetime.maximum)),
        ]
        if mount.tuning.showsVisibility {
            members.append(
                .init("listing_visibility", .string(mount.tuning.isListedToAnyone ? "unauth" : "hidden"))
            )
        }
        if mount.type.isAuth { members.append(.init("token_type", .string(mount.tuning.tokenType))) }
        if !mount.tuning.options.isEmpty {
            let options = mount.tuning.options.sorted { $0.key < $1.key }
            members.append(.init("options", .object(options.map { .init($0.key, .string($0.value)) })))
        }
        return .object(members)
    }

    /// How long leases, or tokens, of this mount live, in seconds: its own figures, else the vault's.
    func lifetime(of mount: Mount) -> (standard: Int64, maximum: Int64) {
        let isAuth = mount.type.isAuth
        let limit = isAuth ? configuration.maximumTokenTTL : configuration.maximumLeaseTTL
        let maximum = mount.tuning.maximumTTL > 0 ? mount.tuning.maximumTTL : limit
        let standard =
            mount.tuning.defaultTTL > 0
            ? mount.tuning.defaultTTL : isAuth ? configuration.maximumTokenTTL : configuration.defaultLeaseTTL
        return (min(standard, maximum), maximum)
    }

    // MARK: changing the table

    /// Changes of the table follow each other.
    private func changeTable(
        _ body: (UnsealedState) async throws -> Effect
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("mounts".utf8)) {
            let effect = try await body(state)
            state.forgetCallers()
            return effect
        }
    }

    private func enable(_ path: String, isAuth: Bool, _ context: RequestContext) async throws -> Effect {
        let (mount, warnings) = try withBody(context) { body in try Self.readMount(path, isAuth: isAuth, body) }
        return try await changeTable { state in
            try state.mounts.checkFree(path, isAuth: isAuth)
            let generation = try await commit([.put(mount.key, mount.encoded, expect: .absent)])
            state.mounts.put(mount)
            var reply = Reply.noContent
            reply.warnings = warnings
            return Effect(reply, generation: generation)
        }
    }

    private static func readMount(_ path: String, isAuth: Bool, _ body: JSONView?) throws(VaultError) -> (
        Mount, [String]
    ) {
        guard let body, var name = body["type"]?.string, !name.isEmpty else {
            throw .badRequest("backend type must be specified as a string")
        }
        var tuning = MountTuning()
        if name == "plugin", let plugin = body["plugin_name"]?.string { name = plugin }
        for member in body["options"]?.members ?? [] {
            guard let text = member.value.string ?? member.value.numberText else {
                throw .badRequest("options is an object of texts")
            }
            tuning.options[member.key] = text
        }
        if name == "kv-v2" || name == "generic" {
            tuning.options["version"] = name == "kv-v2" ? "2" : nil
            name = "kv"
        }
        guard let type = Mount.Kind(rawValue: name), type.isAuth == isAuth, type != .token, type != .peer else {
            let kinds = isAuth ? "approle, jwt" : "kv, kv-v2, database, transit"
            throw .badRequest("plugin not found in the catalog: \(name) (there are: \(kinds))")
        }
        if type == .kv {
            guard ["1", "2", nil].contains(tuning.options["version"]) else {
                throw .badRequest("a kv mount has version 1 or 2")
            }
        }
        for flag in ["local", "seal_wrap", "external_entropy_access"] where body[flag]?.weakBool ?? false {
            throw .badRequest("\(flag) is not available: leave it out")
        }
        var warnings: [String] = []
        if let config = body["config"] { warnings = try tuning.apply(config, isAuth: isAuth) }
        if let text = body["description"]?.string { tuning.description = text }
        return (Mount(path: path, type: type, tuning: tuning), warnings)
    }

    private func tune(_ path: String, _ context: RequestContext) async throws -> Effect {
        try await changeTable { state in
            guard var mount = state.mounts.mount(at: path) else {
                throw VaultError.badRequest("no mount at \"\(path)\"")
            }
            let warnings = try withBody(context) { body -> [String] in
                guard let body else { return [] }
                for member in body["options"]?.members ?? [] {
                    let wanted = member.value.string ?? member.value.numberText
                    guard member.key == "version", wanted == mount.tuning.options["version"] ?? "1" else {
                        throw VaultError.badRequest(
                            "options cannot be changed: make another mount and copy the secrets"
                        )
                    }
                }
                return try mount.tuning.apply(body, isAuth: mount.type.isAuth)
            }
            let generation = try await commit([.put(mount.key, mount.encoded, expect: .any)])
            state.mounts.put(mount)
            var reply = Reply.noContent
            reply.warnings = warnings
            return Effect(reply, generation: generation)
        }
    }

    /// Takes a mount away. What it issued is revoked and its rows are deleted in the background, also across restarts.
    private func disable(_ path: String) async throws -> Effect {
        try await changeTable { state in
            // Nothing there counts as done, as clients expect.
            guard let mount = state.mounts.mount(at: path) else { return Effect(.noContent) }
            guard !mount.isBuiltIn else { throw VaultError.badRequest("\(mount.path) cannot be disabled") }
            let decoys = state.decoys.decoys(of: mount).map { BarrierMutation.delete(.decoy($0.key), expect: .any) }
            let generation = try await commit(
                [.delete(mount.key, expect: .any), .put(.removedMount(mount.id), mount.encoded, expect: .any)] + decoys
            )
            state.decoys.removeAll(of: mount)
            state.mounts.remove(mount)
            state.removedMounts[mount.id] = mount
            return Effect(.noContent, generation: generation)
        }
    }

    // MARK: moving

    /// `sys/remount`: another path for the same mount. Leases stay valid under their ids.
    func remountEndpoint(_ context: RequestContext, _ rest: String) -> Endpoint? {
        var what = AuditWhat()
        what.path = "sys/" + rest
        if rest == "remount" {
            guard context.verb == .write else { return .unsupported(what) }
            return .change(.mountChange, what, .sudo(.update)) { vault, context in try await vault.remount(context) }
        }
        guard rest.hasPrefix("remount/status/"), context.verb == .get else { return nil }
        let id = String(rest.dropFirst("remount/status/".count))
        return .read(.sysRead, what, .capability(.read)) { vault, _ in
            guard let info = vault.unsealed?.moves[id] else { throw VaultError.notFound }
            return Effect(
                .data([
                    "migration_id": .string(id),
                    "migration_info": [
                        "source_mount": .string(info.from), "target_mount": .string(info.to), "status": "success",
                    ],
                ])
            )
        }
    }

    private func remount(_ context: RequestContext) async throws -> Effect {
        let (from, to) = try withBody(context) { body in (body?["from"]?.string ?? "", body?["to"]?.string ?? "") }
        guard !from.isEmpty, !to.isEmpty else {
            throw VaultError.badRequest("both 'from' and 'to' path must be specified as a string")
        }
        func full(_ text: String) throws -> String {
            text.hasPrefix("auth/")
                ? try MountTable.path(String(text.dropFirst(5)), isAuth: true)
                : try MountTable.path(text, isAuth: false)
        }
        let (source, target) = (try full(from), try full(to))
        return try await changeTable { state in
            guard var mount = state.mounts.mount(at: source) else {
                throw VaultError.badRequest("no matching mount at \"\(source)\"")
            }
            guard mount.type.isAuth == target.hasPrefix("auth/"), !mount.isBuiltIn else {
                throw VaultError.badRequest("cannot move \"\(source)\" to \"\(target)\"")
            }
            try state.mounts.checkFree(target, isAuth: mount.type.isAuth)
            mount.path = target
            let generation = try await commit([
                .delete(.mount(source), expect: .any), .put(mount.key, mount.encoded, expect: .absent),
            ])
            state.mounts.put(mount)
            state.decoys.follow(mount)
            // Tokens name the path that they were made at.
            if mount.type.isAuth { try await revokeTokens(issuedBelow: Array(source.utf8)) }
            if state.moves.count >= 100 { state.moves.removeAll() }
            state.moves[context.requestID] = (source, target)
            var reply = Reply.data(["migration_id": .string(context.requestID)])
            reply.warnings = ["the mount has moved; policies name paths and may need a change"]
            return Effect(reply, generation: generation)
        }
    }
}
