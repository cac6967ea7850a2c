/// What is regular and stops.
extension Detector {
    func rotated(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        actor.rotations.note(now)
        let secret = state.hash(event.connector, event.path)
        let place = secret ^ key
        if state.rotations[place] == nil {
            if state.rotations.count >= InsightState.mostRotations {
                guard
                    let oldest = state.rotations.min(by: { ($0.value.gaps.last, $0.key) < ($1.value.gaps.last, $1.key) }
                    )
                else { return }
                state.rotations[oldest.key] = nil
            }
            state.rotations[place] = .init(actor: key, name: ActorProfile.shown("\(event.connector)/\(event.path)"))
        }
        state.rotations[place]?.gaps.note(now)
    }

    func checkSilence(_ now: Int64, _ event: InsightEvent) {
        var silent: Set<UInt64> = []
        // In an order that does not depend on the key.
        let services = state.actors.filter {
            $0.value.kind == .service && $0.value.gaps.count >= 3 && !$0.value.isRetired
        }
        for (key, actor) in services.sorted(by: { $0.value.name.utf8.lexicographicallyPrecedes($1.value.name.utf8) }) {
            if let gap = actor.gaps.silence(at: now, least: 40, factor: 2.5, slack: 900) {
                actor.gaps.isTold = true
                silent.insert(key)
                tellSilence(key, gap, actor.gaps.longest, ("ne fait plus rien", "does nothing any more"), event, now)
            } else if !actor.gaps.isTold,
                let gap = actor.rotations.silence(at: now, least: 3, factor: 1.25, slack: 1800)
            {
                actor.rotations.isTold = true
                silent.insert(key)
                tellSilence(
                    key,
                    gap,
                    actor.rotations.longest,
                    ("ne renouvelle plus aucun secret", "rotates no secret any more"),
                    event,
                    now
                )
            }
        }
        let rotations = state.rotations.sorted { left, right in
            left.value.name.utf8.elementsEqual(right.value.name.utf8)
                ? left.key < right.key : left.value.name.utf8.lexicographicallyPrecedes(right.value.name.utf8)
        }
        for (place, rotation) in rotations {
            guard let gap = rotation.gaps.silence(at: now, least: 3, factor: 1.25, slack: 1800) else { continue }
            state.rotations[place]?.gaps.isTold = true
            guard let actor = state.actors[rotation.actor], !actor.isRetired, !silent.contains(rotation.actor),
                !actor.gaps.isTold, !actor.rotations.isTold
            else { continue }
            tellSilence(
                rotation.actor,
                gap,
                rotation.gaps.longest,
                ("ne renouvelle plus \(rotation.name)", "does not rotate \(rotation.name) any more"),
                event,
                now
            )
        }
    }

    private func tellSilence(
        _ key: UInt64,
        _ gap: Float,
        _ longest: Float,
        _ what: (french: String, english: String),
        _ event: InsightEvent,
        _ now: Int64
    ) {
        guard let actor = state.actors[key] else { return }
        let name = actor.shownName
        tell(
            .silentDeath,
            of: actor,
            score: 0.8,
            records: [event.sequence],
            at: now,
            pause: 0,
            french: "\(name) \(what.french) depuis \(Self.time(gap)) (jamais plus de \(Self.time(longest)) jusqu’ici)",
            english: "\(name) \(what.english), for \(Self.time(gap)) (never more than \(Self.time(longest)) until now)"
        )
    }

    static func time(_ seconds: Float) -> String {
        seconds < 7200 ? "\(Int(seconds / 60)) min" : "\(Int(seconds / 3600)) h"
    }
}
