internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// What a browser brings back from a provider.
extension Vault {
    struct ConsentCallback {
        let state: SharedSecret
        let code: SharedSecret?
        /// `oauth_token` and `oauth_verifier` of OAuth 1.0a.
        let first: (token: SharedSecret, verifier: SharedSecret)?
        let error: String?
        let issuer: String?
        /// By the names that the provider gives them.
        let values: [String: String]
    }

    /// The members of a callback: a JSON object, or the query of the address as the browser brought it, which a web server
    /// in front passes on as it is (`application/x-www-form-urlencoded`).
    private func withCallback<R>(_ context: RequestContext, _ read: (JSONView?) throws -> R) throws -> R {
        guard let body = context.request.body,
            let form = try body.withBytes({ bytes throws(VaultError) in
                bytes.first == 0x7b ? nil : try CallbackForm.json(bytes)
            })
        else { return try withBody(context, read) }
        return try form.withBytes { try read(try JSONView($0)) }
    }

    func callback(_ context: RequestContext) throws -> ConsentCallback {
        try withCallback(context) { body in
            guard let token = try Self.secret(body, "state", 256) else {
                throw VaultError.badRequest("state is that of the address which the provider sent the browser to")
            }
            let issuer = body?["iss"]?.string
            guard body?["iss"] == nil || issuer.map({ $0.utf8.count <= 1024 }) == true else {
                throw VaultError.badRequest("iss is a text")
            }
            var values: [String: String] = [:]
            for (name, value) in body?.members ?? []
            where (1...64).contains(name.utf8.count) && !Self.secretParameters.contains(name) {
                guard let text = value.string, (1...512).contains(text.utf8.count), OAuthReply.isPrintable(text) else {
                    continue
                }
                values[name] = text
            }
            let temporary = try Self.secret(body, "oauth_token", 4096)
            let verifier = try Self.secret(body, "oauth_verifier", 256)
            return ConsentCallback(
                state: token,
                code: try Self.secret(body, "code", 4096),
                first: temporary.flatMap { temporary in verifier.map { (temporary, $0) } },
                error: body?["error"]?.string.flatMap { OAuthReply.errorWord($0.utf8) },
                issuer: issuer,
                values: values
            )
        }
    }

    private static let secretParameters: Set<String> = ["code", "state", "oauth_token", "oauth_verifier"]

    private static func secret(_ body: JSONView?, _ name: String, _ most: Int) throws(VaultError) -> SharedSecret? {
        guard let value = body?[name] else { return nil }
        guard let count = value.stringCount, (1...most).contains(count) else {
            throw .badRequest("\(name) is a text of at most \(most) bytes")
        }
        return SharedSecret(SecretBytes(count: count) { value.decodeString(into: $0) })
    }

    /// Takes a consent out of those that wait: whatever comes of it, its `state` served once.
    func takeConsent(_ token: SharedSecret, _ context: RequestContext) throws -> PendingConsent {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        let key = hash(token, state)
        guard let consent = state.consents[key], consent.expires > context.now else {
            throw VaultError.badRequest(
                "this state is unknown, was used already or is older than ten minutes: begin again"
            )
        }
        let isSame =
            consent.owner.utf8.elementsEqual(caller.owner.utf8)
            || !consent.entity.isEmpty && consent.entity.utf8.elementsEqual(caller.entityID.utf8)
        // The redirect service of a production site hands in what belongs to others: it has sudo on this path alone.
        guard isSame || caller.acl.decide(.update, path: context.path).hasSudo else {
            throw VaultError.permissionDenied
        }
        state.consents[key] = nil
        return consent
    }

    func completeConsent(_ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let callback = try callback(context)
        let consent = try takeConsent(callback.state, context)
        guard let connection = unsealed?.connections[consent.connection], connection.state == .active,
            connection.generation == consent.connectionGeneration
        else { throw VaultError.badRequest("the connection was changed since the consent began: begin again") }
        guard consent.flow.isBrowser else {
            throw VaultError.badRequest("this state is one of a device: ask connectors/oauth/device")
        }
        var what = what
        what.connector = connection.id
        let provider = try OAuthProvider(connection)
        if let issuer = callback.issuer, !provider.isIssuer(issuer) {
            throw VaultError.badRequest(
                "iss names another provider than the one that was asked: nothing was sent to either"
            )
        }
        if let error = callback.error {
            throw VaultError(.upstream, "the provider gave no consent (\(error))")
        }
        if consent.flow == .first { return try await completeFirst(consent, callback, connection, provider, what) }
        guard let code = callback.code else { throw VaultError.badRequest("code is missing") }
        let id = connection.id
        var learnt: [String: String] = [:]
        for learn in provider.oauth.learns where learn.source == .callback {
            learnt[learn.name] = callback.values[learn.member]
        }
        let values = learnt
        try await inGrantTurn(id) { _ in
            try await collectAnswers(of: id)
            var errand = consentErrand(.code, consent.scopes, consent.entity, connection)
            errand.redirect = consent.redirect
            errand.learnt = values
            var job = try provider.tokenJob(.exchange)
            job.parameters.append(.init("redirect_uri", consent.redirect))
            var secrets = try clientSecrets(job, connection, provider)
            secrets[.grant] = code
            secrets[.verifier] = consent.secret
            try await exchange(job, secrets, errand)
        }
        return try await connected(id, what)
    }
}
