internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// What the broker is asked for.
extension OAuthProvider {
    /// A request for tokens, with the client's identity where this provider wants it.
    func tokenJob(_ kind: BrokerOAuth.Kind, at template: String? = nil) throws(VaultError) -> BrokerOAuth {
        var job = BrokerOAuth(kind, at: try target(template ?? oauth.tokenURL))
        // An account that signs for itself need not be a client.
        job.clientID = flow == .service ? try? clientID() : try clientID()
        job.authentication = job.clientID == nil ? .none : authentication
        if job.authentication == .assertion {
            job.assertion = OAuthAssertion(
                issuer: job.clientID,
                subject: job.clientID,
                audience: try fill(oauth.tokenURL)
            )
        }
        if has("json_token_request") { job.body = .json }
        job.headers = oauth.headers.map { BrokerOAuth.Pair($0.name, $0.value) }
        if has("errors_in_200") { job.quirks = .errorsIn200 }
        if has("mutual_tls") { job.clientCertificate = fields["client_certificate"].map { Array($0.utf8) } }
        if kind != .revoke, kind != .deviceStart {
            job.learns = tokenLearns
        }
        return job
    }

    private var tokenLearns: [BrokerOAuth.Pair] {
        oauth.learns.filter { $0.source == .token }.map { BrokerOAuth.Pair($0.name, $0.member) }
    }

    private var authentication: BrokerOAuth.ClientAuthentication {
        if has("email_only_basic") { return .basicAlone }
        if let key = oauth.clientKey, secrets.contains(key) { return .assertion }
        guard hasSecret else { return .none }
        return oauth.clientAuthentication == .post ? .post : .basic
    }

    /// For a new access token: by the refresh token, or in the client's own name.
    func refreshJob(_ grant: OAuthGrant) throws(VaultError) -> BrokerOAuth {
        var job: BrokerOAuth
        switch grant.flow {
        case .client: job = try clientJob(grant.asked)
        case .service: job = try serviceJob(grant.asked)
        case .first: throw .badRequest("tokens of OAuth 1.0a are not refreshed: connect again")
        case .code, .device:
            job = try tokenJob(.refresh)
            if has("exchange_living_token") {
                job.grantType = "fb_exchange_token"
                job.grantParameter = "fb_exchange_token"
            }
            if has("redirect_repeated"), let redirect = grant.redirect {
                job.parameters.append(.init("redirect_uri", redirect))
            }
        }
        return job
    }

    func clientJob(_ scopes: [String]) throws(VaultError) -> BrokerOAuth {
        guard !has("exchange_token_grant") else {
            var job = try tokenJob(.exchange)
            job.grantType = "exchange_token"
            job.grantParameter = "exchange_token"
            return job
        }
        guard hasSecret || authentication == .assertion else {
            throw .badRequest("the client's secret of this connection is not stored: enter it")
        }
        var job = try tokenJob(.clientCredentials)
        if !scopes.isEmpty {
            job.parameters.append(.init("scope", scopes.joined(separator: oauth.scopeSeparator)))
        }
        return job
    }

    /// For a token by a statement that the account's key signs (RFC 7523 §2.1).
    /// - Throws: ``VaultError`` `.badRequest`, naming what is not entered.
    func serviceJob(_ scopes: [String]) throws(VaultError) -> BrokerOAuth {
        guard let facts = oauth.assertion else {
            throw .badRequest("connections of the type \(connector.id) have no account that signs")
        }
        guard secrets.contains(facts.key) else {
            throw .badRequest("the secret \(facts.key) of this connection is not stored: enter it")
        }
        func value(_ name: String?) -> String? { name.flatMap { fields[$0] }.flatMap { $0.isEmpty ? nil : $0 } }
        for name in facts.issuer == nil ? [] : [facts.issuer, facts.subject].compactMap(\.self)
        where value(name) == nil { throw .badRequest("the field \(name) of this connection is empty: enter it") }
        var job = BrokerOAuth(.jwtBearer, at: try target(oauth.tokenURL))
        job.assertion = OAuthAssertion(
            issuer: value(facts.issuer),
            subject: value(facts.subject),
            audience: try fill(facts.audience),
            scope: facts.hasScopes && !scopes.isEmpty ? scopes.joined(separator: oauth.scopeSeparator) : nil,
            lifeSeconds: UInt32(facts.seconds)
        )
        if has("errors_in_200") { job.quirks = .errorsIn200 }
        job.learns = tokenLearns
        return job
    }

