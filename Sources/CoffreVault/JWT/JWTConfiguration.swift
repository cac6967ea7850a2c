internal import CoffreCrypto
internal import CoffreWire

/// `auth/<mount>/config`: whose tokens a mount believes.
struct JWTConfiguration: Sendable {
    var issuer = ""
    /// As they were given.
    var pems: [String] = []
    /// Keys of a set that an administrator wrote.
    var jwks: [JSONValue] = []
    var algorithms: [JWTAlgorithmName] = []
    var defaultRole = ""

    init() {}

    var json: [JSONValue.Member] {
        [
            .init("bound_issuer", .string(issuer)), .init("default_role", .string(defaultRole)),
            .init("jwks", ["keys": .array(jwks)]), .init("jwks_ca_pem", ""), .init("jwks_url", ""),
            .init("jwt_supported_algs", .strings(algorithms.map(\.rawValue))),
            .init("jwt_validation_pubkeys", .strings(pems)), .init("oidc_client_id", ""),
            .init("oidc_discovery_ca_pem", ""), .init("oidc_discovery_url", ""), .init("oidc_response_mode", ""),
            .init("oidc_response_types", .array([])), .init("provider_config", .object([])),
        ]
    }

    var encoded: SharedSecret { SharedSecret(copying: JSONValue.object(json).encoded()) }

    /// Reads what a client sends, or what is stored: each configuration replaces the one before, as clients expect.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    init(_ body: JSONView) throws(VaultError) {
        func text(_ field: String) throws(VaultError) -> String {
            guard let value = body[field] else { return "" }
            guard let text = value.string, text.utf8.count <= 1024 else {
                throw .badRequest("\(field) is a text of at most 1024 bytes")
            }
            return text
        }
        for field in ["oidc_discovery_url", "jwks_url", "oidc_client_id", "oidc_client_secret", "jwks_ca_pem"] {
            guard try text(field).isEmpty else {
                throw .badRequest(
                    "\(field) is not available: the vault has no network. Give the provider's keys in "
                        + "jwt_validation_pubkeys or jwks"
                )
            }
        }
        issuer = try text("bound_issuer")
        defaultRole = try text("default_role").lowercased()
        if let value = body["jwt_validation_pubkeys"] {
            // One text may be one key or several with commas between.
            guard let list = value.stringList, list.count <= JWTKey.most else {
                throw .badRequest("jwt_validation_pubkeys is a list of at most \(JWTKey.most) public keys")
            }
            pems = list.filter { !$0.isEmpty }
        }
        if let value = body["jwks"] {
            let parsed: JSONValue? =
                value.isObject ? JSONValue(value) : value.string.flatMap { try? JSONValue(parsing: $0.utf8) }
            guard let keys = parsed?["keys"]?.array, keys.count <= JWTKey.most else {
                throw .badRequest("jwks is a key set: an object with \"keys\", an array of at most \(JWTKey.most)")
            }
            jwks = keys
        }
        if let value = body["jwt_supported_algs"] {
            guard let names = value.stringList else { throw .badRequest("jwt_supported_algs is a list of names") }
            for name in names where !name.isEmpty {
                guard let algorithm = JWTAlgorithmName(rawValue: name) else {
                    let known = JWTAlgorithmName.allCases.map(\.rawValue).joined(separator: ", ")
                    throw .badRequest("Invalid supported algorithm: \(name.prefix(32)) (there are: \(known))")
                }
                algorithms.append(algorithm)
            }
        }
        guard !pems.isEmpty || !jwks.isEmpty else {
            throw .badRequest("one of 'jwt_validation_pubkeys' and 'jwks' must be set")
        }
    }
}

/// A configuration with its keys ready.
struct LoadedJWT: Sendable {
    let configuration: JWTConfiguration
    let keys: [JWTKey]

    /// - Throws: ``VaultError`` `.badRequest` for a key that cannot be used.
    init(_ configuration: JWTConfiguration) async throws {
        self.configuration = configuration
        var keys: [JWTKey] = []
        for pem in configuration.pems { keys.append(try await JWTKey.read(pem: pem)) }
        keys += try await JWTKey.read(set: ["keys": .array(configuration.jwks)])
        guard !keys.isEmpty else { throw VaultError.badRequest("the key set has no key that tokens are signed with") }
        self.keys = keys
    }

    func check(_ role: JWTRole) -> JWTCheck {
        JWTCheck(
            keys: keys,
            algorithms: Set(configuration.algorithms),
            issuer: configuration.issuer.isEmpty ? nil : configuration.issuer,
            role: role
        )
    }
}

/// Where the rows of a mount lie in the barrier.
struct JWTPlace: Sendable {
    let mount: Mount

    func parent(_ kind: String) -> [UInt8] { Array("\(mount.id)/\(kind)".utf8) }

    var configuration: BarrierKey {
        BarrierKey(namespace: .identity, parent: parent("jwt-config"), name: Array("config".utf8))
    }

    func role(_ name: String) -> BarrierKey {
        BarrierKey(namespace: .identity, parent: parent("role"), name: Array(name.utf8))
    }

    /// Parents of every row of the mount, for its removal.
    var parents: [[UInt8]] { [parent("jwt-config"), parent("role")] }
}
