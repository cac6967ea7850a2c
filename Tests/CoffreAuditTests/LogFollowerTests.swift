import CoffreCrypto
import Synchronization
import Testing

@testable import CoffreAudit

/// Following a log while it is written: each record once, in order, whatever becomes of its files.
@Suite struct LogFollowerTests {
    private static func append(_ log: AuditLog, _ count: Int) {
        let left = Mutex(count)
        for number in 0..<count { log.append(TestLog.read("secret/\(number)")) { _ in left.withLock { $0 -= 1 } } }
        while left.withLock({ $0 }) > 0 { yieldThread() }
    }

    /// What a follower shows, with the cursor saved and taken up again after each turn.
    private static func follow(
        _ log: AuditLog,
        _ cursor: inout LogFollower.Cursor?,
        limit: UInt64
    ) throws -> (lines: [String], missing: UInt64) {
        var lines: [String] = []
        var missing: UInt64 = 0
        while true {
            var follower = log.follower(from: cursor)
            var next = follower.cursor.sequence
            let turn = try follower.read(to: log.size, limit: limit) { line, sequence in
                lines.append(String(decoding: line, as: UTF8.self))
                #expect(sequence >= next)
                next = sequence + 1
            }
            #expect(turn.count <= limit)
            missing += turn.missing
            cursor = follower.cursor
            if turn.count == 0 && turn.missing == 0 { return (lines, missing) }
        }
    }

    @Test(arguments: [1, 7, 512] as [UInt64])
    func eachRecordIsShownOnceAcrossSegments(limit: UInt64) throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 65_536)
        var cursor: LogFollower.Cursor?
        var shown: [String] = []
        for count in [0, 1, 5, 700, 3, 400] {
            Self.append(log, count)
            shown += try Self.follow(log, &cursor, limit: limit).lines
        }
        // Sealed segments are compressed behind its back; the place stays good.
        try log.compress()
        Self.append(log, 300)
        shown += try Self.follow(log, &cursor, limit: limit).lines
        #expect(shown.count == Int(log.size))
        for (number, line) in shown.enumerated() where !line.contains(#""_s":\#(number),"#) {
            Issue.record("record \(number) is \(line)")
            break
        }
        #expect(Set(shown).count == shown.count)
        log.close()
        #expect(try TestLog.verify(disk).isValid)
    }

    @Test func whatWasPrunedIsCountedAndPassedOver() throws {
        let years = try RetainedYears(days: 760, months: 24)
        let before = try years.open()
        var follower = before.follower(from: nil)
        _ = try follower.read(to: before.size, limit: 5) { _, _ in }
        var cursor: LogFollower.Cursor? = follower.cursor
        before.close()
        let report = try years.prune()
        let first = (report.pruned.last?.last ?? 0) + 1
        let log = try years.open()
        let (lines, missing) = try Self.follow(log, &cursor, limit: 1000)
        #expect(missing == first - 5)
        #expect(lines.first?.contains(#""_s":\#(first),"#) == true)
        #expect(lines.count == Int(log.size - first))
        log.close()
    }

    @Test func aLineThatIsNotTheRecordDueThereEndsTheTurnBeforeIt() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        Self.append(log, 20)
        let path = try #require(disk.paths(ending: ".jsonl").first)
        let bytes = disk[path] ?? []
        let place = try #require(bytes.split(separator: 0x0a).dropFirst(10).first?.startIndex)
        disk[path]?[place + 8] ^= 1
        var follower = log.follower(from: nil)
        var shown = 0
        #expect(throws: AuditError.self) { _ = try follower.read(to: log.size, limit: 1000) { _, _ in shown += 1 } }
        #expect(follower.cursor.sequence == UInt64(shown) && shown <= 10)
        disk[path]?[place + 8] ^= 1
        _ = try follower.read(to: log.size, limit: 1000) { _, _ in shown += 1 }
        #expect(shown == Int(log.size))
    }

    /// From a place that begins no segment reading starts at the segment's beginning; an error there must not take it back.
    @Test func nothingIsShownTwiceAfterAnErrorBeforeThePlace() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        Self.append(log, 20)
        let path = try #require(disk.paths(ending: ".jsonl").first)
        let place = try #require((disk[path] ?? []).split(separator: 0x0a).dropFirst(3).first?.startIndex)
        var follower = log.follower(from: LogFollower.Cursor(sequence: 12, segment: 5, offset: 9))
        disk[path]?[place + 8] ^= 1
        #expect(throws: AuditError.self) { _ = try follower.read(to: log.size, limit: 1000) { _, _ in } }
        #expect(follower.cursor.sequence == 12)
        disk[path]?[place + 8] ^= 1
        var shown: [UInt64] = []
        _ = try follower.read(to: log.size, limit: 1000) { shown.append($1) }
        #expect(shown == Array(12..<log.size))
    }

    @Test func aPlaceThatIsNoneIsRefusedOrPassedOver() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        Self.append(log, 20)
        for cursor in [
            LogFollower.Cursor(sequence: 5, segment: 3, offset: 0),
            LogFollower.Cursor(sequence: 5, segment: 0, offset: 1), .init(sequence: 5, segment: 0, offset: .max),
            .init(sequence: 500, segment: 500, offset: 0), .init(sequence: .max, segment: 0, offset: 0),
        ] {
            var follower = log.follower(from: cursor)
            var shown = 0
            _ = try? follower.read(to: log.size, limit: 1000) { _, _ in shown += 1 }
            #expect(shown <= Int(log.size))
        }
    }
}
