/// Who is told of what, and what became of it: made of the log's records alone, so that reading them again makes the same book.
package struct IncidentBook: Sendable, Equatable {
    /// What the operator decides.
    package struct Settings: Sendable, Equatable {
        /// Incidents a day that people are told of; critical ones have as many again.
        package var alertsPerDay = 20
        /// Seconds east of Greenwich, for the day's beginning.
        package var utcOffset: Int64 = 3600
        /// Kinds that are recorded and shown, and told to nobody.
        package var noted: Set<Finding.Kind> = []
        /// Kinds whose actors are answered otherwise while their incident is open: those make room last.
        package var answered: Set<Finding.Kind> = []

        package init() {}
    }

    /// Findings about one identity belong together when no more than this lies between them.
    static let grouping = Span.hour
    static let mostIncidents = 1000
    static let mostMutes = 200
    static let mostAlerts = 500
    private static let none = [UInt64](repeating: 0, count: Finding.Kind.allCases.count)

    package var settings: Settings
    /// While records are read that were there before anybody watched: nobody is told of them any more.
    var isQuiet = false
    /// In the order of their numbers.
    package private(set) var incidents: [Incident] = []
    package private(set) var mutes: [Mute] = []
    /// What not every channel has yet, the oldest first.
    package private(set) var alerts: [Alert] = []
    /// Number of the newest alert; 0 before the first.
    package private(set) var lastAlert: UInt64 = 0
    /// The local day, from 1970, and what was told and held back in it.
    package private(set) var day: Int64 = 0
    package private(set) var alertsToday: UInt64 = 0
    package private(set) var heldToday: UInt64 = 0
    /// Of ``alertsToday``, those of each kind.
    private var toldToday = Self.none
    private var firstHeld: UInt64 = 0
    /// Requests for an approval that were told today.
    private var askedToday: UInt64 = 0
    private var consentsToday: UInt64 = 0
    private var mutesToday: UInt64 = 0
    /// Since ever: findings of each kind, what was held back, incidents and alerts that had to make room.
    package private(set) var totals = [UInt64](repeating: 0, count: Finding.Kind.allCases.count)
    package private(set) var heldTotal: UInt64 = 0
    package private(set) var forgotten: UInt64 = 0
    package private(set) var dropped: UInt64 = 0

    package init(_ settings: Settings = Settings()) { self.settings = settings }

    // MARK: reading the log

    /// - Parameter time: of a record; the day may have ended.
    mutating func turn(to time: Int64) {
        let today = (time / Span.second + settings.utcOffset) / 86_400
        if today < day - 1 {
            (day, alertsToday, heldToday, toldToday) = (today, 0, 0, Self.none)
            (askedToday, consentsToday, mutesToday) = (0, 0, 0)
        }
        guard today > day else { return }
        if heldToday > 0 {
            tell(
                .summary,
                incident: firstHeld,
                at: time,
                severity: .medium,
                kind: nil,
                actor: "coffred",
                french: "\(heldToday) incident(s) de la veille n’ont pas été envoyés : coffre anomaly list --held",
                english: "\(heldToday) incident(s) of the day before were not sent: coffre anomaly list --held",
                records: []
            )
        }
        (day, alertsToday, heldToday, toldToday) = (today, 0, 0, Self.none)
        (askedToday, consentsToday, mutesToday) = (0, 0, 0)
    }

    mutating func add(_ finding: RaisedFinding) {
        totals[finding.kind.place] &+= 1
        let index = place(for: finding)
        let isNewKind = !incidents[index].kinds.contains(finding.kind)
        incidents[index].add(finding)
        if let mute = mutes.last(where: { $0.covers(finding) }) {
            if incidents[index].alerted == nil { incidents[index].silence = .muted(mute.id) }
            return
        }
        if settings.noted.contains(finding.kind) {
            if incidents[index].alerted == nil, incidents[index].silence == nil { incidents[index].silence = .noted }
            return
        }
        if let alerted = incidents[index].alerted,
            !isNewKind && alerted >= finding.severity || alerted > finding.severity
        {
            return
        }
        let limit = UInt64(clamping: settings.alertsPerDay) &* (finding.severity == .critical ? 2 : 1)
        // One kind, made by the dozen, leaves something for the others.
        let told = toldToday[finding.kind.place]
        guard alertsToday < limit, told < max(2, limit / 4 &* 3) else { return holdBack(index, finding) }
        alertsToday &+= 1
        toldToday[finding.kind.place] = told &+ 1
        incidents[index].alerted = finding.severity
        incidents[index].silence = nil
        tell(
            .incident,
            incident: incidents[index].id,
            at: finding.time,
            severity: finding.severity,
            kind: finding.kind,
            actor: finding.actor,
            french: finding.french,
            english: finding.english,
            records: finding.records
        )
    }

    private mutating func holdBack(_ index: Int, _ finding: RaisedFinding) {
        guard incidents[index].silence != .heldBack else { return }
        incidents[index].silence = .heldBack
        heldToday &+= 1
        heldTotal &+= 1
        guard heldToday == 1 else { return }
        firstHeld = incidents[index].id
        tell(
            .budget,
            incident: firstHeld,
            at: finding.time,
            severity: .medium,
            kind: nil,
            actor: "coffred",
            french:
                "déjà \(alertsToday) alertes aujourd’hui : les suivantes sont retenues (coffre anomaly list --held)",
            english: "\(alertsToday) alerts today already: further ones are held back (coffre anomaly list --held)",
            records: []
        )
    }

    /// The incident that a finding belongs to, or a new one.
    private mutating func place(for finding: RaisedFinding) -> Int {
        if let index = incidents.lastIndex(where: {
            // Whoever looks after one thing is told of another.
            ($0.state == .open || $0.state == .acknowledged && $0.kinds.contains(finding.kind))
                && (-Self.grouping...Self.grouping).contains(finding.time &- $0.last)
                && $0.actor.utf8.elementsEqual(finding.actor.utf8)
        }) {
            return index
        }
        if incidents.count >= Self.mostIncidents {
            incidents.remove(at: placeToEmpty)
            forgotten &+= 1
        }
        incidents.append(Incident(finding))
        return incidents.count - 1
    }

    /// Of the incident that is missed least: a closed one, else the least severe, the oldest of them.
    private var placeToEmpty: Int {
        func rank(_ incident: Incident) -> Int {
            switch incident.state {
            case .closed: 0
            case .acknowledged: 1
            case .open: settings.answered.isDisjoint(with: incident.kinds) ? 2 + Int(incident.severity.rank) : 9
            }
        }
        return incidents.indices.min { rank(incidents[$0]) < rank(incidents[$1]) } ?? 0
    }

    mutating func acknowledge(_ id: UInt64, by: String, at time: Int64, reason: String) {
        handle(id, .acknowledged, by, time, reason)
    }

    mutating func close(_ id: UInt64, by: String, at time: Int64, reason: String) {
        handle(id, .closed, by, time, reason)
    }

    private mutating func handle(_ id: UInt64, _ state: Incident.State, _ by: String, _ time: Int64, _ reason: String) {
        // What was found out stands.
        guard let index = incidents.firstIndex(where: { $0.id == id }), incidents[index].state != .closed else {
            return
        }
        incidents[index].state = state
        incidents[index].handledBy = by
        incidents[index].handledAt = time
        if !reason.isEmpty { incidents[index].reason = reason }
    }

    /// - Parameter time: when it was said.
    mutating func mute(_ mute: Mute, at time: Int64) {
        mutes.removeAll { $0.until <= time }
        if mutes.count >= Self.mostMutes { mutes.removeFirst() }
        mutes.append(mute)
    }

    /// A mute is told like an alert, with a budget of its own: nobody silences anything in silence.
    mutating func tell(of mute: Mute, at time: Int64) {
        guard mutesToday < UInt64(clamping: settings.alertsPerDay) else { return }
        mutesToday &+= 1
        let isLast = mutesToday == UInt64(clamping: settings.alertsPerDay)
        let reason = ActorProfile.shown(mute.reason, 500)
        let what = [mute.kind?.rawValue, mute.actor].compactMap(\.self).joined(separator: ", ")
        let end = InsightTime.text(mute.until).prefix(19)
        tell(
            .mute,
            incident: mute.id,
            at: time,
            severity: mute.kind?.severity ?? .medium,
            kind: mute.kind,
            actor: mute.by,
            french:
                "\(ActorProfile.shown(mute.by)) fait taire \(ActorProfile.shown(what)) jusqu’à \(end)Z : \(reason)"
                + (isLast ? " (les suivants d’aujourd’hui : coffre anomaly mute list)" : ""),
            english: "\(ActorProfile.shown(mute.by)) mutes \(ActorProfile.shown(what)) until \(end)Z: \(reason)"
                + (isLast ? " (further ones of today: coffre anomaly mute list)" : ""),
            records: [mute.id]
        )
    }

    /// Requests for an approval have a budget of their own, as large as that of incidents: all of them are in the list.
    mutating func tell(ofApproval approval: String, record: UInt64, path: String, by: String, at time: Int64) {
        guard askedToday < UInt64(clamping: settings.alertsPerDay) else { return }
        askedToday &+= 1
        let isLast = askedToday == UInt64(clamping: settings.alertsPerDay)
        let (name, place) = (ActorProfile.shown(by), ActorProfile.shown(path))
        let command = "coffre approval approve \(ActorProfile.shown(approval))"
        tell(
            .approval,
            incident: record,
            at: time,
            severity: .medium,
            kind: nil,
            actor: by,
            french: "\(name) attend l’accord d’une autre personne pour \(place) : \(command)"
                + (isLast ? " (les suivants d’aujourd’hui : coffre approval list)" : ""),
            english: "\(name) waits for another person's leave for \(place): \(command)"
                + (isLast ? " (further ones of today: coffre approval list)" : ""),
            records: [record]
        )
    }

    /// So have connections that need a new consent: all of them are in `coffre rotation status`.
    mutating func tell(ofConsent path: String, record: UInt64, reason: String, at time: Int64) {
        guard consentsToday < UInt64(clamping: settings.alertsPerDay) else { return }
        consentsToday &+= 1
        let isLast = consentsToday == UInt64(clamping: settings.alertsPerDay)
        let (place, why) = (ActorProfile.shown(path), ActorProfile.shown(reason))
        tell(
            .consent,
            incident: record,
            at: time,
            severity: .medium,
            kind: nil,
            actor: "coffred",
            french: "\(place) demande un nouveau consentement (\(why)) : coffre connection connect"
                + (isLast ? " (les suivants d’aujourd’hui : coffre rotation status)" : ""),
            english: "\(place) needs a new consent (\(why)): coffre connection connect"
                + (isLast ? " (further ones of today: coffre rotation status)" : ""),
            records: [record]
        )
    }

    mutating func unmute(_ id: UInt64) { mutes.removeAll { $0.id == id } }

    // MARK: telling

    private mutating func tell(
        _ subject: Alert.Subject,
        incident: UInt64,
        at time: Int64,
        severity: Finding.Severity,
        kind: Finding.Kind?,
        actor: String,
        french: String,
        english: String,
        records: [UInt64]
    ) {
        guard !isQuiet else { return }
        lastAlert &+= 1
        if alerts.count >= Self.mostAlerts {
            alerts.removeFirst()
            dropped &+= 1
        }
        alerts.append(
            Alert(
                number: lastAlert,
                subject: subject,
                incident: incident,
                time: time,
                severity: severity,
                kind: kind,
                actor: actor,
                french: french,
                english: english,
                records: records
            )
        )
    }

    /// Every channel has all alerts up to a number.
    package mutating func delivered(through number: UInt64) {
        guard let first = alerts.first, first.number <= number else { return }
        alerts.removeAll { $0.number <= number }
    }

    package func incident(_ id: UInt64) -> Incident? { incidents.first { $0.id == id } }

    package func total(of kind: Finding.Kind) -> UInt64 { totals[kind.place] }
}

extension IncidentBook {
    mutating func state(_ archive: inout Archive) throws(ArchiveError) {
        try archive.list(&incidents, atMost: Self.mostIncidents, of: Incident(.empty)) {
            (archive, incident) throws(ArchiveError) in
            try archive.incident(&incident)
        }
        try archive.list(&mutes, atMost: Self.mostMutes, of: .empty) { (archive, mute) throws(ArchiveError) in
            try archive.mute(&mute)
        }
        try archive.list(&alerts, atMost: Self.mostAlerts, of: .empty) { (archive, alert) throws(ArchiveError) in
            try archive.alert(&alert)
        }
        try archive.value(&lastAlert)
        try archive.time(&day)
        try archive.value(&alertsToday)
        try archive.value(&heldToday)
        try archive.value(&firstHeld)
        try archive.value(&askedToday)
        try archive.value(&consentsToday)
        try archive.value(&mutesToday)
        for index in totals.indices { try archive.value(&totals[index]) }
        for index in toldToday.indices { try archive.value(&toldToday[index]) }
        try archive.value(&heldTotal)
        try archive.value(&forgotten)
        try archive.value(&dropped)
    }
}
