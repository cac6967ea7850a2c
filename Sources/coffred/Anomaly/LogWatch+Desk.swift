internal import CoffreInsight
internal import CoffreVault
internal import CoffreWire

/// The watch as the vault asks it. Members of objects are in the order of their names.
extension LogWatch: AnomalyDesk {
    var kinds: [String] { Finding.Kind.allCases.map(\.rawValue).sorted() }

    var criticalKinds: [String] { Finding.Kind.allCases.filter { $0.severity == .critical }.map(\.rawValue) }

    func incidents(_ filter: AnomalyFilter) -> [JSONValue] {
        let found = published.book.incidents.filter { incident in
            incident.id > filter.after && Self.isWanted(incident, filter)
        }
        return found.prefix(filter.limit).map { Self.json($0, withFindings: false) }
    }

    private static func isWanted(_ incident: Incident, _ filter: AnomalyFilter) -> Bool {
        switch filter.state {
        case "all": break
        case let state?: guard name(of: incident.state).utf8.elementsEqual(state.utf8) else { return false }
        case nil: guard incident.state != .closed else { return false }
        }
        if let severity = filter.severity, incident.severity.rawValue != severity { return false }
        if let kind = filter.kind, !incident.kinds.contains(where: { $0.rawValue == kind }) { return false }
        if let actor = filter.actor, !incident.actor.utf8.elementsEqual(actor.utf8) { return false }
        return !filter.isHeld || incident.silence == .heldBack
    }

    func incident(_ id: UInt64) -> JSONValue? {
        published.book.incident(id).map { Self.json($0, withFindings: true) }
    }

    func actor(ofIncident id: UInt64) -> String? { published.book.incident(id)?.actor }
    func isClosed(_ id: UInt64) -> Bool { published.book.incident(id)?.state == .closed }
    func hasMute(_ id: UInt64) -> Bool { published.book.mutes.contains { $0.id == id } }

    func mutes() -> [JSONValue] {
        published.book.mutes.map { mute in
            .object([
                .init("actor", mute.actor.map { .string($0) } ?? .null), .init("by", .string(mute.by)),
                .init("id", .integer(mute.id)), .init("kind", mute.kind.map { .string($0.rawValue) } ?? .null),
                .init("reason", .string(mute.reason)), .init("until", .string(Self.time(mute.until))),
            ])
        }
    }

    func status() -> JSONValue {
        let now = published
        return .object([
            .init("alerts_lost", .integer(now.book.dropped)),
            .init("alerts_per_day", .integer(settings.book.alertsPerDay)),
            .init("alerts_today", .integer(now.book.alertsToday)), .init("channels", .array(channels.map(Self.json))),
            .init("error", now.failure.map { .string($0) } ?? .null), .init("held_today", .integer(now.book.heldToday)),
            .init("incidents", .integer(now.book.incidents.count)),
            .init("incidents_forgotten", .integer(now.book.forgotten)),
            .init("incidents_open", .integer(now.book.incidents.count { $0.state == .open })),
            .init("missing", .integer(now.missing)), .init("read", .integer(now.read)),
            .init("saved", now.savedAt.map { .string(Self.time($0 * 1_000_000_000)) } ?? .null),
        ])
    }

    private static func json(_ channel: AlertPost.Status) -> JSONValue {
        .object([
            .init("delivered", .integer(channel.delivered)), .init("error", channel.error.map { .string($0) } ?? .null),
            .init("last_contact", channel.lastContact.map { .string(time($0 * 1_000_000_000)) } ?? .null),
            .init("lost", .integer(channel.lost)), .init("name", .string(channel.name)),
            .init("refused", .integer(channel.refused)),
            .init("waiting", .integer(channel.waiting)),
        ])
    }

