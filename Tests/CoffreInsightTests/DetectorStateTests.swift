import Foundation
import Testing

@testable import CoffreInsight

struct DetectorStateTests {
    private static let office: Office = {
        let names = (0..<12).map { "user-\($0)" }
        var extra = names.enumerated().map {
            Office.event(
                Office.at(day: 16, hour: 9, minute: 35 * $0.offset),
                $0.element,
                .login,
                "auth",
                "auth/portal",
                uid: 950,
                unit: "portal.service",
                outcome: .denied
            )
        }
        extra += (0..<14).map {
            Office.event(
                Office.at(day: 17, hour: 10, minute: 3 * $0),
                "badis",
                .read,
                "kv",
                "finance/\(10 + $0)",
                teams: ["finance"],
                uid: 1001,
                token: "t-badis-17",
                pid: 5171
            )
        }
        let stop = Office.at(day: 18, hour: 0)
        return Office(days: 20, extra: extra, isSilent: { $0 >= stop })
    }()

    @Test func stoppingAndGoingOnChangesNothing() throws {
        let whole = Self.office.findings()
        #expect(Set(whole.map(\.kind)) == [.deniedBurst, .massEnumeration, .silentDeath])
        var detector = Detector(context: Office.context, key0: 7, key1: 8)
        var found: [Finding] = []
        for (index, event) in Self.office.events.enumerated() {
            if index % 577 == 0 {
                let saved = detector.saved()
                detector = try Detector(restoring: saved, context: Office.context)
                #expect(detector.saved() == saved)
            }
            found += detector.consume(event)
        }
        #expect(found == whole)
    }

    @Test func aPrefixHasTheFirstFindings() {
        let whole = Self.office.findings()
        for share in 1..<10 {
            let end = Self.office.events.count * share / 10
            let detector = Detector(context: Office.context, key0: 7, key1: 8)
            let found = Self.office.events[..<end].flatMap { detector.consume($0) }
            #expect(found == Array(whole.prefix(found.count)))
        }
    }

    /// The key only makes names hard to choose.
    @Test func anotherKeyFindsTheSame() {
        let detector = Detector(context: Office.context, key0: 99, key1: 3)
        #expect(Self.office.events.flatMap { detector.consume($0) } == Self.office.findings())
    }

    @Test func aDamagedStateIsRefused() throws {
        let detector = Detector(context: Office.context, key0: 7, key1: 8)
        for event in Self.office.events.prefix(2000) { _ = detector.consume(event) }
        let saved = detector.saved()
        for place in stride(from: 0, to: saved.count, by: 97) {
            var changed = saved
            changed[place] ^= 0x41
            #expect(throws: ArchiveError.self) { try Detector(restoring: changed, context: Office.context) }
            #expect(throws: ArchiveError.self) {
                try Detector(restoring: Array(saved[..<place]), context: Office.context)
            }
        }
    }

    /// A state that was changed, and is whole all the same: refused, or gone on with. Extremes everywhere.
    @Test func aChangedStateNeverTraps() throws {
        let events = Self.office.events
        let detector = Detector(context: Office.context, key0: 7, key1: 8)
        let learnt = events.count * 16 / 20
        for event in events[..<learnt] { _ = detector.consume(event) }
        let saved = Array(detector.saved().dropLast(8))
        let check = SipHash(key0: 0x636f_6666_7265_2d69, key1: 0x6e73_6967_6874_2d31)
        let extremes: [[UInt8]] = [
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0, 0, 0, 0, 0x80],
            [UInt8](repeating: 0xff, count: 8), [UInt8](repeating: 0, count: 8), [0xff, 0xff, 0x7f, 0x7f],
            [0, 0, 0xc0, 0x7f], [0xff, 0x7b], [0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0x80], [0xff],
        ]
        let rounds = ProcessInfo.processInfo.environment["COFFRE_SOAK"] == nil ? 1_000 : 60_000
        var refused = 0
        for round in 0..<rounds {
            var body = saved
            let place = Int.random(in: 15..<body.count - 8)
            for (offset, byte) in extremes[round % extremes.count].enumerated() { body[place + offset] = byte }
            let sum = body.withUnsafeBufferPointer { check.hash($0, 0) }
            body += (0..<8).map { UInt8(truncatingIfNeeded: sum >> UInt64(8 * $0)) }
            guard let other = try? Detector(restoring: body, context: Office.context) else {
                refused += 1
                continue
            }
            // A stretch of another hour each time.
            let begin = learnt + round * 131 % (events.count - learnt - 60)
            for event in events[begin..<begin + 60] { _ = other.consume(event) }
            _ = try Detector(restoring: other.saved(), context: Office.context)
        }
        #expect(refused > rounds / 20 && refused < rounds)
    }

    /// A flood of names that nobody has seen: bounded, and those with a history stay.
    @Test func aFloodOfNamesIsBounded() {
        let detector = Detector(context: Office.context, key0: 7, key1: 8)
        let office = Office(days: 12)
        for event in office.events { _ = detector.consume(event) }
        let time = Office.at(day: 12, hour: 9)
        for number in 0..<24_000 {
            var event = Office.event(
                time + Int64(number) * 1_000_000,
                "flood-\(number)",
                .read,
                "kv",
                "x/\(number)",
                uid: Int64(number),
                token: "f-\(number)"
            )
            event.sequence = UInt64(office.events.count + number)
            _ = detector.consume(event)
        }
        #expect(detector.state.actors.count <= InsightState.mostActors)
        #expect(detector.state.tokens.count + detector.state.olderTokens.count <= InsightState.mostTokens)
        #expect(detector.state.secrets.count <= InsightState.mostSecrets)
        #expect(detector.state.actors[detector.state.hash("amel")]?.activeDays ?? 0 > 5)
        #expect(detector.saved().count < 24 << 20)
    }

    @Test func hostileNamesStayInOneLine() throws {
        let name = "eve\u{1b}[31m\n\"}\u{202e}" + String(repeating: "x", count: 5000)
        let write = Office.event(Office.at(day: 2, hour: 9), name, .auditWrite, "sys", "sys/audit/\n\u{7f}")
        let findings = Office(days: 3, extra: [write]).findings()
        let line = try #require(findings.first { $0.kind == .auditTampering }).line
        #expect(line.count < 1500 && !line.contains { $0 < 0x20 || $0 == 0x7f })
        #expect(!String(decoding: line, as: UTF8.self).unicodeScalars.contains("\u{202e}"))
    }
}
