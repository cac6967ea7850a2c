internal import CoffreStorage

/// What is left to do after a mount was disabled.
extension Vault {
    private static let batch = 500

    /// Goes on with every removal that is not finished. Called by the timer.
    func continueRemovals(_ state: UnsealedState) {
        guard !state.removedMounts.isEmpty, !state.isRemoving else { return }
        state.isRemoving = true
        Task {
            for mount in state.removedMounts.values {
                do {
                    try await self.finishRemoval(of: mount, state)
                } catch {
                    self.journal(true, "a disabled mount could not be cleaned up yet", ["reason": "\(error)"])
                }
            }
            state.isRemoving = false
        }
    }

    private func finishRemoval(of mount: Mount, _ state: UnsealedState) async throws {
        // Logins first: they need the configuration to be taken back.
        if mount.type == .database {
            let leases = try databaseLeases(of: mount)
            for id in leases where try lease(id)?.state != .revoking {
                _ = try await beginRevocation(id)
                revokeInBackground(id)
            }
            guard leases.isEmpty else { return }
        }
        if mount.type.isAuth {
            try await revokeTokens(issuedBelow: Array(mount.path.utf8))
            try await forgetAliases(of: mount)
        }
        while true {
            let deletions = try rows(of: mount).map { BarrierMutation.delete($0, expect: .any) }
            guard !deletions.isEmpty else { break }
            _ = try await commit(deletions)
        }
        _ = try await commit([.delete(.removedMount(mount.id), expect: .any)])
        state.removedMounts[mount.id] = nil
    }

    /// The names under which a removed auth method knew people and teams.
    private func forgetAliases(of mount: Mount) async throws {
        try await inIdentityTurn {
            guard let table = unsealed?.identity else { throw VaultError.sealed }
            for var entity in table.entities.values
            where entity.aliases.contains(where: { $0.mountAccessor == mount.accessor }) {
                entity.aliases.removeAll { $0.mountAccessor == mount.accessor }
                _ = try await commit([.put(IdentityEntity.key(entity.id), entity.encoded, expect: .any)])
                table.put(entity)
            }
            for var group in table.groups.values where group.alias?.mountAccessor == mount.accessor {
                group.alias = nil
                _ = try await commit([.put(IdentityGroup.key(group.id), group.encoded, expect: .any)])
                table.put(group)
            }
        }
    }

    private func databaseLeases(of mount: Mount) throws -> [String] {
        let place = DatabasePlace(mount: mount)
        return try barrier.names(in: .database, parent: place.parent("config")).flatMap { name in
            let id = place.connectionID(String(decoding: name, as: UTF8.self))
            return try barrier.names(in: .lease, parent: BarrierKey.leaseConnectionParent(id))
                .map { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// Some of the rows that belong to a mount; none when all are gone.
    private func rows(of mount: Mount) throws -> [BarrierKey] {
        var found: [BarrierKey] = []
        switch mount.type {
        case .kv:
            try collectSecrets(mount, folder: [], into: &found)
            // Made while the mount was being disabled.
            let prefix = Array("\(mount.id)/".utf8)
            found += try barrier.names(in: .system, parent: BarrierKey.decoys).filter { $0.starts(with: prefix) }
                .map { .decoy($0) }
        case .database:
            try collect(.database, DatabasePlace.kinds.map { DatabasePlace(mount: mount).parent($0) }, &found)
        case .approle: try collect(.identity, try appRoleParents(mount), &found)
        case .jwt: try collect(.identity, JWTPlace(mount: mount).parents, &found)
        case .transit: try collect(.transit, [TransitPlace.parent(mount)], &found)
        case .token, .peer: break
        }
        return found
    }

    private func collect(_ namespace: StorageNamespace, _ parents: [[UInt8]], _ found: inout [BarrierKey]) throws {
        for parent in parents where found.count < Self.batch {
            for (name, _) in try barrier.entries(in: namespace, parent: parent, limit: Self.batch) {
                found.append(BarrierKey(namespace: namespace, parent: parent, name: name))
            }
        }
    }

    /// Leaves first: a folder's row goes when nothing is left below it.
    private func collectSecrets(_ mount: Mount, folder: [UInt8], into found: inout [BarrierKey]) throws {
        let parent = KVPlace(mount: mount, path: folder).folder
        for (name, _) in try barrier.entries(in: .kvMetadata, parent: parent, limit: Self.batch)
        where found.count < Self.batch {
            let key = BarrierKey(namespace: .kvMetadata, parent: parent, name: name)
            let path = folder.isEmpty ? name : folder + [0x2f] + name
            if name.last == 0x2f {
                let before = found.count
                try collectSecrets(mount, folder: Array(path.dropLast()), into: &found)
                if found.count == before { found.append(key) }
            } else {
                let place = KVPlace(mount: mount, path: path)
                for (version, _) in try barrier.entries(in: .kvData, parent: place.values, limit: 100_000) {
                    found.append(BarrierKey(namespace: .kvData, parent: place.values, name: version))
                }
                found.append(key)
            }
        }
        if folder.isEmpty, found.isEmpty, try barrier.get(KVPlace.configuration(mount)) != nil {
            found.append(KVPlace.configuration(mount))
        }
    }
}
