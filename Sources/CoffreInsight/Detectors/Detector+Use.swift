/// Secrets that an actor has not used before.
extension Detector {
    func checkUse(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        let day = localDay(now)
        let secret = state.hash(event.connector, event.path)
        noteFanout(event, secret, actor, now)
        let place = actor.secrets.firstIndex { $0.key == secret }
        if let place, actor.secrets[place].use != .refused {
            let staleDays = day - actor.secrets[place].day
            actor.secrets[place].day = day
            if event.outcome == .ok { noteUse(secret, actor) }
            if staleDays > 20 { unfamiliar(event, fast: 0.4, slow: 0.1, actor, now) }
            if actor.secrets[place].use == .written, event.operation != .write {
                actor.secrets[place].use = .read
                if !isSettled(actor, now) { noteSweep(event, actor, now) }
            }
            return
        }
        let memory = state.secrets[secret] ?? InsightState.SecretMemory()
        let isAllowed = memory.isListed ? memory.allowed & actor.teams != 0 : memory.used & actor.teams != 0
        let isKnownSecret = memory.isListed || memory.used != 0
        let isSettled = isSettled(actor, now)
        if event.outcome == .ok {
            let use: ActorProfile.KnownSecret.Use = event.operation == .write ? .written : .read
            if let place { actor.secrets.remove(at: place) }
            actor.remember(.init(key: secret, day: day, use: use), isSettled: isSettled)
        } else if place == nil, !isSettled || event.outcome == .error {
            actor.remember(.init(key: secret, day: day, use: .refused), isSettled: isSettled)
        }
        defer { if event.outcome == .ok { noteUse(secret, actor) } }
        guard !actor.isFormer(secret) else { return }
        guard isSettled else {
            if place == nil { noteSweep(event, actor, now) }
            return
        }
        if !actor.sweep.isEmpty { actor.sweep = [] }
        // What is not there is news once.
        guard place == nil || event.outcome != .error else { return }
        let grant = edit(for: key, actor, since: now - 24 * Span.hour)
        let isOut = isKnownSecret && !isAllowed
        if let grant, event.outcome == .ok, isOut,
            memory.isSensitive || now - state.edits[grant].time < 30 * Span.minute
        {
            return escalated(event, grant, actor, now)
        }
        // What an administrator gave is used.
        let isExplained = edit(for: key, actor, since: now - 3 * Span.dayLength, direct: true) != nil && isAllowed
        let isNew = actor.registered != 0 && now - actor.registered < 5 * Span.dayLength
        // Some days are needed to know what belongs to somebody's work.
        let isEarly = !isOut && (now - state.begin < 9 * Span.dayLength || actor.activeDays < 8)
        var (fast, slow): (Float, Float)
        switch (isOut, event.outcome, memory.isSensitive) {
        case (true, .denied, true): (fast, slow) = (2.5, 2)
        case (true, .denied, false): (fast, slow) = (0.9, 0.5)
        case (true, _, true): (fast, slow) = (4, 2)
        case (true, _, false): (fast, slow) = (2, 1.6)
        case (false, _, true): (fast, slow) = isEarly ? (0.7, 0.2) : (2.5, 1.5)
        case (false, _, false): (fast, slow) = isEarly ? (0.6, 0) : (0.8, 0.3)
        }
        if !isOut, isExplained || isNew { return }
        // What a service has a right to, it may do once a month.
        if !isOut, actor.kind == .service { (fast, slow) = (0.45, 0.1) }
        if memory.isSensitive, isOut || !isEarly && actor.kind == .user { firstSensitive(event, isOut, actor, now) }
        unfamiliar(event, fast: fast, slow: slow, actor, now)
    }

    private func noteUse(_ secret: UInt64, _ actor: ActorProfile) {
        if state.secrets[secret] == nil, state.secrets.count >= InsightState.mostSecrets { return }
        state.secrets[secret, default: InsightState.SecretMemory()].used |= actor.teams
    }

    /// Whose habits nobody knows may learn its work, not go through everything: a first day takes hours, a sweep minutes.
    private func noteSweep(_ event: InsightEvent, _ actor: ActorProfile, _ now: Int64) {
        guard event.operation != .write else { return }
        if now - actor.sweepStart > 10 * Span.minute {
            (actor.sweepStart, actor.sweepCount, actor.sweep) = (now, 0, [])
        }
        actor.sweepCount &+= actor.sweepCount == .max ? 0 : 1
        // Few ask for so many: nobody else pays for the memory.
        guard actor.sweepCount > 9 else { return }
        if actor.sweep.count >= ActorProfile.mostNovelties { actor.sweep.removeFirst() }
        actor.sweep.append(event.sequence)
        guard actor.sweepCount >= 20 else { return }
        let minutes = max(1, (now - actor.sweepStart) / Span.minute)
        tell(
            .massEnumeration,
            of: actor,
            score: 0.8,
            records: actor.sweep,
            at: now,
            french:
                "\(actor.shownName), dont les habitudes ne sont pas encore connues, demande \(actor.sweepCount) secrets différents en \(minutes) min",
            english:
                "\(actor.shownName), whose habits are not known yet, asks for \(actor.sweepCount) different secrets in \(minutes) min"
        )
    }

