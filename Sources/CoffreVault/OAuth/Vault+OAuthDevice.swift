internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// Consents of people who sit at another device (RFC 8628).
extension Vault {
    func startDevice(
        _ order: ConsentOrder,
        _ what: AuditWhat,
        _ context: RequestContext,
        _ caller: Caller
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        var job = try order.provider.tokenJob(.deviceStart, at: order.provider.oauth.deviceURL)
        if !order.scopes.isEmpty {
            job.parameters.append(.init("scope", order.scopes.joined(separator: order.provider.oauth.scopeSeparator)))
        }
        let secrets = try clientSecrets(job, order.connection, order.provider)
        let errand = OAuthErrand(.probe, order.connection.id, 0)
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await finishOAuth(result.id)
        if case .failed(let problem) = result.reply.outcome { throw VaultError(.upstream, problem.sentence) }
        guard unsealed === state, let code = result.secrets[.deviceCode], let user = result.reply.userCode,
            let page = result.reply.verificationURI
        else { throw VaultError(.upstream, OAuthProblem.malformed.sentence) }
        let seconds = min(1800, Int64(clamping: result.reply.expiresIn ?? 600))
        let token = Random.secretBase62(43)
        let consent = pending(order, secret: code, context, caller, seconds: seconds)
        state.consents[hash(token, state)] = consent
        var members: [JSONValue.Member] = [
            .init("state", .string(token.withBytes { String(decoding: $0, as: UTF8.self) })),
            .init("user_code", .string(user)), .init("verification_uri", .string(page)),
            .init("verification_uri_complete", result.reply.verificationURIComplete.map { .string($0) } ?? .null),
            .init("interval", .integer(result.reply.interval ?? 5)),
            .init("expires", .string(consent.expires.rfc3339)),
        ]
        members += facts(order)
        return Effect(.data(.object(members)), what: what)
    }

    /// Asks once whether the person has answered. `state` serves until they have.
    func pollDevice(_ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let token = try callback(context).state
        let consent = try takeConsent(token, context)
        guard let state = unsealed, let code = consent.secret,
            let connection = state.connections[consent.connection], connection.state == .active,
            connection.generation == consent.connectionGeneration
        else { throw VaultError.badRequest("the connection was changed since the consent began: begin again") }
        let provider = try OAuthProvider(connection)
        var what = what
        what.connector = connection.id
        guard consent.flow == .device else {
            throw VaultError.badRequest("this state is not one of a device: complete it with its code")
        }
        let id = connection.id
        let answer: OAuthProblem?
        do {
            answer = try await askDevice(consent, code, connection, provider)
        } catch let error as VaultError where error.code == .brokerUnavailable {
            // The person need not begin again for that.
            if unsealed === state { state.consents[hash(token, state)] = consent }
            throw error
        }
        guard let answer else { return try await connected(id, what) }
        if unsealed === state { state.consents[hash(token, state)] = consent }
        let isSlow = answer == .slowDown
        return Effect(
            .data([
                "pending": .bool(true), "reason": .string(answer.sentence), "slow_down": .bool(isSlow),
            ]),
            what: what
        )
    }

    /// - Returns: why there is no grant yet; nil when there is.
    private func askDevice(
        _ consent: PendingConsent,
        _ code: SharedSecret,
        _ connection: Connection,
        _ provider: OAuthProvider
    ) async throws -> OAuthProblem? {
        let id = connection.id
        return try await inGrantTurn(id) { _ in
            try await collectAnswers(of: id)
            let errand = consentErrand(.device, consent.scopes, consent.entity, connection)
            let job = try provider.tokenJob(.devicePoll)
            var secrets = try clientSecrets(job, connection, provider)
            secrets[.grant] = code
            let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
            if case .failed(let problem) = result.reply.outcome, problem.isTemporary {
                try await finishOAuth(result.id)
                return problem
            }
            try await use(result, errand)
            return nil
        }
    }
}
