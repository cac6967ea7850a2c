internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// `connectors/oauth/…`: how a connection comes by its grant.
extension Vault {
    func oauthEndpoint(_ context: RequestContext, _ action: String, _ what: AuditWhat) -> Endpoint? {
        var what = what
        what.details.append(("step", .text(action)))
        let facts = what
        switch (action, context.verb) {
        case ("start", .write):
            return .change(.oauthConsent, facts, .capability(.update)) { vault, context in
                try await vault.startConsent(facts, context)
            }
        case ("complete", .write):
            return .change(.oauthConsent, facts, .capability(.update)) { vault, context in
                try await vault.completeConsent(facts, context)
            }
        case ("device", .write):
            return .change(.oauthConsent, facts, .capability(.update)) { vault, context in
                try await vault.pollDevice(facts, context)
            }
        case ("start", _), ("complete", _), ("device", _): return .unsupported(facts)
        default: return nil
        }
    }

    /// What a consent is begun with.
    struct ConsentOrder {
        let connection: Connection
        let provider: OAuthProvider
        let flow: OAuthGrant.Flow
        let scopes: [String]
        let redirect: String
    }

    private func consentOrder(_ context: RequestContext) throws -> ConsentOrder {
        let (name, wanted, redirect, asked) = try withBody(context) { body in
            guard let name = body?["connection"]?.string, !name.isEmpty else {
                throw VaultError.badRequest("connection names the connection that is to be connected")
            }
            let scopes = body?["scopes"]
            guard scopes == nil || scopes?.stringList != nil else {
                throw VaultError.badRequest("scopes is a list of texts")
            }
            return (name, body?["flow"]?.string, body?["redirect_uri"]?.string ?? "", scopes?.stringList)
        }
        let (connection, _) = try managedConnection(name, context)
        guard connection.state == .active else {
            throw VaultError.badRequest("this connection is \(connection.state.rawValue): enable it first")
        }
        let provider = try OAuthProvider(connection)
        guard let first = provider.flows.first else {
            throw VaultError.badRequest(
                "connections of the type \(connection.type) cannot be connected by this version: it knows no OAuth 1.0a and "
                    + "signs no statements of service accounts"
            )
        }
        let flow = wanted.map { OAuthGrant.Flow(rawValue: $0) } ?? first
        guard let flow, provider.flows.contains(flow) else {
            let known = provider.flows.map(\.rawValue).joined(separator: ", ")
            throw VaultError.badRequest("flow is one of \(known) for the type \(connection.type)")
        }
        let scopes = asked ?? provider.oauth.scopes
        guard scopes.count <= 64, scopes.allSatisfy({ Self.isScope($0) }) else {
            throw VaultError.badRequest("scopes are up to 64 words of at most 256 printable characters")
        }
        return ConsentOrder(connection: connection, provider: provider, flow: flow, scopes: scopes, redirect: redirect)
    }

