internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `PATCH <mount>/data/<path>`: a merge patch of the newest version makes the next one.
    func patchSecret(_ place: KVPlace, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let (patch, checkAndSet) = try withBody(context) { body -> (SharedSecret, Int64?) in
            guard let data = body?["data"], data.isObject else { throw VaultError.badRequest("no data provided") }
            return (SharedSecret(copying: data.raw), try Self.checkAndSet(body))
        }
        let configuration = try kvConfiguration(place.mount)
        // The patch builds on a value that has to be readable: it waits for writers under way.
        return try await state.locks.withLock(Array("kv-patch/".utf8) + place.key) {
            for _ in 0..<8 {
                if state.kvPending[place.key] != nil { _ = try await commit([]) }
                guard let metadata = try kvMetadata(place), let version = metadata.version(metadata.current) else {
                    return Effect(.bare(status: 404), failure: "not_found")
                }
                guard version.isReadable(at: context.now), let row = try barrier.get(place.value(version.number)) else {
                    let description = JSONValue.object(metadata.describe(version))
                    return Effect(.data(description, status: 404), failure: "deleted")
                }
                let value = try Self.merged(row.value, patch)
                do {
                    return try await changeMetadata(place, state) { known in
                        // Somebody was faster: once more, on what they wrote.
                        guard let known, known.current == version.number else { throw Overtaken() }
                        return try Self.nextVersion(known, place, value, checkAndSet, configuration, what, context)
                    }
                } catch is Overtaken {
                    continue
                }
            }
            throw VaultError(.rateLimited, "this secret is being written by too many others: try again")
        }
    }

    private struct Overtaken: Error {}

    private static func merged(_ value: SharedSecret, _ patch: SharedSecret) throws -> SharedSecret {
        try value.withBytes { value in
            let target = try JSONView(value)
            return try patch.withBytes { patch in
                let patch = try JSONView(patch)
                var count = 0
                JSONMergePatch.apply(patch, to: target) { count += $0.count }
                return SharedSecret(
                    SecretBytes(count: count) { output in
                        var position = 0
                        JSONMergePatch.apply(patch, to: target) { piece in
                            UnsafeMutableRawBufferPointer(rebasing: output[position..<position + piece.count])
                                .copyMemory(from: piece)
                            position += piece.count
                        }
                    }
                )
            }
        }
    }

    /// `options.cas`, nil when it is not sent.
    static func checkAndSet(_ body: JSONView?) throws -> Int64? {
        guard let given = body?["options"]?["cas"] else { return nil }
        guard let number = given.weakInteger else { throw VaultError.badRequest("cas must be a number") }
        return number
    }

    /// The next version of a secret with this value.
    static func nextVersion(
        _ known: KVMetadata,
        _ place: KVPlace,
        _ value: SharedSecret,
        _ checkAndSet: Int64?,
        _ configuration: KVConfiguration,
        _ what: AuditWhat,
        _ context: RequestContext
    ) throws -> MetadataChange {
        var metadata = known
        if let checkAndSet, checkAndSet != metadata.current {
            throw VaultError.badRequest("check-and-set parameter did not match the current version")
        }
        if checkAndSet == nil, metadata.requiresCheckAndSet || configuration.requiresCheckAndSet {
            throw VaultError.badRequest("check-and-set parameter required for this call")
        }
        let (version, dropped) = metadata.appendVersion(at: context.now, configuration)
        var mutations: [BarrierMutation] = place.folders.map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }
        mutations.append(.put(place.value(version.number), value, expect: .any))
        mutations.append(contentsOf: dropped.map { .delete(place.value($0), expect: .any) })
        var what = what
        what.version = Int(version.number)
        return (metadata, mutations, Effect(.data(.object(metadata.describe(version))), what: what))
    }

    /// - Throws: ``VaultError`` `.unsupportedMediaType`.
    static func checkPatchType(_ context: RequestContext) throws(VaultError) {
        let given = context.request.contentType ?? ""
        let type = given.prefix { $0 != ";" }.lowercased()
        guard type == "application/merge-patch+json" else {
            throw VaultError(
                .unsupportedMediaType,
                "PATCH requires Content-Type of application/merge-patch+json, provided \(given.prefix(100))"
            )
        }
    }

    // MARK: subkeys

    /// `<mount>/subkeys/<path>`: the names in a secret without its values.
    func subkeysEndpoint(_ context: RequestContext, _ place: KVPlace, _ what: AuditWhat) -> Endpoint? {
        guard !place.path.isEmpty, context.verb == .get else { return .unsupported(what) }
        return .read(.secretRead, what, .capability(.read)) { vault, context in
            let depth = try context.number("depth", in: 0...64) ?? 0
            let names: (SharedSecret) throws -> ResponseBody = { value in
                let names = try value.withBytes { Self.subkeys(try JSONView($0), depth: depth == 0 ? .max : depth) }
                return ResponseBody(names.encoded())
            }
            return try vault.readSecret(place, what, context, show: ("subkeys", names))
        }
    }

    private static func subkeys(_ view: JSONView, depth: Int64) -> JSONValue {
        .object(
            view.members.map { key, value in
                .init(key, value.isObject && depth > 1 ? subkeys(value, depth: depth - 1) : .null)
            }
        )
    }
}
