internal import CoffreWire

extension Vault {
    private static let maximumEntities = 200_000

    func writeEntity(id: String?, name: String?, _ context: RequestContext) async throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        let (wantedID, wantedName) = try withBody(context) { body in
            (id ?? body?["id"]?.string, name ?? body?["name"]?.string)
        }
        var entity: IdentityEntity
        var isNew = false
        if let wantedID, !wantedID.isEmpty {
            guard let known = table.entities[wantedID] else { throw VaultError.badRequest("entity not found from id") }
            entity = known
            if let wantedName, let other = table.entity(named: wantedName), other.id != known.id {
                throw VaultError.badRequest("entity name is already in use")
            }
        } else if let wantedName, let known = table.entity(named: wantedName) {
            entity = known
        } else {
            entity = IdentityEntity(name: wantedName, at: context.now)
            isNew = true
        }
        if let wantedName { entity.name = try identityName(wantedName) }
        try withBody(context) { body in
            if let value = body?["metadata"] { entity.metadata = try Self.metadata(value) }
            if let value = body?["policies"] { entity.policies = try Self.policyNames(value) }
            if let flag = body?["disabled"]?.weakBool { entity.isDisabled = flag }
        }
        entity.updated = context.now
        guard !isNew || table.entities.count < Self.maximumEntities else {
            throw VaultError.badRequest("there are \(Self.maximumEntities) entities already")
        }
        let generation = try await commit([.put(IdentityEntity.key(entity.id), entity.encoded, expect: .any)])
        table.put(entity)
        guard isNew else { return Effect(.noContent, generation: generation) }
        let data: JSONValue = ["aliases": .null, "id": .string(entity.id), "name": .string(entity.name)]
        return Effect(.data(data), generation: generation)
    }

    func deleteEntity(id: String?, name: String?) async throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        guard let entity = id.flatMap({ table.entities[$0] }) ?? name.flatMap({ table.entity(named: $0) }) else {
            return Effect(.noContent)
        }
        return try await remove([entity])
    }

    func deleteEntities(_ context: RequestContext) async throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        let ids = try withBody(context) { $0?["entity_ids"]?.stringList ?? [] }
        guard !ids.isEmpty else { throw VaultError.badRequest("missing entity ids to delete") }
        guard ids.count <= 1000 else { throw VaultError.badRequest("at most 1000 entities at once") }
        return try await remove(Set(ids).sorted().compactMap { table.entities[$0] })
    }

    /// Removes entities, and their names from the groups. Their tokens lose every right at once.
    private func remove(_ entities: [IdentityEntity]) async throws -> Effect {
        guard let table = unsealed?.identity, !entities.isEmpty else { return Effect(.noContent) }
        let gone = Set(entities.map(\.id))
        var groups: [IdentityGroup] = []
        for id in Set(gone.flatMap { table.directGroups(of: $0) }) {
            guard var group = table.groups[id] else { continue }
            group.memberEntities.removeAll { gone.contains($0) }
            groups.append(group)
        }
        let generation = try await commit(
            entities.map { .delete(IdentityEntity.key($0.id), expect: .any) }
                + groups.map { .put(IdentityGroup.key($0.id), $0.encoded, expect: .any) }
        )
        for entity in entities { table.removeEntity(entity.id) }
        for group in groups { table.put(group) }
        return Effect(.noContent, generation: generation)
    }

    /// `identity/entity/merge`: the aliases, policies and memberships of some become those of another.
    func mergeEntities(_ context: RequestContext) async throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        let (from, to) = try withBody(context) { body in
            (body?["from_entity_ids"]?.stringList ?? [], body?["to_entity_id"]?.string ?? "")
        }
        guard var target = table.entities[to] else {
            throw VaultError.badRequest("entity id to merge to is invalid")
        }
        guard !from.isEmpty, from.count <= 1000, !from.contains(to) else {
            throw VaultError.badRequest("to_entity_id should not be present in from_entity_ids, which names entities")
        }
        let sources = try Set(from).sorted().map { id in
            guard let entity = table.entities[id] else {
                throw VaultError.badRequest("entity id to merge from is invalid")
            }
            return entity
        }
        for source in sources {
            for alias in source.aliases {
                if target.aliases.contains(where: { $0.mountAccessor == alias.mountAccessor }) {
                    throw VaultError.badRequest(
                        "both entities have an alias of \(alias.mountAccessor): remove one of them first"
                    )
                }
                target.aliases.append(alias)
            }
            target.policies = Set(target.policies + source.policies).sorted()
        }
        target.updated = context.now
        let gone = Set(sources.map(\.id))
        let groups = Set(gone.flatMap { table.directGroups(of: $0) }).compactMap { table.groups[$0] }.map { group in
            var group = group
            group.memberEntities = Set(group.memberEntities).subtracting(gone).union([target.id]).sorted()
            return group
        }
        var mutations: [BarrierMutation] = sources.map { .delete(IdentityEntity.key($0.id), expect: .any) }
        mutations.append(.put(IdentityEntity.key(target.id), target.encoded, expect: .any))
        mutations += groups.map { .put(IdentityGroup.key($0.id), $0.encoded, expect: .any) }
        let generation = try await commit(mutations)
        for source in sources { table.removeEntity(source.id) }
        table.put(target)
        for group in groups { table.put(group) }
        return Effect(.noContent, generation: generation)
    }

    // MARK: aliases

    func writeEntityAlias(id: String?, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let table = state.identity
        let input = try withBody(context) { try AliasInput(id: id, $0) }
        let known = input.id.flatMap { table.entity(aliasID: $0) }
        if input.id != nil, known == nil { throw VaultError.badRequest("invalid alias ID") }
        let old = known?.aliases.first { $0.id == input.id }
        guard let name = input.name ?? old?.name, !name.isEmpty else {
            throw VaultError.badRequest("missing alias name")
        }
        guard let accessor = input.accessor ?? old?.mountAccessor, !accessor.isEmpty else {
            throw VaultError.badRequest("missing mount_accessor")
        }
        guard let mount = state.mounts.mount(accessor: accessor), mount.type.isAuth else {
            throw VaultError.badRequest("invalid mount accessor \"\(accessor)\"")
        }
        let holder = table.entity(alias: name, accessor: accessor)
        var alias =
            old ?? holder?.aliases.first { $0.name == name && $0.mountAccessor == accessor }
            ?? IdentityAlias(name: name, mountAccessor: accessor, at: context.now)
        if let holder, holder.aliases.first(where: { $0.name == name && $0.mountAccessor == accessor })?.id != alias.id
        {
            throw VaultError.badRequest("alias with that name and mount_accessor already exists")
        }
        let source = known ?? holder
        let canonical = input.canonicalID ?? source?.id
        var target: IdentityEntity
        if let canonical {
            guard let entity = table.entities[canonical] else { throw VaultError.badRequest("invalid canonical ID") }
            target = entity
        } else {
            target = IdentityEntity(name: nil, at: context.now)
        }
        alias.name = name
        alias.mountAccessor = accessor
        alias.customMetadata = input.customMetadata ?? (old == nil ? [:] : alias.customMetadata)
        alias.updated = context.now
        target.aliases.removeAll { $0.id == alias.id }
        if target.aliases.contains(where: { $0.mountAccessor == accessor }) {
            throw VaultError.badRequest("entity already has an alias for this mount: one per mount")
        }
        target.aliases.append(alias)
        var changed = [target]
        if var source, source.id != target.id {
            source.aliases.removeAll { $0.id == alias.id }
            changed.insert(source, at: 0)
        }
        let generation = try await commit(
            changed.map { .put(IdentityEntity.key($0.id), $0.encoded, expect: .any) }
        )
        for entity in changed { table.put(entity) }
        let data: JSONValue = ["canonical_id": .string(target.id), "id": .string(alias.id)]
        return Effect(.data(data), generation: generation)
    }

    func deleteEntityAlias(id: String) async throws -> Effect {
        guard let table = unsealed?.identity, var entity = table.entity(aliasID: id) else { return Effect(.noContent) }
        entity.aliases.removeAll { $0.id == id }
        let generation = try await commit([.put(IdentityEntity.key(entity.id), entity.encoded, expect: .any)])
        table.put(entity)
        return Effect(.noContent, generation: generation)
    }

    /// The entity that logs in under `alias`, made when it is new.
    func entityAtLogin(
        alias name: String,
        mount: Mount,
        metadata: [String: String],
        _ context: RequestContext
    ) async throws -> IdentityEntity {
        guard let first = unsealed?.identity else { throw VaultError.sealed }
        if let known = first.entity(alias: name, accessor: mount.accessor) {
            guard !known.isDisabled else { throw VaultError.permissionDenied }
            return known
        }
        return try await inIdentityTurn {
            guard let table = unsealed?.identity else { throw VaultError.sealed }
            if let known = table.entity(alias: name, accessor: mount.accessor) { return known }
            guard table.entities.count < Self.maximumEntities else {
                throw VaultError.badRequest("there are \(Self.maximumEntities) entities already")
            }
            var entity = IdentityEntity(name: nil, at: context.now)
            var alias = IdentityAlias(name: name, mountAccessor: mount.accessor, at: context.now)
            alias.metadata = metadata
            entity.aliases = [alias]
            _ = try await commit([.put(IdentityEntity.key(entity.id), entity.encoded, expect: .any)])
            table.put(entity)
            return entity
        }
    }

    // MARK: fields

    /// A name of a person or team: 1–256 bytes, nothing that would be a path or a pattern in a policy.
    func identityName(_ name: String) throws(VaultError) -> String {
        guard (1...256).contains(name.utf8.count), name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw .badRequest("a name has 1 to 256 bytes without control characters")
        }
        return name
    }

    static func policyNames(_ value: JSONView) throws(VaultError) -> [String] {
        guard let names = value.stringList, names.count <= 1000 else {
            throw .badRequest("policies is a list of names")
        }
        let result = Set(names.map { $0.lowercased() }.filter { !$0.isEmpty }).sorted()
        if result.contains("root") { throw .badRequest("policies cannot contain root") }
        return result
    }

    /// An object of texts, or texts such as `team=payroll`.
    static func metadata(_ value: JSONView) throws(VaultError) -> [String: String] {
        var result: [String: String] = [:]
        if value.isObject {
            for (key, item) in value.members {
                guard let text = item.string else { throw .badRequest("metadata takes texts") }
                result[key] = text
            }
        } else {
            for item in value.stringList ?? [] {
                guard let equals = item.firstIndex(of: "=") else { throw .badRequest("metadata takes key=value") }
                result[String(item[..<equals])] = String(item[item.index(after: equals)...])
            }
        }
        guard result.count <= 64, result.allSatisfy({ $0.key.utf8.count <= 128 && $0.value.utf8.count <= 512 }) else {
            throw .badRequest("metadata takes up to 64 texts of 512 bytes, with names of 128 bytes")
        }
        return result
    }
}

/// What a client sends of an alias.
struct AliasInput: Sendable {
    let id: String?
    let name: String?
    let accessor: String?
    let canonicalID: String?
    let customMetadata: [String: String]?

    init(id: String?, _ body: JSONView?) throws(VaultError) {
        func text(_ field: String) -> String? { body?[field]?.string.flatMap { $0.isEmpty ? nil : $0 } }
        self.id = id ?? text("id")
        name = text("name")
        accessor = text("mount_accessor")
        canonicalID = text("canonical_id") ?? text("entity_id")
        if let value = body?["custom_metadata"] {
            customMetadata = try Vault.metadata(value)
        } else {
            customMetadata = nil
        }
        if let name, name.utf8.count > 256 { throw .badRequest("an alias name has at most 256 bytes") }
    }
}
