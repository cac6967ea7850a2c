internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// From an order to a grant.
extension Vault {
    /// A token in the name of the client, or of an account that signs: nobody has to agree.
    func connectClient(_ order: ConsentOrder, _ what: AuditWhat, _ caller: Caller) async throws -> Effect {
        let id = order.connection.id
        try await inGrantTurn(id) { state in
            try await collectAnswers(of: id)
            let connection = order.connection
            let isClient = order.flow == .client
            let provider = order.provider
            let job = isClient ? try provider.clientJob(order.scopes) : try provider.serviceJob(order.scopes)
            var secrets = try clientSecrets(job, connection, provider)
            if job.kind == .exchange { secrets[.grant] = try secret("exchange_token", of: connection) }
            let errand = consentErrand(order.flow, order.scopes, caller.entityID, connection)
            try await exchange(job, secrets, errand)
        }
        return try await connected(id, what)
    }

    func consentErrand(
        _ flow: OAuthGrant.Flow,
        _ scopes: [String],
        _ entity: String,
        _ connection: Connection
    ) -> OAuthErrand {
        let generation = unsealed?.grants[connection.id]?.life.generation ?? 0
        var errand = OAuthErrand(.consent, connection.id, generation)
        errand.connectionGeneration = connection.generation
        errand.flow = flow
        errand.asked = scopes
        errand.entity = entity
        return errand
    }

    func exchange(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: SharedSecret],
        _ errand: OAuthErrand
    ) async throws {
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await use(result, errand)
    }

    /// The answer to whoever connected, when the grant is there and what it can do has been asked for.
    func connected(_ id: String, _ what: AuditWhat) async throws -> Effect {
        let doubt = await askForValues(id)
        guard let grant = unsealed?.grants[id], grant.life.isUsable else {
            throw VaultError.badRequest("the connection was changed at this very moment: begin again")
        }
        var reply = Reply.data(["oauth": describe(grant)])
        if let doubt { reply.warnings.append(doubt) }
        if !grant.missing.isEmpty {
            reply.warnings.append("not granted, though asked for: " + grant.missing.joined(separator: ", "))
        }
        if grant.life.renewal == .none {
            reply.warnings.append(
                "the provider gave nothing to refresh by: somebody has to connect again when the token ends"
            )
        }
        return Effect(reply, generation: barrier.generation, what: what)
    }
}
