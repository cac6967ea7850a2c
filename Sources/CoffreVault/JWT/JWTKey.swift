internal import CoffreCrypto
internal import CoffreWire
internal import JWTKit

/// A public key that signs tokens.
struct JWTKey: Sendable {
    /// What a token calls it; nil for a key given as PEM.
    let kid: String?
    /// RFC 7638, SHA-256, base64url: what people compare.
    let thumbprint: String
    /// The public members that make the key, in the order of RFC 7638.
    let members: [JSONValue.Member]
    /// The algorithm that its publisher binds it to.
    let algorithm: JWTAlgorithmName?
    private let verifiers: [JWTAlgorithmName: any JWTAlgorithm]

    /// Most keys of one set.
    static let most = 64
    /// Most keys of one configuration that have no name.
    static let mostNameless = 8

    /// As a JSON Web Key (RFC 7517): the public members, and what it is called.
    var json: JSONValue {
        var all = members
        if let kid { all.append(.init("kid", .string(kid))) }
        if let algorithm { all.append(.init("alg", .string(algorithm.rawValue))) }
        return .object(all)
    }

    /// Whether this kind of key makes signatures of that kind: never one kind's key for another's algorithm.
    func fits(_ name: JWTAlgorithmName) -> Bool {
        verifiers[name] != nil && (algorithm.map { $0 == name } ?? true)
    }

    /// Whether `token` was signed by this key.
    func verifies(_ token: JWTToken) -> Bool {
        guard fits(token.algorithm), let verifier = verifiers[token.algorithm] else { return false }
        return token.signed.withBytes { signed in
            token.signature.withBytes { signature in
                (try? verifier.verify(signature, signs: signed)) ?? false
            }
        }
    }

    private init(
        kid: String?,
        algorithm: JWTAlgorithmName?,
        members: [JSONValue.Member],
        verifiers: [JWTAlgorithmName: any JWTAlgorithm]
    ) {
        self.kid = kid
        self.algorithm = algorithm
        self.members = members
        self.verifiers = verifiers
        let digest = SHA256.hash(JSONValue.object(members).encoded())
        thumbprint = Self.base64url(digest.bytes)
    }

    // MARK: reading

    /// - Parameter pem: one public key: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519.
    /// - Throws: ``VaultError`` `.badRequest`.
    static func read(pem: String) async throws -> JWTKey {
        guard pem.utf8.count <= 16_384, !pem.contains("PRIVATE KEY") else {
            throw VaultError.badRequest("jwt_validation_pubkeys takes public keys in PEM, never private ones")
        }
        if let key = try? JWTKit.Insecure.RSA.PublicKey(pem: pem) { return try await rsa(key, nil, nil) }
        if let key = try? ES256PublicKey(pem: pem) { return try await p256(key, nil, nil) }
        if let key = try? ES384PublicKey(pem: pem) { return try await p384(key, nil, nil) }
        if let key = try? EdDSA.PublicKey(pem: pem) { return try await ed25519(key, nil, nil) }
        throw VaultError.badRequest(
            "jwt_validation_pubkeys takes public keys in PEM: RSA of at least 2048 bits, P-256, P-384 or Ed25519"
        )
    }

