/// One HTTP exchange with an OAuth provider, without its secrets, which are lent to ``encode(secrets:into:)`` and never
/// stored here.
///
/// What a provider does otherwise than the RFCs is said by fields, not by names of providers. The answer is an
/// ``OAuthReply``; it leaves the broker in a box sealed to ``publicKey`` alone, and is kept until it is acknowledged.
public struct BrokerOAuth: Sendable, Equatable {
    /// What is asked, which is also what the answer must hold.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// A code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5), or another one-time value for a token.
        case exchange = 1
        /// A refresh token for new tokens (RFC 6749 §6).
        case refresh = 2
        /// Tokens for the client itself (RFC 6749 §4.4.2).
        case clientCredentials = 3
        /// A signed statement for a token (RFC 7523 §2.1).
        case jwtBearer = 4
        /// The codes that a person types in on another device (RFC 8628 §3.1).
        case deviceStart = 5
        /// Whether that person has answered (RFC 8628 §3.4).
        case devicePoll = 6
        /// The end of a token (RFC 7009 §2.1, or the provider's own call).
        case revoke = 7
        /// A call with a token: does it work, and what does the answer say?
        case probe = 8
        /// A request token of OAuth 1.0a (RFC 5849 §2.1).
        case requestToken = 9
        /// An access token of OAuth 1.0a (RFC 5849 §2.3).
        case accessToken = 10