    func metrics() -> [AnomalyMetric] {
        let now = published
        let book = now.book
        let channels = channels
        return [
            AnomalyMetric(
                "findings_total",
                isCounter: true,
                "Findings by kind.",
                Finding.Kind.allCases.map { ("kind=\"\($0.rawValue)\"", book.total(of: $0)) }
            ),
            AnomalyMetric(
                "incidents",
                isCounter: false,
                "Incidents by state.",
                Incident.State.allCases.map { state in
                    ("state=\"\(Self.name(of: state))\"", UInt64(book.incidents.count { $0.state == state }))
                }
            ),
            AnomalyMetric("alerts_total", isCounter: true, "Alerts that were made.", [("", book.lastAlert)]),
            AnomalyMetric(
                "held_total",
                isCounter: true,
                "Incidents held back by the day's budget.",
                [("", book.heldTotal)]
            ),
            AnomalyMetric(
                "alerts_waiting",
                isCounter: false,
                "Alerts that a channel has yet to get.",
                channels.map { ("channel=\"\($0.name)\"", UInt64($0.waiting)) }
            ),
            AnomalyMetric(
                "alerts_lost_total",
                isCounter: true,
                "Alerts that had to make room before a channel could be reached.",
                channels.map { ("channel=\"\($0.name)\"", $0.lost) }
            ),
            AnomalyMetric(
                "alerts_refused_total",
                isCounter: true,
                "Alerts that the other side of a channel will not have.",
                channels.map { ("channel=\"\($0.name)\"", $0.refused) }
            ),
            AnomalyMetric(
                "records_read",
                isCounter: false,
                "Records of the log that the watch has read.",
                [("", now.read)]
            ),
        ]
    }

    // MARK: JSON

    private static func name(of state: Incident.State) -> String {
        switch state {
        case .open: "open"
        case .acknowledged: "acknowledged"
        case .closed: "closed"
        }
    }

    private static func time(_ nanoseconds: Int64) -> String { InsightTime.text(nanoseconds) }

    private static func json(_ incident: Incident, withFindings: Bool) -> JSONValue {
        // The sentence that says why it is as severe as it is.
        let worst = incident.findings.last { $0.severity == incident.severity } ?? incident.findings.last
        var members: [JSONValue.Member] = [
            .init("actor", .string(incident.actor)),
            .init("alerted", incident.alerted.map { .string($0.rawValue) } ?? .null),
            .init("count", .integer(incident.count)),
        ]
        if withFindings { members.append(.init("findings", .array(incident.findings.map(json)))) }
        members += [
            .init("handled_at", incident.handledAt > 0 ? .string(time(incident.handledAt)) : .null),
            .init("handled_by", incident.handledBy.isEmpty ? .null : .string(incident.handledBy)),
            .init("handled_reason", incident.reason.isEmpty ? .null : .string(incident.reason)),
            .init("held", .bool(incident.silence == .heldBack)), .init("id", .integer(incident.id)),
            .init("kinds", .strings(incident.kinds.map(\.rawValue))), .init("last", .string(time(incident.last))),
        ]
        if case .muted(let mute) = incident.silence {
            members.append(.init("muted_by", .integer(mute)))
        } else {
            members.append(.init("muted_by", .null))
        }
        members += [
            .init("opened", .string(time(incident.opened))), .init("reason", .string(worst?.french ?? "")),
            .init("reason_en", .string(worst?.english ?? "")), .init("severity", .string(incident.severity.rawValue)),
            .init("state", .string(name(of: incident.state))),
        ]
        return .object(members)
    }

    private static func json(_ finding: RaisedFinding) -> JSONValue {
        .object([
            .init("kind", .string(finding.kind.rawValue)), .init("reason", .string(finding.french)),
            .init("reason_en", .string(finding.english)), .init("record", .integer(finding.record)),
            .init("records", .array(finding.records.map { .integer($0) })),
            .init("score", .number("\(Double(finding.score) / 1000)")),
            .init("severity", .string(finding.severity.rawValue)), .init("time", .string(time(finding.time))),
        ])
    }
}
