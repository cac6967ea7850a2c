/// The kernel's word against the token's.
extension Detector {
    func checkToken(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        guard !event.token.isEmpty else { return }
        let token = state.hash(event.token)
        let unit = state.hash(event.unit)
        let kernel = state.hash(event.kernel)
        let binding = InsightState.TokenBinding(kernel: kernel, unit: unit, pid: event.pid, actor: key)
        guard let known = state.tokens[token] ?? state.olderTokens[token] else { return remember(binding, token) }
        guard known != binding else { return }
        let other =
            known.kernel != kernel
            ? "uid \(ActorProfile.shown(event.kernel))"
            : known.unit != unit ? ActorProfile.shown(event.unit) : "pid \(event.pid)"
        let isSure = known.kernel != kernel || known.unit != unit || known.actor != key
        tell(
            .stolenToken,
            of: actor,
            score: isSure ? 0.98 : 0.9,
            records: [event.sequence],
            at: now,
            french:
                "le jeton de \(actor.shownName) est présenté par \(other), et non par le processus \(known.pid) qui l’a reçu",
            english:
                "the token of \(actor.shownName) is presented by \(other), not by process \(known.pid) that received it"
        )
    }

    private func remember(_ binding: InsightState.TokenBinding, _ token: UInt64) {
        if state.tokens.count >= InsightState.mostTokens / 2 {
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
        actor.hoursToday = 0
        actor.activeDays &+= actor.activeDays == .max ? 0 : 1
        for index in actor.most.indices { actor.most[index] *= 0.97 }
    }
}
