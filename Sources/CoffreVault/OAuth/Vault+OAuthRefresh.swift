internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Refreshes: one at a time per grant, the job durable before it leaves, the new pair durable before anybody uses it.
extension Vault {
    /// Refreshes that run at the same time at one provider; the others wait in line.
    private static let refreshesOfProvider = 4

    /// Refreshes a grant if `event` asks for it: of many who ask at the same moment the first one does it.
    /// - Throws: ``VaultError`` of the broker or the provider; the grant's state says what comes next.
    func refreshGrant(_ id: String, _ event: OAuthLifecycle.Event) async throws {
        try await refreshInTurn(id, event)
        // What could not be asked at the consent is asked with the next token.
        _ = await askForValues(id)
    }

    private func refreshInTurn(_ id: String, _ event: OAuthLifecycle.Event) async throws {
        try await inGrantTurn(id) { state in
            // What an earlier attempt has left with the broker counts first.
            try await collectAnswers(of: id)
            // Kept alive while the connection is disabled: what lapses could not be enabled again.
            guard let connection = state.connections[id], connection.state == .active || connection.state == .disabled,
                state.grants[id] != nil
            else { return }
            let actions = try await tell(id, event)
            for case .refresh(let generation) in actions {
                try await recorded(.oauthRefresh, AuditWhat(connector: id)) {
                    try await refreshNow(connection, generation, state)
                }
            }
        }
    }

    func refreshNow(_ connection: Connection, _ generation: Int64, _ state: UnsealedState) async throws {
        let id = connection.id
        guard let grant = state.grants[id], grant.life.generation == generation else { return }
        let job: BrokerOAuth
        let secrets: [BrokerOAuth.Secret: SharedSecret]
        do {
            let provider = try OAuthProvider(connection, grant)
            job = try provider.refreshJob(grant)
            secrets = try refreshSecrets(job, grant, connection, provider)
        } catch {
            try await tell(id, .failed(.badJob, retryAfter: nil, generation: generation))
            throw error
        }
        let errand = OAuthErrand(.refresh, id, generation)
        let result: OAuthResult
        do {
            result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        } catch {
            try await tell(id, .unanswered(generation: generation))
            throw error
        }
        try await use(result, errand)
    }

    private func refreshSecrets(
        _ job: BrokerOAuth,
        _ grant: OAuthGrant,
        _ connection: Connection,
        _ provider: OAuthProvider
    ) throws -> [BrokerOAuth.Secret: SharedSecret] {
        var secrets = try clientSecrets(job, connection, provider)
        switch job.kind {
        case .refresh:
            let key = provider.has("exchange_living_token") ? OAuthKey.access : OAuthKey.refresh
            guard let token = try barrier.get(key(connection.id))?.value else {
                throw VaultError.badRequest("there is no refresh token: connect again")
            }
            secrets[.grant] = token
        case .exchange:
            guard let token = try secret("exchange_token", of: connection) else {
                throw VaultError.badRequest("the secret exchange_token of this connection is not stored: enter it")
            }
            secrets[.grant] = token
        default: break
        }
        return secrets
    }

    // MARK: answers

    /// Makes durable what an answer brought, or what it means; then the broker may forget it.
    /// - Throws: ``VaultError`` `.upstream` with the provider's reason when it said no; ``BarrierError``, and the answer is
    ///   kept then.
    func use(_ result: OAuthResult, _ errand: OAuthErrand) async throws {
        let id = errand.connection
        let (actions, grant) = try await inConnectionTurn { state -> ([OAuthLifecycle.Action], OAuthGrant?) in
            guard errand.step == .refresh || errand.step == .consent, let connection = state.connections[id],
                connection.state != .deleted,
                let old = state.grants[id] ?? newGrant(connection, errand),
                old.life.generation == errand.generation,
                errand.step == .refresh || connection.generation == errand.connectionGeneration
            else {
                // Of another consent, or of a connection that has changed: it counts for nothing.
                try await finishOAuth(result.id)
                return ([], nil)
            }
            var grant = old
            var random = SystemRandomNumberGenerator()
            var mutations: [BarrierMutation] = []
            let actions: [OAuthLifecycle.Action]
            switch result.reply.outcome {
            case .granted:
                let event = try take(result, errand, into: &grant, connection, &mutations)
                actions = grant.life.handle(event, at: clock.now(), using: &random)
            case .failed(let problem):
                guard errand.step == .refresh else {
                    try await finishOAuth(result.id)
                    return ([], nil)
                }
                actions = grant.life.handle(
                    .failed(
                        problem,
                        retryAfter: result.reply.retryAfter.map { Int64(clamping: $0) },
                        generation: errand.generation
                    ),
                    at: clock.now(),
                    using: &random
                )
            }
            let isNew = state.grants[id] == nil
            mutations += storing(grant, replacing: isNew ? nil : old)
            try await finishOAuth(result.id, with: mutations)
            stored(grant, state)
            return (actions, grant)
        }
        if let grant { raise(actions, grant) }
        if case .failed(let problem) = result.reply.outcome {
            let word = result.reply.error.map { " (\($0))" } ?? ""
            throw VaultError(problem == .busy ? .brokerUnavailable : .upstream, problem.sentence + word)
        }
    }

