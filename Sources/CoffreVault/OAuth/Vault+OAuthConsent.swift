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
                "connections of the type \(connection.type) cannot be connected by this version: it knows no way to a token"
            )
        }
        let flow = wanted.map { OAuthGrant.Flow(rawValue: $0) } ?? first
        guard let flow, provider.flows.contains(flow) else {
            let known = provider.flows.map(\.rawValue).joined(separator: ", ")
            throw VaultError.badRequest("flow is one of \(known) for the type \(connection.type)")
        }
        // Where a statement names no scopes, they are those that somebody agreed to at the provider.
        let takesScopes = flow != .service || provider.oauth.assertion?.hasScopes == true
        let scopes = asked ?? (takesScopes ? provider.oauth.scopes : [])
        guard takesScopes || scopes.isEmpty else {
            throw VaultError.badRequest("statements for this provider name no scopes: they are set at the provider")
        }
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
        case .client, .service: return try await connectClient(order, what, caller)
        case .device: return try await startDevice(order, what, context, caller)
        case .code, .first: break
        }
        guard Self.isRedirect(order.redirect) else {
            throw VaultError.badRequest(
                "redirect_uri is a loopback address such as http://127.0.0.1:8400/callback, or an https one that is "
                    + "registered at the provider"
            )
        }
        guard order.flow == .code else { return try await startFirst(order, what, context, caller) }
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
        seconds: Int64 = PendingConsent.life,
        proof: SharedSecret? = nil
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
            proof: proof,
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
}
