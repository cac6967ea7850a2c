/// Entities, aliases and groups of an open vault. Confined to the vault's executor.
final class IdentityTable {
    private(set) var entities: [String: IdentityEntity] = [:]
    private(set) var groups: [String: IdentityGroup] = [:]
    /// By bytes: names that only look the same are different names.
    private var entityNames: [[UInt8]: String] = [:]
    private var groupNames: [[UInt8]: String] = [:]
    private var aliases: [AliasKey: String] = [:]
    private var groupAliases: [AliasKey: String] = [:]
    private var groupsOfEntity: [String: Set<String>] = [:]
    private var parentsOfGroup: [String: Set<String>] = [:]

    private struct AliasKey: Hashable {
        let accessor: String
        let name: [UInt8]

        init(accessor: String, name: String) {
            self.accessor = accessor
            self.name = Array(name.utf8)
        }
    }

    init(entities: [IdentityEntity], groups: [IdentityGroup]) {
        for entity in entities { put(entity) }
        for group in groups { put(group) }
    }

    // MARK: looking up

    func entity(named name: String) -> IdentityEntity? { entityNames[Array(name.utf8)].flatMap { entities[$0] } }
    func group(named name: String) -> IdentityGroup? { groupNames[Array(name.utf8)].flatMap { groups[$0] } }

    func entity(alias name: String, accessor: String) -> IdentityEntity? {
        aliases[AliasKey(accessor: accessor, name: name)].flatMap { entities[$0] }
    }

    func group(alias name: String, accessor: String) -> IdentityGroup? {
        groupAliases[AliasKey(accessor: accessor, name: name)].flatMap { groups[$0] }
    }

    func entity(aliasID id: String) -> IdentityEntity? {
        entities.values.first { $0.aliases.contains { $0.id == id } }
    }

    func group(aliasID id: String) -> IdentityGroup? { groups.values.first { $0.alias?.id == id } }

    /// Groups that name the entity, sorted.
    func directGroups(of entity: String) -> [String] { (groupsOfEntity[entity] ?? []).sorted() }

    func parents(of group: String) -> [String] { (parentsOfGroup[group] ?? []).sorted() }

    /// Groups reached through other groups, without those that name the entity itself.
    func inheritedGroups(of entity: String) -> [String] {
        let direct = groupsOfEntity[entity] ?? []
        return ancestors(of: direct).subtracting(direct).sorted()
    }

    func allGroups(of entity: String) -> [IdentityGroup] {
        let direct = groupsOfEntity[entity] ?? []
        guard !direct.isEmpty else { return [] }
        return direct.union(ancestors(of: direct)).sorted().compactMap { groups[$0] }
    }

    private func ancestors(of start: Set<String>) -> Set<String> {
        var seen: Set<String> = []
        var queue = Array(start)
        while let id = queue.popLast() {
            for parent in parentsOfGroup[id] ?? [] where seen.insert(parent).inserted { queue.append(parent) }
        }
        return seen
    }

    /// Whether `group` would contain itself with these members.
    func wouldLoop(_ group: String, members: [String]) -> Bool {
        let above = ancestors(of: [group]).union([group])
        return members.contains { above.contains($0) }
    }

    /// Policies of the entity and of its groups, sorted.
    func policies(of entity: IdentityEntity) -> [String] {
        Set(entity.policies + allGroups(of: entity.id).flatMap(\.policies)).sorted()
    }

    // MARK: changing, after the change is durable

    func put(_ entity: IdentityEntity) {
        removeEntity(entity.id)
        entities[entity.id] = entity
        entityNames[Array(entity.name.utf8)] = entity.id
        for alias in entity.aliases {
            aliases[AliasKey(accessor: alias.mountAccessor, name: alias.name)] = entity.id
        }
    }

    func removeEntity(_ id: String) {
        guard let old = entities.removeValue(forKey: id) else { return }
        entityNames[Array(old.name.utf8)] = nil
        for alias in old.aliases { aliases[AliasKey(accessor: alias.mountAccessor, name: alias.name)] = nil }
    }

    func put(_ group: IdentityGroup) {
        removeGroup(group.id)
        groups[group.id] = group
        groupNames[Array(group.name.utf8)] = group.id
        if let alias = group.alias {
            groupAliases[AliasKey(accessor: alias.mountAccessor, name: alias.name)] = group.id
        }
        for entity in group.memberEntities { groupsOfEntity[entity, default: []].insert(group.id) }
        for member in group.memberGroups { parentsOfGroup[member, default: []].insert(group.id) }
    }

    func removeGroup(_ id: String) {
        guard let old = groups.removeValue(forKey: id) else { return }
        groupNames[Array(old.name.utf8)] = nil
        if let alias = old.alias {
            groupAliases[AliasKey(accessor: alias.mountAccessor, name: alias.name)] = nil
        }
        for entity in old.memberEntities {
            groupsOfEntity[entity]?.remove(id)
            if groupsOfEntity[entity]?.isEmpty ?? false { groupsOfEntity[entity] = nil }
        }
        for member in old.memberGroups {
            parentsOfGroup[member]?.remove(id)
            if parentsOfGroup[member]?.isEmpty ?? false { parentsOfGroup[member] = nil }
        }
    }
}

extension Vault {
    /// Whom the templates of policies speak of.
    func subject(of entity: IdentityEntity, _ state: UnsealedState) -> PolicySubject {
        var aliases: [String: PolicySubject.Alias] = [:]
        for alias in entity.aliases {
            aliases[alias.mountAccessor] = PolicySubject.Alias(
                id: alias.id,
                name: alias.name,
                metadata: alias.metadata,
                customMetadata: alias.customMetadata
            )
        }
        return PolicySubject(
            id: entity.id,
            name: entity.name,
            metadata: entity.metadata,
            aliases: aliases,
            groups: state.identity.allGroups(of: entity.id).map {
                PolicySubject.Group(id: $0.id, name: $0.name, metadata: $0.metadata)
            }
        )
    }
}
