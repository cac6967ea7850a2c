internal import CoffreAudit
internal import CoffreWire

extension Vault {
    /// `identity/…`: people, teams and services.
    func identityEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let rest = String(decoding: context.path.dropFirst("identity/".utf8.count), as: UTF8.self)
        var parts = rest.split(separator: "/", maxSplits: 2).map(String.init)
        var what = AuditWhat()
        what.path = "identity/" + rest
        guard let kind = parts.first else { return nil }
        parts.removeFirst()
        if kind == "lookup" {
            guard let subject = parts.first, parts.count == 1, context.verb == .write else { return nil }
            return lookupEndpoint(subject, what)
        }
        guard ["entity", "group", "entity-alias", "group-alias"].contains(kind) else { return nil }
        guard let selector = parts.first else {
            guard context.verb == .write else { return .unsupported(what) }
            return changeIdentity(what, .update) { vault, context in
                try await vault.writeIdentity(kind, id: nil, name: nil, context)
            }
        }
        let isAlias = kind.hasSuffix("alias")
        if kind == "entity", selector == "batch-delete" || selector == "merge", parts.count == 1 {
            guard context.verb == .write else { return .unsupported(what) }
            return changeIdentity(what, .update) { vault, context in
                selector == "merge"
                    ? try await vault.mergeEntities(context) : try await vault.deleteEntities(context)
            }
        }
        guard selector == "id" || (selector == "name" && !isAlias) else { return nil }
        let byName = selector == "name"
        guard parts.count == 2 else {
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.identityRead, what, .capability(.list)) { vault, _ in
                try vault.listIdentity(kind, byName: byName)
            }
        }
        let key = parts[1]
        let (id, name) = byName ? (nil, key) : (key, nil)
        switch context.verb {
        case .get:
            return .read(.identityRead, what, .capability(.read)) { vault, _ in
                Effect(.data(try vault.showIdentity(kind, id: id, name: name)))
            }
        case .write:
            return changeIdentity(what, .update) { vault, context in
                try await vault.writeIdentity(kind, id: id, name: name, context)
            }
        case .delete:
            return changeIdentity(what, .delete) { vault, _ in
                try await vault.deleteIdentity(kind, id: id, name: name)
            }
        default: return .unsupported(what)
        }
    }

    /// Changes of people and teams follow each other; rights are made anew at once.
    private func changeIdentity(
        _ what: AuditWhat,
        _ capability: Capability,
        _ body: @escaping @Sendable (isolated Vault, RequestContext) async throws -> Effect
    ) -> Endpoint {
        .change(.identityChange, what, .capability(capability)) { vault, context in
            try await vault.inIdentityTurn { try await body(vault, context) }
        }
    }

    func inIdentityTurn<R>(_ body: () async throws -> R) async throws -> R {
        guard let state = unsealed else { throw VaultError.sealed }
        let result = try await state.locks.withLock(Array("identity".utf8)) {
            defer { state.forgetCallers() }
            return try await body()
        }
        // Who has left a team loses what it gave, sessions too. A server that does not answer holds up no other change.
        await reviewConnectionLeases()
        return result
    }

    private func writeIdentity(_ kind: String, id: String?, name: String?, _ context: RequestContext) async throws
        -> Effect
    {
        switch kind {
        case "entity": try await writeEntity(id: id, name: name, context)
        case "group": try await writeGroup(id: id, name: name, context)
        case "entity-alias": try await writeEntityAlias(id: id, context)
        default: try await writeGroupAlias(id: id, context)
        }
    }

    private func deleteIdentity(_ kind: String, id: String?, name: String?) async throws -> Effect {
        switch kind {
        case "entity": try await deleteEntity(id: id, name: name)
        case "group": try await deleteGroup(id: id, name: name)
        case "entity-alias": try await deleteEntityAlias(id: id ?? "")
        default: try await deleteGroupAlias(id: id ?? "")
        }
    }

    private func showIdentity(_ kind: String, id: String?, name: String?) throws -> JSONValue {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        var shown: JSONValue?
        switch kind {
        case "entity":
            shown = (id.flatMap { table.entities[$0] } ?? name.flatMap { table.entity(named: $0) }).map { show($0) }
        case "group":
            shown = (id.flatMap { table.groups[$0] } ?? name.flatMap { table.group(named: $0) }).map { show($0) }
        case "entity-alias":
            let entity = id.flatMap { table.entity(aliasID: $0) }
            if let entity, let alias = entity.aliases.first(where: { $0.id == id }) {
                shown = show(alias, canonicalID: entity.id, isComplete: true)
            }
        default:
            let group = id.flatMap { table.group(aliasID: $0) }
            if let group, let alias = group.alias { shown = show(alias, canonicalID: group.id, isComplete: true) }
        }
        guard let shown else { throw VaultError.notFound }
        return shown
    }

    private func listIdentity(_ kind: String, byName: Bool) throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        var info: [JSONValue.Member] = []
        switch kind {
        case "entity":
            if byName { return try names(table.entities.values.map(\.name)) }
            info = table.entities.values.map { entity in
                var members: [JSONValue.Member] = [.init("name", .string(entity.name))]
                if !entity.aliases.isEmpty {
                    let aliases = entity.aliases.map { alias -> JSONValue in
                        [
                            "id": .string(alias.id), "mount_accessor": .string(alias.mountAccessor),
                            "name": .string(alias.name),
                        ]
                    }
                    members.append(.init("aliases", .array(aliases)))
                }
                return .init(entity.id, .object(members))
            }
        case "group":
            if byName { return try names(table.groups.values.map(\.name)) }
            info = table.groups.values.map { group in
                .init(
                    group.id,
                    [
                        "name": .string(group.name), "num_member_entities": .integer(group.memberEntities.count),
                        "num_parent_groups": .integer(table.parents(of: group.id).count),
                    ]
                )
            }
        case "entity-alias":
            info = table.entities.values.flatMap { entity in
                entity.aliases.map { .init($0.id, show($0, canonicalID: entity.id, isComplete: false)) }
            }
        default:
            info = table.groups.values.compactMap { group in
                group.alias.map { .init($0.id, show($0, canonicalID: group.id, isComplete: false)) }
            }
        }
        guard !info.isEmpty else { throw VaultError.notFound }
        info.sort { $0.key < $1.key }
        return Effect(.data(["key_info": .object(info), "keys": .strings(info.map(\.key))]))
    }

    private func names(_ names: [String]) throws -> Effect {
        guard !names.isEmpty else { throw VaultError.notFound }
        return Effect(.data(["keys": .strings(names.sorted())]))
    }

    /// `identity/lookup/entity|group`: nothing found is 204.
    private func lookupEndpoint(_ subject: String, _ what: AuditWhat) -> Endpoint? {
        guard subject == "entity" || subject == "group" else { return nil }
        return .read(.identityRead, what, .capability(.update)) { vault, context in
            guard let table = vault.unsealed?.identity else { throw VaultError.sealed }
            let (id, name, aliasID, aliasName, accessor) = try vault.withBody(context) { body in
                (
                    body?["id"]?.string, body?["name"]?.string, body?["alias_id"]?.string,
                    body?["alias_name"]?.string, body?["alias_mount_accessor"]?.string
                )
            }
            guard id != nil || name != nil || aliasID != nil || (aliasName != nil && accessor != nil) else {
                throw VaultError.badRequest(
                    aliasName != nil || accessor != nil
                        ? "both 'alias_name' and 'alias_mount_accessor' needs to be set"
                        : "query parameter not supplied"
                )
            }
            if subject == "entity" {
                let found =
                    id.flatMap { table.entities[$0] } ?? name.flatMap { table.entity(named: $0) }
                    ?? aliasID.flatMap { table.entity(aliasID: $0) }
                    ?? aliasName.flatMap { table.entity(alias: $0, accessor: accessor ?? "") }
                return Effect(found.map { .data(vault.show($0)) } ?? .noContent)
            }
            let found =
                id.flatMap { table.groups[$0] } ?? name.flatMap { table.group(named: $0) }
                ?? aliasID.flatMap { table.group(aliasID: $0) }
                ?? aliasName.flatMap { table.group(alias: $0, accessor: accessor ?? "") }
            return Effect(found.map { .data(vault.show($0)) } ?? .noContent)
        }
    }

    // MARK: what clients see

    func show(_ alias: IdentityAlias, canonicalID: String, isComplete: Bool) -> JSONValue {
        let mount = unsealed?.mounts.mount(accessor: alias.mountAccessor)
        var members: [JSONValue.Member] = [
            .init("canonical_id", .string(canonicalID)), .init("custom_metadata", .object(alias.customMetadata)),
            .init("local", .bool(false)), .init("metadata", .orNull(alias.metadata)),
            .init("mount_accessor", .string(alias.mountAccessor)), .init("mount_path", .string(mount?.path ?? "")),
            .init("mount_type", .string(mount?.type.rawValue ?? "")), .init("name", .string(alias.name)),
        ]
        if isComplete {
            members += [
                .init("creation_time", .string(alias.created.rfc3339)), .init("id", .string(alias.id)),
                .init("last_update_time", .string(alias.updated.rfc3339)), .init("merged_from_canonical_ids", .null),
                .init("namespace_id", "root"),
            ]
        }
        return .object(members)
    }

    private func show(_ entity: IdentityEntity) -> JSONValue {
        let table = unsealed?.identity
        let direct = table?.directGroups(of: entity.id) ?? []
        let inherited = table?.inheritedGroups(of: entity.id) ?? []
        return [
            "aliases": .array(entity.aliases.map { show($0, canonicalID: entity.id, isComplete: true) }),
            "creation_time": .string(entity.created.rfc3339), "direct_group_ids": .strings(direct),
            "disabled": .bool(entity.isDisabled), "group_ids": .strings(direct + inherited), "id": .string(entity.id),
            "inherited_group_ids": .strings(inherited), "last_update_time": .string(entity.updated.rfc3339),
            "merged_entity_ids": .null, "metadata": .orNull(entity.metadata), "name": .string(entity.name),
            "namespace_id": "root", "policies": .strings(entity.policies),
        ]
    }

    private func show(_ group: IdentityGroup) -> JSONValue {
        [
            "alias": group.alias.map { show($0, canonicalID: group.id, isComplete: true) } ?? .object([]),
            "creation_time": .string(group.created.rfc3339), "id": .string(group.id),
            "last_update_time": .string(group.updated.rfc3339), "member_entity_ids": .orNull(group.memberEntities),
            "member_group_ids": .orNull(group.memberGroups), "metadata": .orNull(group.metadata),
            "modify_index": .integer(group.changes), "name": .string(group.name), "namespace_id": "root",
            "parent_group_ids": .orNull(unsealed?.identity.parents(of: group.id) ?? []),
            "policies": .orNull(group.policies), "type": .string(group.isExternal ? "external" : "internal"),
        ]
    }
}
