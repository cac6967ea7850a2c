internal import CoffreAudit
internal import CoffreWire

/// Who stands behind a token, and in which teams they are.
extension Vault {
    /// The entity behind a token, made at first sight, with the groups that the token names: membership of external groups
    /// of this mount is what the token that was issued last said.
    /// - Parameter shownBy: the role by which a service showed the token. It changes nothing that the role does not read, and
    ///   what it changes has records of its own, since the request itself may change nothing.
    func entity(
        of person: JWTPerson,
        _ mount: Mount,
        _ context: RequestContext,
        shownBy role: JWTRole? = nil
    ) async throws -> IdentityEntity {
        guard let state = unsealed else { throw VaultError.sealed }
        let known = state.identity.entity(alias: person.alias, accessor: mount.accessor)
        if known?.isDisabled ?? false { throw VaultError.permissionDenied }
        let change = JWTEntityChange(
            groups: role?.groupsClaim.isEmpty ?? false ? nil : person.groups,
            metadata: role?.claimMappings.isEmpty ?? false ? nil : person.metadata
        )
        if let known, isCurrent(known, person, change, mount, state) { return known }
        guard let role else { return try await update(person, change, mount, context) }
        var what = AuditWhat(path: mount.path + "role/" + role.name)
        what.details = [("for", .text(personSID(mount, person.alias)))]
        var entity: IdentityEntity?
        try await recorded(.authChange, what) { entity = try await update(person, change, mount, context) }
        guard let entity else { throw VaultError.permissionDenied }
        return entity
    }

    /// What a token changes; nil for what it leaves alone.
    private struct JWTEntityChange {
        let groups: [String]?
        let metadata: [String: String]?
    }

    /// Whether there is nothing to write. Notes the time of a token that says when it was issued.
    private func isCurrent(
        _ entity: IdentityEntity,
        _ person: JWTPerson,
        _ change: JWTEntityChange,
        _ mount: Mount,
        _ state: UnsealedState
    ) -> Bool {
        let key = entity.id + mount.id
        if let issued = person.issuedAt {
            // An older token says what was so before.
            if let newest = state.newestTokens[key], issued < newest { return true }
            if change.groups != nil { state.newestTokens[key] = issued }
        }
        let alias = entity.aliases.first { $0.mountAccessor == mount.accessor }
        let hasMetadata = change.metadata.map { alias?.metadata == $0 } ?? true
        return hasMetadata && Self.changedGroups(entity.id, change.groups, mount, state.identity).isEmpty
    }

    private func update(
        _ person: JWTPerson,
        _ change: JWTEntityChange,
        _ mount: Mount,
        _ context: RequestContext
    ) async throws -> IdentityEntity {
        let entity = try await entityAtLogin(
            alias: person.alias,
            mount: mount,
            metadata: person.metadata,
            context
        )
        return try await inIdentityTurn {
            guard let state = unsealed, var entity = state.identity.entities[entity.id] else {
                throw VaultError.permissionDenied
            }
            // A newer token may have come meanwhile.
            guard !isCurrent(entity, person, change, mount, state) else { return entity }
            let table = state.identity
            let changed = Self.changedGroups(entity.id, change.groups, mount, table)
            if let metadata = change.metadata {
                for index in entity.aliases.indices where entity.aliases[index].mountAccessor == mount.accessor {
                    entity.aliases[index].metadata = metadata
                    entity.aliases[index].updated = context.now
                }
            }
            _ = try await commit(
                changed.map { .put(IdentityGroup.key($0.id), $0.encoded, expect: .any) }
                    + [.put(IdentityEntity.key(entity.id), entity.encoded, expect: .any)]
            )
            for group in changed { table.put(group) }
            table.put(entity)
            return entity
        }
    }

    /// The external groups of a mount whose members the token changes.
    private static func changedGroups(
        _ entity: String,
        _ groups: [String]?,
        _ mount: Mount,
        _ table: IdentityTable
    ) -> [IdentityGroup] {
        guard let groups else { return [] }
        let wanted = Set(groups.compactMap { table.group(alias: $0, accessor: mount.accessor)?.id })
        let present = Set(
            table.directGroups(of: entity).filter { id in
                guard let group = table.groups[id], group.isExternal else { return false }
                return group.alias?.mountAccessor.utf8.elementsEqual(mount.accessor.utf8) ?? false
            }
        )
        return wanted.symmetricDifference(present).sorted().compactMap { id in
            guard var group = table.groups[id], group.isExternal else { return nil }
            if wanted.contains(id) {
                group.memberEntities = Set(group.memberEntities).union([entity]).sorted()
            } else {
                group.memberEntities.removeAll { $0 == entity }
            }
            return group
        }
    }
}