    /// Nobody is judged by habits that there were no days to learn.
    func isSettled(_ actor: ActorProfile, _ now: Int64) -> Bool {
        now - state.begin > 3 * Span.dayLength && (actor.isOld || actor.activeDays > 2)
    }

    private func firstSensitive(
        _ event: InsightEvent,
        _ isOut: Bool,
        _ actor: ActorProfile,
        _ now: Int64
    ) {
        let name = ActorProfile.shown("\(event.connector)/\(event.path)")
        tell(
            .firstSensitiveAccess,
            of: actor,
            score: isOut ? 0.88 : 0.72,
            records: [event.sequence],
            at: now,
            pause: 2 * Span.hour,
            french:
                "\(actor.shownName) \(event.outcome == .denied ? "demande" : "lit") pour la première fois le secret sensible \(name)\(isOut ? ", qui n’est pas de son équipe" : ", sans attribution qui l’explique")",
            english:
                "\(actor.shownName) \(event.outcome == .denied ? "asks for" : "reads") the sensitive secret \(name) for the first time\(isOut ? ", which is not its team's" : ", with no grant that explains it")"
        )
    }

    /// Adds up what is unfamiliar, over minutes and over days.
    private func unfamiliar(_ event: InsightEvent, fast: Float, slow: Float, _ actor: ActorProfile, _ now: Int64) {
        guard isSettled(actor, now) else { return }
        actor.remember(.init(time: now, weight: fast, sequence: event.sequence))
        let recent = actor.novelties.filter { $0.time >= now - 50 * Span.minute }
        let sum = recent.reduce(Float(0)) { $0 + $1.weight }
        if recent.count >= 4, sum >= 3.6 {
            let minutes = max(1, (now - recent[0].time) / Span.minute)
            tell(
                .massEnumeration,
                of: actor,
                score: min(0.97, 0.6 + 0.03 * Double(sum)),
                records: recent.map(\.sequence),
                at: now,
                french: "\(actor.shownName) demande \(recent.count) secrets inhabituels en \(minutes) min",
                english: "\(actor.shownName) asks for \(recent.count) unfamiliar secrets in \(minutes) min"
            )
        }
        // What came at once is another thing, told as such.
        guard !wasTold(.massEnumeration, of: actor, within: 2 * Span.hour, at: now) else {
            actor.slow.value = 0
            return
        }
        actor.slow.add(slow, at: now, halfLife: 5)
        let total = actor.slow.read(at: now, halfLife: 5)
        guard total >= 3.5, recent.count < 4 else { return }
        let days = Set(actor.novelties.filter { $0.time >= now - 10 * Span.dayLength }.map { localDay($0.time) }).count
        guard days >= 2 else { return }
        actor.slow.value *= 0.5
        tell(
            .slowExfiltration,
            of: actor,
            score: min(0.95, 0.6 + 0.05 * Double(total - 3.5)),
            records: actor.novelties.map(\.sequence),
            at: now,
            pause: 12 * Span.hour,
            french:
                "\(actor.shownName) découvre peu à peu des secrets inhabituels : \(actor.novelties.count) en \(days) jours",
            english:
                "\(actor.shownName) goes through unfamiliar secrets bit by bit: \(actor.novelties.count) over \(days) days"
        )
    }

    /// A service of today that touches everything.
    private func noteFanout(_ event: InsightEvent, _ secret: UInt64, _ actor: ActorProfile, _ now: Int64) {
        guard actor.kind == .service, !actor.isOld, now - actor.firstSeen < 24 * Span.hour,
            now - state.begin > Span.dayLength
        else { return }
        if !actor.secrets.contains(where: { $0.key == secret }) { actor.secretsOfFirstDay &+= 1 }
        actor.connectorsOfFirstDay |= 1 << (state.hash(event.connector) & 63)
        let connectors = actor.connectorsOfFirstDay.nonzeroBitCount
        guard actor.secretsOfFirstDay >= 4, connectors >= 3 else { return }
        tell(
            .newServiceFanout,
            of: actor,
            score: min(0.95, 0.75 + 0.02 * Double(actor.secretsOfFirstDay)),
            records: [event.sequence],
            at: now,
            pause: 2 * Span.hour,
            french:
                "\(actor.shownName), service inconnu avant ce jour, demande \(actor.secretsOfFirstDay) secrets de \(connectors) connecteurs",
            english:
                "\(actor.shownName), a service not seen before today, asks for \(actor.secretsOfFirstDay) secrets of \(connectors) connectors"
        )
    }
}
