/// The statement that a job of kind ``BrokerOAuth/Kind/jwtBearer`` signs (RFC 7523 §3). The broker adds `iat`, `exp` and a
/// random `jti` when it signs.
public struct OAuthAssertion: Sendable, Equatable {
    /// How it is signed (RFC 7518 §3.1).
    public enum Algorithm: UInt8, Sendable, CaseIterable {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        case rs256 = 1
        /// ECDSA on P-256 with SHA-256.
        case es256 = 2
    }

    /// How it is signed.
    public var algorithm: Algorithm
    /// `iss`; nil for `client_email` of a Google service-account key.
    public var issuer: String?
    /// `sub`; nil for none.
    public var subject: String?
    /// `aud`.
    public var audience: String
    /// `scope`, already joined; nil for none.
    public var scope: String?
    /// `kid` of the header; nil for `private_key_id` of a Google service-account key, or none.
    public var keyID: String?
    /// Seconds until `exp`, 1–3600.
    public var lifeSeconds: UInt32
    /// More claims, as texts; at most 8.
    public var claims: [BrokerOAuth.Pair]

    /// An assertion. Defaults: RS256, no subject, scope or key id, 300 s, no more claims.
    public init(
        algorithm: Algorithm = .rs256,
        issuer: String?,
        subject: String? = nil,
        audience: String,
        scope: String? = nil,
        keyID: String? = nil,
        lifeSeconds: UInt32 = 300,
        claims: [BrokerOAuth.Pair] = []
    ) {
        self.algorithm = algorithm
        self.issuer = issuer
        self.subject = subject
        self.audience = audience
        self.scope = scope
        self.keyID = keyID
        self.lifeSeconds = lifeSeconds
        self.claims = claims
    }

    private static let own = ["iss", "sub", "aud", "scope", "iat", "exp", "jti", "nbf"]
    private static let text = 1...BrokerOAuth.Limit.value

    func validate() throws(BrokerWireError) {
        for text in [issuer, subject, audience, scope, keyID].compactMap(\.self) {
            try BrokerOAuth.check(value: text, Self.text)
        }
        guard (1...3600).contains(lifeSeconds) else {
            throw BrokerWireError(.invalidField, "an assertion lives 1 to 3600 seconds")
        }
        try BrokerOAuth.check(pairs: claims, atMost: 8, besides: Self.own)
    }

    func write(_ writer: inout BrokerListWriter) {
        writer.append(algorithm.rawValue)
        writer.append(issuer)
        writer.append(subject)
        writer.append(audience)
        writer.append(scope)
        writer.append(keyID)
        writer.append(lifeSeconds)
        BrokerOAuth.write(claims, &writer)
    }

    init(_ reader: inout BrokerListReader) throws(BrokerWireError) {
        guard let algorithm = Algorithm(rawValue: try reader.number()) else {
            throw BrokerWireError(.invalidField, "unknown algorithm of an assertion")
        }
        self.algorithm = algorithm
        issuer = try reader.optionalText(Self.text)
        subject = try reader.optionalText(Self.text)
        audience = try reader.text(Self.text)
        scope = try reader.optionalText(Self.text)
        keyID = try reader.optionalText(Self.text)
        lifeSeconds = try reader.number()
        claims = try BrokerOAuth.pairs(&reader, atMost: 8)
    }
}