    /// A key of a set (RFC 7517 §4). Nil for one that is not for signatures, or of a kind that is not believed: a set may
    /// have others.
    /// - Throws: ``VaultError`` `.badRequest` for one that is broken, private, or too short.
    static func read(jwk: JSONValue) async throws -> JWTKey? {
        guard jwk.members != nil, !JWTToken.hasRepeatedNames(jwk) else {
            throw VaultError.badRequest("a key of the set is not a JSON object with each name once")
        }
        // What has a private part is no public key, and whoever sent it should hear of it.
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] where jwk[name] != nil {
            throw VaultError.badRequest("a key of the set has a private member: only public keys belong here")
        }
        if let use = jwk["use"]?.string, use != "sig" { return nil }
        if let operations = jwk["key_ops"]?.array, !operations.contains(.string("verify")) { return nil }
        var algorithm: JWTAlgorithmName?
        if let name = jwk["alg"]?.string {
            guard let known = JWTAlgorithmName(rawValue: name) else { return nil }
            algorithm = known
        }
        let kid = jwk["kid"]?.string
        if jwk["kid"] != nil {
            guard let kid, (1...256).contains(kid.utf8.count), kid.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else { throw VaultError.badRequest("a key of the set has a kid that is not up to 256 bytes of ASCII") }
        }
        func member(_ name: String) throws -> String {
            guard let text = jwk[name]?.string, (1...2048).contains(text.utf8.count), let bytes = decoded(text),
                !bytes.isEmpty
            else { throw VaultError.badRequest("a key of the set has no \"\(name)\" in base64url") }
            return text
        }
        let key: JWTKey
        do {
            switch (jwk["kty"]?.string, jwk["crv"]?.string) {
            case ("RSA", _):
                let (n, e) = (try member("n"), try member("e"))
                key = try await rsa(try JWTKit.Insecure.RSA.PublicKey(modulus: n, exponent: e), kid, algorithm)
            case ("EC", "P-256"):
                let parameters = (x: try member("x"), y: try member("y"))
                key = try await p256(try ES256PublicKey(parameters: parameters), kid, algorithm)
            case ("EC", "P-384"):
                let parameters = (x: try member("x"), y: try member("y"))
                key = try await p384(try ES384PublicKey(parameters: parameters), kid, algorithm)
            case ("OKP", "Ed25519"):
                key = try await ed25519(try EdDSA.PublicKey(x: try member("x"), curve: .ed25519), kid, algorithm)
            default: return nil
            }
        } catch let error as VaultError {
            throw error
        } catch {
            throw VaultError.badRequest("a key of the set cannot be used: broken, or RSA with less than 2048 bits")
        }
        guard algorithm.map({ key.verifiers[$0] != nil }) ?? true else {
            throw VaultError.badRequest("a key of the set is bound to an algorithm that is not one of its kind")
        }
        return key
    }

    /// A set (RFC 7517 §5): each kid once.
    /// - Throws: ``VaultError`` `.badRequest`.
    static func read(set: JSONValue) async throws -> [JWTKey] {
        guard let keys = set["keys"]?.array, keys.count <= most else {
            throw VaultError.badRequest("a key set is an object with \"keys\", an array of at most \(most)")
        }
        var result: [JWTKey] = []
        for jwk in keys {
            guard let key = try await read(jwk: jwk) else { continue }
            if let kid = key.kid, result.contains(where: { $0.kid.map { $0.utf8.elementsEqual(kid.utf8) } ?? false }) {
                throw VaultError.badRequest("a key set has a kid twice")
            }
            result.append(key)
        }
        return result
    }

    // MARK: kinds

    private static func rsa(_ key: JWTKit.Insecure.RSA.PublicKey, _ kid: String?, _ algorithm: JWTAlgorithmName?)
        async throws -> JWTKey
    {
        let primitives = try key.getKeyPrimitives()
        let parts = (modulus: Array(primitives.modulus), publicExponent: Array(primitives.publicExponent))
        // A longer one makes each look at a token slow.
        guard parts.modulus.count <= 1024 else {
            throw VaultError.badRequest("an RSA key has at most 8192 bits")
        }
        let keys = JWTKeyCollection()
        for (name, digest) in [("256", DigestAlgorithm.sha256), ("384", .sha384), ("512", .sha512)] {
            await keys.add(rsa: key, digestAlgorithm: digest, kid: JWKIdentifier(string: "RS" + name))
            await keys.add(pss: key, digestAlgorithm: digest, kid: JWKIdentifier(string: "PS" + name))
        }
        return JWTKey(
            kid: kid,
            algorithm: algorithm,
            members: [
                .init("e", .string(base64url(parts.publicExponent))), .init("kty", "RSA"),
                .init("n", .string(base64url(parts.modulus))),
            ],
            verifiers: try await verifiers(keys, [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512])
        )
    }

    private static func p256(_ key: ES256PublicKey, _ kid: String?, _ algorithm: JWTAlgorithmName?) async throws
        -> JWTKey
    {
        let keys = JWTKeyCollection()
        await keys.add(ecdsa: key, kid: "ES256")
        return try await curve("P-256", key.parameters, kid, algorithm, verifiers(keys, [.es256]))
    }

    private static func p384(_ key: ES384PublicKey, _ kid: String?, _ algorithm: JWTAlgorithmName?) async throws
        -> JWTKey
    {
        let keys = JWTKeyCollection()
        await keys.add(ecdsa: key, kid: "ES384")
        return try await curve("P-384", key.parameters, kid, algorithm, verifiers(keys, [.es384]))
    }

    private static func curve(
        _ name: String,
        _ parameters: ECDSAParameters?,
        _ kid: String?,
        _ algorithm: JWTAlgorithmName?,
        _ verifiers: [JWTAlgorithmName: any JWTAlgorithm]
    ) throws -> JWTKey {
        guard let (x, y) = parameters else { throw VaultError.badRequest("a key on a curve has no coordinates") }
        return JWTKey(
            kid: kid,
            algorithm: algorithm,
            members: [
                .init("crv", .string(name)), .init("kty", "EC"), .init("x", .string(urlForm(x))),
                .init("y", .string(urlForm(y))),
            ],
            verifiers: verifiers
        )
    }

    private static func ed25519(_ key: EdDSA.PublicKey, _ kid: String?, _ algorithm: JWTAlgorithmName?) async throws
        -> JWTKey
    {
        let keys = JWTKeyCollection()
        await keys.add(eddsa: key, kid: "EdDSA")
        return JWTKey(
            kid: kid,
            algorithm: algorithm,
            members: [
                .init("crv", "Ed25519"), .init("kty", "OKP"),
                .init("x", .string(base64url(Array(key.rawRepresentation)))),
            ],
            verifiers: try await verifiers(keys, [.edDSA])
        )
    }

    private static func verifiers(
        _ keys: JWTKeyCollection,
        _ names: [JWTAlgorithmName]
    ) async throws -> [JWTAlgorithmName: any JWTAlgorithm] {
        var result: [JWTAlgorithmName: any JWTAlgorithm] = [:]
        for name in names { result[name] = try await keys.getKey(for: JWKIdentifier(string: name.rawValue)) }
        return result
    }

    // MARK: base64url

    private static func urlForm(_ base64: String) -> String {
        String(
            decoding: base64.utf8.compactMap { $0 == 0x2b ? 0x2d : $0 == 0x2f ? 0x5f : $0 == 0x3d ? nil : $0 },
            as: UTF8.self
        )
    }

    static func base64url(_ bytes: [UInt8]) -> String { urlForm(Base64.encode(bytes)) }

    private static func decoded(_ text: String) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { text in
            guard let bytes = Base64URL.decodeSecret(text) else { return nil }
            return bytes.withBytes { Array($0) }
        }
    }
}
