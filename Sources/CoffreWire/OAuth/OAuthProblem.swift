/// Why an exchange with a provider came to nothing. Coarse, closed: what a state machine decides by.
public enum OAuthProblem: UInt8, Sendable, CaseIterable {
    /// The provider finds a parameter missing or wrong (RFC 6749 §5.2 `invalid_request`).
    case invalidRequest = 1
    /// Client id or secret is wrong (`invalid_client`).
    case invalidClient = 2
    /// The code, the refresh token or the assertion is not, or no longer, valid (`invalid_grant`).
    case invalidGrant = 3
    /// This client may not use this way (`unauthorized_client`).
    case unauthorizedClient = 4
    /// The provider does not know this way (`unsupported_grant_type`).
    case unsupportedGrantType = 5
    /// A scope is unknown, or more than what was granted (`invalid_scope`).
    case invalidScope = 6
    /// A person, or the provider, has said no (`access_denied`).
    case accessDenied = 7
    /// Nobody has answered on the device yet (RFC 8628 §3.5 `authorization_pending`).
    case authorizationPending = 8
    /// Ask less often: five more seconds from here on (RFC 8628 §3.5 `slow_down`).
    case slowDown = 9
    /// The device code is too old (RFC 8628 §3.5 `expired_token`).
    case expiredToken = 10
    /// The access token does not work, or no longer (RFC 6750 §3.1 `invalid_token`, or 401).
    case invalidToken = 11
    /// The access token works, for less than was asked of it (RFC 6750 §3.1 `insufficient_scope`, or 403).
    case insufficientScope = 12
    /// Refused for another reason; the provider's word may say which.
    case refused = 13
    /// The provider is not well: 5xx, 429, 408, its own word for it, or a page for people in place of an answer.
    case temporary = 14
    /// An answer that cannot be used.
    case malformed = 15
    /// An answer above ``OAuthReply/Limit/answer``.
    case tooLarge = 16
    /// The provider points elsewhere. It is not followed.
    case redirected = 17
    /// The broker's configuration does not allow this address. Nothing was sent.
    case egressRefused = 18
    /// The host has no address. Nothing was sent.
    case unknownHost = 19
    /// Nothing answers at the address. Nothing was sent.
    case unreachable = 20
    /// No TLS that can be trusted, or the provider does not take the client certificate. Nothing was sent in clear.
    case tls = 21
    /// No whole answer in time.
    case timeout = 22
    /// The connection broke after the request had gone.
    case interrupted = 23
    /// The job cannot be done: a key that is none, or a secret that cannot stand where it should.
    case badJob = 24
    /// The broker cannot take work now. Nothing was sent.
    case busy = 25

    /// Whether the same request may succeed later without anybody doing anything.
    public var isTemporary: Bool {
        switch self {
        case .authorizationPending, .slowDown, .temporary, .unknownHost, .unreachable, .timeout, .interrupted, .busy:
            true
        default: false
        }
    }

    /// Whether the provider may have carried the request out all the same: a token that serves once may be used up.
    public var mayHaveHappened: Bool {
        switch self {
        case .temporary, .malformed, .tooLarge, .redirected, .timeout, .interrupted: true
        default: false
        }
    }
}

extension OAuthProblem {
    /// What a failure of the broker itself means here.
    public init(_ failure: BrokerFailure) {
        self =
            switch failure.code {
            case .dns: .unknownHost
            case .refused: .unreachable
            case .egressDenied: .egressRefused
            case .tls: .tls
            // It waited too long for its turn: nothing was sent.
            case .timeout where failure.isBeforeAnyWork: .busy
            case .timeout: .timeout
            case .unavailable: .busy
            case .reply: .malformed
            case .authentication, .rights, .statement, .malformed: .badJob
            }
    }

    /// A sentence for people; holds no name, address or text of the provider.
    public var sentence: String {
        switch self {
        case .invalidRequest: "the provider finds the request wrong: check the connection's fields"
        case .invalidClient: "the provider does not accept the client id or secret: check both"
        case .invalidGrant: "the provider no longer accepts this grant: connect again"
        case .unauthorizedClient: "the provider does not allow this way for this client: check its registration"
        case .unsupportedGrantType: "the provider does not know this way of asking for tokens"
        case .invalidScope: "the provider does not grant these scopes: check them, and the client's registration"
        case .accessDenied: "access was declined at the provider"
        case .authorizationPending: "nobody has answered yet"
        case .slowDown: "the provider wants to be asked less often"
        case .expiredToken: "the code has expired: begin again"
        case .invalidToken: "the provider does not accept the access token"
        case .insufficientScope: "the access token does not cover this call: check the scopes"
        case .refused: "the provider refuses"
        case .temporary: "the provider is not available now"
        case .malformed: "the provider's answer cannot be used"
        case .tooLarge: "the provider's answer is too long"
        case .redirected: "the provider points to another address: check the connection's fields"
        case .egressRefused: "the broker may not connect there: add the address to allow in its configuration"
        case .unknownHost: "the provider's name has no address"
        case .unreachable: "nothing answers at the provider's address"
        case .tls: "no TLS that can be trusted, or the client certificate is not accepted"
        case .timeout: "the provider did not answer in time"
        case .interrupted: "the connection broke before the provider's answer"
        case .badJob: "the key, or a secret, has not the form that it needs"
        case .busy: "the broker cannot take work now: try again later"
        }
    }
}