    private func newGrant(_ connection: Connection, _ errand: OAuthErrand) -> OAuthGrant? {
        guard errand.step == .consent, let provider = try? OAuthProvider(connection) else { return nil }
        let lives = OAuthGrant.lives(provider.oauth, rotationDays: connection.rotationDays)
        return OAuthGrant(connection: connection.id, flow: errand.flow, lives: lives, at: clock.now())
    }

    /// Puts what an answer says into the grant, and its tokens into `mutations`.
    private func take(
        _ result: OAuthResult,
        _ errand: OAuthErrand,
        into grant: inout OAuthGrant,
        _ connection: Connection,
        _ mutations: inout [BarrierMutation]
    ) throws -> OAuthLifecycle.Event {
        let id = connection.id
        let provider = try OAuthProvider(connection, grant)
        guard let access = result.secrets[.accessToken] else {
            throw VaultError(.upstream, OAuthProblem.malformed.sentence)
        }
        let isConsent = errand.step == .consent
        if isConsent {
            grant.flow = errand.flow
            grant.asked = errand.asked
            grant.redirect = errand.redirect
            grant.entity = errand.entity
            grant.learnt = errand.learnt
            grant.choices = [:]
            grant.granted = nil
            grant.revocation = nil
        }
        let known = isConsent ? nil : try barrier.get(OAuthKey.refresh(id))?.value
        let came = grant.flow.needsNobody ? nil : result.secrets[.refreshToken]
        let isReplaced = came.map { new in
            known.map { old in !new.withBytes { new in old.withBytes { Memory.isEqual(new, $0) } } } ?? true
        }
        if isReplaced == true {
            grant.ages.replaced(
                OAuthGrant.credential,
                set: isConsent ? clock.now() : grant.life.replaced,
                days: connection.rotationDays,
                at: clock.now()
            )
        }
        mutations.append(.put(OAuthKey.access(id), access, expect: .any))
        if let proof = result.secrets[.tokenSecret] {
            mutations.append(.put(OAuthKey.proof(id), proof, expect: .any))
        } else if isConsent {
            mutations.append(.delete(OAuthKey.proof(id), expect: .any))
        }
        if let came {
            mutations.append(.put(OAuthKey.refresh(id), came, expect: .any))
        } else if isConsent {
            mutations.append(.delete(OAuthKey.refresh(id), expect: .any))
        }
        // Some separate scopes otherwise than the RFC in their answers too.
        if let scope = result.reply.scope {
            grant.granted = scope.split { $0 == " " || $0 == "," }.map(String.init)
        }
        if let type = result.reply.tokenType { grant.tokenType = type }
        for item in result.reply.learnt where item.index == 0 { grant.learnt[item.name] = item.value }
        let isRenewable = came != nil || known != nil || provider.has("exchange_living_token")
        let answer = OAuthLifecycle.Answer(
            expiresIn: result.reply.expiresIn.map { Int64(clamping: $0) },
            refreshExpiresIn: result.reply.refreshExpiresIn.map { Int64(clamping: $0) },
            renewal: grant.flow.needsNobody ? .client : isRenewable ? .refreshToken : .none,
            isReplaced: isReplaced ?? provider.has("exchange_living_token")
        )
        return isConsent ? .consented(answer) : .refreshed(answer, generation: errand.generation)
    }

    // MARK: what was interrupted

