import Testing

@testable import CoffreInsight

/// Who is told of what: groups, budgets, mutes, handling.
struct IncidentBookTests {
    private static let start: Int64 = 1_800_000_000 * Span.second
    private static let minute = Span.minute

    private static func finding(
        _ record: UInt64,
        _ kind: Finding.Kind = .massEnumeration,
        _ actor: String = "s-a",
        at minutes: Int64 = 0
    ) -> RaisedFinding {
        RaisedFinding(
            record: record,
            time: start + minutes * minute,
            kind: kind,
            actor: actor,
            score: 800,
            french: "phrase \(record)",
            english: "sentence \(record)",
            records: [record - 1]
        )
    }

    @Test func findingsAboutOneIdentityAreOneIncidentAndOneAlert() {
        var book = IncidentBook()
        for number in 0..<30 { book.add(Self.finding(UInt64(10 + number), at: Int64(number))) }
        #expect(book.incidents.count == 1 && book.incidents[0].count == 30 && book.alerts.count == 1)
        #expect(book.incidents[0].findings.count == Incident.mostFindings)
        #expect(book.incidents[0].findings.first?.record == 10 && book.incidents[0].findings.last?.record == 39)
        // Another identity, and the same one after more than an hour, are others.
        book.add(Self.finding(50, .massEnumeration, "s-b", at: 31))
        book.add(Self.finding(51, at: 29 + 61))
        #expect(book.incidents.map(\.id) == [10, 50, 51] && book.alerts.map(\.number) == [1, 2, 3])
    }

    @Test func whatGetsWorseIsToldAgain() {
        var book = IncidentBook()
        book.add(Self.finding(1, .rateSpike))
        book.add(Self.finding(2, .massEnumeration, at: 1))
        book.add(Self.finding(3, .rateSpike, at: 2))
        book.add(Self.finding(4, .stolenToken, at: 3))
        #expect(book.alerts.map(\.severity) == [.medium, .high, .critical])
        #expect(book.incidents.count == 1 && book.incidents[0].severity == .critical)
        #expect(book.incidents[0].kinds == [.rateSpike, .massEnumeration, .stolenToken])
    }

    @Test func aBudgetHoldsBackSaysSoAndSumsUpTheNextDay() {
        var settings = IncidentBook.Settings()
        settings.alertsPerDay = 2
        var book = IncidentBook(settings)
        book.turn(to: Self.start)
        for number in 1...6 { book.add(Self.finding(UInt64(number), .massEnumeration, "s-\(number)")) }
        #expect(book.alerts.map(\.subject) == [.incident, .incident, .budget])
        #expect(book.heldToday == 4 && book.incidents.count { $0.silence == .heldBack } == 4)
        // Critical ones have as many again.
        for number in 7...9 { book.add(Self.finding(UInt64(number), .stolenToken, "s-\(number)")) }
        #expect(book.alerts.count == 5 && book.heldToday == 5)
        // The same identity is counted once.
        book.add(Self.finding(20, .massEnumeration, "s-6", at: 5))
        #expect(book.heldToday == 5)
        book.turn(to: Self.start + Span.dayLength)
        #expect(book.alerts.last?.subject == .summary && book.alerts.last?.english.hasPrefix("5 incident(s)") == true)
        #expect(book.heldToday == 0 && book.alertsToday == 0 && book.heldTotal == 5)
        book.turn(to: Self.start + 2 * Span.dayLength)
        #expect(book.alerts.count == 6)
        // A clock that steps back begins no new day.
        book.turn(to: Self.start)
        #expect(book.alerts.count == 6)
    }

