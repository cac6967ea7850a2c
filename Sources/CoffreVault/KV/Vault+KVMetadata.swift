internal import CoffreAudit
internal import CoffreWire

extension Vault {
    func kvMetadataEndpoint(_ context: RequestContext, _ place: KVPlace, _ what: AuditWhat) throws -> Endpoint? {
        switch context.verb {
        case .list:
            return .read(.secretList, what, .capability(.list)) { vault, context in
                Effect(.data(["keys": .strings(try vault.secretNames(place, context))]))
            }
        case .scan:
            return .read(.secretList, what, .capability(.scan)) { vault, context in
                Effect(.data(["keys": .strings(try vault.allNames(place, context))]))
            }
        case .patch where !place.path.isEmpty:
            try Self.checkPatchType(context)
            return .change(.kvMetadata, what, .capability(.patch)) { vault, context in
                try await vault.patchMetadata(place, context)
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
            metadata.changes += 1
            change.apply(to: &metadata)
            return (metadata, place.folders.map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }, Effect(.noContent))
        }
    }

    /// `PATCH metadata/<path>`: what is not sent stays, `null` goes back to nothing.
    private func patchMetadata(_ place: KVPlace, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await changeMetadata(place, state) { known in
            guard var metadata = known else {
                return (nil, [], Effect(.bare(status: 404), failure: "not_found"))
            }
            try withBody(context) { body in
                guard let body else { return }
                for (key, value) in body.members where value.isNull {
                    switch key {
                    case "max_versions": metadata.maximumVersions = 0
                    case "cas_required": metadata.requiresCheckAndSet = false
                    case "delete_version_after": metadata.deleteVersionAfter = 0
                    case "custom_metadata": metadata.custom = []
                    default: break
                    }
                }
                try KVMetadataChange(body, patching: metadata.custom).apply(to: &metadata)
            }
            metadata.updated = context.now
            metadata.changes += 1
            return (metadata, [], Effect(.noContent))
        }
    }

    // MARK: listing

    /// The names in a folder, paged by `after` and `limit`.
    func secretNames(_ place: KVPlace, _ context: RequestContext) throws -> [String] {
        let names = try barrier.names(in: .kvMetadata, parent: place.folder).map { String(decoding: $0, as: UTF8.self) }
        return try page(names, context)
    }

    /// A page of sorted names.
    /// - Throws: ``VaultError`` `.notFound` when there is nothing, `.badRequest`.
    func page(_ names: [String], _ context: RequestContext) throws -> [String] {
        guard !names.isEmpty else { throw VaultError.notFound }
        var names = names
        if let after = context.query("after"), !after.isEmpty {
            names = names.filter { Array($0.utf8).isAfter(after.utf8) }
        }
        if context.query("limit") == "max" { return names }
        if let limit = try context.number("limit", in: -1...Int64(Int32.max)), limit > 0 {
            names = Array(names.prefix(Int(limit)))
        }
        return names
    }

    /// Every secret below a folder, at most 100,000, with paths from there.
    private func allNames(_ place: KVPlace, _ context: RequestContext) throws -> [String] {
        var found: [[UInt8]] = []
        var queue: [[UInt8]] = [[]]
        while let folder = queue.popLast() {
            let inner = place.path.isEmpty || folder.isEmpty ? place.path + folder : place.path + [0x2f] + folder
            for name in try barrier.names(in: .kvMetadata, parent: KVPlace(mount: place.mount, path: inner).folder) {
                let path = folder.isEmpty ? name : folder + [0x2f] + name
                if name.last == 0x2f { queue.append(Array(path.dropLast())) } else { found.append(path) }
                guard found.count <= 100_000 else {
                    throw VaultError.badRequest("more than 100000 secrets: scan a folder further down")
                }
            }
        }
        found.sort { $0.lexicographicallyPrecedes($1) }
        return try page(found.map { String(decoding: $0, as: UTF8.self) }, context)
    }

    /// `LIST <mount>/detailed-metadata/<path>`.
    func detailedListing(_ place: KVPlace, _ what: AuditWhat) -> Endpoint {
        .read(.secretList, what, .capability(.list)) { vault, context in
            let names = try vault.secretNames(place, context)
            guard names.count <= 10_000 else {
                throw VaultError.badRequest("more than 10000 secrets: page with after and limit")
            }
            let prefix = place.path.isEmpty ? [] : place.path + [0x2f]
            let info = try names.map { name -> JSONValue.Member in
                let inner = KVPlace(mount: place.mount, path: prefix + Array(name.utf8))
                let metadata = name.hasSuffix("/") ? nil : try vault.kvMetadata(inner)
                return .init(name, metadata?.json ?? .null)
            }
            return Effect(.data(["key_info": .object(info), "keys": .strings(names)]))
        }
    }

    /// Removes every version and the metadata; folders that are left empty go with it.
    private func removeSecret(_ place: KVPlace, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await changeMetadata(place, state) { known in
            guard let metadata = known else { return (nil, [], Effect(.noContent)) }
            return (nil, place.removal(of: metadata), Effect(.noContent))
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

    /// - Parameter current: the texts that a patch changes; nil replaces them all.
    init(_ body: JSONView?, patching current: [JSONValue.Member]? = nil) throws(VaultError) {
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
            var members = current ?? []
            for (key, item) in value.members {
                members.removeAll { $0.key.utf8.elementsEqual(key.utf8) }
                if current != nil, item.isNull { continue }
                guard let text = item.string, key.utf8.count <= 128, text.utf8.count <= 512, members.count < 64 else {
                    throw .badRequest("custom_metadata takes up to 64 texts of 512 bytes, with names of 128 bytes")
                }
                members.append(.init(key, .string(text)))
            }
            members.sort { $0.key < $1.key }
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
