/// The log itself, and what was done to it.
extension Detector {
    func checkSequence(_ event: InsightEvent) {
        defer { state.nextSequence = max(state.nextSequence ?? 0, event.sequence &+ 1) }
        guard let next = state.nextSequence, event.sequence != next else { return }
        let now = max(state.now, event.time)
        guard event.sequence > next else {
            guard state.disorderTold == 0 || !(0..<Span.hour).contains(now - state.disorderTold) else { return }
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
            french: missing == 1
                ? "1 enregistrement manque dans le journal, avant le \(event.sequence)"
                : "\(missing) enregistrements manquent dans le journal, avant le \(event.sequence)",
            english: missing == 1
                ? "1 record is missing from the log before \(event.sequence)"
                : "\(missing) records are missing from the log before \(event.sequence)"
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
        let refused = event.outcome == .denied
        // Who is refused goes on trying.
        if refused, !tellsAnew(.auditTampering, event, now) { return }
        let (french, english) =
            isDeletion
            ? ("supprimer une partie du", refused ? "delete a part of the" : "deleted a part of the")
            : ("modifier le", refused ? "change the" : "changed the")
        let name = ActorProfile.shown(event.actor)
        tell(
            .auditTampering,
            String(decoding: event.actor.utf8.prefix(ActorProfile.mostNameBytes), as: UTF8.self),
            refused ? 0.95 : 0.97,
            [event.sequence],
            at: now,
            french:
                "\(name) \(refused ? "a tenté de" : "vient de") \(french) journal d’audit (\(ActorProfile.shown(event.path)))",
            english: "\(name) \(refused ? "tried to " : "")\(english) audit log (\(ActorProfile.shown(event.path)))"
        )
    }

    /// Number of the record that is due; nil before the first.
    package var nextSequence: UInt64? { state.nextSequence }

    /// Takes one record of the log.
    /// - Returns: what it made certain; nothing for what the detectors have recorded themselves.
    package func consume(_ record: InsightRecord) -> [Finding] {
        let event = record.event
        // What tells of findings makes none, or one would make the next.
        guard !record.isHandling || record.notice != nil && record.finding == nil else {
            checkSequence(event)
            defer { found.removeAll(keepingCapacity: true) }
            return found
        }
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
            guard tellsAnew(.rootTokenUse, event, now, pause: 6 * Span.hour) else { return findings }
            (kind, actor, score) = (.rootTokenUse, name, 0.8)
            french = "\(name) se sert d’un jeton racine, qui peut tout (\(path))"
            english = "\(name) uses a root token, which may do everything (\(path))"
        case .decoy:
            let decoy = state.hash(event.connector, event.path)
            guard state.touchesAnew(state.hash(event.actor), decoy, at: now) else { return findings }
            (kind, actor, score) = (.decoyTouched, name, event.outcome == .ok ? 0.98 : 0.95)
            (french, english) = Self.decoySentences(event)
        case .stolenToken(let owner):
            guard tellsAnew(.stolenToken, event, now) else { return findings }
            (kind, actor, score) = (.stolenToken, name, 1)
            (french, english) = Self.theftSentences(event, owner)
        case .ownRights:
            (kind, actor, score) = (.privilegeEscalation, name, 0.95)
            french = "\(name) modifie une politique qui fixe ses propres droits (\(path))"
            english = "\(name) edits a policy that decides over its own rights (\(path))"
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

    /// Whether this kind was not told of the event's actor for so long; it counts as told then.
    private func tellsAnew(_ kind: Finding.Kind, _ event: InsightEvent, _ now: Int64, pause: Int64 = Span.hour) -> Bool
    {
        let profile = profile(state.hash(event.actor), event.actor, event.kind, now)
        guard !wasTold(kind, of: profile, within: pause, at: now) else { return false }
        profile.told[kind.place] = Int32(clamping: now / Span.minute)
        return true
    }

    /// Somebody has closed the incident: what it does from now on is told anew.
    func forget(_ kinds: [Finding.Kind], of name: String) {
        let key = state.hash(name)
        for kind in kinds { state.actors[key]?.told[kind.place] = 0 }
        if kinds.contains(.decoyTouched) {
            state.touches = state.touches.filter { $0.value.actor != key }
        }
    }

    /// From where the kernel says a request came.
    private static func origin(_ event: InsightEvent) -> (french: String, english: String) {
        let unit = ActorProfile.shown(event.unit)
        guard unit.isEmpty else { return ("depuis l’unité \(unit)", "from unit \(unit)") }
        let process = event.pid > 0 ? " \(event.pid)" : ""
        return ("depuis un processus\(process) sans unité", "from a process\(process) of no unit")
    }

    private static func decoySentences(_ event: InsightEvent) -> (String, String) {
        let name = ActorProfile.shown(event.actor)
        let path = ActorProfile.shown(event.path.isEmpty ? event.connector : event.path)
        let (depuis, from) = origin(event)
        let (fin, end) =
            switch (event.outcome, event.operation) {
            case (.ok, .read): ("il lui a été remis", "it was handed out")
            case (.ok, _):
                (
                    "sans rien en recevoir, mais sa demande a été acceptée",
                    "nothing of it was handed out, but the request was granted"
                )
            default: ("il ne lui a pas été remis", "it was not handed out")
            }
        return (
            "\(name) demande \(depuis) le leurre \(path), ce que rien ne justifie : \(fin)",
            "\(name) asks \(from) for the decoy \(path), for which nobody has a reason: \(end)"
        )
    }

    private static func theftSentences(_ event: InsightEvent, _ owner: InsightRecord.Owner) -> (String, String) {
        let name = ActorProfile.shown(event.actor)
        let (depuis, from) = origin(event)
        let names = [owner.unit, owner.sid].map { ActorProfile.shown($0) }.filter { !$0.isEmpty }
        let whose = names.first.map { names.count > 1 && names[1] != $0 ? "\($0) (\(names[1]))" : $0 }
        return (
            "\(name) présente \(depuis) un jeton lié à \(whose ?? "un autre processus") : refusé, le jeton a été copié",
            "\(name) presents \(from) a token that is bound to \(whose ?? "another process"): refused, the token was copied"
        )
    }
}
