internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    func kvEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        guard mount.isVersioned else { return try kvVersionOneEndpoint(context, mount, rest) }
        let slash = rest.firstIndex(of: 0x2f) ?? rest.endIndex
        let verb = String(decoding: rest[..<slash], as: UTF8.self)
        let place = KVPlace(mount: mount, path: slash < rest.endIndex ? Array(rest[(slash + 1)...]) : [])
        var what = AuditWhat()
        what.path = mount.path + String(decoding: place.path, as: UTF8.self)
        switch verb {
        case "data": return try kvDataEndpoint(context, place, what)
        case "metadata": return try kvMetadataEndpoint(context, place, what)
        case "delete", "undelete", "destroy":
            guard context.verb == .write, !place.path.isEmpty else { return .unsupported(what) }
            return kvVersionsEndpoint(verb, place, what)
        case "detailed-metadata":
            guard context.verb == .list else { return .unsupported(what, .list) }
            return detailedListing(place, what)
        case "subkeys": return subkeysEndpoint(context, place, what)
        case "config":
            guard place.path.isEmpty else { return nil }
            return kvConfigurationEndpoint(context, mount)
        default:
            return .read(.requestUnmatched, what, .capability(.read)) { _, context in
                var reply = Reply.empty(status: 404)
                reply.warnings = [
                    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints "
                        + "to use. Put \"data/\" after the mount: \(mount.path)data/\(context.pathText.dropFirst(mount.path.count))"
                ]
                return Effect(reply, failure: "not_found")
            }
        }
    }

    private func kvDataEndpoint(_ context: RequestContext, _ place: KVPlace, _ what: AuditWhat) throws -> Endpoint? {
        guard !place.path.isEmpty else { return nil }
        switch context.verb {
        case .patch:
            try Self.checkPatchType(context)
            return .change(.secretWrite, what, .capability(.patch)) { vault, context in
                try await vault.patchSecret(place, what, context)
            }
        case .get, .head:
            return .read(.secretRead, what, .capability(.read)) { vault, context in
                try vault.readSecret(place, what, context)
            }
        case .write:
            guard let state = unsealed else { throw VaultError.sealed }
            let exists = try latestMetadata(place, state) != nil
            return .change(.secretWrite, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.writeSecret(place, what, context, expectedToExist: exists)
            }
        case .delete:
            return .change(.secretDelete, what, .capability(.delete)) { vault, context in
                try await vault.changeVersions(place, what, context, numbers: nil) { version in
                    if version.isReadable(at: context.now) { version.deleted = context.now }
                }
            }
        default: return .unsupported(what)
        }
    }

    private func kvVersionsEndpoint(_ verb: String, _ place: KVPlace, _ what: AuditWhat) -> Endpoint {
        let operation: AuditOperation = verb == "delete" ? .secretDelete : verb == "undelete" ? .kvUndelete : .kvDestroy
        return .change(operation, what, .capability(.update)) { vault, context in
            let numbers = try vault.withBody(context) { body -> [Int64] in
                guard let list = body?["versions"], list.isArray else {
                    throw VaultError.badRequest("No version number provided")
                }
                let numbers = list.elements.compactMap(\.weakInteger)
                guard !numbers.isEmpty, numbers.count == list.elements.count, numbers.count <= 1000 else {
                    throw VaultError.badRequest("No version number provided")
                }
                return numbers
            }
            return try await vault.changeVersions(
                place,
                what,
                context,
                numbers: numbers,
                erasesValues: verb == "destroy"
            ) { version in
                switch verb {
                case "delete": if version.isReadable(at: context.now) { version.deleted = context.now }
                case "undelete": if !version.isDestroyed { version.deleted = nil }
                default: version.isDestroyed = true
                }
            }
        }
    }

    /// The metadata of a secret, from the cache or the barrier; nil when there is none.
    func kvMetadata(_ place: KVPlace) throws -> KVMetadata? {
        let key = place.key
        if let known = unsealed?.kvMetadata[key] { return known }
        guard let row = try barrier.get(place.metadata) else { return nil }
        var metadata = try KVMetadata(decoding: row.value)
        metadata.rowVersion = row.version
        unsealed?.kvMetadata[key] = metadata.prepared()
        return metadata
    }

    /// - Parameters:
    ///   - show: what to give of the value, and under which name; the value itself when nil.
    ///   - attempts: how often to look again when writers drop the version between its description and its value.
    func readSecret(
        _ place: KVPlace,
        _ what: AuditWhat,
        _ context: RequestContext,
        show: (name: String, body: (SharedSecret) throws -> ResponseBody)? = nil,
        attempts: Int = 16
    ) throws -> Effect {
        guard let metadata = try kvMetadata(place) else { throw VaultError.notFound }
        var number = metadata.current
        if let text = context.query("version") {
            guard let wanted = Int64(text), wanted >= 0 else { throw VaultError.badRequest("version must be a number") }
            if wanted > 0 { number = wanted }
        }
        guard let version = metadata.version(number) else { throw VaultError.notFound }
        var what = what
        what.version = Int(version.number)
        let description = metadata.description(of: version)
        var body = ResponseBody()
        body.append(text: "{\"\(show?.name ?? "data")\":")
        guard version.isReadable(at: context.now) else {
            body.append(Array("null,\"metadata\":".utf8) + description + [0x7d])
            return Effect(.data(body, status: 404), what: what, failure: "deleted")
        }
        guard let row = try barrier.get(place.value(version.number)) else {
            unsealed?.kvMetadata[place.key] = nil
            if attempts > 0, let newer = try kvMetadata(place), newer.current > metadata.current {
                return try readSecret(place, what, context, show: show, attempts: attempts - 1)
            }
            throw VaultError(.storageCorrupt, "version \(version.number) of this secret is missing from the storage")
        }
        if let show {
            body.append(try show.body(row.value))
        } else {
            body.append(row.value)
        }
        body.append(Array(",\"metadata\":".utf8) + description + [0x7d])
        return Effect(.data(body), what: what)
    }

    private func writeSecret(
        _ place: KVPlace,
        _ what: AuditWhat,
        _ context: RequestContext,
        expectedToExist: Bool
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let (value, checkAndSet, warnings) = try withBody(context) { body -> (SharedSecret, Int64?, [String]) in
            guard let data = body?["data"], data.isObject else { throw VaultError.badRequest("no data provided") }
            let warnings = Self.unrecognized(body, ["data", "options", "version"])
            return (SharedSecret(copying: data.raw), try Self.checkAndSet(body), warnings)
        }
        let configuration = try kvConfiguration(place.mount)
        return try await changeMetadata(place, state) { known in
            if (known != nil) != expectedToExist { try self.decideAgain(known != nil ? .update : .create, context) }
            let metadata = known ?? KVMetadata(created: context.now)
            var change = try Self.nextVersion(metadata, place, value, checkAndSet, configuration, what, context)
            change.effect.reply.warnings = warnings
            return change
        }
    }

    /// Marks versions; `numbers` nil means the newest. What does not exist is passed over, as clients expect.
    private func changeVersions(
        _ place: KVPlace,
        _ what: AuditWhat,
        _ context: RequestContext,
        numbers: [Int64]?,
        erasesValues: Bool = false,
        _ body: @Sendable (inout KVMetadata.Version) -> Void
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await changeMetadata(place, state) { known in
            guard var metadata = known else { return (nil, [], Effect(.noContent)) }
            let wanted = numbers ?? [metadata.current]
            for number in wanted { metadata.change(number, body) }
            let erased: [BarrierMutation] =
                erasesValues ? wanted.map { .delete(place.value($0), expect: .any) } : []
            var what = what
            what.details = [("versions", .text(wanted.map(String.init).joined(separator: ",")))]
            return (metadata, erased, Effect(.noContent, what: what))
        }
    }
}
