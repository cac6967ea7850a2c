import CoffreStorage
import CoffreTestSupport
import Glibc
import Synchronization
import Testing

@testable import CoffreAudit

/// 90 days after the connection, by both clocks.
@Suite struct QueryHistoryTests {
    private static func open(_ folder: TestFolder, _ disk: MemoryDisk, _ clock: TestClock) throws -> AuditLog {
        var configuration = TestLog.configuration(disk, clock: clock)
        configuration.directory = folder.path
        return try AuditLog.open(configuration)
    }

    private static func row(_ clock: TestClock, _ statement: String, error: String? = nil) -> QueryLedger.Row {
        QueryLedger.Row(
            time: clock.realMicroseconds(),
            login: "coffre_a",
            statement: statement,
            calls: 2,
            rows: 3,
            microseconds: 1200,
            error: error
        )
    }

    private static func tick(_ log: AuditLog) throws {
        let done = Mutex(false)
        log.append(TestLog.read("a")) { _ in done.withLock { $0 = true } }
        while !done.withLock({ $0 }) { yieldThread() }
    }

    private static func pass(days: Int64, _ clock: TestClock, _ log: AuditLog) throws {
        clock.pass(days * SubjectTable.day)
        try tick(log)
    }

    @Test func whatWasAskedIsListedNewestFirstAPageAtATime() throws {
        let folder = try TestFolder()
        let clock = TestClock()
        let log = try Self.open(folder, MemoryDisk(), clock)
        let rows = (0..<5).map { Self.row(clock, "digest \($0)", error: $0 == 2 ? "timeout" : nil) }
        try log.queries.append(Array(rows[..<3]), of: "c-1")
        try log.queries.append(Array(rows[3...]), of: "c-1")
        try log.queries.append([Self.row(clock, "other")], of: "c-2")
        let first = try log.queries.rows(of: "c-1", limit: 2)
        #expect(first.map(\.row) == [rows[4], rows[3]])
        let rest = try log.queries.rows(of: "c-1", before: first[1].id)
        #expect(rest.map(\.row) == [rows[2], rows[1], rows[0]])
        log.close()
        var status = stat()
        #expect(stat(folder.path + "/" + QueryHistory.fileName, &status) == 0 && status.st_mode & 0o777 == 0o600)
    }

    @Test func aConnectionHasSoManyRowsAndNoMore() throws {
        let folder = try TestFolder()
        let ledger = try QueryLedger(path: folder.path + "/history.sqlite")
        let clock = TestClock()
        for number in 0..<20 { try ledger.add([Self.row(clock, "\(number)")], of: "c-1", limit: 7) }
        try ledger.add((0..<3).map { Self.row(clock, "other \($0)") }, of: "c-2", limit: 7)
        #expect(try ledger.rows(of: "c-1", limit: 100).map(\.row.statement) == (13..<20).reversed().map { "\($0)" })
        #expect(try ledger.count(of: "c-2") == 3)
    }

    @Test func ninetyDaysAfterItsRemovalTheHistoryGoesAndTheLogSaysSo() throws {
        let folder = try TestFolder()
        let (disk, clock) = (MemoryDisk(), TestClock())
        let log = try Self.open(folder, disk, clock)
        let canary = "canary-\(clock.realMicroseconds())"
        try log.queries.append([Self.row(clock, canary), Self.row(clock, "b")], of: "c-1")
        try log.queries.append([Self.row(clock, "kept")], of: "c-2")
        #expect(try !folder.contains(canary).isEmpty)
        try Self.pass(days: 200, clock, log)
        #expect(try log.cards.purgeQueries() == [])
        try log.queries.connectorRemoved("c-1")
        #expect(throws: AuditError.self) { try log.queries.append([Self.row(clock, "late")], of: "c-1") }
        try Self.pass(days: 89, clock, log)
        #expect(try log.cards.purgeQueries() == [])
        #expect(try log.queries.rows(of: "c-1").count == 2)
        try Self.pass(days: 2, clock, log)
        #expect(try log.cards.purgeQueries() == ["c-1"])
        #expect(try log.cards.purgeQueries() == [])
        #expect(try log.queries.rows(of: "c-1").isEmpty)
        #expect(try log.queries.rows(of: "c-2").count == 1)
        log.close()
        let records = TestLog.lines(disk).filter { $0.contains(#""op":"connector.remove""#) }
        #expect(records.count == 1)
        #expect(records.first?.contains(#""conn":"c-1","det":{"history":2,"removed":"#) == true)
        // Overwritten, not only unlinked; while it was there it was found.
        #expect(try folder.contains(canary).isEmpty)
        #expect(try TestLog.verify(disk).isValid)
    }

    @Test func aForwardJumpOfTheClockDeletesNoHistory() throws {
        let folder = try TestFolder()
        let clock = TestClock()
        let log = try Self.open(folder, MemoryDisk(), clock)
        try log.queries.append([Self.row(clock, "a")], of: "c-1")
        try log.queries.connectorRemoved("c-1")
        clock.jump(by: 1000 * SubjectTable.day)
        try Self.tick(log)
        #expect(try log.cards.purgeQueries() == [])
        try Self.pass(days: 91, clock, log)
        #expect(try log.cards.purgeQueries() == ["c-1"])
        log.close()
    }

    @Test func aHoldKeepsTheHistory() throws {
        let folder = try TestFolder()
        let clock = TestClock()
        let log = try Self.open(folder, MemoryDisk(), clock)
        for name in ["c-1", "c-2", "c-3"] {
            try log.queries.append([Self.row(clock, "a")], of: name)
            try log.queries.connectorRemoved(name)
        }
        let start = TestClock.start
        try log.queries.append([Self.row(clock, "a")], of: "c-4")
        func clear(_ id: String) throws -> Bool {
            try log.clearHold(id, PendingRecord.own(.holdClear, [("id", .text(id))]).draft)
        }
        func hold(_ scope: LegalHold.Scope, _ id: String) throws {
            let details = LegalHold.details(scope, id: id, reason: "x", review: "2027-06-30")
            _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
        }
        try hold(.connector("c-1"), "h-0123456789ab")
        try Self.pass(days: 91, clock, log)
        #expect(try log.cards.purgeQueries() == ["c-2", "c-3"])
        try hold(.range(since: start, until: start + SubjectTable.day), "h-0123456789ac")
        #expect(try clear("h-0123456789ab"))
        #expect(try log.cards.purgeQueries() == [])
        #expect(try clear("h-0123456789ac"))
        #expect(try log.cards.purgeQueries() == ["c-1"])
        log.close()
    }

    @Test func aFileThatIsNoDatabaseIsRefused() throws {
        let folder = try TestFolder()
        let path = folder.path + "/" + QueryHistory.fileName
        let file = Glibc.open(path, O_RDWR | O_CREAT, 0o600)
        #expect(write(file, [UInt8](repeating: 65, count: 4096), 4096) == 4096)
        close(file)
        let log = try Self.open(folder, MemoryDisk(), TestClock())
        #expect(throws: AuditError.self) { try log.queries.rows(of: "c-1") }
        #expect(throws: AuditError.self) { try log.cards.purgeQueries() }
        log.close()
    }
}
