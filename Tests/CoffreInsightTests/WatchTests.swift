import Testing

@testable import CoffreInsight

/// Detectors and book over the lines of a log that grows by what they find.
struct WatchTests {
    private static let start: Int64 = 1_800_000_000

    private static func time(_ number: Int) -> String {
        String(InsightTime.text((start + Int64(number)) * 1_000_000_000).prefix(19)) + ".000000Z"
    }

    private static func line(_ number: Int, _ operation: String, _ sid: String, _ what: String, ref: String = "")
        -> String
    {
        #"{"_p":"p","_s":\#(number),"_t":"\#(time(number))","cid":"c","out":{"code":"granted"},"ph":"single""#
            + (ref.isEmpty ? "" : #","ref":[\#(ref)]"#)
            + #","what":{"op":"\#(operation)"\#(what)},"who":{"kind":"\#(sid == "s-system" ? "system" : "human")","pid":7,"sid":"\#(sid)","uid":1000}}"#
    }

    private static func raise(_ number: Int, _ told: Watch.Told) -> String {
        let finding = told.finding
        let details =
            #","det":{"actor":"\#(finding.actor)","finding":"\#(told.name)","kind":"\#(finding.kind.rawValue)","#
            + #""reason_en":"e","reason_fr":"f","score":\#(Int(finding.score * 1000))}"#
        return line(
            number,
            "anomaly.raise",
            "s-system",
            details,
            ref: finding.records.map(String.init).joined(separator: ",")
        )
    }

    private static func fresh(quietBefore: UInt64 = 0) -> Watch {
        Watch(InsightContext(), IncidentBook.Settings(), quietBefore: quietBefore, key0: 1, key1: 2)
    }

    private static func feed(_ watch: Watch, _ line: String, _ number: Int) -> [Watch.Told] {
        Array(line.utf8).withUnsafeBytes { watch.consume($0, UInt64(number)) }
    }

    /// Sweeps of ten people, one after another, with what a watch records of them, and people who handle it.
    private static let log: [String] = {
        var lines: [String] = []
        let watch = fresh()
        var waiting: [Watch.Told] = []
        func add(_ line: String) {
            waiting += feed(watch, line, lines.count)
            lines.append(line)
        }
        for person in 0..<10 {
            for secret in 0..<35 {
                add(Self.line(lines.count, "secret.read", "s-\(person)", #","path":"kv/\#(secret)""#))
                // It stands in the log a little later.
                if secret % 4 == 3, !waiting.isEmpty { add(raise(lines.count, waiting.removeFirst())) }
            }
            guard person % 3 == 2, let id = watch.book.incidents.last?.id else { continue }
            add(Self.line(lines.count, "anomaly.ack", "s-o", #","det":{"incident":\#(id),"reason":"r"}"#))
            add(
                Self.line(
                    lines.count,
                    "anomaly.mute",
                    "s-o",
                    #","det":{"actor":"s-9","reason":"r","until":1900000000}"#
                )
            )
        }
        return lines
    }()

    @Test func stoppingAndGoingOnChangesNothing() throws {
        let whole = Self.fresh()
        var names: [String] = []
        for (number, line) in Self.log.enumerated() { names += Self.feed(whole, line, number).map(\.name) }
        #expect(names.count == 10 && whole.book.incidents.count == 10)
        #expect(whole.book.mutes.count == 3 && whole.book.incidents.count { $0.state == .acknowledged } == 3)
        for stop in Swift.stride(from: 0, to: Self.log.count, by: 5) {
            var watch = Self.fresh()
            var found: [String] = []
            for (number, line) in Self.log.enumerated() {
                if number == stop {
                    watch.place = .init(sequence: UInt64(number), segment: 3, offset: 77)
                    let saved = watch.saved()
                    watch = try Watch(restoring: saved, InsightContext(), IncidentBook.Settings())
                    #expect(watch.saved() == saved)
                    #expect(watch.place == .init(sequence: UInt64(number), segment: 3, offset: 77))
                }
                found += Self.feed(watch, line, number).map(\.name)
            }
            #expect(found == names && watch.book == whole.book)
        }
    }

    @Test func whatWasThereBeforeIsLearntInSilence() {
        let watch = Self.fresh(quietBefore: UInt64(Self.log.count))
        for (number, line) in Self.log.enumerated() { #expect(Self.feed(watch, line, number).isEmpty) }
        #expect(watch.book.incidents.count == 10 && watch.book.alerts.isEmpty && watch.book.lastAlert == 0)
    }

    @Test func aRecordKnowsTheFindingThatItTells() {
        let names = Self.log.compactMap { line in Array(line.utf8).withUnsafeBytes { Watch.name(in: $0) } }
        #expect(names.count == 10 && Set(names).count == 10)
    }

    /// After the clock stepped back everything lies in the past; what tells of that must not make more of it.
    @Test func aClockThatStepsBackIsToldOnce() {
        let watch = Self.fresh()
        var number = 0
        var told: [Watch.Told] = []
        func add(_ line: String) {
            let new = Self.feed(watch, line, number)
            told += new
            number += 1
            for one in new {
                #expect(Self.feed(watch, Self.raise(number, one), number).isEmpty)
                number += 1
            }
        }
        for step in 0..<10 { add(Self.line(number, "secret.read", "s-a", #","path":"kv/\#(step)""#)) }
        for seconds in [7200, 120] {
            for _ in 0..<200 {
                let line = Self.line(number, "secret.read", "s-a", #","path":"kv/1""#)
                add(line.replacing(Self.time(number), with: Self.time(number - seconds)))
            }
        }
        #expect(told.count { $0.finding.kind == .clockIncident } <= 3 && !told.isEmpty)
        #expect(told.count < 10, "\(told.map { $0.finding.kind })")
    }

    /// The log keeps a digest of what is too long: such a record is one as well, and none is missing.
    @Test func aRecordWithDigestsIsRead() {
        let watch = Self.fresh()
        let digest = #"{"h":"AAAA","n":600}"#
        var told: [Watch.Told] = []
        for (number, what) in [
            #","path":"kv/1""#, #","path":\#(digest)"#, #","conn":\#(digest),"mount":\#(digest)"#,
            #","det":{"kind":\#(digest),"finding":\#(digest)}"#, #","path":"kv/2""#,
        ].enumerated() {
            let line = Self.line(number, "secret.read", "s-a", what)
            #expect(Array(line.utf8).withUnsafeBytes { InsightRecord.parse($0) } != nil, "\(what)")
            told += Self.feed(watch, line, number)
        }
        told += Self.feed(watch, "{nonsense", 5)
        told += Self.feed(watch, Self.line(6, "secret.read", "s-a", #","path":"kv/3""#), 6)
        #expect(told.isEmpty)
        // Only the daemon tells of findings.
        let forged = Self.line(7, "anomaly.raise", "s-a", #","det":{"finding":"1.0","kind":"rate_spike"}"#)
        #expect(Array(forged.utf8).withUnsafeBytes { Watch.name(in: $0) } == nil)
        let other = Self.line(7, "secret.read", "s-system", #","det":{"finding":"1.0"}"#)
        #expect(Array(other.utf8).withUnsafeBytes { Watch.name(in: $0) } == nil)
    }

    @Test func onlyWhatTookEffectCounts() {
        let watch = Self.fresh()
        for (number, line) in Self.log.prefix(60).enumerated() { _ = Self.feed(watch, line, number) }
        let id = watch.book.incidents[0].id
        let ack = Self.line(60, "anomaly.ack", "s-o", #","det":{"incident":\#(id),"reason":"r"}"#)
        for wrong in [
            ack.replacing(#""granted""#, with: #""denied""#), ack.replacing(#""single""#, with: #""intent""#),
            ack.replacing("\"incident\":\(id)", with: "\"incident\":\"\(id)\""),
            ack.replacing("\"incident\":\(id)", with: "\"incident\":-1"), String(ack.dropLast()),
            ack.replacing("anomaly.ack", with: "anomaly.other"),
        ] {
            _ = Self.feed(watch, wrong, 60)
            #expect(watch.book.incidents[0].state == .open, "\(wrong)")
        }
        _ = Self.feed(watch, ack, 60)
        #expect(watch.book.incidents[0].state == .acknowledged)
    }

    /// The journal of approvals: as many a day as incidents, and no incident.
    @Test func whoWaitsForALeaveIsToldOf() {
        var settings = IncidentBook.Settings()
        settings.alertsPerDay = 2
        let watch = Watch(InsightContext(), settings, quietBefore: 0, key0: 1, key1: 2)
        let asked = #","det":{"approval":"acc","ttl":60},"path":"connectors/creds/sales""#
        for number in 0..<3 {
            #expect(Self.feed(watch, Self.line(number, "approval.request", "s-a", asked), number).isEmpty)
        }
        let refused = Self.line(3, "approval.request", "s-a", asked).replacing("granted", with: "denied")
        _ = Self.feed(watch, refused, 3)
        #expect(watch.book.alerts.map(\.subject) == [.approval, .approval] && watch.book.incidents.isEmpty)
        #expect(watch.book.alerts[0].english.contains("coffre approval approve acc"))
        #expect(watch.book.alerts[1].english.hasSuffix("(further ones of today: coffre approval list)"))
        #expect(watch.book.alerts.allSatisfy { $0.english.contains("connectors/creds/sales") })
        #expect(watch.book.alertsToday == 0)
        // So are connections that need a new consent, as the daemon itself says, and nobody else.
        let needed =
            #","det":{"days":7,"reason":"within 7 days","state":"healthy"},"path":"connectors/connections/crm""#
        for number in 4..<7 {
            let line = Self.line(number, "oauth.needs_consent", "s-system", needed).replacing("granted", with: "error")
            #expect(Self.feed(watch, line, number).isEmpty)
            _ = Self.feed(watch, line.replacing("\"system\"", with: "\"human\""), number)
        }
        #expect(watch.book.alerts.map(\.subject) == [.approval, .approval, .consent, .consent])
        #expect(watch.book.alerts[2].french.contains("connectors/connections/crm demande un nouveau consentement"))
    }

    /// A closed incident hides nothing that comes after it.
    @Test func whatGoesOnAfterAnIncidentWasClosedIsToldAnew() {
        let watch = Self.fresh()
        let touch = #","det":{"decoy":true},"path":"kv/bait""#
        var lines: [String] = []
        func add(_ operation: String, _ sid: String, _ what: String) -> [Watch.Told] {
            lines.append(Self.line(lines.count, operation, sid, what))
            let told = Self.feed(watch, lines[lines.count - 1], lines.count - 1)
            for finding in told {
                lines.append(Self.raise(lines.count, finding))
                #expect(Self.feed(watch, lines[lines.count - 1], lines.count - 1).isEmpty)
            }
            return told
        }
        #expect(add("secret.read", "s-thief", touch).count == 1)
        #expect(add("secret.read", "s-thief", touch).isEmpty)
        let first = watch.book.incidents[0].id
        #expect(add("anomaly.ack", "s-o", #","det":{"incident":\#(first),"reason":"r"}"#).isEmpty)
        #expect(add("secret.read", "s-thief", touch).isEmpty)
        #expect(add("anomaly.close", "s-o", #","det":{"incident":\#(first),"reason":"r"}"#).isEmpty)
        #expect(add("secret.read", "s-other", touch).count == 1)
        #expect(add("secret.read", "s-thief", touch).count == 1)
        #expect(watch.book.incidents.map(\.actor) == ["s-thief", "s-other", "s-thief"])
        #expect(watch.book.alerts.count == 3)
        // Closed a second time it is as closed as before.
        #expect(add("anomaly.close", "s-o", #","det":{"incident":\#(first),"reason":"r"}"#).isEmpty)
        #expect(add("secret.read", "s-thief", touch).isEmpty)
    }

    @Test(arguments: ["7289654401", "9223372037", "9223372036854775807", "99999999999999999999", "0", "-1"])
    func aMuteUntilNoTimeIsNone(until: String) {
        let watch = Self.fresh()
        let details = #","det":{"actor":"s-9","reason":"r","until":\#(until)}"#
        _ = Self.feed(watch, Self.line(0, "anomaly.mute", "s-o", details), 0)
        #expect(watch.book.mutes.isEmpty && watch.book.alerts.isEmpty)
        _ = Self.feed(watch, Self.line(1, "anomaly.mute", "s-o", details.replacing(until, with: "7289654400")), 1)
        #expect(watch.book.mutes.count == 1)
    }

    /// A saved state that was changed anywhere is refused or read, and nothing else.
    @Test func aChangedStateNeverTraps() throws {
        let watch = Self.fresh()
        for (number, line) in Self.log.enumerated() { _ = Self.feed(watch, line, number) }
        let saved = watch.saved()
        #expect(throws: ArchiveError.self) {
            var bytes = saved
            bytes[100] ^= 1
            _ = try Watch(restoring: bytes, InsightContext(), IncidentBook.Settings())
        }
        let check = SipHash(key0: 0x636f_6666_7265_2d69, key1: 0x6e73_6967_6874_2d31)
        var generator = SystemRandomNumberGenerator()
        var refused = 0
        for round in 0..<4000 {
            var body = Array(saved.dropLast(8))
            let place =
                round < 1000 ? 15 + round % (body.count - 15) : Int.random(in: 15..<body.count, using: &generator)
            switch round % 3 {
            case 0: body[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: body[place] = .random(in: 0...255, using: &generator)
            default: body.removeSubrange(place..<min(place + 5, body.count))
            }
            let sum = body.withUnsafeBufferPointer { check.hash($0, 0) }
            let bytes = body + (0..<8).map { UInt8(truncatingIfNeeded: sum >> UInt64(8 * $0)) }
            do {
                let other = try Watch(restoring: bytes, InsightContext(), IncidentBook.Settings())
                for (number, line) in Self.log.prefix(40).enumerated() { _ = Self.feed(other, line, number) }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 500)
    }

    @Test func hostileLinesNeverTrap() {
        var generator = SystemRandomNumberGenerator()
        let watch = Self.fresh()
        for round in 0..<20_000 {
            var bytes = Array(Self.log[round % Self.log.count].utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[place] = .random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(Array(#""\{}[]:,0"#.utf8).randomElement(using: &generator) ?? 0, at: place)
                default: bytes.removeSubrange(place..<min(place + 9, bytes.count))
                }
                if bytes.isEmpty { bytes = [0x7b] }
            }
            _ = bytes.withUnsafeBytes { watch.consume($0, UInt64(round)) }
            if round % 1000 == 0 {
                #expect(throws: Never.self) {
                    _ = try Watch(restoring: watch.saved(), InsightContext(), IncidentBook.Settings())
                }
            }
        }
    }
}
