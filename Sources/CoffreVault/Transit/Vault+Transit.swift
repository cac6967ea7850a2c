internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `<mount>/…`: encryption as a service. The keys never leave.
    func transitEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let parts = String(decoding: rest, as: UTF8.self).split(separator: "/", omittingEmptySubsequences: false)
            .map(String.init)
        let place = TransitPlace(mount: mount)
        guard let action = parts.first else { return nil }
        var what = AuditWhat(path: mount.path + parts.prefix(2).joined(separator: "/"))
        if action == "random" || action == "hash", parts.count <= 2 {
            guard context.verb == .write else { return .unsupported(what) }
            return toolEndpoint(action, parts.count == 2 ? parts[1] : nil, what, .transitUse)
        }
        if action == "keys" {
            guard parts.count > 1 else {
                guard context.verb == .list else { return .unsupported(what, .list) }
                return .read(.engineRead, what, .capability(.list)) { vault, _ in
                    try vault.listing(.other, place.parent)
                }
            }
            guard isName(parts[1]), parts.count <= 3 else { return nil }
            return try transitKeyEndpoint(context, place, parts[1], parts.count == 3 ? parts[2] : nil, what)
        }
        let isDataKey = action == "datakey"
        guard parts.count >= 2, isName(parts[isDataKey && parts.count == 3 ? 2 : 1]) else { return nil }
        let name = isDataKey && parts.count == 3 ? parts[2] : parts[1]
        let option = parts.count == 3 ? (isDataKey ? parts[1] : parts[2]) : nil
        guard context.verb == .write, parts.count <= 3 else { return .unsupported(what) }
        what.path = "\(mount.path)\(action)/\(name)"
        return try transitUseEndpoint(context, place, action, name, option, what)
    }

    /// - Throws: ``VaultError``.
    func transitKey(_ place: TransitPlace, _ name: String) throws -> TransitKey? {
        let cacheKey = place.cacheKey(name)
        if let known = unsealed?.transitKeys[cacheKey] { return known }
        guard let row = try barrier.get(place.key(name)) else { return nil }
        let key = try TransitKey(name: name, decoding: row.value)
        unsealed?.transitKeys[cacheKey] = key
        return key
    }

    // MARK: keys

    private func transitKeyEndpoint(
        _ context: RequestContext,
        _ place: TransitPlace,
        _ name: String,
        _ action: String?,
        _ what: AuditWhat
    ) throws -> Endpoint? {
        switch (action, context.verb) {
        case (nil, .get):
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                guard let key = try vault.transitKey(place, name) else { throw VaultError.notFound }
                return Effect(.data(key.json))
            }
        case (nil, .write):
            let exists = try transitKey(place, name) != nil
            return .change(.transitKey, what, .capability(exists ? .update : .create)) { vault, context in
                let kind = try vault.withBody(context) { try Self.readKeyType($0) }
                return try await vault.changeKey(place, name) { known in
                    if let known { return known }
                    var key = TransitKey(name: name, kind: kind)
                    try key.rotate(at: context.now)
                    return key
                }
            }
        case (nil, .delete):
            return .change(.transitKey, what, .capability(.delete)) { vault, _ in try await vault.deleteKey(place, name)
            }
        case ("rotate", .write):
            return .change(.transitKey, what, .capability(.update)) { vault, context in
                try await vault.changeKey(place, name) { known in
                    guard var key = known else { throw VaultError.badRequest("key not found") }
                    guard key.versions.count < 10_000 else {
                        throw VaultError.badRequest("there are 10000 versions: trim the key first")
                    }
                    try key.rotate(at: context.now)
                    return key
                }
            }
        case ("config", .write):
            return .change(.transitKey, what, .capability(.update)) { vault, context in
                try await vault.changeKey(place, name) { known in
                    guard var key = known else {
                        throw VaultError.badRequest("no existing key named \(name) could be found")
                    }
                    try vault.withBody(context) { try Self.configure(&key, $0) }
                    return key
                }
            }
        case ("trim", .write):
            return .change(.transitKey, what, .capability(.update)) { vault, context in
                try await vault.changeKey(place, name) { known in
                    guard var key = known else { throw VaultError.badRequest("invalid key name") }
                    let wanted = try vault.withBody(context) { $0?["min_available_version"]?.weakInteger }
                    try Self.trim(&key, to: wanted)
                    return key
                }
            }
        case (nil, _), ("rotate", _), ("config", _), ("trim", _): return .unsupported(what)
        default: return nil
        }
    }

    private static func readKeyType(_ body: JSONView?) throws -> TransitKey.Kind {
        let name = body?["type"]?.string ?? ""
        guard let kind = TransitKey.Kind(rawValue: name.isEmpty ? "aes256-gcm96" : name) else {
            throw VaultError.badRequest("unknown key type \(name.prefix(64)): there are aes256-gcm96, ed25519 and hmac")
        }
        for field in ["derived", "convergent_encryption", "exportable", "allow_plaintext_backup"]
        where body?[field]?.weakBool ?? false {
            throw VaultError.badRequest("\(field) is not available: leave it out")
        }
        if let value = body?["auto_rotate_period"], GoDuration.seconds(value) != 0 {
            throw VaultError.badRequest("auto_rotate_period is not available: rotate with keys/<name>/rotate")
        }
        if let size = body?["key_size"]?.weakInteger, size != 0, size != 32 {
            throw VaultError.badRequest("key_size is 32: no other is available")
        }
        return kind
    }

    private static func configure(_ key: inout TransitKey, _ body: JSONView?) throws {
        func number(_ field: String) throws -> Int64? {
            guard let value = body?[field] else { return nil }
            guard let number = value.weakInteger, number >= 0 else {
                throw VaultError.badRequest("\(field) is a whole number that is not negative")
            }
            return number
        }
        var (decryption, encryption) = (key.minimumDecryption, key.minimumEncryption)
        if let wanted = try number("min_decryption_version") {
            decryption = max(1, wanted)
            guard decryption <= key.latest else {
                throw VaultError.badRequest(
                    "cannot set min decryption version of \(decryption), latest key version is \(key.latest)"
                )
            }
        }
        if let wanted = try number("min_encryption_version") {
            encryption = wanted
            guard encryption <= key.latest else {
                throw VaultError.badRequest(
                    "cannot set min encryption version of \(encryption), latest key version is \(key.latest)"
                )
            }
        }
        guard encryption == 0 || encryption >= decryption else {
            throw VaultError.badRequest(
                "cannot set min encryption/decryption values; min encryption version of \(encryption) must be greater than "
                    + "or equal to min decryption version of \(decryption)"
            )
        }
        guard decryption >= key.minimumAvailable else {
            throw VaultError.badRequest("min decryption version should not be less then min available version")
        }
        for field in ["exportable", "allow_plaintext_backup"] where body?[field]?.weakBool ?? false {
            throw VaultError.badRequest("\(field) is not available: leave it out")
        }
        if let value = body?["auto_rotate_period"], GoDuration.seconds(value) != 0 {
            throw VaultError.badRequest("auto_rotate_period is not available: rotate with keys/<name>/rotate")
        }
        key.minimumDecryption = decryption
        key.minimumEncryption = encryption
        if let flag = body?["deletion_allowed"]?.weakBool { key.isDeletionAllowed = flag }
    }

    private static func trim(_ key: inout TransitKey, to wanted: Int64?) throws {
        guard let wanted else { throw VaultError.badRequest("missing min_available_version") }
        let reason: String? =
            if wanted < key.minimumAvailable {
                "minimum available version cannot be decremented"
            } else if key.minimumEncryption == 0 {
                "minimum available version cannot be set when minimum encryption version is not set"
            } else if wanted > key.latest {
                "minimum available version cannot be higher than the latest key version"
            } else if wanted > key.minimumEncryption {
                "minimum available version cannot be higher than minimum encryption version"
            } else if wanted > key.minimumDecryption {
                "minimum available version cannot be higher than minimum decryption version"
            } else if wanted < 0 {
                "minimum available version cannot be negative"
            } else {
                nil
            }
        if let reason { throw VaultError.badRequest(reason) }
        key.trim(to: wanted)
    }

    /// Changes of one key follow each other.
    func changeKey(_ place: TransitPlace, _ name: String, _ body: (TransitKey?) throws -> TransitKey) async throws
        -> Effect
    {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(place.cacheKey(name)) {
            let key = try body(try transitKey(place, name))
            let generation = try await commit([.put(place.key(name), key.encoded, expect: .any)])
            state.transitKeys[place.cacheKey(name)] = nil
            return Effect(.data(key.json), generation: generation)
        }
    }

    private func deleteKey(_ place: TransitPlace, _ name: String) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(place.cacheKey(name)) {
            guard let key = try transitKey(place, name) else {
                throw VaultError.badRequest("error deleting policy \(name): could not delete key; not found")
            }
            guard key.isDeletionAllowed else {
                throw VaultError.badRequest("error deleting policy \(name): deletion is not allowed for this key")
            }
            let generation = try await commit([.delete(place.key(name), expect: .any)])
            state.transitKeys[place.cacheKey(name)] = nil
            return Effect(.noContent, generation: generation)
        }
    }
}