    /// How tokens are ended here; nil where no call is known.
    enum Ending {
        case refreshToken(BrokerOAuth)
        case accessToken(BrokerOAuth)
    }

    func revokeJob() throws(VaultError) -> Ending? {
        guard let template = oauth.revocationURL else { return nil }
        guard has("revocation_of_its_own") else {
            return .refreshToken(try tokenJob(.revoke, at: template))
        }
        if oauth.signatureMethod != nil {
            var job = try signedJob(.revoke, at: try target(template, keeping: "token"))
            job.method = .delete
            return .accessToken(job)
        }
        var job = try tokenJob(.revoke, at: template)
        switch connector.id {
        case "github":
            job.method = .delete
            job.body = .json
            job.authentication = .basic
            job.grantParameter = "access_token"
        case "dropbox", "slack":
            job.body = .none
            job.authentication = .none
            job.clientID = nil
            job.tokenPlace = .bearer
        default: return nil
        }
        return .accessToken(job)
    }

    /// Asks what the token is for.
    func valueJob(_ call: ConnectorOAuth.Learnt) throws(VaultError) -> BrokerOAuth {
        var job = BrokerOAuth(.probe, at: try target(call.member))
        job.method = .get
        job.body = .none
        job.tokenPlace = .bearer
        if has("errors_in_200") { job.quirks = .errorsIn200 }
        job.learns = [call.path.map { .init(OAuthGrant.Choice.valueName, $0) }].compactMap(\.self)
        if let title = call.title { job.learns.append(.init(OAuthGrant.Choice.titleName, title)) }
        return job
    }

    /// A call that OAuth 1.0a signs (RFC 5849 §3).
    private func signedJob(_ kind: BrokerOAuth.Kind, at target: WebTarget) throws(VaultError) -> BrokerOAuth {
        var job = BrokerOAuth(kind, at: target)
        job.clientID = try clientID()
        job.body = .none
        job.tokenPlace = .signed
        return job
    }

    /// Temporary credentials of OAuth 1.0a (RFC 5849 §2.1).
    func temporaryJob(callback: String) throws(VaultError) -> BrokerOAuth {
        var job = BrokerOAuth(.requestToken, at: try target(oauth.requestTokenURL ?? oauth.tokenURL))
        job.clientID = try clientID()
        job.parameters = [.init("oauth_callback", callback)]
        job.learns = [.init(Self.confirmation, Self.confirmation)]
        return job
    }

    static let confirmation = "oauth_callback_confirmed"

    /// Token credentials of OAuth 1.0a (RFC 5849 §2.3).
    func firstJob() throws(VaultError) -> BrokerOAuth {
        var job = BrokerOAuth(.accessToken, at: try target(oauth.tokenURL))
        job.clientID = try clientID()
        job.learns = tokenLearns
        return job
    }

    /// Where a person consents (RFC 5849 §2.2).
    func firstAuthorization(token: String, scopes: [String]) throws(VaultError) -> String {
        guard let template = oauth.authorizationURL else {
            throw .badRequest("this provider has no page for a consent")
        }
        var query = [("oauth_token", token)]
        for (name, value) in oauth.parameters {
            query.append((name, name == "scope" ? scopes.joined(separator: oauth.scopeSeparator) : value))
        }
        return try target(template).text + "?" + Self.encode(query)
    }

    /// The catalogue's check of a connection, by its access token; nil where there is none.
    func probeJob() throws(VaultError) -> BrokerOAuth? {
        guard connector.healthCheck.kind == .http, let template = connector.healthCheck.url,
            let method = connector.healthCheck.method, !has("extra_header") || connector.healthCheck.headers != nil
        else { return nil }
        guard oauth.signatureMethod == nil else {
            var job = try signedJob(.probe, at: try target(template))
            job.method = .get
            return job
        }
        var job = BrokerOAuth(.probe, at: try target(template))
        job.method = method == "POST" ? .post : .get
        job.headers = (connector.healthCheck.headers ?? []).map { BrokerOAuth.Pair($0.name, $0.value) }
        job.parameters = connector.healthCheck.parameters.map { BrokerOAuth.Pair($0.name, $0.value) }
        job.body = job.parameters.isEmpty ? .none : .json
        job.tokenPlace = .bearer
        if has("errors_in_200") { job.quirks = .errorsIn200 }
        if has("mutual_tls") { job.clientCertificate = fields["client_certificate"].map { Array($0.utf8) } }
        return job
    }
}
