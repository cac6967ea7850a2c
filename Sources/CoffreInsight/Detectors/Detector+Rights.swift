/// Edits of rights and who they favour.
extension Detector {
    /// The object of `sys/policy/NAME`, `sys/policies/acl/NAME` and `sys/identity/NAME[/…]`.
    private func object(of path: String) -> (name: String, isPolicy: Bool)? {
        for (prefix, isPolicy) in [("sys/policy/", true), ("sys/policies/acl/", true), ("sys/identity/", false)]
        where path.utf8.starts(with: prefix.utf8) {
            let rest = path.utf8.dropFirst(prefix.utf8.count).prefix { $0 != 0x2f }
            return (String(decoding: rest, as: UTF8.self), isPolicy)
        }
        return nil
    }

    func edited(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        guard event.outcome == .ok, let (name, isPolicy) = object(of: event.path) else { return }
        let habit = actor.edits.read(at: now, halfLife: 60)
        state.nightTeams |= actor.teams
        defer { actor.edits.add(1, at: now, halfLife: 60) }
        let object = state.hash(name)
        if !isPolicy {
            if object != key, state.actors[object] == nil {
                profile(object, name, .user, now).registered = now
            }
            return
        }
        let team = teamBit(name)
        if object == key {
            tell(
                .privilegeEscalation,
                of: actor,
                score: habit < 2 ? 0.95 : 0.85,
                records: [event.sequence],
                at: now,
                french: "\(actor.shownName) modifie la politique qui fixe ses propres droits",
                english: "\(actor.shownName) edits the policy of its own rights"
            )
        }
        if let before = state.edits.lastIndex(where: { $0.object == object && now - $0.time < 3 * Span.hour }),
            state.edits[before].isUsed
        {
            tell(
                .privilegeEscalation,
                of: actor,
                score: 0.9,
                records: [state.edits[before].sequence, event.sequence],
                at: now,
                french:
                    "\(actor.shownName) défait la modification de \(ActorProfile.shown(name)) après qu’elle a servi",
                english: "\(actor.shownName) undoes the edit of \(ActorProfile.shown(name)) after it was used"
            )
        }
        if state.edits.count >= InsightState.mostEdits { state.edits.removeFirst() }
        state.edits.append(.init(time: now, author: key, object: object, team: team, sequence: event.sequence))
    }

    /// A policy that names a team gives to its members.
    private func teamBit(_ name: String) -> UInt64 {
        for (index, team) in state.teamNames.enumerated() where !team.isEmpty {
            let ends = name.utf8.count >= team.utf8.count && name.utf8.suffix(team.utf8.count).elementsEqual(team.utf8)
            guard ends else { continue }
            let before = name.utf8.dropLast(team.utf8.count).last
            if before == nil || before == 0x2d || before == 0x5f || before == 0x2e || before == 0x2f {
                return 1 << UInt64(index)
            }
        }
        return 0
    }

    /// The newest edit since then that favours the actor.
    func edit(for key: UInt64, _ actor: ActorProfile, since: Int64, direct: Bool = false) -> Int? {
        state.edits.lastIndex {
            $0.time >= since && ($0.object == key || !direct && $0.team & actor.teams != 0)
        }
    }

    func escalated(_ event: InsightEvent, _ place: Int, _ actor: ActorProfile, _ now: Int64) {
        state.edits[place].isUsed = true
        let edit = state.edits[place]
        let minutes = max(1, (now - edit.time) / Span.minute)
        let secret = ActorProfile.shown("\(event.connector)/\(event.path)")
        let author = state.actors[edit.author]?.shownName ?? actor.shownName
        tell(
            .privilegeEscalation,
            of: actor,
            score: 0.92,
            records: [edit.sequence, event.sequence],
            at: now,
            french:
                "\(actor.shownName) lit \(secret), hors de son équipe, \(minutes) min après que \(author) a modifié ses droits",
            english:
                "\(actor.shownName) reads \(secret), not its team's, \(minutes) min after \(author) edited its rights"
        )
    }

    func retired(_ event: InsightEvent, _ key: UInt64, _ now: Int64) {
        guard event.outcome == .ok, let (name, isPolicy) = object(of: event.path), !isPolicy else { return }
        let object = state.hash(name)
        state.actors[object]?.isRetired = true
    }
}
