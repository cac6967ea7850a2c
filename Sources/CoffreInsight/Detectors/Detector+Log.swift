/// The log itself, and what was done to it.
extension Detector {
    func checkSequence(_ event: InsightEvent) {
        defer { state.nextSequence = max(state.nextSequence ?? 0, event.sequence &+ 1) }
        guard let next = state.nextSequence, event.sequence != next else { return }
        let now = max(state.now, event.time)
        guard event.sequence > next else {
            guard now >= state.disorderTold + Span.hour || state.disorderTold == 0 else { return }
            state.disorderTold = now
            tell(
                .auditTampering,
                "coffred",
                0.9,
                [event.sequence],
                at: now,
                french: "le journal présente l’enregistrement \(event.sequence) après le \(next - 1)",
                english: "the log shows record \(event.sequence) after record \(next - 1)"
            )
            return
        }
        let missing = event.sequence - next
        tell(
            .auditTampering,
            "coffred",
            1,
            [next == 0 ? 0 : next - 1, event.sequence],
            at: now,
            french: "\(missing) enregistrement(s) manquent dans le journal, avant le \(event.sequence)",
            english: "\(missing) record(s) are missing from the log before \(event.sequence)"
        )
    }

    func clockStepped(_ event: InsightEvent) {
        let seconds = (state.now - event.time) / Span.second
        guard event.operation == .heartbeat || seconds > 60 else { return }
        tell(
            .clockIncident,
            "coffred",
            0.7,
            [event.sequence],
            at: state.now,
            french: "l’horloge a reculé de \(seconds) s",
            english: "the clock stepped back by \(seconds) s"
        )
    }

    func checkTampering(_ event: InsightEvent, _ key: UInt64, _ now: Int64) {
        let isWrite = event.operation == .auditWrite
        let isDeletion = event.operation == .delete && event.path.utf8.starts(with: "sys/audit".utf8)
        guard isWrite || isDeletion else { return }
        let (french, english) =
            isDeletion ? ("supprimer une partie du", "delete a part of the") : ("modifier le", "change the")
        let refused = event.outcome == .denied
        let name = ActorProfile.shown(event.actor)
        tell(
            .auditTampering,
            name,
            refused ? 0.95 : 0.97,
            [event.sequence],
            at: now,
            french:
                "\(name) \(refused ? "a tenté de" : "vient de") \(french) journal d’audit (\(ActorProfile.shown(event.path)))",
            english: "\(name) \(refused ? "tried to" : "did") \(english) audit log (\(ActorProfile.shown(event.path)))"
        )
    }
}
