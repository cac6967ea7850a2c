internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// Consents of OAuth 1.0a (RFC 5849 §2): a temporary token, a person's page, and a token whose requests are signed.
extension Vault {
    func startFirst(
        _ order: ConsentOrder,
        _ what: AuditWhat,
        _ context: RequestContext,
        _ caller: Caller
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let token = Random.secretBase62(43)
        let name = token.withBytes { String(decoding: $0, as: UTF8.self) }
        // It comes back with what the provider adds, so that one page can take the answers of both protocols.
        let callback = order.redirect + (order.redirect.contains("?") ? "&" : "?") + "state=" + name
        let job = try order.provider.temporaryJob(callback: callback)
        let secrets = try clientSecrets(job, order.connection, order.provider)
        let errand = OAuthErrand(.probe, order.connection.id, 0)
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await finishOAuth(result.id)
        if case .failed(let problem) = result.reply.outcome { throw VaultError(.upstream, problem.sentence) }
        // RFC 5849 §2.1: without it the provider speaks the protocol whose consents can be stolen.
        guard unsealed === state, result.reply.value(OAuthProvider.confirmation) == "true",
            let temporary = result.secrets[.accessToken], let proof = result.secrets[.tokenSecret]
        else { throw VaultError(.upstream, OAuthProblem.malformed.sentence) }
        let address = try order.provider.firstAuthorization(
            token: temporary.withBytes { String(decoding: $0, as: UTF8.self) },
            scopes: order.scopes
        )
        let consent = pending(order, secret: temporary, context, caller, proof: proof)
        state.consents = state.consents.filter { $0.value.expires > context.now }
        state.consents[hash(token, state)] = consent
        var members: [JSONValue.Member] = [
            .init("authorization_url", .string(address)), .init("expires", .string(consent.expires.rfc3339)),
            .init("state", .string(name)),
        ]
        members += facts(order)
        return Effect(.data(.object(members)), what: what)
    }

    func completeFirst(
        _ consent: PendingConsent,
        _ callback: ConsentCallback,
        _ connection: Connection,
        _ provider: OAuthProvider,
        _ what: AuditWhat
    ) async throws -> Effect {
        guard let first = callback.first, let temporary = consent.secret, let proof = consent.proof else {
            throw VaultError.badRequest("oauth_token or oauth_verifier is missing")
        }
        guard first.token.withBytes({ new in temporary.withBytes { Memory.isEqual(new, $0) } }) else {
            throw VaultError.badRequest("oauth_token is another one than that of this consent: begin again")
        }
        let id = connection.id
        // Nothing else ends the token of the former consent before its time.
        var former: GrantEnding?
        try await inGrantTurn(id) { state in
            try await collectAnswers(of: id)
            former = try formerTokens(of: id, state)
            var errand = consentErrand(.first, consent.scopes, consent.entity, connection)
            errand.redirect = consent.redirect
            let job = try provider.firstJob()
            var secrets = try clientSecrets(job, connection, provider)
            secrets[.grant] = temporary
            secrets[.tokenSecret] = proof
            secrets[.verifier] = first.verifier
            try await exchange(job, secrets, errand)
        }
        var effect = try await connected(id, what)
        if let former, let doubt = await endLeft(former) { effect.reply.warnings.append(doubt) }
        return effect
    }
}
