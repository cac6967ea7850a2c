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
            String(decoding: event.actor.utf8.prefix(ActorProfile.mostNameBytes), as: UTF8.self),
            refused ? 0.95 : 0.97,
            [event.sequence],
            at: now,
            french:
                "\(name) \(refused ? "a tenté de" : "vient de") \(french) journal d’audit (\(ActorProfile.shown(event.path)))",
            english: "\(name) \(refused ? "tried to" : "did") \(english) audit log (\(ActorProfile.shown(event.path)))"
        )
    }

    /// Takes one record of the log.
    /// - Returns: what it made certain; nothing for what the detectors have recorded themselves.
    package func consume(_ record: InsightRecord) -> [Finding] {
        let event = record.event
        var findings = consume(event)
        guard let notice = record.notice, record.finding == nil else { return findings }
        let now = state.now
        let name = ActorProfile.shown(event.actor)
        let path = ActorProfile.shown(event.path)
        let (kind, actor, score, french, english): (Finding.Kind, String, Double, String, String)
        switch notice {
        case .reopenedToken:
            (kind, actor, score) = (.wrappedTokenReopened, name, 0.9)
            french = "\(name) ouvre un jeton d’enveloppe qui a déjà été ouvert : quelqu’un d’autre l’a lu"
            english = "\(name) opens a wrapping token that was opened before: somebody else has read it"
        case .rootToken:
            let profile = profile(state.hash(event.actor), event.actor, event.kind, now)
            guard !wasTold(.rootTokenUse, of: profile, within: 6 * Span.hour, at: now) else { return findings }
            profile.told[Finding.Kind.rootTokenUse.place] = Int32(clamping: now / Span.minute)
            (kind, actor, score) = (.rootTokenUse, name, 0.8)
            french = "\(name) se sert d’un jeton racine, qui peut tout (\(path))"
            english = "\(name) uses a root token, which may do everything (\(path))"
        case .clockJump:
            (kind, actor, score) = (.clockIncident, "coffred", 0.7)
            french = "l’horloge a sauté : les heures du journal sont à lire avec prudence"
            english = "the clock jumped: the log's times are to be read with care"
        case .raised(let raised):
            let place = ActorProfile.shown(event.connector)
            switch raised {
            case "rights_differ":
                (kind, actor, score) = (.rightsDiffer, place.isEmpty ? "coffred" : place, 0.85)
                french = "des droits ont été changés au serveur de \(place), derrière Coffre"
                english = "rights were changed at the server of \(place), behind Coffre's back"
            case "subject_replayed":
                (kind, actor, score) = (.subjectReplayed, name, 0.97)
                french =
                    "le jeton d’une personne est présenté par un autre service que celui qui l’a montré d’abord (\(name))"
                english = "a person's token is presented by another service than the one that showed it first (\(name))"
            default:
                (kind, actor, score) = (.logIncident, "coffred", 0.9)
                french = "Coffre signale lui-même un incident : \(ActorProfile.shown(raised))"
                english = "Coffre itself tells of an incident: \(ActorProfile.shown(raised))"
            }
        }
        findings.append(
            Finding(
                time: now,
                kind: kind,
                actor: actor,
                score: score,
                french: french,
                english: english,
                records: [event.sequence]
            )
        )
        return findings
    }
}
