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
                try await refreshBeforeTheEnd(connection, state)
                guard let grant = state.grants[id] else { return }
                let outcome = try await carryOut(try ending(connection, grant))
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

    /// Some providers end a grant by a living access token alone.
    private func refreshBeforeTheEnd(_ connection: Connection, _ state: UnsealedState) async throws {
        guard let grant = state.grants[connection.id], grant.life.renewal == .refreshToken,
            let left = grant.life.left(at: clock.now()), left < 60,
            try ending(connection, grant)?.needsLivingToken == true
        else { return }
        for case .refresh(let generation) in try await tell(connection.id, .forced) {
            do {
                try await recorded(.oauthRefresh, AuditWhat(connector: connection.id)) {
                    try await refreshNow(connection, generation, state)
                }
            } catch let error {
                // Then there is nothing to end by it.
                guard state.grants[connection.id]?.life.state == .needsConsent else { throw error }
            }
        }
    }

    /// What a person has to do where a provider has no call that ends tokens; nil where it has, or there are none.
    func localEnding(of id: String, _ state: UnsealedState) -> String? {
        guard let connection = state.connections[id], let grant = state.grants[id], grant.life.generation > 0,
            let provider = try? OAuthProvider(connection, grant),
            case .some(.none) = try? provider.revokeJob()
        else { return nil }
        return "the provider has no call that ends tokens, so they are wiped here alone: "
            + provider.connector.revocation.how.english
    }

    /// What ends the tokens of a grant at its provider, with all that it needs: it can be carried out after they, and what
    /// the connection was, are gone here.
    struct GrantEnding {
        let connection: Connection
        let grant: OAuthGrant
        /// Nil where there is no call for it.
        let call: (job: BrokerOAuth, secrets: [BrokerOAuth.Secret: SharedSecret])?
        /// Tries the access token; nil where nothing can.
        let trial: (job: BrokerOAuth, secrets: [BrokerOAuth.Secret: SharedSecret])?
        /// Where there is no call: what a person does.
        let how: String
        /// Whether the call takes a living access token, and a refresh token outlives one that is dead.
        var needsLivingToken = false
    }

    /// - Returns: nil when no tokens are stored.
    func ending(_ connection: Connection, _ grant: OAuthGrant) throws -> GrantEnding? {
        let access = try barrier.get(OAuthKey.access(connection.id))?.value
        let refresh = try barrier.get(OAuthKey.refresh(connection.id))?.value
        guard access != nil || refresh != nil else { return nil }
        let provider = try OAuthProvider(connection, grant)
        func lend(_ job: BrokerOAuth, _ token: SharedSecret?) throws -> (
            job: BrokerOAuth, secrets: [BrokerOAuth.Secret: SharedSecret]
        ) {
            var secrets = try clientSecrets(job, connection, provider)
            secrets[.grant] = token
            return (job, secrets)
        }
        var call: (job: BrokerOAuth, secrets: [BrokerOAuth.Secret: SharedSecret])?
        var needsLivingToken = false
        switch try provider.revokeJob() {
        case .refreshToken(let job): call = try lend(job, refresh ?? access)
        case .accessToken(let job):
            call = try lend(job, access ?? refresh)
            // Where a person has to consent again the refresh token is dead already.
            needsLivingToken = refresh != nil && grant.life.state != .needsConsent
        case nil: break
        }
        // Where the catalogue's call needs a value that never came, there is nothing to try it with.
        let probe = (try? provider.probeJob()) ?? nil
        return GrantEnding(
            connection: connection,
            grant: grant,
            call: call,
            trial: try access.flatMap { token in try probe.map { try lend($0, token) } },
            how: provider.connector.revocation.how.english,
            needsLivingToken: needsLivingToken
        )
    }

    /// - Returns: what became of the tokens.
    /// - Throws: ``VaultError`` when the provider, or the broker, did not do it.
    func carryOut(_ ending: GrantEnding?) async throws -> String {
        guard let ending else { return "nothing was stored" }
        guard let call = ending.call else { return "the provider has no call for it: \(ending.how)" }
        let result = try await ask(call.job, call.secrets, .revoke, ending.connection, ending.grant)
        var said = "revoked"
        var refusal: VaultError?
        if case .failed(let problem) = result.reply.outcome {
            let isUnknown = problem == .invalidToken || problem == .invalidGrant
            said = isUnknown ? "the provider knows the tokens no more" : "the provider refuses to revoke the tokens"
            if !isUnknown {
                refusal = VaultError(.upstream, "the provider did not revoke the tokens: \(problem.sentence)")
            } else if ending.needsLivingToken {
                refusal = VaultError(
                    .upstream,
                    "the access token has ended, and the refresh token can be ended only by one that lives: refresh it first"
                )
            }
            // A plain refusal may mean a token that is dead already; of anything else nothing is known.
            if let refusal, isUnknown || problem != .refused { throw refusal }
        }
        guard let trial = ending.trial else {
            if let refusal { throw refusal }
            return said
        }
        let tried = try await ask(trial.job, trial.secrets, .probe, ending.connection, ending.grant)
        if let refusal {
            guard case .failed(.invalidToken) = tried.reply.outcome, !ending.needsLivingToken else { throw refusal }
        }
        switch tried.reply.outcome {
        case .failed(.invalidToken): return said + ", and tried: the access token is dead"
        case .granted: return said + "; the access token still lives until it ends by itself"
        case .failed: return said + "; whether the access token is dead could not be tried"
        }
    }

    /// What would end the tokens that there are now, for when a change leaves them behind.
    func formerTokens(of id: String, _ state: UnsealedState) throws -> GrantEnding? {
        guard let grant = state.grants[id], grant.life.isUsable, let connection = state.connections[id] else {
            return nil
        }
        // A connection that no job can be made of has nothing that could be ended; the change goes on.
        return (try? ending(connection, grant)) ?? nil
    }

    /// Ends tokens that are gone here already: another client's, another host's, those of a former consent.
    /// - Returns: what somebody has to do where it did not work; nil when they are ended.
    func endLeft(_ ending: GrantEnding) async -> String? {
        do {
            var outcome = ""
            try await recorded(.oauthRevoke, AuditWhat(connector: ending.connection.id)) {
                outcome = try await carryOut(ending)
            }
            journal(false, "former tokens were ended", ["connection": ending.connection.name, "outcome": outcome])
            guard ending.call == nil else { return nil }
            return "the former tokens still live: \(outcome)"
        } catch {
            let reason = VaultError(mapping: error).message
            journal(true, "former tokens were not ended", ["connection": ending.connection.name, "reason": reason])
            return "the former tokens could not be ended at the provider, end them there: \(reason)"
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
        let doubt = await askForValues(connection.id, again: true)
        let provider = try OAuthProvider(connection, unsealed?.grants[connection.id] ?? grant)
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
            if let doubt { members.append(.init("warning", .string(doubt))) }
        } else {
            members.append(.init("works", .null))
            members.append(
                .init("warning", "the catalogue knows no call that tries this connection: only the grant is shown")
            )
        }
        return .object(members + [.init("oauth", describe(now))])
    }
}
