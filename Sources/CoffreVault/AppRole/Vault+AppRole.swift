internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// Fields of a role that have a path of their own, with the name that the path has.
    private static let fields = [
        "policies": "token_policies", "secret-id-num-uses": "secret_id_num_uses", "secret-id-ttl": "secret_id_ttl",
        "token-ttl": "token_ttl", "token-max-ttl": "token_max_ttl", "token-num-uses": "token_num_uses",
        "period": "token_period", "token-bound-cidrs": "token_bound_cidrs",
        "secret-id-bound-cidrs": "secret_id_bound_cidrs", "local-secret-ids": "local_secret_ids",
        "bind-secret-id": "bind_secret_id",
    ]

    func appRoleEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let place = AppRolePlace(mount: mount)
        let path = String(decoding: rest, as: UTF8.self)
        let what = AuditWhat(path: mount.path + path)
        if path == "tidy/secret-id" {
            guard context.verb == .write else { return .unsupported(what) }
            return .change(.authChange, what, .capability(.update)) { vault, context in
                let generation = try await vault.tidySecretIDs(of: mount, context.now)
                var reply = Reply.empty(status: 202)
                reply.warnings = ["expired secret ids have been removed"]
                return Effect(reply, generation: generation)
            }
        }
        if path == "role" {
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                try vault.listing(.identity, place.parent("role"))
            }
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 2, parts[0] == "role", isName(parts[1]) else { return nil }
        // Names of roles do not tell capital letters apart, as clients expect.
        let name = parts[1].lowercased()
        guard parts.count > 2 else { return try roleEndpoint(context, place, name, what) }
        if parts.count == 3, let field = Self.fields[parts[2]] {
            return fieldEndpoint(context, place, name, field, what)
        }
        if parts.count == 3, parts[2] == "role-id" { return roleIDEndpoint(context, place, name, what) }
        return try secretIDEndpoint(context, place, name, parts.dropFirst(2).joined(separator: "/"), what)
    }

    func appRole(_ place: AppRolePlace, _ name: String) throws -> AppRole? {
        guard let row = try barrier.get(place.role(name)) else { return nil }
        var role = AppRole(name: name)
        try row.value.withBytes { try role.apply(try JSONView($0)) }
        return role
    }

    private func roleEndpoint(_ context: RequestContext, _ place: AppRolePlace, _ name: String, _ what: AuditWhat)
        throws
        -> Endpoint
    {
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.appRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(.object(role.json)))
            }
        case .write:
            let exists = try barrier.get(place.role(name)) != nil
            return .change(.authChange, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.changeRole(place, name, mayCreate: true) { role in
                    try vault.withBody(context) { body in
                        if let body { try role.apply(body) }
                    }
                }
            }
        case .delete:
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                try await vault.deleteRole(place, name)
            }
        default: return .unsupported(what)
        }
    }

    private func fieldEndpoint(
        _ context: RequestContext,
        _ place: AppRolePlace,
        _ name: String,
        _ field: String,
        _ what: AuditWhat
    ) -> Endpoint {
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.appRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(.object(role.json.filter { $0.key == field })))
            }
        case .write:
            return .change(.authChange, what, .capability(.update)) { vault, context in
                try await vault.changeRole(place, name, mayCreate: false) { role in
                    try vault.withBody(context) { body in
                        guard let body else { throw VaultError.badRequest("missing \(field)") }
                        try role.apply(body)
                    }
                }
            }
        case .delete:
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                try await vault.changeRole(place, name, mayCreate: false) { role in
                    let fresh = AppRole(name: name)
                    switch field {
                    case "token_policies": role.policies = []
                    case "secret_id_num_uses": role.secretIDUses = 0
                    case "secret_id_ttl": role.secretIDTTL = 0
                    case "token_ttl": role.tokenTTL = 0
                    case "token_max_ttl": role.tokenMaximumTTL = 0
                    case "token_num_uses": role.tokenUses = 0
                    case "token_period": role.tokenPeriod = 0
                    case "bind_secret_id": role.bindsSecretID = fresh.bindsSecretID
                    default: break
                    }
                }
            }
        default: return .unsupported(what)
        }
    }

    private func roleIDEndpoint(_ context: RequestContext, _ place: AppRolePlace, _ name: String, _ what: AuditWhat)
        -> Endpoint
    {
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.appRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(["role_id": .string(role.roleID)]))
            }
        case .write:
            return .change(.authChange, what, .capability(.update)) { vault, context in
                try await vault.changeRole(place, name, mayCreate: false) { role in
                    let id = try vault.withBody(context) { $0?["role_id"]?.string ?? "" }
                    guard !id.isEmpty, id.utf8.count <= 4096 else { throw VaultError.badRequest("missing role_id") }
                    role.roleID = id
                }
            }
        default: return .unsupported(what)
        }
    }

    /// Changes of the roles of one mount follow each other, so that a role id stays unique.
    private func changeRole(
        _ place: AppRolePlace,
        _ name: String,
        mayCreate: Bool,
        _ body: (inout AppRole) throws -> Void
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("approle/\(place.mount.id)".utf8)) {
            let known = try appRole(place, name)
            guard known != nil || mayCreate else { throw VaultError.notFound }
            var role = known ?? AppRole(name: name)
            try body(&role)
            var mutations: [BarrierMutation] = [.put(place.role(name), role.encoded, expect: .any)]
            if known?.roleID != role.roleID {
                if try barrier.get(place.roleID(role.roleID)) != nil {
                    throw VaultError.badRequest("role_id already in use")
                }
                if let known { mutations.append(.delete(place.roleID(known.roleID), expect: .any)) }
                mutations.append(
                    .put(place.roleID(role.roleID), SharedSecret(copying: Array(name.utf8)), expect: .absent)
                )
            }
            return Effect(.noContent, generation: try await commit(mutations))
        }
    }

    private func deleteRole(_ place: AppRolePlace, _ name: String) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("approle/\(place.mount.id)".utf8)) {
            guard let role = try appRole(place, name) else { return Effect(.noContent) }
            var mutations: [BarrierMutation] = [
                .delete(place.role(name), expect: .any), .delete(place.roleID(role.roleID), expect: .any),
            ]
            for kind in ["secret/", "accessor/"] {
                let parent = place.parent(kind + name)
                for row in try barrier.names(in: .identity, parent: parent) {
                    mutations.append(.delete(BarrierKey(namespace: .identity, parent: parent, name: row), expect: .any))
                }
            }
            return Effect(.noContent, generation: try await commit(mutations))
        }
    }

    /// Parents of every row of a mount, for its removal.
    func appRoleParents(_ mount: Mount) throws -> [[UInt8]] {
        let place = AppRolePlace(mount: mount)
        let roles = try barrier.names(in: .identity, parent: place.parent("role"))
            .map { String(decoding: $0, as: UTF8.self) }
        // Secret ids before the roles that lead to them.
        let inner = roles.flatMap { [place.parent("secret/" + $0), place.parent("accessor/" + $0)] }
        let filled = try inner.filter { try !barrier.entries(in: .identity, parent: $0, limit: 1).isEmpty }
        return filled.isEmpty ? [place.parent("role-id"), place.parent("role")] : filled
    }
}
