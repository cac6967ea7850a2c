package import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Every decision about a secret, on one serial executor (the event loop that also parses requests).
///
/// A request comes in through ``perform(_:as:completion:)``; an answer goes out only as a ``ReleasedAnswer``, made from the
/// receipt of its durable record.
package actor Vault {
    /// What the vault tells the journal: level, constant message, safe facts.
    package typealias Journal = @Sendable (_ isError: Bool, _ message: String, _ facts: [String: String]) -> Void

    private nonisolated let executor: any SerialExecutor
    nonisolated package var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let configuration: VaultConfiguration
    let audit: AuditLog
    let barrier: Barrier
    let sealStore: SealStore
    let broker: any BrokerTransport
    let clock: VaultClock
    let journal: Journal

    /// Rights, tokens and caches; nil while sealed.
    var unsealed: UnsealedState?
    /// Changes with every seal and unseal: an answer decided in another epoch is never released.
    var sealEpoch: UInt64 = 0
    var unsealProgress: UnsealProgress?
    var rekey: RekeyAttempt?
    var rootAttempt: RootAttempt?
    /// Why nothing is served although the vault is open; nil in normal work.
    var holdReason: String?
    /// A snapshot that is being taken or sent, and a restore that is being confirmed.
    var snapshots = SnapshotSlot()
    var isConfirmingRestore = false
    /// Questions to the audit log that are being answered.
    var logReaders = 0
    /// Jobs whose answer somebody waits for.
    var openJobs: Set<BrokerJobID> = []
    var budget: RefusalBudget
    var counters = VaultCounters()
    /// Monotonic nanoseconds.
    let startedAt: UInt64
    var waitingAnswers: Int { pending.count }
    private var pending: [UInt64: PendingAnswer] = [:]
    private var nextPending: UInt64 = 0
    private var people: [Principal: AuditWho] = [:]

    private struct PendingAnswer {
        let draft: AnswerDraft
        let epoch: UInt64
        let token: Digest?
        /// Sealing is itself answered after the seal.
        let survivesSeal: Bool
        let context: RequestContext
        let completion: @Sendable (ReleasedAnswer) -> Void
    }

    /// - Parameters:
    ///   - executor: where all of the vault's work runs.
    ///   - audit: completions must be delivered on `executor`.
    ///   - barrier: likewise.
    package init(
        configuration: VaultConfiguration,
        executor: any SerialExecutor,
        audit: AuditLog,
        barrier: Barrier,
        sealStore: SealStore,
        broker: any BrokerTransport,
        clock: VaultClock,
        journal: @escaping Journal
    ) {
        self.configuration = configuration
        self.executor = executor
        self.audit = audit
        self.barrier = barrier
        self.sealStore = sealStore
        self.broker = broker
        self.clock = clock
        self.journal = journal
        startedAt = clock.monotonic()
        budget = RefusalBudget(limitPerSecond: configuration.refusalsPerSecond)
    }

    /// - Parameters:
    ///   - person: for whom the service asks, or why that is not believed; nil when it asks for itself.
    ///   - hasWaited: whether it was slowed down before.
    func perform(
        _ request: VaultRequest,
        as principal: Principal,
        for person: Result<ActingPerson, VaultError>?,
        hasWaited: Bool = false,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        var context = RequestContext(request, principal: principal, now: clock.now())
        context.person = person
        context.decoy = unsealed?.decoys.touched(by: context.path)
        if let answer = statusRoute(context) {
            completion(answer)
            return
        }
        var endpoint: Endpoint?
        do {
            context = try context.resolvingListQuery()
            try decide(&context, &endpoint)
            switch gradedAnswer(context, endpoint) {
            case .asUsual: break
            case .slow where hasWaited: break
            case .slow(let milliseconds): return wait(milliseconds, request, principal, person, completion)
            case .hold(let incident):
                endpoint?.what.details.append(("held", .int(Int64(clamping: incident))))
                throw VaultError.held(incident)
            }
            guard let endpoint else { throw VaultError.notFound }
            if isUnknownSet(context) {
                return decideAgain(request, principal, hasWaited, completion, afterKeeping: context)
            }
            if case .read(let body) = endpoint.work, context.wrapTTL == 0, !context.usesLimitedToken {
                let effect = try listed(body(self, context), context)
                release(context, endpoint, .success(effect), .single, [], completion)
                return
            }
            let context = context
            if case .inquiry(let body) = endpoint.work, context.wrapTTL == 0, !context.usesLimitedToken {
                Task { await self.inquire(context, endpoint, body, completion) }
            } else {
                Task { await self.change(context, endpoint, completion) }
            }
        } catch {
            let error = VaultError(mapping: error)
            if isUnknownSet(context) {
                return decideAgain(request, principal, hasWaited, completion, afterKeeping: context)
            }
            guard context.usesLimitedToken else {
                release(context, endpoint, .failure(error), .single, [], completion)
                return
            }
            // A refused request is a use as well.
            let (context, endpoint) = (context, endpoint)
            Task {
                let used = try? await self.consumeUse(of: context)
                self.release(context, endpoint, .failure(error), .single, [], self.ending(used, completion))
            }
        }
    }

    /// Records and answers a request that the HTTP layer could not accept.
    package func refuse(
        _ refused: RefusedRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        let request = VaultRequest(verb: .other, path: [], acceptedAt: refused.acceptedAt)
        let context = RequestContext(request, principal: principal, now: clock.now())
        let digest = refused.target.withUnsafeBytes { audit.keyedDigest($0, domain: "path") }
        var what = AuditWhat()
        what.pathDigest = digest
        what.pathLength = refused.target.count
        var draft = AnswerDraft(
            status: refused.status,
            body: ResponseBody(
                JSONValue.object(["errors": .strings(refused.message.isEmpty ? [] : [refused.message])]).encoded()
            )
        )
        var code = AuditDraft.Outcome.error
        if budget.isOver(uid: principal.uid, at: clock.monotonic()) {
            answerFlood(context, nil, completion)
            return
        }
        if refused.status == 429 { code = .rateLimited }
        draft.headers = []
        let record = AuditDraft(
            .requestInvalid,
            outcome: code,
            error: refused.reason.rawValue,
            correlation: context.correlation,
            acceptedAt: refused.acceptedAt,
            who: who(of: principal),
            what: what
        )
        park(draft, context, survivesSeal: true, record: record, completion)
    }

    /// Whether the record would name a set of policies that nobody could look up later.
    private func isUnknownSet(_ context: RequestContext) -> Bool {
        guard context.why !== AuditWhy.none, let caller = context.caller, let state = unsealed else { return false }
        return caller.policySets.contains { !state.policyHistory.sets.contains($0.digest) }
    }

    /// The first use of a set: it is stored, and then all is decided anew, since what held before may hold no more.
    private func decideAgain(
        _ request: VaultRequest,
        _ principal: Principal,
        _ hasWaited: Bool,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void,
        afterKeeping context: RequestContext
    ) {
        guard let sets = context.caller?.policySets else { return }
        Task {
            for set in sets { await self.keep(set) }
            self.perform(request, as: principal, for: context.person, hasWaited: hasWaited, completion: completion)
        }
    }

    private func inquire(
        _ context: RequestContext,
        _ endpoint: Endpoint,
        _ body: @Sendable (isolated Vault, RequestContext) async throws -> Effect,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) async {
        do {
            let effect = try await body(self, context)
            release(context, endpoint, .success(effect), .single, [], completion)
        } catch {
            release(context, endpoint, .failure(VaultError(mapping: error)), .single, [], completion)
        }
    }

    /// Carries out a change, and whatever else has to be durable before its answer.
    private func change(
        _ context: RequestContext,
        _ endpoint: Endpoint,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) async {
        var (context, completion) = (context, completion)
        let epoch = sealEpoch
        let intent: AuditReceipt
        do {
            intent = try await appendRecord(
                AuditDraft(
                    endpoint.operation,
                    phase: .intent,
                    outcome: .granted,
                    correlation: context.correlation,
                    acceptedAt: context.request.acceptedAt,
                    who: context.caller?.who ?? who(of: context.principal),
                    what: recorded(endpoint.what, context, isTouch: false),
                    why: context.why
                )
            )
        } catch {
            logFailed(error)
            completion(.logUnavailable(error))
            return
        }
        do {
            guard epoch == sealEpoch else { throw VaultError.sealed }
            // While the intent was written the token may have been revoked: what is revoked changes nothing more.
            if let token = context.caller?.token, let state = unsealed, try !isAlive(token, state) {
                throw VaultError.permissionDenied
            }
            context.intent = intent
            if let used = try await consumeUse(of: context) {
                context.caller = context.caller?.replacing(token: used)
                completion = ending(used, completion)
            }
            var effect: Effect
            switch endpoint.work {
            case .read(let body): effect = try listed(body(self, context), context)
            case .inquiry(let body), .change(let body): effect = try await body(self, context)
            }
            if context.wrapTTL > 0 { effect = try await wrap(effect, context) }
            release(context, endpoint, .success(effect), .outcome, [intent.index], completion)
        } catch {
            release(context, endpoint, .failure(VaultError(mapping: error)), .outcome, [intent.index], completion)
        }
    }

    /// Appends the record and parks the answer until it is durable.
    private func release(
        _ context: RequestContext,
        _ endpoint: Endpoint?,
        _ result: Result<Effect, VaultError>,
        _ phase: AuditDraft.Phase,
        _ references: [UInt64],
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        var effect: Effect
        var outcome = AuditDraft.Outcome.granted
        var note: VaultError.RecordNote?
        switch result {
        case .success(let value):
            effect = value
            if value.failure != nil { outcome = .error }
        case .failure(let error):
            note = error.note
            effect = Effect(.failure(error), failure: note?.error ?? error.code.rawValue)
            outcome = error.code == .permissionDenied ? .denied : error.code == .rateLimited ? .rateLimited : .error
            if let cause = error.cause {
                journal(true, "request failed", ["code": error.code.rawValue, "cause": "\(cause)"])
            }
            if phase == .single, budget.isOver(uid: context.principal.uid, at: clock.monotonic()) {
                answerFlood(context, note, completion)
                return
            }
        }
        counters.count(outcome)
        if phase == .outcome { counters.changes &+= 1 }
        if endpoint == nil { effect.what = unmatchedFacts(context) }
        if let note { effect.what = (effect.what ?? endpoint?.what ?? AuditWhat()).adding(note.details) }
        let operation =
            effect.operation ?? endpoint?.operation
            ?? (outcome == .denied && (context.caller == nil || context.hasRefusedPerson)
                ? .authFail : .requestUnmatched)
        let record = AuditDraft(
            operation,
            phase: phase,
            outcome: outcome,
            error: effect.failure,
            correlation: context.correlation,
            references: references,
            generation: effect.generation,
            acceptedAt: context.request.acceptedAt,
            who: context.caller?.who ?? who(of: context.principal),
            what: recorded(effect.what ?? endpoint?.what ?? AuditWhat(), context, isTouch: isTouch(context, outcome)),
            why: context.why
        )
        let draft = effect.reply.draft(requestID: context.requestID)
        // Who revokes its own token hears of it, as who seals does.
        let survives = operation == .seal || operation == .tokenRevoke || outcome != .granted
        park(draft, context, survivesSeal: survives, record: record, completion)
    }

    private func park(
        _ draft: AnswerDraft,
        _ context: RequestContext,
        survivesSeal: Bool,
        record: AuditDraft,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        let id = nextPending
        nextPending &+= 1
        pending[id] = PendingAnswer(
            draft: draft,
            epoch: sealEpoch,
            token: context.caller?.token?.hash,
            survivesSeal: survivesSeal,
            context: context,
            completion: completion
        )
        audit.append(record) { result in
            self.assumeIsolated { $0.complete(id, result) }
        }
    }

    /// The record is durable, or never will be.
    private func complete(_ id: UInt64, _ result: Result<AuditReceipt, AuditError>) {
        guard let answer = pending.removeValue(forKey: id) else { return }
        switch result {
        case .failure(let error):
            logFailed(error)
            answer.completion(.logUnavailable(error))
        case .success(let receipt):
            var draft = answer.draft
            if !answer.survivesSeal, answer.epoch != sealEpoch {
                draft = Reply.failure(.sealed).draft(requestID: answer.context.requestID)
            } else if let token = answer.token, unsealed?.revokedTokens.contains(token) == true, !answer.survivesSeal {
                draft = Reply.failure(.permissionDenied).draft(requestID: answer.context.requestID)
            }
            answer.completion(ReleasedAnswer(draft, receipt: receipt))
        }
        if pending.isEmpty { unsealed?.revokedTokens.removeAll() }
    }

    private func logFailed(_ error: any Error) {
        counters.logFailures &+= 1
        // A disk that is nearly full has been told of, once.
        if case .nearlyFull = error as? AuditError { return }
        journal(true, "audit log cannot be written", ["error": "\(error)"])
    }

    // MARK: facts

    /// Pseudonyms may have changed; and who is seen again tomorrow must be seen to be.
    func forgetPeople() {
        people.removeAll()
        unsealed?.forgetCallers()
    }

    /// What a record says of a caller known by its process alone.
    func who(of principal: Principal) -> AuditWho {
        if let known = people[principal] { return known }
        let who = makeWho(principal, sid: nil, accessor: nil)
        if people.count >= 4096 { people.removeAll() }
        people[principal] = who
        return who
    }
}