        /// Whether the request is signed by OAuth 1.0a.
        public var isFirst: Bool { self == .requestToken || self == .accessToken }
    }

    /// The secrets that may be lent to a job; each kind needs some and refuses others.
    public enum Secret: UInt8, Sendable, CaseIterable {
        /// The client's secret; the consumer secret in OAuth 1.0a.
        case clientSecret = 10
        /// What the job is about: code, refresh token, device code, token to revoke or try, request token.
        case grant = 11
        /// The proof key (RFC 7636); `oauth_verifier` in OAuth 1.0a.
        case verifier = 12
        /// What signs an assertion: PEM, in which the client's certificate may stand too, or the JSON key of a Google service
        /// account.
        case privateKey = 13
        /// The secret of a request token (RFC 5849 §2.1), or of the token of a signed call.
        case tokenSecret = 14
        /// PEM key of ``BrokerOAuth/clientCertificate``.
        case certificateKey = 15

        /// Longest, in bytes.
        public var maximumBytes: Int {
            switch self {
            case .clientSecret, .tokenSecret: 4096
            case .grant, .privateKey, .certificateKey: 16_384
            case .verifier: 256
            }
        }
    }

    /// How a request is made.
    public enum Method: UInt8, Sendable, CaseIterable {
        /// POST
        case post = 1
        /// GET
        case get = 2
        /// DELETE
        case delete = 3
    }

    /// How parameters are written.
    public enum Body: UInt8, Sendable, CaseIterable {
        /// `application/x-www-form-urlencoded`
        case form = 1
        /// One JSON object of texts.
        case json = 2
        /// There are none.
        case none = 3
    }

    /// Where the client's identity goes (RFC 6749 §2.3.1).
    public enum ClientAuthentication: UInt8, Sendable, CaseIterable {
        /// `client_id` among the parameters, where there is one; no secret.
        case none = 1
        /// `Authorization: Basic` of id and secret.
        case basic = 2
        /// `client_id` and `client_secret` among the parameters.
        case post = 3
        /// `Authorization: Basic` of the id alone, without a colon.
        case basicAlone = 4
        /// `client_assertion`: a statement that the client has signed (RFC 7523 §2.2), see ``BrokerOAuth/assertion``.
        case assertion = 5
    }

    /// Where the token goes, for ``Kind/revoke`` and ``Kind/probe``.
    public enum TokenPlace: UInt8, Sendable, CaseIterable {
        /// Among the parameters, as ``BrokerOAuth/grantParameter``.
        case parameter = 1
        /// `Authorization: Bearer` (RFC 6750 §2.1).
        case bearer = 2
        /// In place of each `{token}` in the address.
        case address = 3
        /// `Authorization: OAuth`, signed by OAuth 1.0a (RFC 5849 §3.5.1); also in place of `{token}` where the address has it.
        case signed = 4
    }

    /// A name and a text.
    public struct Pair: Sendable, Equatable {
        /// The name.
        public let name: String
        /// The text.
        public let value: String

        /// A pair.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What differs in a provider's answers.
    public struct Quirks: OptionSet, Sendable {
        /// The bits.
        public let rawValue: UInt8

        /// From bits; unknown ones make a job invalid.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `ok: false`, `error` or `errors` in a 200 is a refusal also where no token is asked for. (Where one is, always.)
        public static let errorsIn200 = Quirks(rawValue: 1)
        /// A token in an answer with an error status counts.
        public static let tokensInErrors = Quirks(rawValue: 2)

        static let all: Quirks = [.errorsIn200, .tokensInErrors]
    }

    /// Limits, in bytes where nothing else is said.
    public enum Limit {
        /// A parameter, a claim, a client id.
        public static let value = 4096
        /// A name.
        public static let name = 64
        /// Number of parameters.
        public static let parameters = 32
        /// Number of headers.
        public static let headers = 8
        /// A header's text.
        public static let header = 512
        /// Number of values to learn.
        public static let learns = 8
        /// A member path.
        public static let path = 128
        /// All of it, without certificates and secrets.
        static let encoded = 262_144
    }

    static let code: UInt8 = 34

    /// What is asked.
    public var kind: Kind
    /// Where; always https. May hold `{token}`, see ``TokenPlace/address``.
    public var target: WebTarget
    /// POST unless said otherwise.
    public var method: Method = .post
    /// A form unless said otherwise.
    public var body: Body = .form
    /// The client's id, the consumer key, or the e-mail address for ``ClientAuthentication/basicAlone``.
    public var clientID: String?
    /// Where the client's identity goes.
    public var authentication: ClientAuthentication = .none
    /// `grant_type` in place of the kind's own.
    public var grantType: String?
    /// The parameter that carries ``Secret/grant`` in place of the kind's own.
    public var grantParameter: String?
    /// Where the token goes.
    public var tokenPlace: TokenPlace = .parameter
    /// More parameters, in order: `redirect_uri`, `scope`, `audience`, `oauth_callback`…
    public var parameters: [Pair] = []
    /// More headers.
    public var headers: [Pair] = []
    /// For ``Kind/jwtBearer`` and ``ClientAuthentication/assertion``.
    public var assertion: OAuthAssertion?
    /// The member that holds the tokens, as a path such as `authed_user`; nil for the answer itself.
    public var tokenObject: String?
    /// What else to read in the answer: a name, and a path such as `instance_url`, `team.id` or, for each element of
    /// a list, `*.id`.
    public var learns: [Pair] = []
    /// What differs in the provider's answers.
    public var quirks: Quirks = []
    /// TLS 1.3 unless 1.2 is an explicit choice, here or of the broker.
    public var minimumTLS: BrokerJob.MinimumTLS = .tls13
    /// PEM certificates to trust instead of the broker's.
    public var rootCertificate: [UInt8]?
    /// PEM certificates to show (RFC 8705 §2), the client's own first.
    public var clientCertificate: [UInt8]?
    /// X25519 public key, exactly 32 bytes, that the answer is sealed to.
    public var publicKey: [UInt8] = []
    /// Seconds from the look-up of the name to the last byte of the answer, 1–600.
    public var timeoutSeconds: UInt32 = 30

    /// A job with the defaults of the properties. Nothing is checked before ``validate()``.
    public init(_ kind: Kind, at target: WebTarget) {
        self.kind = kind
        self.target = target
    }
}
