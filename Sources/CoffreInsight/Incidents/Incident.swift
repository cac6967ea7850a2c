/// What is one thing to the people who look after it: findings about one identity that follow each other.
package struct Incident: Sendable, Equatable {
    package enum State: UInt8, Sendable, CaseIterable { case open, acknowledged, closed }

    /// Why nobody was told.
    package enum Silence: Sendable, Equatable {
        /// By the mute with this number.
        case muted(UInt64)
        /// The day's budget of alerts was used up.
        case heldBack
        /// Its kinds are only noted.
        case noted
    }

    /// Findings that are kept with it; of the others the number.
    static let mostFindings = 8

    /// Number of the record of its first finding.
    package let id: UInt64
    /// An identity, `uid:N` or `unit:NAME` when only the source is known, `coffred` for the log itself.
    package let actor: String
    package var severity: Finding.Severity
    package var kinds: [Finding.Kind] = []
    /// The newest of them, the first always among them.
    package var findings: [RaisedFinding] = []
    package var count: UInt64 = 0
    /// Nanoseconds since 1970.
    package let opened: Int64
    package var last: Int64
    package var state = State.open
    /// Who acknowledged or closed it last, when (nanoseconds since 1970), and what was said.
    package var handledBy = ""
    package var handledAt: Int64 = 0
    package var reason = ""
    /// The severity that people were told of; nil when they were not.
    package var alerted: Finding.Severity?
    package var silence: Silence?

    init(_ finding: RaisedFinding) {
        id = finding.record
        actor = finding.actor
        severity = finding.severity
        opened = finding.time
        last = finding.time
    }

    mutating func add(_ finding: RaisedFinding) {
        count &+= 1
        last = max(last, finding.time)
        severity = max(severity, finding.severity)
        if !kinds.contains(finding.kind) { kinds.append(finding.kind) }
        if findings.count >= Self.mostFindings { findings.remove(at: 1) }
        findings.append(finding)
    }
}

/// A finding as its record, `anomaly.raise`, tells it.
package struct RaisedFinding: Sendable, Equatable {
    /// Number of the record.
    package let record: UInt64
    /// Nanoseconds since 1970.
    package let time: Int64
    package let kind: Finding.Kind
    package let actor: String
    /// Thousandths.
    package let score: Int64
    package let french: String
    package let english: String
    /// Numbers of the records that show it.
    package let records: [UInt64]

    package var severity: Finding.Severity { kind.severity }
}

/// Alerts that nobody wants for a while.
package struct Mute: Sendable, Equatable {
    /// Number of its record.
    package let id: UInt64
    /// Of whom; nil for everybody.
    package let actor: String?
    /// Of which kind; nil for all.
    package let kind: Finding.Kind?
    /// Nanoseconds since 1970.
    package let until: Int64
    package let reason: String
    package let by: String
    /// From where the kernel says it was set: `uid:N` and `unit:NAME`, as actors of incidents are called.
    package var places: [String] = []

    /// One for everybody does not cover whoever set it.
    func covers(_ finding: RaisedFinding) -> Bool {
        guard finding.time < until, kind == nil || kind == finding.kind else { return false }
        guard let actor else {
            return !([by] + places).contains { $0.utf8.elementsEqual(finding.actor.utf8) }
        }
        return actor.utf8.elementsEqual(finding.actor.utf8)
    }
}

/// Something that people are told, once and in order.
package struct Alert: Sendable, Equatable {
    package enum Subject: UInt8, Sendable {
        /// A new incident, or one that became worse.
        case incident
        /// The day's budget is used up: what follows is held back.
        case budget
        /// What was held back the day before.
        case summary
        /// Somebody wants no alerts of something for a while.
        case mute
        /// Somebody waits for another person's leave.
        case approval
        /// A connection needs a new consent, or will soon.
        case consent
    }

    /// Numbers alerts without gaps, from 1.
    package let number: UInt64
    package let subject: Subject
    /// Of the incident, or of the one that was held back first; else of the record that it is about.
    package let incident: UInt64
    /// Nanoseconds since 1970.
    package let time: Int64
    package let severity: Finding.Severity
    /// Nil when it is not about one finding.
    package let kind: Finding.Kind?
    package let actor: String
    package let french: String
    package let english: String
    package let records: [UInt64]

    /// Without anything that whoever it is about has chosen.
    package var inShort: Alert {
        Alert(
            number: number,
            subject: subject,
            incident: incident,
            time: time,
            severity: severity,
            kind: kind,
            actor: actor.hasPrefix("s-") && actor.utf8.count == 24 ? actor : "-",
            french: "Une alerte dont le texte a été refusé : coffre anomaly list, coffre approval list",
            english: "An alert whose text was refused: coffre anomaly list, coffre approval list",
            records: records
        )
    }
}

extension Finding.Severity: Comparable {
    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

    package var rank: UInt8 {
        switch self {
        case .medium: 0
        case .high: 1
        case .critical: 2
        }
    }
}
