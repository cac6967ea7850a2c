internal import CoffreCrypto
internal import CoffreWire

/// `auth/<mount>/config`: whose tokens a mount believes.
struct JWTConfiguration: Sendable {
    var issuer = ""
    /// As they were given.
    var pems: [String] = []
    /// Keys of a set that an administrator wrote.
    var jwks: [JSONValue] = []
    /// Where the provider publishes its set; the broker fetches it, and what is new waits to be accepted.
    var jwksURL = ""
    var algorithms: [JWTAlgorithmName] = []
    var defaultRole = ""

    init() {}

    var json: [JSONValue.Member] {
        [
            .init("bound_issuer", .string(issuer)), .init("default_role", .string(defaultRole)),
            .init("jwks", ["keys": .array(jwks)]), .init("jwks_ca_pem", ""), .init("jwks_url", .string(jwksURL)),
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
        for field in ["oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "oidc_client_secret"] {
            guard try text(field).isEmpty else {
                throw .badRequest(
                    "\(field) is not available: the vault has no network, and nobody is sent to a browser from here. Give "
                        + "the provider's keys in jwt_validation_pubkeys or jwks, or their address in jwks_url"
                )
            }
        }
        guard try text("jwks_ca_pem").isEmpty else {
            throw .badRequest("jwks_ca_pem is not available: the broker has the certificates that it trusts (ca_file)")
        }
        jwksURL = try text("jwks_url")
        guard jwksURL.isEmpty || (try? WebTarget(jwksURL)) != nil else {
            throw .badRequest("jwks_url is an https address without user and fragment")
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
        guard !pems.isEmpty || !jwks.isEmpty || !jwksURL.isEmpty else {
            throw .badRequest("one of 'jwt_validation_pubkeys', 'jwks' and 'jwks_url' must be set")
        }
    }
}

/// A configuration with its keys ready.
struct LoadedJWT: Sendable {
    let configuration: JWTConfiguration
    /// Those of the configuration, and fetched ones that were accepted and are still published.
    let keys: [JWTKey]
    /// Those of the configuration alone.
    let pinned: [JWTKey]
    /// What has been fetched.
    let fetched: [FetchedJWTKey]

    /// - Throws: ``VaultError`` `.badRequest` for a key that cannot be used.
    init(_ configuration: JWTConfiguration, fetched: [FetchedJWTKey] = []) async throws {
        self.configuration = configuration
        self.fetched = fetched
        var keys: [JWTKey] = []
        for pem in configuration.pems { keys.append(try await JWTKey.read(pem: pem)) }
        keys += try await JWTKey.read(set: ["keys": .array(configuration.jwks)])
        guard !keys.isEmpty || !configuration.jwksURL.isEmpty else {
            throw VaultError.badRequest("the key set has no key that tokens are signed with")
        }
        pinned = keys
        self.keys = keys + fetched.filter(\.isBelieved).map(\.key)
    }

    /// Why a token is not believed, also when its key is there and only waits.
    func reason(_ refusal: JWTRefusal, mount: Mount) -> String {
        guard let kid = refusal.unknownKey,
            fetched.contains(where: {
                $0.isPublished && !$0.isAccepted && $0.key.kid?.utf8.elementsEqual(kid.utf8) ?? false
            })
        else { return refusal.reason }
        return "the key \(kid) of this token waits to be accepted by an operator (\(mount.path)keys)"
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
    var parents: [[UInt8]] { [parent("jwt-config"), parent("jwt-key"), parent("role")] }

    func key(_ thumbprint: String) -> BarrierKey {
        BarrierKey(namespace: .identity, parent: parent("jwt-key"), name: Array(thumbprint.utf8))
    }
}
