import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import JWTKit

@testable import CoffreVault

/// A provider of tokens with one key of each kind.
struct JWTIssuer {
    /// The moment at which tests look at tokens.
    static let now = Timestamp(seconds: 1_800_000_000)

    static let shared = Result { try JWTIssuer() }

    let rsa: Insecure.RSA.PrivateKey
    let p256 = ES256PrivateKey()
    let p384 = ES384PrivateKey()
    let ed25519: EdDSA.PrivateKey

    init() throws {
        let (status, pem) = try RunningProcess.run("/usr/bin/env", ["openssl", "genrsa", "2048"])
        guard status == 0, let start = pem.range(of: "-----BEGIN") else { throw JWTRefusal("openssl: \(pem)") }
        rsa = try Insecure.RSA.PrivateKey(pem: String(pem[start.lowerBound...]))
        ed25519 = try EdDSA.PrivateKey(curve: .ed25519)
    }

    var privatePEM: String { rsa.pemRepresentation }

    var pems: [String] {
        [
            rsa.publicKey.pemRepresentation, p256.publicKey.pemRepresentation, p384.publicKey.pemRepresentation,
            ed25519.publicKey.pemRepresentation,
        ]
    }

    static func standardClaims(_ changes: [String: Any?] = [:]) -> [String: Any] {
        var claims: [String: Any] = [
            "iss": "https://id.example", "sub": "alice", "aud": "chat", "iat": now.seconds - 10,
            "exp": now.seconds + 300, "jti": "token-1", "groups": ["payroll"],
        ]
        for (name, value) in changes { claims[name] = value }
        return claims
    }

    static func base64url(_ bytes: some Sequence<UInt8>) -> String { JWTKey.base64url(Array(bytes)) }

    func token(
        _ algorithm: JWTAlgorithmName = .rs256,
        header: [String: Any] = [:],
        claims: [String: Any] = JWTIssuer.standardClaims()
    ) async throws -> String {
        var fields: [String: Any] = ["alg": algorithm.rawValue, "typ": "JWT"]
        fields.merge(header) { _, own in own }
        return try await token(
            algorithm,
            header: try JSONSerialization.data(withJSONObject: fields, options: .sortedKeys),
            claims: try JSONSerialization.data(withJSONObject: claims, options: .sortedKeys)
        )
    }

    /// Signs any bytes, whatever they say.
    func token(_ algorithm: JWTAlgorithmName, header: Data, claims: Data) async throws -> String {
        let text = Self.base64url(header) + "." + Self.base64url(claims)
        let signature = try await signer(algorithm).sign(Array(text.utf8))
        return text + "." + Self.base64url(signature)
    }

    private func signer(_ algorithm: JWTAlgorithmName) async throws -> any JWTAlgorithm {
        let keys = JWTKeyCollection()
        switch algorithm {
        case .rs256: await keys.add(rsa: rsa, digestAlgorithm: .sha256)
        case .rs384: await keys.add(rsa: rsa, digestAlgorithm: .sha384)
        case .rs512: await keys.add(rsa: rsa, digestAlgorithm: .sha512)
        case .ps256: await keys.add(pss: rsa, digestAlgorithm: .sha256)
        case .ps384: await keys.add(pss: rsa, digestAlgorithm: .sha384)
        case .ps512: await keys.add(pss: rsa, digestAlgorithm: .sha512)
        case .es256: await keys.add(ecdsa: p256)
        case .es384: await keys.add(ecdsa: p384)
        case .edDSA: await keys.add(eddsa: ed25519)
        }
        return try await keys.getKey()
    }

    // MARK: looking at tokens

    static func role(_ json: String = #"{"bound_audiences":"chat","user_claim":"sub"}"#) throws -> JWTRole {
        var role = JWTRole(name: "people")
        _ = try Array(json.utf8).withUnsafeBytes { try role.apply(try JSONView($0)) }
        return role
    }

    func keys() async throws -> [JWTKey] {
        var keys: [JWTKey] = []
        for pem in pems { keys.append(try await JWTKey.read(pem: pem)) }
        return keys
    }

    /// The person, or why there is none.
    static func look(
        at token: String,
        keys: [JWTKey],
        role: JWTRole,
        algorithms: Set<JWTAlgorithmName> = [],
        isShown: Bool = false
    ) -> Result<JWTPerson, JWTRefusal> {
        Array(token.utf8).withUnsafeBytes { bytes in
            do throws(JWTRefusal) {
                let token = try JWTToken(bytes)
                let check = JWTCheck(keys: keys, algorithms: algorithms, issuer: "https://id.example", role: role)
                let person = try check.person(of: token, now: now)
                if isShown { try check.checkShown(token, now: now) }
                return .success(person)
            } catch {
                return .failure(error)
            }
        }
    }
}

extension Result where Success == JWTPerson, Failure == JWTRefusal {
    var alias: String? { try? get().alias }
    var reason: String? { if case .failure(let refusal) = self { refusal.reason } else { nil } }
}
