internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What a whole mount of versioned secrets has in common.
struct KVConfiguration: Sendable {
    /// How many versions are kept when nobody says otherwise.
    static let defaultVersions: Int64 = 10

    var maximumVersions: Int64 = 0
    var requiresCheckAndSet = false
    /// Seconds; 0 never, −1 never whatever a secret says.
    var deleteVersionAfter: Int64 = 0

    init() {}

    var json: JSONValue {
        [
            "cas_required": .bool(requiresCheckAndSet),
            "delete_version_after": .string(deleteVersionAfter < 0 ? "-1s" : GoDuration.text(deleteVersionAfter)),
            "max_versions": .integer(maximumVersions), "metadata_cas_required": .bool(false),
        ]
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    /// Takes over what a client sends, or what is stored.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    mutating func apply(_ body: JSONView) throws(VaultError) {
        if let value = body["max_versions"] {
            guard let number = value.weakInteger, (0...10_000).contains(number) else {
                throw .badRequest("max_versions is a number from 0 to 10000")
            }
            maximumVersions = number
        }
        if let value = body["cas_required"] {
            guard let flag = value.weakBool else { throw .badRequest("cas_required is true or false") }
            requiresCheckAndSet = flag
        }
        if body["metadata_cas_required"]?.weakBool ?? false {
            throw .badRequest("metadata_cas_required is not available: leave it out")
        }
        if let value = body["delete_version_after"] {
            if value.string?.first == "-" {
                deleteVersionAfter = -1
            } else if let seconds = GoDuration.seconds(value) {
                deleteVersionAfter = seconds
            } else {
                throw .badRequest("delete_version_after is not a duration")
            }
        }
    }

    /// How many versions of a secret are kept: the larger figure wins.
    func versions(for metadata: KVMetadata) -> Int {
        let wanted = max(maximumVersions, metadata.maximumVersions)
        return Int(clamping: wanted > 0 ? wanted : Self.defaultVersions)
    }

    /// Seconds after which a new version counts as deleted; 0 never. The shorter figure wins.
    func lifetime(for metadata: KVMetadata) -> Int64 {
        if deleteVersionAfter < 0 { return 0 }
        if deleteVersionAfter == 0 { return metadata.deleteVersionAfter }
        return metadata.deleteVersionAfter == 0
            ? deleteVersionAfter : min(deleteVersionAfter, metadata.deleteVersionAfter)
    }
}

extension Vault {
    func kvConfiguration(_ mount: Mount) throws -> KVConfiguration {
        if let known = unsealed?.kvConfigurations[mount.id] { return known }
        var configuration = KVConfiguration()
        if let row = try barrier.get(KVPlace.configuration(mount)) {
            try row.value.withBytes { try configuration.apply(try JSONView($0)) }
        }
        unsealed?.kvConfigurations[mount.id] = configuration
        return configuration
    }

    /// `<mount>/config`.
    func kvConfigurationEndpoint(_ context: RequestContext, _ mount: Mount) -> Endpoint {
        let what = AuditWhat(path: mount.path + "config")
        switch context.verb {
        case .get:
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                Effect(.data(try vault.kvConfiguration(mount).json))
            }
        case .write:
            return .change(.engineChange, what, .capability(.update)) { vault, context in
                guard let state = vault.unsealed else { throw VaultError.sealed }
                return try await state.locks.withLock(Array("kv-config/\(mount.id)".utf8)) {
                    var configuration = try vault.kvConfiguration(mount)
                    try vault.withBody(context) { body in
                        if let body { try configuration.apply(body) }
                    }
                    let change = BarrierMutation.put(KVPlace.configuration(mount), configuration.encoded, expect: .any)
                    let generation = try await vault.commit([change])
                    state.kvConfigurations[mount.id] = configuration
                    return Effect(.noContent, generation: generation)
                }
            }
        default: return .unsupported(what)
        }
    }
}
