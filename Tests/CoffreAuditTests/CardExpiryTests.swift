import Synchronization
import Testing

@testable import CoffreAudit

/// Cards go with the last record that needs them, and only by both clocks.
@Suite struct CardExpiryTests {
    private final class Days {
        let disk = MemoryDisk()
        let clock = TestClock()

        func open() throws -> AuditLog {
            var configuration = TestLog.configuration(disk, clock: clock)
            configuration.retentionMonths = 6
            return try AuditLog.open(configuration)
        }

        func withLog<R>(_ body: (AuditLog) throws -> R) throws -> R {
            let log = try open()
            defer { log.close() }
            return try body(log)
        }

        /// A segment a day, with a record of each person.
        func pass(_ days: Int, _ people: [(uid: UInt32, connector: String?)]) throws {
            for _ in 0..<days {
                clock.pass(6 * SubjectTable.day)
                try withLog { log in
                    for person in people { try mention(log, person.uid, person.connector) }
                }
            }
        }

        func sid(_ log: AuditLog, _ uid: UInt32) throws -> String {
            try log.subject(kind: .human, uid: uid, entity: nil, card: Array("person \(uid)".utf8))
        }

        private func mention(_ log: AuditLog, _ uid: UInt32, _ connector: String?) throws {
            var draft = TestLog.read("a", connector: connector)
            draft.who = AuditWho(kind: .human, sid: try sid(log, uid))
            let done = Mutex(false)
            log.append(draft) { _ in done.withLock { $0 = true } }
            while !done.withLock({ $0 }) { yieldThread() }
        }

        func sidOf(_ uid: UInt32) throws -> String { try withLog { try sid($0, uid) } }

        @discardableResult
        func prune() throws -> PruneReport {
            try withLog { log in
                try log.prune(isDry: false, approver: nil) { PendingRecord.own(.prune, $0).draft }
            }
        }

        func expire() throws -> [String] { try withLog { try $0.cards.expire() } }

        func hasCard(_ sid: String) throws -> Bool { try withLog { SubjectTests.bytes(try $0.card(of: sid)) != nil } }
    }

    @Test func theCardOfWhoLeftGoesWithTheLastSegmentThatMentionsHim() throws {
        let days = Days()
        try days.pass(5, [(1000, nil), (1001, nil)])
        let (alice, bob) = (try days.sidOf(1000), try days.sidOf(1001))
        try days.pass(80, [(1001, nil)])
        // Old enough, and still mentioned.
        #expect(try days.expire() == [])
        #expect(try days.prune().pruned.count > 40)
        #expect(try days.expire() == [alice])
        #expect(try !days.hasCard(alice))
        #expect(try days.hasCard(bob))
        #expect(try days.expire() == [])
        let lines = TestLog.lines(days.disk)
        #expect(lines.count { $0.contains("erasure.done") && $0.contains("expired") && $0.contains(alice) } == 1)
        #expect(try TestLog.verify(days.disk).findings == [])
        // Somebody new.
        #expect(try days.sidOf(1000) != alice)
    }

    @Test func aForwardJumpOfTheClockDeletesNoCard() throws {
        let days = Days()
        try days.pass(1, [(1000, nil)])
        let alice = try days.sidOf(1000)
        days.clock.jump(by: 10 * 365 * SubjectTable.day)
        #expect(try days.expire() == [])
        try days.pass(3, [(1001, nil)])
        #expect(try days.prune().pruned.isEmpty)
        #expect(try days.expire() == [])
        #expect(try days.hasCard(alice))
    }

    @Test func ofWhatIsHeldOnlyThoseWhomItConcernsKeepTheirCards() throws {
        let days = Days()
        try days.pass(4, [(1000, "c-1"), (1002, nil)])
        let (alice, carol) = (try days.sidOf(1000), try days.sidOf(1002))
        try days.withLog { log in
            let details = LegalHold.details(.connector("c-1"), id: "h-0123456789ab", reason: "x", review: "2027-06-30")
            _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
        }
        try days.pass(80, [(1001, nil)])
        #expect(try days.prune().held.count >= 4)
        #expect(try days.expire() == [carol])
        #expect(try days.hasCard(alice))
        #expect(try TestLog.verify(days.disk).findings == [])
        let isCleared = try days.withLog { log in
            let details: [AuditWhat.Detail] = [("id", .text("h-0123456789ab"))]
            return try log.clearHold("h-0123456789ab", PendingRecord.own(.holdClear, details).draft)
        }
        #expect(isCleared)
        try days.prune()
        #expect(try days.expire() == [alice])
        #expect(try TestLog.verify(days.disk).findings == [])
    }

    @Test func aCardIsMarkedOnceADayAndNeverBackInTime() throws {
        let days = Days()
        _ = try days.sidOf(1000)
        let log = try days.open()
        _ = try days.sid(log, 1000)
        let path = try #require(days.disk.paths().first { $0.hasPrefix("cards/") && !$0.hasSuffix(".new") })
        let first = try #require(try days.disk.modified(path))
        let marks = { days.disk.trace.count { $0.hasPrefix("utimensat") } }
        let before = marks()
        for _ in 0..<50 { _ = try days.sid(log, 1000) }
        #expect(marks() == before)
        days.clock.pass(6 * SubjectTable.day)
        for _ in 0..<50 { _ = try days.sid(log, 1000) }
        #expect(marks() == before + 1)
        let second = try #require(try days.disk.modified(path))
        #expect(second >= first + SubjectTable.day)
        log.close()
        days.clock.jump(by: -30 * SubjectTable.day)
        _ = try days.sidOf(1000)
        #expect(try days.disk.modified(path) == second)
    }
}
