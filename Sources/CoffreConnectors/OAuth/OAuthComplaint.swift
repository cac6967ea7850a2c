internal import CoffreWire

/// What an answer says went wrong, whichever way it says so.
struct OAuthComplaint {
    /// One word for it; nil when the answer has none that can be kept.
    let word: String?

    /// Nil when the answer complains of nothing.
    init?(_ content: OAuthContent) throws(OAuthContent.Ambiguous) {
        var complains = false
        if case .json(let view)? = try content.member("ok"), view.bool == false { complains = true }
        for name in ["error", "errors"] {
            if let value = try content.member(name), value.saysSomething { complains = true }
        }
        guard complains else { return nil }
        word = try Self.word(content)
    }

    /// `error` (RFC 6749 §5.2), or where others put it: an object, the first of a list (GraphQL §7.1.2), another member.
    private static let places = [
        "error", "error.status", "error.type", "error.code", "errors.0.extensions.code", "errors.0.code",
        "errors.0.error_code", "errors.0", "error_code", "code",
    ]

    private static func word(_ content: OAuthContent) throws(OAuthContent.Ambiguous) -> String? {
        for place in places {
            for (_, value) in try content.values(at: place) {
                guard let text = value.text(atMost: OAuthReply.Limit.word), text != "true" else { continue }
                if let word = OAuthReply.errorWord(text.utf8) { return word }
            }
        }
        return nil
    }

    /// What a word means in the answer to `job`; nil when it is not known. A server that is not well is believed about
    /// nothing else.
    static func problem(of word: String?, _ job: BrokerOAuth, _ status: UInt16) -> OAuthProblem? {
        if status >= 500 || status == 429 || status == 408 || status == 425 {
            return word == "slow_down" ? .slowDown : .temporary
        }
        guard let word, let problem = words[word] else { return nil }
        let isCall = job.kind == .revoke || job.kind == .probe
        switch problem {
        // The token of a refresh is the grant; that of a call is not.
        case .invalidToken where !isCall: return .invalidGrant
        case .invalidGrant where job.kind == .probe: return .invalidToken
        case .expiredToken where job.kind != .devicePoll: return isCall ? .invalidToken : .invalidGrant
        default: return problem
        }
    }

    /// Words of RFC 6749 §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1 and RFC 8628 §3.5, then of providers.
    private static let words: [String: OAuthProblem] = [
        "invalid_request": .invalidRequest, "invalid_client": .invalidClient, "invalid_grant": .invalidGrant,
        "unauthorized_client": .unauthorizedClient, "unsupported_grant_type": .unsupportedGrantType,
        "invalid_scope": .invalidScope, "access_denied": .accessDenied, "temporarily_unavailable": .temporary,
        "server_error": .temporary, "invalid_token": .invalidToken, "insufficient_scope": .insufficientScope,
        "unsupported_token_type": .invalidRequest, "authorization_pending": .authorizationPending,
        "slow_down": .slowDown, "expired_token": .expiredToken,
        // GitHub
        "bad_verification_code": .invalidGrant, "bad_refresh_token": .invalidGrant,
        "incorrect_client_credentials": .invalidClient, "incorrect_device_code": .invalidGrant,
        "device_flow_disabled": .unauthorizedClient, "redirect_uri_mismatch": .invalidRequest,
        // Slack
        "invalid_code": .invalidGrant, "code_already_used": .invalidGrant, "invalid_refresh_token": .invalidGrant,
        "bad_client_secret": .invalidClient, "invalid_client_id": .invalidClient, "bad_redirect_uri": .invalidRequest,
        "invalid_auth": .invalidToken, "not_authed": .invalidToken, "account_inactive": .invalidToken,
        "token_expired": .invalidToken, "token_revoked": .invalidToken, "missing_scope": .insufficientScope,
        "ratelimited": .temporary, "rate_limited": .temporary, "internal_error": .temporary, "fatal_error": .temporary,
        "service_unavailable": .temporary, "request_timeout": .temporary,
        // Zoho
        "invalid_client_secret": .invalidClient, "invalid_redirect_uri": .invalidRequest,
        "invalid_oauthtoken": .invalidToken,
        // Microsoft
        "interaction_required": .invalidGrant, "authorization_declined": .accessDenied,
        "consent_required": .invalidGrant, "login_required": .invalidGrant,
        // Google, Meta, Salesforce, monday
        "unauthenticated": .invalidToken, "permission_denied": .insufficientScope, "unavailable": .temporary,
        "resource_exhausted": .temporary, "oauthexception": .invalidToken, "invalid_client_credentials": .invalidClient,
        "inactive_user": .invalidGrant, "inactive_org": .invalidGrant, "device_not_found": .invalidGrant,
        "unauthorized": .invalidToken,
        "notauthenticated": .invalidToken, "userunauthorizedexception": .insufficientScope,
        "rate_limit_exceeded": .temporary, "complexityexception": .temporary,
    ]
}
