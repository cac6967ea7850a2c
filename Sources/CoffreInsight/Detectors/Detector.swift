/// Reads events in order, once, and tells what is unlike the habit. No input, output or clock of its own.
package final class Detector {
    var state: InsightState
    let utcOffset: Int64
    let weekend: Set<Int>
    var found: [Finding] = []

    /// - Parameters:
    ///   - context: what is known of identities and secrets before the first event.
    ///   - key0: half of the key that names are hashed under; random, and kept with the state.
    package init(context: InsightContext, key0: UInt64, key1: UInt64) {
        state = InsightState(hash: SipHash(key0: key0, key1: key1))
        utcOffset = context.utcOffset
        weekend = context.weekend
        for identity in context.identities { learn(identity) }
        learn(context)
    }

    init(_ state: InsightState, _ context: InsightContext) {
        self.state = state
        // What is sensitive is decided anew at each start.
        for key in self.state.secrets.keys { self.state.secrets[key]?.isSensitive = false }
        for secret in context.sensitive.prefix(InsightState.mostSecrets / 2)
        where self.state.secrets.count < 2 * InsightState.mostSecrets {
            self.state.secrets[self.state.hash(secret.connector, secret.path), default: .init()].isSensitive = true
        }
        utcOffset = context.utcOffset
        weekend = context.weekend
    }

    private func learn(_ identity: InsightContext.Identity) {
        let key = state.hash(identity.id)
        guard state.actors[key] == nil, state.actors.count < InsightState.mostActors / 2 else { return }
        let begin = identity.created ?? identity.lastSeen ?? 0
        let actor = ActorProfile(name: identity.id, kind: identity.kind, at: begin)
        actor.lastSeen = identity.lastSeen ?? begin
        actor.isOld = true
        for team in identity.teams { actor.teams |= state.bit(ofTeam: team) }
        state.actors[key] = actor
    }

    private func learn(_ context: InsightContext) {
        for (name, secrets) in context.teams.sorted(by: { $0.key < $1.key }) {
            let bit = state.bit(ofTeam: name)
            for secret in secrets.prefix(InsightState.mostSecrets / 2)
            where state.secrets.count < InsightState.mostSecrets {
                let key = state.hash(secret.connector, secret.path)
                state.secrets[key, default: InsightState.SecretMemory()].allowed |= bit
                state.secrets[key]?.isListed = true
            }
        }
        for secret in context.sensitive.prefix(InsightState.mostSecrets / 2) {
            state.secrets[state.hash(secret.connector, secret.path), default: InsightState.SecretMemory()].isSensitive =
                true
        }
    }

    /// Takes one event.
    /// - Returns: what it made certain.
    package func consume(_ event: InsightEvent) -> [Finding] {
        if state.begin == 0 {
            state.begin = event.time
            state.nextCheck = event.time
        }
        checkSequence(event)
        // A clock that steps back a little takes no time away from what was seen; one that was far ahead is believed no more.
        if event.time < state.lastTime - 2 * Span.second {
            clockStepped(event)
            if state.now - event.time > Span.hour {
                state.now = event.time
                state.nextCheck = min(state.nextCheck, event.time + Span.minute)
            }
        }
        state.lastTime = event.time
        let now = max(state.now, event.time)
        state.now = now
        if now >= state.nextCheck {
            state.nextCheck = now + Span.minute
            checkSilence(now, event)
        }
        switch event.operation {
        case .heartbeat: break
        case .login where event.outcome != .ok: refused(event, now)
        default: act(event, now)
        }
        defer { found.removeAll(keepingCapacity: true) }
        return found
    }

    private func act(_ event: InsightEvent, _ now: Int64) {
        guard event.kind != .system else { return checkTampering(event, 0, now) }
        let key = state.hash(event.actor)
        let actor = profile(key, event.actor, event.kind, now)
        if actor.activeDays == 0, !actor.isOld { actor.kind = event.kind }
        var teams: UInt64 = 0
        for team in event.teams { teams |= state.bit(ofTeam: team) }
        if teams != 0 { actor.teams = teams }

        checkToken(event, key, actor, now)
        checkTampering(event, key, now)
        checkDormancy(event, actor, now)
        noteAbsence(actor, now)
        if event.operation == .login { loggedIn(event, key, now) }
        beginDay(actor, now)
        if actor.kind == .user { checkHours(event, key, actor, now) }
        if event.operation == .policyWrite || event.operation == .identityWrite {
            edited(event, key, actor, now)
        } else if event.operation == .revoke {
            retired(event, key, now)
        }
        if event.isUse {
            checkUse(event, key, actor, now)
            if event.outcome != .error { checkPace(event, actor, now) }
        }
        if actor.kind == .service {
            actor.gaps.note(now)
            if event.operation == .rotate { rotated(event, key, actor, now) }
        }
        actor.lastSeen = now
    }

    func profile(_ key: UInt64, _ name: String, _ kind: InsightEvent.ActorKind, _ now: Int64) -> ActorProfile {
        if let actor = state.actors[key] { return actor }
        state.makeRoomForActors()
        let actor = ActorProfile(name: name, kind: kind, at: now)
        state.actors[key] = actor
        return actor
    }

    // MARK: telling

    /// - Parameter pause: how long the same kind of the same actor is one thing.
    func tell(
        _ kind: Finding.Kind,
        of actor: ActorProfile,
        score: Double,
        records: [UInt64],
        at now: Int64,
        pause: Int64 = Span.hour,
        french: String,
        english: String
    ) {
        guard !wasTold(kind, of: actor, within: pause, at: now) else { return }
        actor.told[kind.place] = Int32(clamping: now / Span.minute)
        tell(kind, actor.name, score, records, at: now, french: french, english: english)
    }

    func tell(
        _ kind: Finding.Kind,
        _ actor: String,
        _ score: Double,
        _ records: [UInt64],
        at now: Int64,
        french: String,
        english: String
    ) {
        found.append(
            Finding(
                time: now,
                kind: kind,
                actor: actor,
                score: score,
                french: french,
                english: english,
                records: Array(records.suffix(32))
            )
        )
    }

    func wasTold(_ kind: Finding.Kind, of actor: ActorProfile, within span: Int64, at now: Int64) -> Bool {
        let told = Int64(actor.told[kind.place])
        // What was told in a future that the clock came back from is not believed.
        return told != 0 && (0..<span / Span.minute).contains(now / Span.minute - told)
    }

    // MARK: local time

    func localDay(_ time: Int64) -> Int32 {
        Int32(clamping: (time / Span.second + utcOffset) / 86_400)
    }

    func localHour(_ time: Int64) -> Int {
        // West of Greenwich the first hours of 1970 are negative.
        Int(((time / Span.second + utcOffset) % 86_400 + 86_400) % 86_400 / 3600)
    }

    /// 1970-01-01 was a Thursday; 0 is Monday.
    func isDayOff(_ day: Int32) -> Bool { weekend.contains(Int((Int64(day) % 7 + 10) % 7)) }
}
