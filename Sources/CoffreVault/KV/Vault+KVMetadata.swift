internal import CoffreAudit
internal import CoffreWire

extension Vault {
    func kvMetadataEndpoint(_ context: RequestContext, _ place: KVPlace, _ what: AuditWhat) throws -> Endpoint? {
        switch context.verb {
        case .list:
            return .read(.secretList, what, .capability(.list)) { vault, context in
                var names = try vault.barrier.names(in: .kvMetadata, parent: place.folder)
                    .map { String(decoding: $0, as: UTF8.self) }
                guard !names.isEmpty else { throw VaultError.notFound }
                if let after = context.query("after") { names = names.filter { Array($0.utf8).isAfter(after.utf8) } }
                if let limit = context.query("limit").flatMap({ Int($0) }), limit > 0 {
                    names = Array(names.prefix(limit))
                }
                return Effect(.data(.object(["keys": .strings(names)])))
            }
        case .get where !place.path.isEmpty:
            return .read(.kvMetadata, what, .capability(.read)) { vault, _ in
                guard let metadata = try vault.kvMetadata(place) else { throw VaultError.notFound }
                return Effect(.data(metadata.json))
            }
        case .write where !place.path.isEmpty:
            guard let state = unsealed else { throw VaultError.sealed }
            let exists = try latestMetadata(place, state) != nil
            return .change(.kvMetadata, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.putMetadata(place, context, expectedToExist: exists)
            }
        case .delete where !place.path.isEmpty:
            return .change(.secretDelete, what, .capability(.delete)) { vault, context in
                try await vault.removeSecret(place, context)
            }
        default: return .unsupported(what)
        }
    }

    private func putMetadata(_ place: KVPlace, _ context: RequestContext, expectedToExist: Bool) async throws -> Effect
    {
        guard let state = unsealed else { throw VaultError.sealed }
        let change = try withBody(context) { try KVMetadataChange($0) }
        return try await changeMetadata(place, state) { known in
            if (known != nil) != expectedToExist { try self.decideAgain(known != nil ? .update : .create, context) }
            var metadata = known ?? KVMetadata(created: context.now)
            metadata.updated = context.now
            change.apply(to: &metadata)
            return (metadata, place.folders.map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }, Effect(.noContent))
        }
    }

    /// Removes every version and the metadata; folders that are left empty go with it.
    private func removeSecret(_ place: KVPlace, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await changeMetadata(place, state) { known in
            guard let metadata = known else { return (nil, [], Effect(.noContent)) }
            var mutations: [BarrierMutation] = metadata.versions.map { .delete(place.value($0.number), expect: .any) }
            for folder in place.folders.reversed() {
                mutations.append(.deleteIfChildless(folder.entry, namespace: .kvMetadata, parent: folder.children))
            }
            return (nil, mutations, Effect(.noContent))
        }
    }
}

extension [UInt8] {
    fileprivate func isAfter(_ other: some Sequence<UInt8>) -> Bool { other.lexicographicallyPrecedes(self) }
}

/// The fields of `metadata/` that a client may set; absent ones stay as they are.
private struct KVMetadataChange: Sendable {
    var maximumVersions: Int64?
    var requiresCheckAndSet: Bool?
    var deleteVersionAfter: Int64?
    var custom: [JSONValue.Member]?

    init(_ body: JSONView?) throws(VaultError) {
        if let value = body?["max_versions"] {
            guard let number = value.weakInteger, (0...10_000).contains(number) else {
                throw .badRequest("max_versions is a number from 0 to 10000")
            }
            maximumVersions = number
        }
        if let value = body?["cas_required"] {
            guard let flag = value.weakBool else { throw .badRequest("cas_required is true or false") }
            requiresCheckAndSet = flag
        }
        if let value = body?["delete_version_after"] {
            guard let seconds = GoDuration.seconds(value) else {
                throw .badRequest("delete_version_after is not a duration")
            }
            deleteVersionAfter = seconds
        }
        if let value = body?["custom_metadata"] {
            guard value.isObject else { throw .badRequest("custom_metadata is an object of texts") }
            var members: [JSONValue.Member] = []
            for (key, item) in value.members {
                guard let text = item.string, key.utf8.count <= 128, text.utf8.count <= 512, members.count < 64 else {
                    throw .badRequest("custom_metadata takes up to 64 texts of 512 bytes, with names of 128 bytes")
                }
                members.append(.init(key, .string(text)))
            }
            custom = members
        }
    }

    func apply(to metadata: inout KVMetadata) {
        if let maximumVersions { metadata.maximumVersions = maximumVersions }
        if let requiresCheckAndSet { metadata.requiresCheckAndSet = requiresCheckAndSet }
        if let deleteVersionAfter { metadata.deleteVersionAfter = deleteVersionAfter }
        if let custom { metadata.custom = custom }
    }
}