    /// RFC 6749 §3.3.
    private static func isScope(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count)
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
    }

    /// Loopback (RFC 8252 §7.3), or https: the provider takes those alone that the client has registered.
    static func isRedirect(_ text: String) -> Bool {
        guard let target = try? WebTarget(text), !text.utf8.contains(0x23) else { return false }
        return target.scheme == .https || ["127.0.0.1", "::1", "localhost"].contains(target.host)
    }

    private func startConsent(_ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        let order = try consentOrder(context)
        var what = what
        what.connector = order.connection.id
        what.details += [
            ("flow", .text(order.flow.rawValue)), ("scopes", .text(order.scopes.joined(separator: " "))),
        ]
        let waiting = state.consents.values.filter { $0.expires > context.now }
        guard waiting.count < PendingConsent.most,
            waiting.count(where: { $0.owner.utf8.elementsEqual(caller.owner.utf8) }) < PendingConsent.mostOfOneOwner
        else { throw VaultError(.rateLimited, "too many consents wait already: finish some, or wait ten minutes") }
        switch order.flow {
        case .client: return try await connectClient(order, what, caller)
        case .device: return try await startDevice(order, what, context, caller)
        case .code: break
        }
        guard Self.isRedirect(order.redirect) else {
            throw VaultError.badRequest(
                "redirect_uri is a loopback address such as http://127.0.0.1:8400/callback, or an https one that is "
                    + "registered at the provider"
            )
        }
        let token = Random.secretBase62(43)
        let verifier = order.provider.oauth.pkce == .unsupported ? nil : Random.secretBase62(64)
        let challenge = verifier.map { verifier in
            let digest = verifier.withBytes { SHA256.hash($0) }.bytes
            return SharedSecret(
                Base64URL.encodeSecret(SecretBytes(count: digest.count) { $0.copyBytes(from: digest) })
            ).withBytes { String(decoding: $0, as: UTF8.self) }
        }
        let address = try order.provider.authorization(
            redirect: order.redirect,
            scopes: order.scopes,
            state: token.withBytes { String(decoding: $0, as: UTF8.self) },
            challenge: challenge
        )
        let consent = pending(order, secret: verifier, context, caller)
        state.consents = state.consents.filter { $0.value.expires > context.now }
        state.consents[hash(token, state)] = consent
        var members: [JSONValue.Member] = [
            .init("authorization_url", .string(address)), .init("expires", .string(consent.expires.rfc3339)),
            .init("state", .string(token.withBytes { String(decoding: $0, as: UTF8.self) })),
        ]
        members += facts(order)
        return Effect(.data(.object(members)), what: what)
    }

    func pending(
        _ order: ConsentOrder,
        secret: SharedSecret?,
        _ context: RequestContext,
        _ caller: Caller,
        seconds: Int64 = PendingConsent.life
    ) -> PendingConsent {
        PendingConsent(
            connection: order.connection.id,
            connectionGeneration: order.connection.generation,
            owner: caller.owner,
            entity: caller.entityID,
            flow: order.flow,
            redirect: order.redirect,
            scopes: order.scopes,
            secret: secret,
            expires: context.now.adding(seconds: seconds)
        )
    }

    func hash(_ token: SharedSecret, _ state: UnsealedState) -> Digest {
        token.withBytes { state.tokenKey.authenticate($0) }
    }

    /// What the person should know before saying yes.
    func facts(_ order: ConsentOrder) -> [JSONValue.Member] {
        let provider = order.provider
        let quirks = provider.oauth.quirks.compactMap { key in
            Catalogue.shared.quirks[key].map {
                JSONValue.object([
                    .init("key", .string(key)), .init("en", .string($0.english)), .init("fr", .string($0.french)),
                ])
            }
        }
        return [
            .init("connection", .string(order.connection.name)), .init("flow", .string(order.flow.rawValue)),
            .init("provider", .string(provider.connector.label.english)),
            .init("scopes", .strings(order.scopes)), .init("least_scopes", .strings(provider.oauth.scopes)),
            .init("proof_key", .bool(provider.oauth.pkce != .unsupported)), .init("facts", .array(quirks)),
            .init(
                "revocation",
                [
                    "en": .string(provider.connector.revocation.how.english),
                    "fr": .string(provider.connector.revocation.how.french),
                ]
            ),
        ]
    }

    // MARK: the client itself

    private func connectClient(_ order: ConsentOrder, _ what: AuditWhat, _ caller: Caller) async throws -> Effect {
        let id = order.connection.id
        try await inGrantTurn(id) { state in
            try await collectAnswers(of: id)
            let connection = order.connection
            let job = try order.provider.clientJob(order.scopes)
            var secrets = try clientSecrets(job, connection, order.provider)
            if job.kind == .exchange { secrets[.grant] = try secret("exchange_token", of: connection) }
            let errand = consentErrand(order.flow, order.scopes, caller.entityID, connection)
            try await exchange(job, secrets, errand)
        }
        return try connected(id, what)
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

    private func exchange(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: SharedSecret],
        _ errand: OAuthErrand
    ) async throws {
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await use(result, errand)
    }

    func connected(_ id: String, _ what: AuditWhat) throws -> Effect {
        guard let grant = unsealed?.grants[id], grant.life.isUsable else {
            throw VaultError.badRequest("the connection was changed at this very moment: begin again")
        }
        var reply = Reply.data(["oauth": describe(grant)])
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

    // MARK: the answer of a person

    struct ConsentCallback {
        let state: SharedSecret
        let code: SharedSecret?
        let error: String?
        let issuer: String?
        /// By the names that the provider gives them.
        let values: [String: String]
    }

    func callback(_ context: RequestContext) throws -> ConsentCallback {
        try withBody(context) { body in
            guard let token = try Self.secret(body, "state", 256) else {
                throw VaultError.badRequest("state is that of the address which the provider sent the browser to")
            }
            let issuer = body?["iss"]?.string
            guard body?["iss"] == nil || issuer.map({ $0.utf8.count <= 1024 }) == true else {
                throw VaultError.badRequest("iss is a text")
            }
            var values: [String: String] = [:]
            for (name, value) in body?.members ?? []
            where (1...64).contains(name.utf8.count) && name != "code" && name != "state" {
                guard let text = value.string, (1...512).contains(text.utf8.count), OAuthReply.isPrintable(text) else {
                    continue
                }
                values[name] = text
            }
            return ConsentCallback(
                state: token,
                code: try Self.secret(body, "code", 4096),
                error: body?["error"]?.string.flatMap { OAuthReply.errorWord($0.utf8) },
                issuer: issuer,
                values: values
            )
        }
    }

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

    private func completeConsent(_ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let callback = try callback(context)
        let consent = try takeConsent(callback.state, context)
        guard let connection = unsealed?.connections[consent.connection], connection.state == .active,
            connection.generation == consent.connectionGeneration
        else { throw VaultError.badRequest("the connection was changed since the consent began: begin again") }
        guard consent.flow == .code else {
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
        return try connected(id, what)
    }
}
