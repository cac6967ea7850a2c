import CoffreAudit
import CoffreCrypto
import Glibc
import Testing

/// Signed tree heads: written after durability only, and what they show when somebody cuts or forks the log.
@Suite struct CheckpointTests {
    private static let path = "checkpoint"

    private static func lines(_ disk: MemoryDisk) -> [Substring] {
        String(decoding: disk[path] ?? [], as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    }

    private static func joined(_ lines: ArraySlice<ArraySlice<UInt8>>) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in lines { bytes += Array(line) + [0x0a] }
        return bytes
    }

    /// A log that was stopped, and its disk.
    private static func stopped(_ reads: Int = 3, clock: TestClock = TestClock()) throws -> MemoryDisk {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, clock: clock)
        for index in 0..<reads { log.append(TestLog.read("paie/\(index)")) { _ in } }
        log.close()
        return disk
    }

    @Test func aStopLeavesACheckpointOverEveryRecordSignedTwice() throws {
        let disk = try Self.stopped()
        let report = try TestLog.verify(disk)
        #expect(report.findings == [])
        #expect(report.checkpointSize == report.records)
        let lines = Self.lines(disk)
        #expect(lines.count == 7)  // three lines, an empty one, two signatures, nothing after the last line feed
        #expect(lines[0] == TestLog.origin[...])
        #expect(lines[1] == "\(report.records)"[...])
        #expect(lines[2] == report.rootHash[...])
        #expect(lines[4].hasPrefix("— \(TestLog.origin) "))
        #expect(lines[5].hasPrefix("— \(TestLog.origin)/epoch-000000 "))
        let head = try SignedHead.newest(disk)
        #expect(head.size == report.records)
        #expect(head.note == disk[Self.path])
    }

    @Test func everyBitOfACheckpointCounts() throws {
        let disk = try Self.stopped()
        let original = try #require(disk[Self.path])
        for offset in original.indices {
            for bit in 0..<8 {
                var bytes = original
                bytes[offset] ^= 1 << bit
                disk[Self.path] = bytes
                #expect(try !TestLog.verify(disk).isValid, "byte \(offset), bit \(bit)")
                #expect(throws: AuditError.self) { try SignedHead.newest(disk) }
            }
        }
    }

    @Test func recordsCutOffTheEndAreMissedByTheCheckpoint() throws {
        let disk = try Self.stopped(6)
        let segment = try #require(disk.paths(ending: ".jsonl").first)
        let seal = try #require(disk.paths(ending: ".seal").first)
        let whole = try #require(disk[segment])
        disk[seal] = nil
        let lines = whole.split(separator: 0x0a)
        for kept in 1..<lines.count {
            let cut = Self.joined(lines[..<kept])
            disk[segment] = cut
            let report = try TestLog.verify(disk)
            #expect(report.findings.first?.reason.contains("cut off") == true, "\(kept) records kept")
            #expect(report.findings.first?.record == UInt64(kept))
            // The daemon neither repairs nor goes on.
            let before = disk.afterKill()
            #expect(throws: AuditError.self) { try TestLog.open(disk) }
            #expect(disk[segment] == cut && disk.paths() == before.paths())
        }
    }

    /// What only a memory outside the machine can show: the attacker takes the checkpoint away as well.
    @Test func withoutTheCheckpointACutIsSeenByWhoKeptAnother() throws {
        let disk = try Self.stopped(6)
        let kept = try #require(disk[Self.path])
        let segment = try #require(disk.paths(ending: ".jsonl").first)
        let seal = try #require(disk.paths(ending: ".seal").first)
        let lines = try #require(disk[segment]).split(separator: 0x0a)
        disk[seal] = nil
        disk[Self.path] = nil
        disk[segment] = Self.joined(lines[..<5])
        #expect(try TestLog.verify(disk).isValid)
        let report = try LogVerifier(files: disk, checkpoint: kept).verify()
        #expect(report.findings.map(\.file) == ["your checkpoint"])
    }

    @Test func aForkIsSeenByWhoKeptTheOtherSide() throws {
        let clock = TestClock()
        let disk = try Self.stopped(clock: clock)
        let fork = disk.afterKill()
        for (side, name) in [(disk, "left"), (fork, "right")] {
            let log = try TestLog.open(side, clock: clock)
            log.append(TestLog.read(name)) { _ in }
            log.close()
        }
        let other = try #require(fork[Self.path])
        #expect(try TestLog.verify(disk).isValid)
        #expect(try TestLog.verify(fork).isValid)
        let report = try LogVerifier(files: disk, checkpoint: other).verify()
        #expect(report.findings.first?.reason.contains("another history") == true)
        // The other side's checkpoint in place of its own: the daemon refuses, and changes nothing.
        disk[Self.path] = other
        #expect(throws: AuditError.self) { try TestLog.open(disk, clock: clock) }
    }

    @Test func anotherLogsCheckpointIsRefused() throws {
        let disk = try Self.stopped()
        disk[Self.path] = try Self.stopped()[Self.path]
        #expect(try TestLog.verify(disk).findings.map(\.file) == [Self.path])
        #expect(throws: AuditError.self) { try TestLog.open(disk) }
    }

    @Test func aCheckpointThatCannotBeWrittenStopsNothingAndIsShown() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 1)
        try await log.append(TestLog.read("a"))
        // Every segment closes at the next record, and every close writes a checkpoint.
        disk.deny(Self.path + ".new")
        try await log.append(TestLog.read("b"))
        try await log.append(TestLog.read("c"))
        #expect(log.health.isWritable)
        #expect(log.health.checkpointFailure != nil)
        disk.deny(nil)
        log.close()
        #expect(log.health.checkpointFailure == nil)
        let report = try TestLog.verify(disk)
        #expect(report.checkpointSize == report.records && report.isValid)
    }

    @Test func aCheckpointFollowsTheRecordsWhileTheLogIsOpen() async throws {
        let disk = MemoryDisk()
        var configuration = TestLog.configuration(disk)
        configuration.checkpointMilliseconds = 1
        let log = try AuditLog.open(configuration)
        let receipt = try await log.append(TestLog.read("a"))
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(20)
        while log.health.checkpointSize <= receipt.index, clock.now < deadline { yieldThread() }
        #expect(log.health.checkpointSize > receipt.index)
        #expect(try TestLog.verify(disk).isValid)
        // Killed here, the log goes on from what the checkpoint covers.
        let after = disk.afterPowerCut()
        try TestLog.open(after).close()
        #expect(try TestLog.verify(after).isValid)
        log.close()
    }
}
