internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `sys/decoys`: secrets that are bait.
///
/// A decoy's row and its secret are written, and removed, in one transaction: whenever the daemon is killed, both are
/// there or neither. In memory a decoy stands before its row is durable and until its row is gone, so that the secret
/// is never readable without the mark; a request in between may be marked for a decoy that then could not be stored.
/// Who removes the secret by its own path touches the decoy, which stays: `exists` says that nothing is behind it.
extension Vault {
    private static let turn = Array("decoys".utf8)

    /// - Returns: nil when the path is none of these.
    func decoyEndpoint(_ context: RequestContext, _ rest: String, _ what: AuditWhat) -> Endpoint? {
        if rest == "decoys" {
            guard context.verb == .get || context.verb == .list else { return .unsupported(what, .list) }
            return .read(.sysRead, what, .sudo(context.verb == .get ? .read : .list)) { vault, _ in
                try vault.listDecoys()
            }
        }
        guard rest.hasPrefix("decoys/") else { return nil }
        let path = Array(rest.utf8.dropFirst(7))
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .sudo(.read)) { vault, _ in
                guard let state = vault.unsealed else { throw VaultError.sealed }
                let (decoy, place) = try Self.decoy(at: path, state)
                let exists = JSONValue.Member("exists", .bool(try vault.isReadable(place, state)))
                return Effect(.data(.object(decoy.json(in: place.mount) + [exists])))
            }
        case .write:
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in
                try await vault.createDecoy(path, context)
            }
        case .delete:
            return .change(.sysWrite, what, .sudo(.delete)) { vault, context in
                try await vault.deleteDecoy(path, context)
            }
        default: return .unsupported(what)
        }
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    func loadDecoys(_ state: UnsealedState) throws {
        for (key, entry) in try barrier.entries(in: .system, parent: BarrierKey.decoys, limit: .max) {
            let decoy = try Decoy(key: key, decoding: entry.value)
            // Else its mount is being removed, and it goes with it.
            if let mount = state.mounts.mount(id: decoy.mountID) { state.decoys.put(decoy, mount) }
        }
    }

    private func listDecoys() throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let found = state.decoys.entries.values.map { decoy, mount in
            (decoy.shownPath(in: mount), decoy.json(in: mount))
        }.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
        guard !found.isEmpty else { throw VaultError.notFound }
        let info = found.map { path, members in JSONValue.Member(path, .object(Array(members.dropFirst()))) }
        return Effect(.data(["keys": .strings(found.map(\.0)), "key_info": .object(info)]))
    }

    // MARK: places

    /// Where the secret of a path lies, with or without KV's `data/`; nil when it is not below a kv mount.
    private static func kvPlace(_ path: [UInt8], _ state: UnsealedState) -> KVPlace? {
        guard let mount = state.mounts.mount(of: path), mount.type == .kv else { return nil }
        var inner = path.dropFirst(mount.path.utf8.count)
        if mount.isVersioned, inner.starts(with: "data/".utf8) { inner = inner.dropFirst(5) }
        return inner.isEmpty ? nil : KVPlace(mount: mount, path: Array(inner))
    }

    private static func decoy(at path: [UInt8], _ state: UnsealedState) throws(VaultError) -> (Decoy, KVPlace) {
        guard let place = kvPlace(path, state), let decoy = state.decoys[place] else { throw .notFound }
        return (decoy, place)
    }

    /// Whether there is a value to hand out.
    private func isReadable(_ place: KVPlace, _ state: UnsealedState) throws -> Bool {
        guard place.mount.isVersioned else { return try exists(place, state) }
        guard let metadata = try latestMetadata(place, state) else { return false }
        return metadata.versions.last { $0.number == metadata.current }?.isReadable(at: clock.now()) ?? false
    }

    private func exists(_ place: KVPlace, _ state: UnsealedState) throws -> Bool {
        if place.mount.isVersioned { return try latestMetadata(place, state) != nil }
        return try barrier.get(place.metadata) != nil
    }

    // MARK: creation

    private struct DecoyRequest: Sendable {
        let takesExisting: Bool
        let kind: DecoyKind
        let note: String

        init(_ body: JSONView?) throws(VaultError) {
            var takesExisting = false
            if let value = body?["existing"], !value.isNull {
                guard let flag = value.weakBool else { throw .badRequest("existing is true or false") }
                takesExisting = flag
            }
            self.takesExisting = takesExisting
            let kinds = DecoyKind.allCases.map(\.rawValue).joined(separator: ", ")
            if let value = body?["like"], !value.isNull {
                guard !takesExisting else { throw .badRequest("like is for a new secret: leave it out with existing") }
                guard let kind = value.string.flatMap({ DecoyKind(rawValue: $0) }) else {
                    throw .badRequest("like is one of: \(kinds)")
                }
                self.kind = kind
            } else {
                kind = .password
            }
            note = try Self.note(body?["note"])
        }

        private static func note(_ value: JSONView?) throws(VaultError) -> String {
            guard let value, !value.isNull else { return "" }
            guard let text = value.string, text.utf8.count <= Decoy.maximumNoteBytes else {
                throw .badRequest("note is a text of at most \(Decoy.maximumNoteBytes) bytes")
            }
            return text
        }
    }

    private func createDecoy(_ path: [UInt8], _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let (wish, warnings) = try withBody(context) { body in
            (try DecoyRequest(body), Self.unrecognized(body, ["existing", "like", "note"]))
        }
        guard context.request.path.last != 0x2f else { throw VaultError.badRequest("a folder is no secret") }
        guard path.count <= Decoy.maximumPathBytes else {
            throw VaultError.badRequest("the path of a decoy has at most \(Decoy.maximumPathBytes) bytes")
        }
        return try await state.locks.withLock(Self.turn) {
            guard unsealed === state else { throw VaultError.sealed }
            guard let place = Self.kvPlace(path, state) else {
                throw VaultError.badRequest("a decoy is a secret below a kv mount, such as secret/prod/root-db")
            }
            guard state.decoys[place] == nil else { throw VaultError.badRequest("it is a decoy already") }
            guard state.decoys.entries.count < DecoyTable.limit else {
                throw VaultError.badRequest("there are \(DecoyTable.limit) decoys already")
            }
            let folder = KVPlace(mount: place.mount, path: place.path + [0x2f]).folders.last?.entry
            if let folder, try barrier.get(folder) != nil {
                // Who lists it would touch the decoy.
                throw VaultError.badRequest("there is a folder of this name")
            }
            let decoy = Decoy(
                place: place,
                kind: wish.takesExisting ? nil : wish.kind,
                note: wish.note,
                created: context.now,
                creator: context.caller?.who.sid ?? ""
            )
            var reply = Reply.data(.object(decoy.json(in: place.mount)))
            reply.warnings = warnings
            let generation =
                place.mount.isVersioned
                ? try await storeVersioned(decoy, place, context, state) : try await store(decoy, place, state)
            return Effect(reply, generation: generation)
        }
    }

    private static func checkFree(_ isThere: Bool, _ decoy: Decoy) throws(VaultError) {
        if decoy.kind == nil, !isThere { throw VaultError(.notFound, "there is no secret that could become a decoy") }
        if decoy.kind != nil, isThere {
            throw .badRequest("a secret is there already: existing=true makes it a decoy as it is")
        }
    }

    private func storeVersioned(_ decoy: Decoy, _ place: KVPlace, _ context: RequestContext, _ state: UnsealedState)
        async throws -> UInt64?
    {
        let configuration = try kvConfiguration(place.mount)
        // Nothing suspends between this and the queueing: nobody sees a decoy that is refused here.
        state.decoys.put(decoy, place.mount)
        do {
            return try await changeMetadata(place, state) { known in
                try Self.checkFree(known != nil, decoy)
                guard let kind = decoy.kind else { return (known, [decoy.row], Effect(.noContent)) }
                var change = try Self.nextVersion(
                    KVMetadata(created: context.now),
                    place,
                    kind.fields(),
                    0,
                    configuration,
                    AuditWhat(),
                    context
                )
                change.mutations.append(decoy.row)
                return change
            }.generation
        } catch {
            state.decoys.remove(decoy)
            throw error
        }
    }

    private func store(_ decoy: Decoy, _ place: KVPlace, _ state: UnsealedState) async throws -> UInt64? {
        try await state.locks.withLock(place.key) {
            guard unsealed === state, let mount = state.mounts.mount(id: decoy.mountID) else {
                throw VaultError.notFound
            }
            try Self.checkFree(try barrier.get(place.metadata) != nil, decoy)
            var mutations = [decoy.row]
            if let kind = decoy.kind {
                mutations.append(.put(place.metadata, kind.fields(), expect: .absent))
                mutations += place.folders.map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }
            }
            state.decoys.put(decoy, mount)
            do { return try await commit(mutations) } catch {
                state.decoys.remove(decoy)
                throw error
            }
        }
    }

    // MARK: deletion

    private func deleteDecoy(_ path: [UInt8], _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        var keeps = false
        if let text = context.query("keep") {
            guard let flag = GoBool.parse(text) else {
                throw VaultError.badRequest("the query parameter keep must be true or false")
            }
            keeps = flag
        }
        let keepsSecret = keeps
        return try await state.locks.withLock(Self.turn) {
            guard unsealed === state else { throw VaultError.sealed }
            let (decoy, place) = try Self.decoy(at: path, state)
            let row = BarrierMutation.delete(.decoy(decoy.key), expect: .any)
            var generation: UInt64?
            if !keepsSecret, place.mount.isVersioned {
                generation = try await changeMetadata(place, state) { known in
                    (nil, known.map { place.removal(of: $0) + [row] } ?? [], Effect(.noContent))
                }.generation
            } else if !keepsSecret {
                generation = try await state.locks.withLock(place.key) {
                    try await commit([.delete(place.metadata, expect: .any)] + place.emptiedFolders + [row])
                }
            }
            // Of a secret that stays, or that is gone already.
            if generation == nil { generation = try await commit([row]) }
            state.decoys.remove(decoy)
            return Effect(.noContent, generation: generation)
        }
    }
}

extension KVPlace {
    /// Folders that a removal leaves empty, from the bottom up.
    var emptiedFolders: [BarrierMutation] {
        folders.reversed().map { .deleteIfChildless($0.entry, namespace: .kvMetadata, parent: $0.children) }
    }

    /// The rows besides the metadata that go with a versioned secret.
    func removal(of metadata: KVMetadata) -> [BarrierMutation] {
        metadata.versions.map { .delete(value($0.number), expect: .any) } + emptiedFolders
    }
}
