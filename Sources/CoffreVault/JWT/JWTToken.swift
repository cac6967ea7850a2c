internal import CoffreCrypto
internal import CoffreWire

/// Why a token is not believed: one sentence that is safe to send, without anything of the token but names of claims.
struct JWTRefusal: Error, Sendable, Equatable {
    let reason: String
    /// The `kid` of a token that no accepted key has.
    var unknownKey: String?

    init(_ reason: String, unknownKey: String? = nil) {
        self.reason = reason
        self.unknownKey = unknownKey
    }
}

/// The signature algorithms that are believed (RFC 7518 §3.1, RFC 8037). Never `none`, and none with a shared secret: a
/// public key is no secret.
enum JWTAlgorithmName: String, Sendable, CaseIterable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case edDSA = "EdDSA"
}

/// A JSON Web Token in compact form (RFC 7515 §7.1), taken apart. Nothing of it is believed yet.
///
/// Strict where readers are known to differ: base64url without padding and with zero bits at its end, JSON with each name
/// once per object, no extension that is not understood. What a token says of its own keys (`jwk`, `x5c`, `jku`, `x5u`) is
/// never read.
struct JWTToken: Sendable {
    /// Longest token, in bytes.
    static let maximumBytes = 16_384
    private static let maximumHeader = 4096
    private static let maximumDepth = 8
    private static let maximumNodes = 2000
    private static let maximumSignature = 1024

    let algorithm: JWTAlgorithmName
    /// The key that the token names; at most 256 bytes of visible ASCII.
    let kid: String?
    /// `typ` in small letters without `application/`; nil when absent.
    let type: String?
    /// An object without repeated names.
    let claims: JSONValue
    /// What is signed: header and claims as they came.
    let signed: SharedSecret
    let signature: SharedSecret

    /// - Throws: ``JWTRefusal``.
    init(_ text: UnsafeRawBufferPointer) throws(JWTRefusal) {
        guard text.count <= Self.maximumBytes else {
            throw JWTRefusal("the token has more than \(Self.maximumBytes) bytes")
        }
        let dots = text.indices.filter { text[$0] == 0x2e }
        guard dots.count == 2 else { throw JWTRefusal("malformed token: not three parts with full stops between") }
        func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: text[range]) }
        let header = try Self.object(part(0..<dots[0]), "header", limit: Self.maximumHeader)
        for name in ["crit", "b64", "enc", "zip"] where header.members?.contains(where: { $0.key == name }) ?? false {
            throw JWTRefusal("the token's header has \"\(name)\", which is not understood")
        }
        guard let name = header["alg"]?.string else { throw JWTRefusal("the token names no algorithm") }
        guard let algorithm = JWTAlgorithmName(rawValue: name) else {
            throw JWTRefusal("the token's algorithm is not one that is believed")
        }
        self.algorithm = algorithm
        kid = try Self.text(header, "kid", limit: 256)
        type = try Self.text(header, "typ", limit: 64).map { type in
            let type = type.lowercased()
            return type.hasPrefix("application/") ? String(type.dropFirst(12)) : type
        }
        claims = try Self.object(part(dots[0] + 1..<dots[1]), "claims", limit: Self.maximumBytes)
        guard let signature = Base64URL.decodeSecret(part(dots[1] + 1..<text.count)),
            signature.count <= Self.maximumSignature
        else { throw JWTRefusal("malformed token: its signature is not base64url") }
        self.signature = SharedSecret(signature)
        signed = SharedSecret(copying: part(0..<dots[1]))
    }

    private static func text(_ header: JSONValue, _ name: String, limit: Int) throws(JWTRefusal) -> String? {
        guard let value = header[name] else { return nil }
        guard let text = value.string, (1...limit).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw JWTRefusal("the token's header has a \"\(name)\" that is not a short text of visible ASCII") }
        return text
    }

    private static func object(
        _ text: UnsafeRawBufferPointer,
        _ what: String,
        limit: Int
    ) throws(JWTRefusal) -> JSONValue {
        guard let decoded = Base64URL.decodeSecret(text), decoded.count <= limit else {
            throw JWTRefusal("malformed token: its \(what) is not base64url, or too long")
        }
        let value = decoded.withBytes { bytes -> JSONValue? in
            guard let view = try? JSONView(bytes, maximumDepth: maximumDepth, maximumNodes: maximumNodes) else {
                return nil
            }
            return JSONValue(view)
        }
        guard let value, value.members != nil else {
            throw JWTRefusal("malformed token: its \(what) is not a JSON object, or too deep or large a one")
        }
        guard !hasRepeatedNames(value) else {
            throw JWTRefusal("malformed token: its \(what) has a name twice")
        }
        return value
    }

    static func hasRepeatedNames(_ value: JSONValue) -> Bool {
        if let values = value.array { return values.contains { hasRepeatedNames($0) } }
        guard let members = value.members else { return false }
        guard Set(members.map { Array($0.key.utf8) }).count == members.count else { return true }
        return members.contains { hasRepeatedNames($0.value) }
    }
}