    /// Uses the answers that wait at the broker for this grant. In the grant's turn.
    /// - Throws: ``VaultError`` `.brokerUnavailable`: nothing is judged without them.
    func collectAnswers(of id: String) async throws {
        for (job, about) in try unfinishedOAuth() {
            guard let errand = OAuthErrand(about) else {
                try await finishOAuth(job)
                continue
            }
            guard errand.connection == id else { continue }
            guard let result = try await collectOAuth(job) else {
                try await finishOAuth(job)
                if errand.step == .refresh { try await tell(id, .lost(generation: errand.generation)) }
                continue
            }
            do { try await use(result, errand) } catch let error as VaultError where error.code == .upstream {
                // A refusal is an answer too: the grant knows it now.
                journal(true, "an interrupted exchange was refused", ["connection": id, "reason": error.message])
            }
        }
    }

    /// At the start, and once a minute while there are any: answers of exchanges that a restart interrupted.
    func collectGrantAnswers() async {
        guard let jobs = try? unfinishedOAuth() else { return }
        var ids = Set<String>()
        for (job, about) in jobs {
            if let errand = OAuthErrand(about) {
                ids.insert(errand.connection)
            } else {
                try? await finishOAuth(job)
            }
        }
        // A refresh whose job never became durable.
        ids.formUnion(unsealed?.grants.values.filter { $0.life.state == .refreshing }.map(\.connection) ?? [])
        for id in ids.sorted() {
            do {
                try await inGrantTurn(id) { state in
                    try await self.collectAnswers(of: id)
                    if let life = state.grants[id]?.life, life.state == .refreshing {
                        try await self.tell(id, .interrupted(generation: life.generation))
                    }
                }
            } catch {
                let reason = VaultError(mapping: error).message
                journal(true, "answers of a provider could not be collected yet", ["connection": id, "reason": reason])
            }
        }
    }

    // MARK: time

    /// A due grant of the schedule.
    func grantIsDue(_ id: String, _ now: Timestamp) {
        guard let state = unsealed, let grant = state.grants[id], let due = grant.life.due else { return }
        guard due <= now else { return state.leases.schedule(Self.grantItem(id), at: due) }
        guard let connection = state.connections[id], connection.state == .active || connection.state == .disabled
        else {
            return
        }
        guard state.waitingGrants.insert(id).inserted else { return }
        let line = RevocationLine(limit: Self.refreshesOfProvider)
        state.grantLines[connection.type, default: line].waiting.append(id)
        startRefreshes(at: connection.type, state)
    }

    private func startRefreshes(at provider: String, _ state: UnsealedState) {
        while let id = state.grantLines[provider]?.next() {
            Task {
                do { try await self.refreshGrant(id, .due) } catch {
                    let reason = VaultError(mapping: error).message
                    self.journal(false, "a refresh did not succeed", ["connection": id, "reason": reason])
                    // A failure before it was written down: the schedule knows nothing of it.
                    if let due = state.grants[id]?.life.due, due <= self.clock.now() {
                        state.leases.push(Self.grantItem(id), at: self.clock.now().adding(seconds: 60))
                    }
                }
                state.waitingGrants.remove(id)
                state.grantLines[provider]?.running -= 1
                if self.unsealed === state { self.startRefreshes(at: provider, state) }
            }
        }
    }

    /// Once a minute: answers that wait, and plans that a clock which was set back has moved away.
    func reviewGrants(_ state: UnsealedState, _ now: Timestamp) {
        state.consents = state.consents.filter { $0.value.expires > now }
        for grant in state.grants.values {
            // What the schedule has lost sight of, as after a failure to write it down.
            if let due = grant.life.due, due.adding(seconds: 120) < now, !state.waitingGrants.contains(grant.connection)
            {
                grantIsDue(grant.connection, now)
            }
            guard let next = grant.life.next, next > now.adding(seconds: grant.life.keepAlive + 86_400),
                grant.life.attempts == 0
            else { continue }
            let id = grant.connection
            Task { try? await self.refreshGrant(id, .due) }
        }
        guard !state.isCollectingGrants else { return }
        let isWaiting = state.grants.values.contains { $0.life.state == .refreshing }
        guard isWaiting || (try? unfinishedOAuth().isEmpty) == false else { return }
        state.isCollectingGrants = true
        Task {
            await self.collectGrantAnswers()
            state.isCollectingGrants = false
        }
    }
}
