internal import CoffreCrypto
internal import CoffreWire

/// One entry of the mount table: an engine or an auth method at a path.
struct Mount: Sendable {
    enum Kind: String, Sendable {
        case kv, database, transit
        case token, peer, approle, jwt

        var isAuth: Bool {
            switch self {
            case .kv, .database, .transit: false
            case .token, .peer, .approle, .jwt: true
            }
        }
    }

    /// With trailing slash; of an auth method with `auth/` before it.
    var path: String
    let type: Kind
    /// Never reused; the storage prefix of the mount.
    let id: String
    let accessor: String
    var tuning = MountTuning()

    /// There from the start, and always.
    var isBuiltIn: Bool { type == .token || type == .peer }

    /// The path as `sys/mounts` and `sys/auth` show it.
    var shownPath: String { type.isAuth ? String(path.dropFirst(5)) : path }

    init(path: String, type: Kind, id: String? = nil, accessor: String? = nil, tuning: MountTuning = MountTuning()) {
        self.path = path
        self.type = type
        self.id = id ?? Random.base62(16)
        self.accessor = accessor ?? (type.isAuth ? "auth_" : "") + type.rawValue + "_" + Random.base62(8).lowercased()
        self.tuning = tuning
    }

    /// Whether secrets here have versions.
    var isVersioned: Bool { type == .kv && tuning.options["version"] == "2" }

    // MARK: storage form

    var encoded: SharedSecret {
        let value: JSONValue = [
            "type": .string(type.rawValue), "id": .string(id), "accessor": .string(accessor), "tuning": tuning.stored,
            "path": .string(path),
        ]
        return SharedSecret(copying: value.encoded())
    }

    var key: BarrierKey { .mount(path) }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(path: String? = nil, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "the mount table")
        guard let type = value["type"]?.string.flatMap({ Kind(rawValue: $0) }), let id = value["id"]?.string else {
            throw VaultError(.storageCorrupt, "the mount table cannot be read")
        }
        self.init(
            path: path ?? value["path"]?.string ?? "removed/",
            type: type,
            id: id,
            accessor: value["accessor"]?.string ?? "",
            tuning: MountTuning(stored: value["tuning"] ?? .object([]))
        )
        if value["tuning"] == nil {
            // Written when every kv mount had versions and nothing could be tuned.
            tuning.description = value["description"]?.string ?? ""
            if type == .kv { tuning.options = ["version": "2"] }
        }
    }
}

/// What an administrator may change of a mount.
struct MountTuning: Sendable {
    var description = ""
    /// Seconds; 0 means the vault's.
    var defaultTTL: Int64 = 0
    var maximumTTL: Int64 = 0
    var options: [String: String] = [:]
    var isListedToAnyone = false
    /// Whether `listing_visibility` was ever set, so that it is shown.
    var showsVisibility = false
    /// Of an auth method: `default-service`, `service`, `default-batch` or `batch`.
    var tokenType = "default-service"
    var forcesNoCache = false

    init() {}

    init(description: String) { self.description = description }

    var stored: JSONValue {
        [
            "description": .string(description), "default": .integer(defaultTTL), "max": .integer(maximumTTL),
            "options": .object(options.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }),
            "listed": .bool(isListedToAnyone), "visibility": .bool(showsVisibility), "token_type": .string(tokenType),
            "no_cache": .bool(forcesNoCache),
        ]
    }

    init(stored value: JSONValue) {
        description = value["description"]?.string ?? ""
        defaultTTL = value["default"]?.integer ?? 0
        maximumTTL = value["max"]?.integer ?? 0
        for member in value["options"]?.members ?? [] { options[member.key] = member.value.string }
        isListedToAnyone = value["listed"]?.bool ?? false
        showsVisibility = value["visibility"]?.bool ?? false
        tokenType = value["token_type"]?.string ?? "default-service"
        forcesNoCache = value["no_cache"]?.bool ?? false
    }

    /// Takes over what a client sends, of `config` when mounting and of the body when tuning.
    /// - Returns: warnings about what has no effect here.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    mutating func apply(_ body: JSONView, isAuth: Bool) throws(VaultError) -> [String] {
        var warnings: [String] = []
        if let seconds = try Self.ttl(body, "default_lease_ttl") { defaultTTL = seconds }
        if let seconds = try Self.ttl(body, "max_lease_ttl") { maximumTTL = seconds }
        if maximumTTL > 0, defaultTTL > maximumTTL {
            throw .badRequest("given default lease TTL greater than given maximum lease TTL")
        }
        if let text = body["description"]?.string { description = text }
        guard description.utf8.count <= 1024 else { throw .badRequest("description has at most 1024 bytes") }
        if let value = body["listing_visibility"]?.string {
            guard ["", "hidden", "unauth"].contains(value) else { throw .badRequest("invalid listing_visibility type") }
            isListedToAnyone = value == "unauth"
            showsVisibility = true
        }
        if let value = body["token_type"]?.string, !value.isEmpty {
            guard isAuth else { throw .badRequest("'token_type' can only be modified on auth mounts") }
            guard ["default-service", "service", "default-batch", "batch"].contains(value) else {
                throw .badRequest("invalid value for 'token_type'")
            }
            tokenType = value
        }
        if let flag = body["force_no_cache"]?.weakBool { forcesNoCache = flag }
        for field in [
            "audit_non_hmac_request_keys", "audit_non_hmac_response_keys", "passthrough_request_headers",
            "allowed_response_headers", "allowed_managed_keys", "plugin_version",
        ] {
            guard let value = body[field], value.string != "", !(value.isArray && value.elements.isEmpty) else {
                continue
            }
            warnings.append("\(field) has no effect: values never enter the audit log, and there are no plugins")
        }
        return warnings
    }

    private static func ttl(_ body: JSONView, _ field: String) throws(VaultError) -> Int64? {
        guard let value = body[field] else { return nil }
        if value.string == "system" { return 0 }
        guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
        return seconds
    }
}
