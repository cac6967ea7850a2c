internal import CoffreWire

extension Vault {
    private static let maximumGroups = 20_000
    private static let maximumMembers = 20_000

    func writeGroup(id: String?, name: String?, _ context: RequestContext) async throws -> Effect {
        guard let table = unsealed?.identity else { throw VaultError.sealed }
        let (wantedID, wantedName, type) = try withBody(context) { body in
            (id ?? body?["id"]?.string, name ?? body?["name"]?.string, body?["type"]?.string)
        }
        if let type, type != "internal", type != "external" { throw VaultError.badRequest("invalid group type") }
        var group: IdentityGroup
        var isNew = false
        if let wantedID, !wantedID.isEmpty {
            guard let known = table.groups[wantedID] else { throw VaultError.badRequest("invalid group ID") }
            group = known
            if let wantedName, let other = table.group(named: wantedName), other.id != known.id {
                throw VaultError.badRequest("group name is already in use")
            }
        } else if let wantedName, let known = table.group(named: wantedName) {
            group = known
        } else {
            group = IdentityGroup(name: wantedName, isExternal: type == "external", at: context.now)
            isNew = true
        }
        if let type, (type == "external") != group.isExternal {
            throw VaultError.badRequest("group type cannot be changed")
        }
        if let wantedName { group.name = try identityName(wantedName) }
        try withBody(context) { try readMembers($0, &group, table) }
        group.updated = context.now
        group.changes += 1
        guard !isNew || table.groups.count < Self.maximumGroups else {
            throw VaultError.badRequest("there are \(Self.maximumGroups) groups already")
        }
        let generation = try await commit([.put(IdentityGroup.key(group.id), group.encoded, expect: .any)])
        table.put(group)
        guard isNew else { return Effect(.noContent, generation: generation) }
        return Effect(.data(["id": .string(group.id), "name": .string(group.name)]), generation: generation)
    }

    private func readMembers(_ body: JSONView?, _ group: inout IdentityGroup, _ table: IdentityTable) throws {
        if let value = body?["metadata"] { group.metadata = try Self.metadata(value) }
        if let value = body?["policies"] { group.policies = try Self.policyNames(value) }
        func ids(_ field: String) throws -> [String]? {
            guard let value = body?[field] else { return nil }
            guard let list = value.stringList, list.count <= Self.maximumMembers else {
                throw VaultError.badRequest("\(field) is a list of at most \(Self.maximumMembers) ids")
            }
            return Set(list).sorted()
        }
        if let members = try ids("member_entity_ids") {
            guard !group.isExternal || members.isEmpty else {
                throw VaultError.badRequest("member entities can't be set manually for external groups")
            }
            if let unknown = members.first(where: { table.entities[$0] == nil }) {
                throw VaultError.badRequest("invalid entity ID \"\(unknown)\"")
            }
            if !group.isExternal { group.memberEntities = members }
        }
        if let members = try ids("member_group_ids") {
            guard !group.isExternal || members.isEmpty else {
                throw VaultError.badRequest("member groups can't be set for external groups")
            }
            if let unknown = members.first(where: { table.groups[$0] == nil }) {
                throw VaultError.badRequest("invalid group ID \"\(unknown)\"")
            }
            guard !table.wouldLoop(group.id, members: members) else {
                throw VaultError.badRequest("a group cannot contain itself, not even through others")
            }
            group.memberGroups = members
        }
    }

    func deleteGroup(id: String?, name: String?) async throws -> Effect {
        guard let table = unsealed?.identity,
            let group = id.flatMap({ table.groups[$0] }) ?? name.flatMap({ table.group(named: $0) })
        else { return Effect(.noContent) }
        let parents = table.parents(of: group.id).compactMap { table.groups[$0] }.map { parent in
            var parent = parent
            parent.memberGroups.removeAll { $0 == group.id }
            return parent
        }
        var mutations: [BarrierMutation] = parents.map { .put(IdentityGroup.key($0.id), $0.encoded, expect: .any) }
        mutations.append(.delete(IdentityGroup.key(group.id), expect: .any))
        let generation = try await commit(mutations)
        table.removeGroup(group.id)
        for parent in parents { table.put(parent) }
        return Effect(.noContent, generation: generation)
    }

    // MARK: aliases of external groups

    func writeGroupAlias(id: String?, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let table = state.identity
        let input = try withBody(context) { try AliasInput(id: id, $0) }
        let known = input.id.flatMap { table.group(aliasID: $0) }
        if input.id != nil, known == nil { throw VaultError.badRequest("invalid group alias ID") }
        guard let name = input.name ?? known?.alias?.name else { throw VaultError.badRequest("missing alias name") }
        guard let accessor = input.accessor ?? known?.alias?.mountAccessor else {
            throw VaultError.badRequest("missing mount_accessor")
        }
        guard let mount = state.mounts.mount(accessor: accessor), mount.type.isAuth else {
            throw VaultError.badRequest("invalid mount accessor \"\(accessor)\"")
        }
        guard let canonical = input.canonicalID ?? known?.id, var group = table.groups[canonical] else {
            throw VaultError.badRequest("invalid canonical ID")
        }
        guard group.isExternal else { throw VaultError.badRequest("alias can't be set on an internal group") }
        if let holder = table.group(alias: name, accessor: accessor), holder.id != (known?.id ?? canonical) {
            throw VaultError.badRequest("group alias with that name and mount_accessor already exists")
        }
        var alias = known?.alias ?? group.alias ?? IdentityAlias(name: name, mountAccessor: accessor, at: context.now)
        alias.name = name
        alias.mountAccessor = accessor
        alias.updated = context.now
        group.alias = alias
        group.changes += 1
        var changed = [group]
        if var known, known.id != group.id {
            known.alias = nil
            changed.insert(known, at: 0)
        }
        let generation = try await commit(changed.map { .put(IdentityGroup.key($0.id), $0.encoded, expect: .any) })
        for group in changed { table.put(group) }
        return Effect(.data(["canonical_id": .string(group.id), "id": .string(alias.id)]), generation: generation)
    }

    func deleteGroupAlias(id: String) async throws -> Effect {
        guard let table = unsealed?.identity, var group = table.group(aliasID: id) else { return Effect(.noContent) }
        group.alias = nil
        let generation = try await commit([.put(IdentityGroup.key(group.id), group.encoded, expect: .any)])
        table.put(group)
        return Effect(.noContent, generation: generation)
    }
}
