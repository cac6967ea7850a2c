internal import CoffreCrypto
internal import CoffreWire

/// What goes to the provider, made of a job and its secrets. No input or output.
///
/// The HTTP client takes headers and addresses as text: the copies that it makes live as long as the request.
struct OAuthRequest {
    let path: String
    let headers: [(name: String, value: String)]
    let body: [UInt8]?

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - nonce: random text, for OAuth 1.0a and `jti`.
    /// - Throws: ``CryptoError`` when a key cannot sign.
    init(_ view: BrokerOAuthView, now: Int64, nonce: String) throws(CryptoError) {
        let job = view.job
        var headers: [(name: String, value: String)] = [
            ("user-agent", "coffre-broker"), ("accept-encoding", "identity"),
        ]
        if !job.headers.contains(where: { $0.name == "accept" }) { headers.append(("accept", "application/json")) }
        headers += job.headers.map { ($0.name, $0.value) }
        path = Self.path(view)
        if job.kind.isFirst || job.tokenPlace == .signed {
            let signed = try OAuthFirst(view, path: path, now: now, nonce: nonce)
            headers.append(("authorization", signed.authorization))
            body = job.body == .none ? nil : signed.body
        } else {
            if let authorization = Self.authorization(view) { headers.append(("authorization", authorization)) }
            body = try Self.parameters(view, now: now, nonce: nonce).encoded(as: job.body)
        }
        switch job.body {
        case .form: headers.append(("content-type", "application/x-www-form-urlencoded"))
        case .json: headers.append(("content-type", "application/json"))
        case .none: break
        }
        self.headers = headers
    }

    private static func path(_ view: BrokerOAuthView) -> String {
        guard view.job.tokenPlace == .address || view.job.tokenPlace == .signed, let token = view.secrets[.grant] else {
            return view.job.target.path
        }
        let encoded = String(decoding: PercentEncoding.encode(token), as: UTF8.self)
        return view.job.target.path.split(separator: "{token}", omittingEmptySubsequences: false)
            .joined(separator: encoded)
    }

    private static func authorization(_ view: BrokerOAuthView) -> String? {
        let id = Array((view.job.clientID ?? "").utf8)
        switch view.job.authentication {
        case .basic:
            // Each half is encoded before they are joined (RFC 6749 §2.3.1).
            let secret = view.secrets[.clientSecret].map { PercentEncoding.encode($0) } ?? []
            return "Basic " + Base64.encode(PercentEncoding.encode(id) + [0x3a] + secret)
        case .basicAlone: return "Basic " + Base64.encode(id)
        case .none, .post, .assertion:
            guard view.job.tokenPlace == .bearer, let token = view.secrets[.grant] else { return nil }
            return "Bearer " + String(decoding: token, as: UTF8.self)
        }
    }

    private static func parameters(
        _ view: BrokerOAuthView,
        now: Int64,
        nonce: String
    ) throws(CryptoError) -> OAuthParameters {
        let job = view.job
        var parameters = OAuthParameters()
        if let type = job.grantType ?? Self.grantType(job.kind) { parameters.append("grant_type", type) }
        if job.tokenPlace == .parameter, !job.carrier.isEmpty {
            if job.kind == .jwtBearer {
                parameters.append(job.carrier, bytes: try SignedAssertion.make(view, now: now, nonce: nonce))
            } else {
                parameters.append(job.carrier, secret: view.secrets[.grant])
            }
        }
        parameters.append("code_verifier", secret: view.secrets[.verifier])
        switch job.authentication {
        case .none: parameters.append("client_id", job.clientID)
        case .post:
            parameters.append("client_id", job.clientID)
            parameters.append("client_secret", secret: view.secrets[.clientSecret])
        case .assertion:
            parameters.append("client_id", job.clientID)
            parameters.append("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            parameters.append("client_assertion", bytes: try SignedAssertion.make(view, now: now, nonce: nonce))
        case .basic, .basicAlone: break
        }
        for pair in job.parameters { parameters.append(pair.name, pair.value) }
        return parameters
    }

    private static func grantType(_ kind: BrokerOAuth.Kind) -> String? {
        switch kind {
        case .exchange: "authorization_code"
        case .refresh: "refresh_token"
        case .clientCredentials: "client_credentials"
        case .jwtBearer: "urn:ietf:params:oauth:grant-type:jwt-bearer"
        case .devicePoll: "urn:ietf:params:oauth:grant-type:device_code"
        case .deviceStart, .revoke, .probe, .requestToken, .accessToken: nil
        }
    }
}
