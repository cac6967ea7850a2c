/// The parts of the book, written and read back.
extension Archive {
    mutating func incident(_ incident: inout Incident) throws(ArchiveError) {
        var first = incident.findings.first ?? .empty
        try finding(&first)
        var (id, actor, opened) = (incident.id, incident.actor, incident.opened)
        try value(&id)
        try value(&actor)
        try self.time(&opened)
        if isReading {
            incident = Incident(
                RaisedFinding(
                    record: id,
                    time: opened,
                    kind: first.kind,
                    actor: actor,
                    score: first.score,
                    french: "",
                    english: "",
                    records: []
                )
            )
        }
        var severity = incident.severity.rank
        try value(&severity)
        incident.severity = try Self.severity(severity)
        try list(&incident.kinds, atMost: Finding.Kind.allCases.count, of: .logIncident) {
            (archive, kind) throws(ArchiveError) in
            try archive.kind(&kind)
        }
        try list(&incident.findings, atMost: Incident.mostFindings, of: .empty) {
            (archive, finding) throws(ArchiveError) in
            try archive.finding(&finding)
        }
        try value(&incident.count)
        try self.time(&incident.last)
        var state = incident.state.rawValue
        try value(&state)
        guard let state = Incident.State(rawValue: state) else {
            throw ArchiveError(message: "an incident in the saved state is in no state")
        }
        incident.state = state
        try value(&incident.handledBy)
        try self.time(&incident.handledAt)
        try value(&incident.reason)
        var alerted = incident.alerted.map { $0.rank + 1 } ?? 0
        try value(&alerted)
        incident.alerted = alerted == 0 ? nil : try Self.severity(alerted - 1)
        try silence(&incident.silence)
    }

    private mutating func silence(_ silence: inout Incident.Silence?) throws(ArchiveError) {
        var (code, mute): (UInt8, UInt64)
        switch silence {
        case nil: (code, mute) = (0, 0)
        case .heldBack: (code, mute) = (1, 0)
        case .noted: (code, mute) = (2, 0)
        case .muted(let id): (code, mute) = (3, id)
        }
        try value(&code)
        try value(&mute)
        switch code {
        case 0: silence = nil
        case 1: silence = .heldBack
        case 2: silence = .noted
        case 3: silence = .muted(mute)
        default: throw ArchiveError(message: "an incident in the saved state is silent for no reason")
        }
    }

    mutating func finding(_ finding: inout RaisedFinding) throws(ArchiveError) {
        var (record, time, kind, actor) = (finding.record, finding.time, finding.kind, finding.actor)
        var (score, french, english, records) = (finding.score, finding.french, finding.english, finding.records)
        try value(&record)
        try self.time(&time)
        try self.kind(&kind)
        try value(&actor)
        try value(&score)
        try value(&french)
        try value(&english)
        try numbers(&records)
        finding = RaisedFinding(
            record: record,
            time: time,
            kind: kind,
            actor: actor,
            score: score,
            french: french,
            english: english,
            records: records
        )
    }

    mutating func mute(_ mute: inout Mute) throws(ArchiveError) {
        var (id, actor, until, reason, by) = (mute.id, mute.actor ?? "", mute.until, mute.reason, mute.by)
        var (hasActor, hasKind, kind) = (mute.actor != nil, mute.kind != nil, mute.kind ?? .logIncident)
        try value(&id)
        try value(&hasActor)
        try value(&actor)
        try value(&hasKind)
        try self.kind(&kind)
        try self.time(&until)
        try value(&reason)
        try value(&by)
        var places = mute.places
        try list(&places, atMost: 2, of: "") { (archive, place) throws(ArchiveError) in try archive.value(&place) }
        mute = Mute(
            id: id,
            actor: hasActor ? actor : nil,
            kind: hasKind ? kind : nil,
            until: until,
            reason: reason,
            by: by,
            places: places
        )
    }

    mutating func alert(_ alert: inout Alert) throws(ArchiveError) {
        var (number, subject, incident, time) = (alert.number, alert.subject.rawValue, alert.incident, alert.time)
        var (severity, hasKind, kind) = (alert.severity.rank, alert.kind != nil, alert.kind ?? .logIncident)
        var (actor, french, english, records) = (alert.actor, alert.french, alert.english, alert.records)
        try value(&number)
        try value(&subject)
        try value(&incident)
        try self.time(&time)
        try value(&severity)
        try value(&hasKind)
        try self.kind(&kind)
        try value(&actor)
        try value(&french)
        try value(&english)
        try numbers(&records)
        guard let subject = Alert.Subject(rawValue: subject), number > 0 || !isReading else {
            throw ArchiveError(message: "an alert in the saved state is about nothing")
        }
        alert = Alert(
            number: number,
            subject: subject,
            incident: incident,
            time: time,
            severity: try Self.severity(severity),
            kind: hasKind ? kind : nil,
            actor: actor,
            french: french,
            english: english,
            records: records
        )
    }

    private mutating func numbers(_ numbers: inout [UInt64]) throws(ArchiveError) {
        try list(&numbers, atMost: 32, of: 0) { (archive, number) throws(ArchiveError) in try archive.value(&number) }
    }

    private mutating func kind(_ kind: inout Finding.Kind) throws(ArchiveError) {
        var place = UInt8(kind.place)
        try value(&place)
        guard let found = Finding.Kind.allCases.first(where: { $0.place == Int(place) }) else {
            throw ArchiveError(message: "a finding in the saved state has no kind")
        }
        kind = found
    }

    private static func severity(_ rank: UInt8) throws(ArchiveError) -> Finding.Severity {
        switch rank {
        case 0: .medium
        case 1: .high
        case 2: .critical
        default: throw ArchiveError(message: "a finding in the saved state has no severity")
        }
    }
}

extension RaisedFinding {
    static let empty = RaisedFinding(
        record: 0,
        time: 0,
        kind: .logIncident,
        actor: "",
        score: 0,
        french: "",
        english: "",
        records: []
    )
}

extension Mute {
    static let empty = Mute(id: 0, actor: nil, kind: nil, until: 0, reason: "", by: "")
}

extension Alert {
    static let empty = Alert(
        number: 0,
        subject: .incident,
        incident: 0,
        time: 0,
        severity: .medium,
        kind: nil,
        actor: "",
        french: "",
        english: "",
        records: []
    )
}
