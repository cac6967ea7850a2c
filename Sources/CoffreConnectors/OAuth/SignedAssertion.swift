internal import CoffreCrypto
internal import CoffreWire

/// A JSON Web Token (RFC 7515 §3.1, RFC 7519) for RFC 7523, signed by a key that is lent for the job.
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
        // A client's own proof is told apart by its certificate (RFC 7515 §4.1.8).
        let isProof = view.job.authentication == .assertion
        if isProof, let digest = try certificateDigest(bytes) { header.append(.init("x5t#S256", .string(digest))) }
        var claims = [JSONValue.Member("iss", .string(issuer))]
        if let subject = assertion.subject { claims.append(.init("sub", .string(subject))) }
        claims.append(.init("aud", .string(assertion.audience)))
        if let scope = assertion.scope { claims.append(.init("scope", .string(scope))) }
        claims.append(.init("iat", .integer(now)))
        if isProof { claims.append(.init("nbf", .integer(now))) }
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

    /// SHA-256 of the first certificate that stands beside the key; nil when there is none.
    /// - Throws: ``CryptoError`` `.invalidEncoding` for one that cannot be read.
    private static func certificateDigest(_ pem: UnsafeRawBufferPointer) throws(CryptoError) -> String? {
        guard let start = position(of: "-----BEGIN CERTIFICATE-----", in: pem[...]) else { return nil }
        guard let end = position(of: "-----END CERTIFICATE-----", in: pem[start.upperBound...]),
            let certificate = Base64.decode(pem[start.upperBound..<end.lowerBound].filter { $0 > 0x20 }),
            !certificate.isEmpty
        else { throw CryptoError(.invalidEncoding, "not a certificate in PEM") }
        let digest = SharedSecret(copying: certificate).withBytes { SHA256.hash($0) }.bytes
        return String(decoding: base64(digest), as: UTF8.self)
    }

    private static func position(of text: String, in bytes: Slice<UnsafeRawBufferPointer>) -> Range<Int>? {
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return nil }
        let start = (bytes.startIndex...(bytes.endIndex - wanted.count)).first { index in
            bytes[index..<(index + wanted.count)].elementsEqual(wanted)
        }
        return start.map { $0..<($0 + wanted.count) }
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
