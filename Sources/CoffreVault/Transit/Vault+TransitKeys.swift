internal import CoffreAudit
internal import CoffreWire

/// Management of transit keys.
extension Vault {
    /// What a change makes of a key.
    enum TransitChange {
        case put(TransitKey)
        case delete
        case nothing
    }

    func transitKeyList(_ context: RequestContext, _ mount: Mount) -> Endpoint {
        let what = AuditWhat(path: mount.path + "keys")
        guard context.verb == .list else { return .unsupported(what, .read) }
        return .read(.engineRead, what, .capability(.list)) { vault, context in
            let names = try vault.barrier.names(in: .transit, parent: TransitPlace.parent(mount))
            let page = try vault.page(names.map { String(decoding: $0, as: UTF8.self) }, context)
            guard !page.isEmpty else { throw VaultError.notFound }
            return Effect(.data(["keys": .strings(page)]))
        }
    }

    func transitKeyEndpoint(_ context: RequestContext, _ place: TransitPlace, _ action: String?) -> Endpoint? {
        let what = AuditWhat(path: "\(place.mount.path)keys/\(place.name)")
        switch (action, context.verb) {
        case (nil, .get):
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                guard let key = try vault.transitKey(place)?.key else { throw VaultError.notFound }
                return Effect(.data(key.json(name: place.name)))
            }
        case (nil, .write):
            return .change(.transitKey, what, .capability(.update)) { vault, context in
                try await vault.createTransitKey(place, what, context)
            }
        case (nil, .delete):
            return .change(.transitKey, what, .capability(.delete)) { vault, _ in
                let made = try await vault.changeTransitKey(place) { known in
                    guard let known else {
                        throw VaultError.badRequest(
                            "error deleting policy \(place.name): could not delete key; not found"
                        )
                    }
                    guard known.isDeletable else {
                        throw VaultError.badRequest(
                            "error deleting policy \(place.name): deletion is not allowed for this key"
                        )
                    }
                    return .delete
                }
                return Effect(.noContent, generation: made.generation)
            }
        case ("config", .write):
            return edit(place, what, absent: "no existing key named \(place.name) could be found", Self.configureKey)
        case ("rotate", .write): return edit(place, what, absent: "key not found", Self.rotateKey)
        case ("trim", .write): return edit(place, what, absent: "invalid key name", Self.trimKey)
        case (nil, _), ("config", _), ("rotate", _), ("trim", _): return .unsupported(what)
        default: return nil
        }
    }

    /// A change of an existing key, answered by its description.
    private func edit(
        _ place: TransitPlace,
        _ what: AuditWhat,
        absent: String,
        _ body: @escaping @Sendable (inout TransitKey, JSONView?, Timestamp) throws(VaultError) -> [String]
    ) -> Endpoint {
        .change(.transitKey, what, .capability(.update)) { vault, context in
            var warnings: [String] = []
            let made = try await vault.changeTransitKey(place) { known in
                guard var key = known else { throw VaultError.badRequest(absent) }
                warnings = try vault.withBody(context) { try body(&key, $0, context.now) }
                return .put(key)
            }
            return vault.describing(made.key, place, what, warnings, made.generation)
        }
    }

    private func describing(
        _ key: TransitKey?,
        _ place: TransitPlace,
        _ what: AuditWhat,
        _ warnings: [String],
        _ generation: UInt64?
    ) -> Effect {
        var what = what
        what.version = key.map { Int($0.latest) }
        var reply = Reply.data(key?.json(name: place.name) ?? .object([]))
        reply.warnings = warnings
        return Effect(reply, generation: generation, what: what)
    }

    /// Changes a key, one caller after the other.
    /// - Returns: the key as it is now, nil when it is gone; the generation of the change, if there was one.
    func changeTransitKey(
        _ place: TransitPlace,
        _ decide: (TransitKey?) throws -> TransitChange
    ) async throws -> (key: TransitKey?, generation: UInt64?) {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(place.lock) {
            guard unsealed === state else { throw VaultError.sealed }
            guard state.mounts.mount(id: place.mount.id) != nil else { throw VaultError.notFound }
            let known = try transitKey(place)?.key
            let mutation: BarrierMutation
            var result: TransitKey?
            switch try decide(known) {
            case .nothing: return (known, nil)
            case .delete: mutation = .delete(place.row, expect: .version(known?.rowVersion ?? 0))
            case .put(let key):
                result = key
                mutation = .put(place.row, key.encoded, expect: known.map { .version($0.rowVersion) } ?? .absent)
            }
            defer { state.transitKeys[place.row] = nil }
            return (result, try await commit([mutation]))
        }
    }

    // MARK: what may be asked of a key

    private func createTransitKey(_ place: TransitPlace, _ what: AuditWhat, _ context: RequestContext) async throws
        -> Effect
    {
        let (kind, size, warnings) = try withBody(context) { body throws -> (TransitKey.Kind, Int, [String]) in
            for field in ["derived", "convergent_encryption"] + Self.exports { try Self.refuse(field, of: body) }
            try Self.refuseAutomaticRotation(body)
            let kind = try Self.kind(try TransitItem(body).text("type"))
            let known = Set(["type", "key_size", "derived", "convergent_encryption", "auto_rotate_period"])
            let warnings = Self.unrecognized(body, known.union(Self.exports))
            return (kind, try Self.keySize(body, kind), warnings)
        }
        var notes = warnings
        let made = try await changeTransitKey(place) { known in
            if known != nil {
                // As clients know it: whoever asks for a key that is there gets the key that is there.
                notes.append("key \(place.name) already existed: nothing was changed")
                return .nothing
            }
            return .put(TransitKey(kind, keySize: size, at: context.now))
        }
        return describing(made.key, place, what, notes, made.generation)
    }

    private static func kind(_ type: String?) throws(VaultError) -> TransitKey.Kind {
        guard let type else { return .aes }
        if let kind = TransitKey.Kind(rawValue: type) { return kind }
        let others: Set = [
            "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521",
            "rsa-2048", "rsa-3072", "rsa-4096", "managed_key",
        ]
        throw .badRequest(
            others.contains(type)
                ? "type \(type) is not available: use aes256-gcm96, ed25519 or hmac"
                : "unknown key type \(type.prefix(64))"
        )
    }

    private static func keySize(_ body: JSONView?, _ kind: TransitKey.Kind) throws(VaultError) -> Int {
        guard let value = body?["key_size"] else { return kind == .hmac ? 32 : 0 }
        guard let size = value.weakInteger else { throw expectsNumber("key_size") }
        guard kind == .hmac else {
            if size == 0 { return 0 }
            throw .badRequest("key_size is not valid for algorithm \(kind.rawValue)")
        }
        if size == 0 { return 32 }
        guard (32...512).contains(size) else { throw .badRequest("invalid key_size \(size)") }
        return Int(size)
    }

    private static let exports = ["exportable", "allow_plaintext_backup"]

    /// - Throws: ``VaultError`` `.badRequest`, naming the field, unless it is absent or false.
    private static func refuse(_ field: String, of body: JSONView?) throws(VaultError) {
        guard let value = body?[field] else { return }
        guard let flag = value.weakBool else { throw expectsFlag(field) }
        if flag { throw .badRequest("\(field) is not available: leave it out") }
    }

    private static func refuseAutomaticRotation(_ body: JSONView?) throws(VaultError) {
        guard let value = body?["auto_rotate_period"] else { return }
        guard GoDuration.seconds(value) == 0 else {
            throw .badRequest("auto_rotate_period is not available: leave it out, and rotate by keys/<name>/rotate")
        }
    }

    private static func expectsNumber(_ field: String) -> VaultError {
        .badRequest(
            "Field validation failed: error converting input for field \"\(field)\": a whole number is expected"
        )
    }

    private static func expectsFlag(_ field: String) -> VaultError {
        .badRequest("Field validation failed: error converting input for field \"\(field)\": true or false is expected")
    }

    private static func number(_ field: String, _ body: JSONView?) throws(VaultError) -> Int64? {
        guard let value = body?[field] else { return nil }
        guard let number = value.weakInteger else { throw expectsNumber(field) }
        return number
    }

    private static func configureKey(_ key: inout TransitKey, _ body: JSONView?, _ now: Timestamp) throws(VaultError)
        -> [String]
    {
        let known = Set(["min_decryption_version", "min_encryption_version", "deletion_allowed", "auto_rotate_period"])
        var warnings = unrecognized(body, known.union(exports))
        for field in exports { try refuse(field, of: body) }
        try refuseAutomaticRotation(body)
        var flag: Bool?
        if let value = body?["deletion_allowed"] {
            guard let wanted = value.weakBool else { throw expectsFlag("deletion_allowed") }
            flag = wanted
        }
        let encryption = try number("min_encryption_version", body)
        if var wanted = try number("min_decryption_version", body) {
            guard wanted >= 0 else { throw .badRequest("min decryption version cannot be negative") }
            if wanted == 0 {
                wanted = 1
                warnings.append("transit key numbering starts at 1; forcing minimum to 1")
            }
            guard wanted <= key.latest else {
                throw .badRequest(
                    "cannot set min decryption version of \(wanted), latest key version is \(key.latest)"
                )
            }
            key.minimumDecryption = wanted
        }
        if let wanted = encryption {
            guard wanted >= 0 else { throw .badRequest("min encryption version cannot be negative") }
            guard wanted <= key.latest else {
                throw .badRequest(
                    "cannot set min encryption version of \(wanted), latest key version is \(key.latest)"
                )
            }
            key.minimumEncryption = wanted
        }
        if key.minimumEncryption > 0, key.minimumEncryption < key.minimumDecryption {
            throw .badRequest(
                "cannot set min encryption/decryption values; min encryption version of \(key.minimumEncryption) must be "
                    + "greater than or equal to min decryption version of \(key.minimumDecryption)"
            )
        }
        guard key.minimumEncryption >= key.minimumAvailable else {
            throw .badRequest("min encryption version should not be less than min available version")
        }
        guard key.minimumDecryption >= key.minimumAvailable else {
            throw .badRequest("min decryption version should not be less then min available version")
        }
        if let flag { key.isDeletable = flag }
        return warnings
    }

    private static func rotateKey(_ key: inout TransitKey, _ body: JSONView?, _ now: Timestamp) throws(VaultError)
        -> [String]
    {
        guard key.created.count < TransitKey.maximumVersions else {
            throw .badRequest("a key has at most \(TransitKey.maximumVersions) versions: trim it first")
        }
        key.appendVersion(at: now)
        return unrecognized(body, [])
    }

    private static func trimKey(_ key: inout TransitKey, _ body: JSONView?, _ now: Timestamp) throws(VaultError)
        -> [String]
    {
        guard let wanted = try number("min_available_version", body) else {
            throw .badRequest("missing min_available_version")
        }
        guard wanted >= key.minimumAvailable else {
            throw .badRequest("minimum available version cannot be decremented")
        }
        guard key.minimumEncryption > 0 else {
            throw .badRequest("minimum available version cannot be set when minimum encryption version is not set")
        }
        guard wanted <= key.minimumEncryption else {
            throw .badRequest("minimum available version cannot be greater than minmum encryption version")
        }
        guard wanted <= key.minimumDecryption else {
            throw .badRequest("minimum available version cannot be greater than minimum decryption version")
        }
        guard wanted > 0 else { throw .badRequest("minimum available version should be positive") }
        key.trim(below: wanted)
        return unrecognized(body, ["min_available_version"])
    }
}
