internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// The end of a grant on both sides. The tokens here are wiped with the connection, after what the provider said is durable.
extension Vault {
    /// Ends the tokens at the provider, by the refresh token where there is one, and tries whether they are dead.
    /// - Throws: ``VaultError`` of the broker or the provider: nothing is wiped then.
    func revokeGrant(_ id: String) async throws {
        guard let known = unsealed?.grants[id], known.life.state != .revoked else { return }
        try await recorded(.oauthRevoke, AuditWhat(connector: id)) {
            try await inGrantTurn(id) { state in
                try await collectAnswers(of: id)
                guard let connection = state.connections[id], let grant = state.grants[id],
                    grant.life.state != .revoked
                else { return }
                let outcome = try await revokeNow(connection, grant)
                try await inConnectionTurn { state in
                    guard let old = state.grants[id] else { return }
                    var grant = old
                    var random = SystemRandomNumberGenerator()
                    _ = grant.life.handle(.revoked, at: clock.now(), using: &random)
                    grant.revocation = outcome
                    _ = try await commit(storing(grant, replacing: old))
                    stored(grant, state)
                }
                journal(false, "a grant was revoked", ["connection": connection.name, "outcome": outcome])
            }
        }
    }

    /// What a person has to do where a provider has no call that ends tokens; nil where it has, or there are none.
    func localEnding(of id: String, _ state: UnsealedState) -> String? {
        guard let connection = state.connections[id], let grant = state.grants[id], grant.life.generation > 0,
            let provider = try? OAuthProvider(connection, learnt: grant.learnt),
            case .some(.none) = try? provider.revokeJob()
        else { return nil }
        return "the provider has no call that ends tokens, so they are wiped here alone: "
            + provider.connector.revocation.how.english
    }

    private func revokeNow(_ connection: Connection, _ grant: OAuthGrant) async throws -> String {
        let access = try barrier.get(OAuthKey.access(connection.id))?.value
        let refresh = try barrier.get(OAuthKey.refresh(connection.id))?.value
        guard access != nil || refresh != nil else { return "nothing was stored" }
        let provider = try OAuthProvider(connection, learnt: grant.learnt)
        guard let ending = try provider.revokeJob() else {
            return "the provider has no call for it: \(provider.connector.revocation.how.english)"
        }
        let job: BrokerOAuth
        let token: SharedSecret?
        switch ending {
        case .refreshToken(let made): (job, token) = (made, refresh ?? access)
        case .accessToken(let made): (job, token) = (made, access ?? refresh)
        }
        var secrets = try clientSecrets(job, connection, provider)
        secrets[.grant] = token
        let result = try await ask(job, secrets, .revoke, connection, grant)
        if case .failed(let problem) = result.reply.outcome {
            // What is not valid any more need not be ended.
            guard problem == .invalidToken || problem == .invalidGrant else {
                throw VaultError(.upstream, "the provider did not revoke the tokens: \(problem.sentence)")
            }
            return "the provider knows the tokens no more"
        }
        // Where the catalogue's call needs a value that never came, there is nothing to try it with.
        guard let access, let probe = (try? provider.probeJob()) ?? nil else { return "revoked" }
        var proof = try clientSecrets(probe, connection, provider)
        proof[.grant] = access
        let tried = try await ask(probe, proof, .probe, connection, grant)
        switch tried.reply.outcome {
        case .failed(.invalidToken): return "revoked, and tried: the access token is dead"
        case .granted: return "revoked; the access token still lives until it ends by itself"
        case .failed: return "revoked; whether the access token is dead could not be tried"
        }
    }

    /// One exchange whose answer holds no tokens: nothing has to be durable before it is forgotten.
    private func ask(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: SharedSecret],
        _ step: OAuthErrand.Step,
        _ connection: Connection,
        _ grant: OAuthGrant
    ) async throws -> OAuthResult {
        let errand = OAuthErrand(step, connection.id, grant.life.generation)
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await finishOAuth(result.id)
        return result
    }

    /// `connectors/connections/<name>/test`: does the access token work, and what does it cover?
    func testGrant(_ connection: Connection) async throws -> JSONValue {
        guard let grant = unsealed?.grants[connection.id], grant.life.isUsable else {
            throw VaultError.badRequest("this connection has no consent yet: connect it with connectors/oauth/start")
        }
        if let left = grant.life.left(at: clock.now()), left < grant.life.leastLeft, connection.state == .active {
            try? await refreshGrant(connection.id, .wanted(left: grant.life.leastLeft))
        }
        let provider = try OAuthProvider(connection, learnt: grant.learnt)
        var members: [JSONValue.Member] = []
        let now = unsealed?.grants[connection.id] ?? grant
        if let job = (try? provider.probeJob()) ?? nil,
            let token = try barrier.get(OAuthKey.access(connection.id))?.value
        {
            var secrets = try clientSecrets(job, connection, provider)
            secrets[.grant] = token
            let start = clock.monotonic()
            let result = try await ask(job, secrets, .probe, connection, now)
            members.append(.init("latency_us", .integer((clock.monotonic() - start) / 1000)))
            members.append(.init("status", result.reply.status.map { .integer($0) } ?? .null))
            if case .failed(let problem) = result.reply.outcome {
                members.append(.init("works", .bool(false)))
                members.append(.init("failure", ConnectionFailure(problem).json))
            } else {
                members.append(.init("works", .bool(true)))
            }
        } else {
            members.append(.init("works", .null))
            members.append(
                .init("warning", "the catalogue knows no call that tries this connection: only the grant is shown")
            )
        }
        return .object(members + [.init("oauth", describe(now))])
    }
}