    @Test func mutesCoverWhatTheySayUntilTheyEnd() {
        var book = IncidentBook()
        let until = Self.start + 10 * Self.minute
        book.mute(Mute(id: 5, actor: "s-a", kind: .massEnumeration, until: until, reason: "r", by: "b"), at: Self.start)
        book.add(Self.finding(6))
        #expect(book.alerts.isEmpty && book.incidents[0].silence == .muted(5))
        book.add(Self.finding(7, .massEnumeration, "s-b"))
        book.add(Self.finding(8, .deniedBurst, at: 1))
        #expect(book.alerts.map(\.incident) == [7, 6])
        book.add(Self.finding(9, .massEnumeration, "s-a", at: 90))
        #expect(book.alerts.count == 3)
        book.unmute(5)
        #expect(book.mutes.isEmpty)
        for number in 0..<300 {
            book.mute(Mute(id: UInt64(number), actor: nil, kind: .rateSpike, until: until, reason: "", by: ""), at: 0)
        }
        #expect(book.mutes.count == IncidentBook.mostMutes)
    }

    @Test func aMuteForEverybodyDoesNotCoverWhoSetIt() {
        var book = IncidentBook()
        let until = Self.start + 10 * Self.minute
        book.mute(Mute(id: 5, actor: nil, kind: .massEnumeration, until: until, reason: "r", by: "s-a"), at: Self.start)
        book.add(Self.finding(6))
        book.add(Self.finding(7, .massEnumeration, "s-b"))
        #expect(book.alerts.map(\.incident) == [6])
    }

    @Test func handlingIsKeptAndAClosedIncidentTakesNothingMore() {
        var book = IncidentBook()
        book.add(Self.finding(1))
        book.acknowledge(1, by: "s-o", at: Self.start, reason: "looking")
        #expect(book.incidents[0].state == .acknowledged && book.incidents[0].handledBy == "s-o")
        book.add(Self.finding(2, at: 1))
        #expect(book.incidents.count == 1 && book.alerts.count == 1)
        book.close(1, by: "s-o", at: Self.start, reason: "known")
        book.add(Self.finding(3, at: 2))
        #expect(book.incidents.map(\.id) == [1, 3] && book.alerts.count == 2)
        // What was found out stands.
        book.acknowledge(1, by: "s-p", at: Self.start, reason: "")
        book.close(1, by: "s-p", at: Self.start, reason: "other")
        #expect(book.incident(1)?.state == .closed && book.incident(1)?.reason == "known")
        #expect(book.incident(1)?.handledBy == "s-o")
        book.acknowledge(3, by: "s-o", at: Self.start, reason: "looking")
        book.acknowledge(3, by: "s-p", at: Self.start, reason: "")
        #expect(book.incident(3)?.handledBy == "s-p" && book.incident(3)?.reason == "looking")
        book.close(99, by: "s-o", at: Self.start, reason: "none")
        #expect(book.incident(3)?.state == .acknowledged)
    }

    @Test func anAcknowledgedIncidentSwallowsNothingOfAnotherKind() {
        var book = IncidentBook()
        book.add(Self.finding(1))
        book.acknowledge(1, by: "s-o", at: Self.start, reason: "looking")
        book.add(Self.finding(2, .wrappedTokenReopened, at: 1))
        #expect(book.incidents.map(\.id) == [1, 2] && book.alerts.map(\.incident) == [1, 2])
        #expect(book.incidents[1].state == .open)
    }

    @Test func anotherKindIsToldAndOneKindCannotUseUpTheDay() {
        var book = IncidentBook()
        book.turn(to: Self.start)
        book.add(Self.finding(1))
        book.add(Self.finding(2, .deniedBurst, at: 1))
        #expect(book.alerts.map(\.kind) == [.massEnumeration, .deniedBurst])
        for number in 10..<60 { book.add(Self.finding(UInt64(number), .wrappedTokenReopened, "s-\(number)")) }
        #expect(book.alerts.count { $0.kind == .wrappedTokenReopened } == 15)
        book.add(Self.finding(100, .massEnumeration, "s-thief"))
        #expect(book.alerts.last?.actor == "s-thief")
    }

