/// The kernel's word against the token's.
extension Detector {
    func checkToken(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        guard !event.token.isEmpty else { return }
        let token = state.hash(event.token)
        let unit = state.hash(event.unit)
        let kernel = state.hash(event.kernel)
        guard var known = state.tokens[token] ?? state.olderTokens[token] else {
            let binding = InsightState.TokenBinding(
                kernel: kernel,
                unit: unit,
                pid: event.pid,
                actor: key,
                since: now,
                uses: 1
            )
            return remember(binding, token)
        }
        guard known.kernel == kernel, known.unit == unit, known.actor == key else {
            let other =
                known.kernel != kernel ? "uid \(ActorProfile.shown(event.kernel))" : ActorProfile.shown(event.unit)
            return stolen(actor, from: known.pid, by: other, score: 0.98, record: event.sequence, now)
        }
        guard !known.isShared else { return }
        checkProcess(event, &known, actor, now)
        remember(known, token)
    }

    /// Commands of one person, and workers of one service, are many processes with one token. A process that has had its token for
    /// itself for long, and then shares it, is another thing; one that is replaced was started anew.
    private func checkProcess(
        _ event: InsightEvent,
        _ known: inout InsightState.TokenBinding,
        _ actor: ActorProfile,
        _ now: Int64
    ) {
        let isHabit = known.uses >= Self.fewUses && now - known.since > 10 * Span.minute
        if event.pid == known.pid {
            known.uses &+= known.uses == .max ? 0 : 1
            guard known.otherPid != 0 else { return }
            stolen(actor, from: known.pid, by: "pid \(known.otherPid)", score: 0.9, record: known.otherRecord, now)
            known.isShared = true
        } else if event.pid == known.otherPid {
            guard now - known.otherTime > Span.hour else { return }
            (known.pid, known.since, known.uses, known.otherPid) = (event.pid, known.otherTime, Self.fewUses, 0)
        } else if isHabit, known.otherPid == 0 {
            (known.otherPid, known.otherTime, known.otherRecord) = (event.pid, now, event.sequence)
        } else {
            known.isShared = true
        }
    }

    /// Uses of a token after which its process is known.
    private static let fewUses: UInt16 = 20

    private func stolen(
        _ actor: ActorProfile,
        from pid: Int64,
        by other: String,
        score: Double,
        record: UInt64,
        _ now: Int64
    ) {
        tell(
            .stolenToken,
            of: actor,
            score: score,
            records: [record],
            at: now,
            french:
                "le jeton de \(actor.shownName) est présenté par \(other), et non par le processus \(pid) qui l’a reçu",
            english: "the token of \(actor.shownName) is presented by \(other), not by process \(pid) that received it"
        )
    }

    private func remember(_ binding: InsightState.TokenBinding, _ token: UInt64) {
        if state.tokens[token] == nil, state.tokens.count >= InsightState.mostTokens / 2 {
            state.olderTokens = state.tokens
            state.tokens.removeAll(keepingCapacity: true)
        }
        state.tokens[token] = binding
    }

    /// Unseen for so long that nobody would notice.
    func checkDormancy(_ event: InsightEvent, _ actor: ActorProfile, _ now: Int64) {
        let days = Float(Double(now - actor.lastSeen) / Span.day)
        guard days > 40, days > 1.5 * actor.longestAbsence, actor.lastSeen != 0 else { return }
        let shown = Int(days)
        tell(
            .dormantAccount,
            of: actor,
            score: days > 80 ? 0.93 : 0.8,
            records: [event.sequence],
            at: now,
            pause: 6 * Span.hour,
            french: "\(actor.shownName) agit après \(shown) jours sans activité",
            english: "\(actor.shownName) acts after \(shown) days without a sign"
        )
    }

    func noteAbsence(_ actor: ActorProfile, _ now: Int64) {
        let days = Float(Double(now - actor.lastSeen) / Span.day)
        if days >= 1 { actor.longestAbsence = max(actor.longestAbsence * 0.98, days) }
    }

    func beginDay(_ actor: ActorProfile, _ now: Int64) {
        let day = localDay(now)
        guard day != actor.day else { return }
        endDay(actor)
        actor.day = day
        if !actor.sweep.isEmpty { actor.sweep = [] }
        actor.hoursToday = 0
        actor.activeDays &+= actor.activeDays == .max ? 0 : 1
        for index in actor.most.indices { actor.most[index] *= 0.97 }
    }
}
