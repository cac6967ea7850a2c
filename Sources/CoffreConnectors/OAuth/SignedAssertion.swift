internal import CoffreCrypto
internal import CoffreWire

/// A JSON Web Token (RFC 7515 §3.1, RFC 7519) for RFC 7523 §2.1, signed by a key that is lent for the job.
enum SignedAssertion {
    /// The key, and what a Google service-account file says besides.
    private struct Key {
        let pem: SharedSecret
        var email: String?
        var id: String?
    }

    private static let limit = BrokerOAuth.Secret.privateKey.maximumBytes

    /// - Throws: ``CryptoError`` `.invalidEncoding` when the key is none, or nobody says who issues.
    static func make(_ view: BrokerOAuthView, now: Int64, nonce: String) throws(CryptoError) -> [UInt8] {
        guard let assertion = view.job.assertion, let bytes = view.secrets[.privateKey] else {
            throw CryptoError(.invalidEncoding, "no key to sign with")
        }
        let key = try read(bytes)
        guard let issuer = assertion.issuer ?? key.email else {
            throw CryptoError(.invalidEncoding, "nobody says who issues the assertion")
        }
        var header = [JSONValue.Member("alg", .string(name(assertion.algorithm))), .init("typ", .string("JWT"))]
        if let id = assertion.keyID ?? key.id { header.append(.init("kid", .string(id))) }
        var claims = [JSONValue.Member("iss", .string(issuer))]
        if let subject = assertion.subject { claims.append(.init("sub", .string(subject))) }
        claims.append(.init("aud", .string(assertion.audience)))
        if let scope = assertion.scope { claims.append(.init("scope", .string(scope))) }
        claims.append(.init("iat", .integer(now)))
        claims.append(.init("exp", .integer(now + Int64(assertion.lifeSeconds))))
        claims.append(.init("jti", .string(nonce)))
        claims += assertion.claims.map { .init($0.name, .string($0.value)) }
        let message = base64(JSONValue.object(header).encoded()) + [0x2e] + base64(JSONValue.object(claims).encoded())
        let algorithm: PEMSignature.Algorithm = assertion.algorithm == .es256 ? .es256 : .rs256
        let signature = try SharedSecret(copying: message).withBytes { message throws(CryptoError) in
            try key.pem.withBytes { pem throws(CryptoError) in try PEMSignature.sign(message, with: pem, algorithm) }
        }
        return message + [0x2e] + base64(signature)
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) throws(CryptoError) -> Key {
        guard bytes.first(where: { $0 > 0x20 }) == 0x7b else { return Key(pem: SharedSecret(copying: bytes)) }
        guard let file = try? JSONView(bytes, maximumDepth: 4, maximumNodes: 200), let pem = file["private_key"],
            let count = pem.stringCount, (1...limit).contains(count)
        else { throw CryptoError(.invalidEncoding, "not the JSON key of a service account") }
        return Key(
            pem: SharedSecret(SecretBytes(count: count) { pem.decodeString(into: $0) }),
            email: text(file["client_email"]),
            id: text(file["private_key_id"])
        )
    }

    private static func text(_ value: JSONView?) -> String? {
        guard let count = value?.stringCount, (1...512).contains(count) else { return nil }
        return value?.string
    }

    private static func name(_ algorithm: OAuthAssertion.Algorithm) -> String {
        switch algorithm {
        case .rs256: "RS256"
        case .es256: "ES256"
        }
    }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        SharedSecret(copying: bytes).withSecret { Base64URL.encodeSecret($0).withBytes { Array($0) } }
    }
}