    @Test func aClockThatWasFarAheadFixesNoBudget() {
        var settings = IncidentBook.Settings()
        settings.alertsPerDay = 1
        var book = IncidentBook(settings)
        book.turn(to: Self.start + 80_000 * Span.dayLength)
        book.add(Self.finding(1, at: 80_000 * 1440))
        book.turn(to: Self.start)
        book.add(Self.finding(2))
        // Neither joins the other, and the day began anew.
        #expect(book.incidents.count == 2 && book.alertsToday == 1 && book.day < 30_000)
    }

    @Test func aMuteIsItselfTold() {
        var book = IncidentBook()
        let mute = Mute(id: 5, actor: nil, kind: .rateSpike, until: Self.start, reason: "drill", by: "s-o")
        book.tell(of: mute, at: Self.start)
        #expect(book.alerts.count == 1 && book.alerts[0].subject == .mute && book.alertsToday == 0)
        #expect(book.alerts[0].english.contains("rate_spike") && book.alerts[0].english.contains("drill"))
    }

    @Test func notedKindsAreListedAndToldToNobody() {
        var settings = IncidentBook.Settings()
        settings.noted = [.rateSpike]
        var book = IncidentBook(settings)
        book.add(Self.finding(1, .rateSpike))
        #expect(book.alerts.isEmpty && book.incidents[0].silence == .noted)
        book.add(Self.finding(2, .massEnumeration, at: 1))
        #expect(book.alerts.count == 1 && book.incidents[0].silence == nil)
    }

    @Test func aFloodPushesNobodyOutWhoIsHeld() {
        var settings = IncidentBook.Settings()
        settings.answered = [.massEnumeration]
        var book = IncidentBook(settings)
        book.add(Self.finding(1))
        for number in 0..<1500 { book.add(Self.finding(UInt64(number + 2), .auditTampering, "s-\(number)")) }
        #expect(book.incidents.count == IncidentBook.mostIncidents && book.incident(1)?.state == .open)
    }

    @Test func mutesHaveABudgetToo() {
        var book = IncidentBook()
        for number in 0..<600 {
            let mute = Mute(
                id: UInt64(number),
                actor: "n",
                kind: nil,
                until: Self.start,
                reason: "\u{1b}[2J",
                by: "s-o"
            )
            book.tell(of: mute, at: Self.start)
        }
        #expect(
            book.alerts.count == 20
                && book.alerts[19].english.hasSuffix("(further ones of today: coffre anomaly mute list)")
        )
        #expect(!book.alerts[0].english.contains("\u{1b}"))
    }

    @Test func aMuteForEverybodyDoesNotCoverItsPlace() {
        var book = IncidentBook()
        let until = Self.start + 10 * Self.minute
        var mute = Mute(id: 5, actor: nil, kind: .deniedBurst, until: until, reason: "r", by: "s-a")
        mute.places = ["uid:7", "unit:x.service"]
        book.mute(mute, at: Self.start)
        for (number, actor) in ["uid:7", "unit:x.service", "uid:8"].enumerated() {
            book.add(Self.finding(UInt64(10 + number), .deniedBurst, actor))
        }
        #expect(book.alerts.map(\.incident) == [10, 11])
    }

    @Test func aFloodOfIdentitiesIsBoundedAndCounted() {
        var settings = IncidentBook.Settings()
        settings.alertsPerDay = 1000
        var book = IncidentBook(settings)
        for number in 0..<3000 {
            book.turn(to: Self.start + Int64(number) * 30 * Span.minute)
            book.add(Self.finding(UInt64(number + 1), .massEnumeration, "s-\(number)", at: Int64(number) * 30))
        }
        #expect(book.incidents.count == IncidentBook.mostIncidents && book.forgotten == 2000)
        #expect(book.alerts.count == IncidentBook.mostAlerts && book.dropped == 2500)
        #expect(book.alerts.last?.number == 3000)
        #expect(book.total(of: .massEnumeration) == 3000)
        book.delivered(through: 2900)
        #expect(book.alerts.map(\.number) == Array(2901...3000))
    }
}
