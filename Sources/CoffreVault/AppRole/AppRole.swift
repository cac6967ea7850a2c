internal import CoffreCrypto
internal import CoffreWire

/// `auth/<mount>/role/<name>`: a service that logs in with a role id and a secret id.
struct AppRole: Sendable {
    let name: String
    var roleID: String
    var bindsSecretID = true
    /// Uses of a secret id; 0 any number.
    var secretIDUses: Int64 = 0
    /// Seconds; 0 without end.
    var secretIDTTL: Int64 = 0
    var policies: [String] = []
    /// Seconds; 0 means the mount's.
    var tokenTTL: Int64 = 0
    var tokenMaximumTTL: Int64 = 0
    var tokenExplicitMaximumTTL: Int64 = 0
    var tokenPeriod: Int64 = 0
    var tokenUses: Int64 = 0
    var tokenType = "default"
    var isWithoutDefault = false
    /// Whether tokens work only for the uid and unit of the process that logged in.
    var bindsToPeer = false

    init(name: String) {
        self.name = name
        roleID = RequestContext.newUUID()
    }

    var json: [JSONValue.Member] {
        [
            .init("bind_secret_id", .bool(bindsSecretID)), .init("bind_to_peer", .bool(bindsToPeer)),
            .init("local_secret_ids", .bool(false)), .init("secret_id_bound_cidrs", .null),
            .init("secret_id_num_uses", .integer(secretIDUses)), .init("secret_id_ttl", .integer(secretIDTTL)),
            .init("token_bound_cidrs", .array([])), .init("token_explicit_max_ttl", .integer(tokenExplicitMaximumTTL)),
            .init("token_max_ttl", .integer(tokenMaximumTTL)),
            .init("token_no_default_policy", .bool(isWithoutDefault)), .init("token_num_uses", .integer(tokenUses)),
            .init("token_period", .integer(tokenPeriod)), .init("token_policies", .strings(policies)),
            .init("token_strictly_bind_ip", .bool(false)), .init("token_ttl", .integer(tokenTTL)),
            .init("token_type", .string(tokenType)),
        ]
    }

    var encoded: SharedSecret {
        SharedSecret(copying: JSONValue.object(json + [.init("role_id", .string(roleID))]).encoded())
    }

    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    mutating func apply(_ body: JSONView) throws(VaultError) {
        func duration(_ field: String, _ target: inout Int64) throws(VaultError) {
            guard let value = body[field] else { return }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            target = seconds
        }
        func count(_ field: String, _ target: inout Int64) throws(VaultError) {
            guard let value = body[field] else { return }
            guard let number = value.weakInteger, (0...1_000_000_000).contains(number) else {
                throw .badRequest("\(field) is a whole number, 0 for any number")
            }
            target = number
        }
        if let flag = body["bind_secret_id"]?.weakBool { bindsSecretID = flag }
        if let flag = body["bind_to_peer"]?.weakBool { bindsToPeer = flag }
        if let flag = body["token_no_default_policy"]?.weakBool { isWithoutDefault = flag }
        if body["local_secret_ids"]?.weakBool ?? false { throw .badRequest("local_secret_ids is not available") }
        try count("secret_id_num_uses", &secretIDUses)
        try duration("secret_id_ttl", &secretIDTTL)
        if let value = body["token_policies"] ?? body["policies"] { policies = try Vault.policyNames(value) }
        try duration("token_ttl", &tokenTTL)
        try duration("token_max_ttl", &tokenMaximumTTL)
        try duration("token_explicit_max_ttl", &tokenExplicitMaximumTTL)
        try duration("period", &tokenPeriod)
        try duration("token_period", &tokenPeriod)
        try count("token_num_uses", &tokenUses)
        if let value = body["token_type"]?.string, !value.isEmpty {
            guard ["default", "service", "batch", "default-service", "default-batch"].contains(value) else {
                throw .badRequest("invalid value for 'token_type'")
            }
            tokenType = value
        }
        for field in ["secret_id_bound_cidrs", "bound_cidr_list", "token_bound_cidrs"] {
            if let value = body[field], value.stringList != [] {
                throw .badRequest("\(field) has no meaning on a Unix socket: use bind_to_peer")
            }
        }
        if let id = body["role_id"]?.string, !id.isEmpty {
            guard id.utf8.count <= 4096 else { throw .badRequest("role_id has at most 4096 bytes") }
            roleID = id
        }
        guard bindsSecretID else {
            throw .badRequest("at least one constraint should be enabled on the role")
        }
        if tokenMaximumTTL > 0, tokenTTL > tokenMaximumTTL {
            throw .badRequest("token_ttl cannot be greater than token_max_ttl")
        }
        guard tokenType == "batch" || tokenType == "default-batch" else { return }
        if tokenUses > 0 {
            throw .badRequest(
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"
            )
        }
        if tokenPeriod > 0 {
            throw .badRequest("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens")
        }
    }
}

/// A secret id as it is known: by a keyed hash only.
struct SecretID: Sendable {
    let accessor: String
    let created: Timestamp
    let expires: Timestamp?
    /// 0 any number.
    var usesLeft: Int64
    let metadata: [String: String]

    var json: JSONValue {
        [
            "accessor": .string(accessor), "created": .integer(created.nanoseconds),
            "expires": .integer(expires?.nanoseconds ?? 0), "uses": .integer(usesLeft), "metadata": .object(metadata),
        ]
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    func isExpired(at now: Timestamp) -> Bool { expires.map { $0 <= now } ?? false }

    var shown: JSONValue {
        [
            "cidr_list": .array([]), "creation_time": .string(created.rfc3339),
            "expiration_time": .string(expires?.rfc3339 ?? "0001-01-01T00:00:00Z"),
            "last_updated_time": .string(created.rfc3339), "metadata": .object(metadata),
            "secret_id_accessor": .string(accessor), "secret_id_num_uses": .integer(usesLeft),
            "secret_id_ttl": .integer(expires.map { $0.seconds - created.seconds } ?? 0),
            "token_bound_cidrs": .array([]),
        ]
    }

    init(accessor: String, created: Timestamp, expires: Timestamp?, uses: Int64, metadata: [String: String]) {
        self.accessor = accessor
        self.created = created
        self.expires = expires
        usesLeft = uses
        self.metadata = metadata
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a secret id")
        guard let accessor = value["accessor"]?.string, let created = value["created"]?.integer else {
            throw VaultError(.storageCorrupt, "a secret id cannot be read")
        }
        self.accessor = accessor
        self.created = Timestamp(nanoseconds: created)
        expires = value["expires"]?.integer.flatMap { $0 == 0 ? nil : Timestamp(nanoseconds: $0) }
        usesLeft = value["uses"]?.integer ?? 0
        metadata = value["metadata"]?.texts ?? [:]
    }
}

/// Where the roles of a mount lie in the barrier.
struct AppRolePlace: Sendable {
    let mount: Mount

    private func key(_ parent: String, _ name: [UInt8]) -> BarrierKey {
        BarrierKey(namespace: .identity, parent: self.parent(parent), name: name)
    }

    func parent(_ kind: String) -> [UInt8] { Array("\(mount.id)/\(kind)".utf8) }

    func role(_ name: String) -> BarrierKey { key("role", Array(name.utf8)) }
    func roleID(_ id: String) -> BarrierKey { key("role-id", Array(id.utf8)) }
    func secret(_ role: String, _ hash: Digest) -> BarrierKey { key("secret/" + role, hash.bytes) }
    func accessor(_ role: String, _ accessor: String) -> BarrierKey { key("accessor/" + role, Array(accessor.utf8)) }
}
