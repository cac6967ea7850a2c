import Synchronization
import Testing

@testable import CoffreAudit

/// A log whose disk fills up, on a disk in memory that says "no space" where a real one would.
@Suite struct DiskTests {
    private static let reserve = 4 << 20
    private static let segment = 1 << 20
    /// What is set aside for one segment of that size, at least.
    private static let allocation = 2 << 20
    private static let roomy = 64 << 20

    /// A log with what it needs to be driven by hand.
    private final class Stage {
        let disk: MemoryDisk
        let clock = TestClock()
        let notices = Notices()
        private(set) var log: AuditLog

        init(_ disk: MemoryDisk = MemoryDisk(), capacity: Int? = DiskTests.roomy) throws {
            self.disk = disk
            disk.change { $0.capacity = capacity }
            log = try Self.open(disk, clock, notices)
        }

        static func open(_ disk: MemoryDisk, _ clock: TestClock, _ notices: Notices) throws -> AuditLog {
            try AuditLog.open(
                TestLog.configuration(
                    disk,
                    clock: clock,
                    segmentBytes: DiskTests.segment,
                    space: SpaceSettings(reserveBytes: DiskTests.reserve, lookMilliseconds: nil),
                    onDisk: { notices.add($0) }
                )
            )
        }

        func reopen() throws { log = try Self.open(disk, clock, notices) }

        /// A refused write is believed for some seconds.
        func wait() { clock.pass(10_000_000) }

        func look() { log.lookAtDisk() }

        /// Everything pushed before is durable afterwards.
        func settle() async { _ = try? await log.append(TestLog.administration()) }

        var operations: [Substring] {
            TestLog.lines(disk).compactMap { line in
                line.split(separator: #""op":""#).dropFirst().first?.split(separator: "\"").first
            }
        }
    }

    private final class Notices: Sendable {
        private let all = Mutex<[DiskNotice]>([])

        func add(_ notice: DiskNotice) { all.withLock { $0.append(notice) } }
        var messages: [String] { all.withLock { $0.map(\.message) } }
    }

    @Test func nothingIsSetAsideBeforeTheLogIsOpen() throws {
        let stage = try Stage()
        #expect(!stage.disk.trace.contains { $0.hasPrefix("fallocate") })
        stage.look()
        #expect(stage.disk.trace.filter { $0.hasPrefix("fallocate") }.count == 3)
        #expect(stage.log.health.disk.reserve == .held)
        #expect(stage.log.health.disk.preallocation == .on)
        stage.log.close()
    }

    @Test func theSpareBecomesTheNextSegmentAndASealedOneGivesBackWhatItDidNotUse() async throws {
        let stage = try Stage()
        stage.look()
        let first = try #require(stage.disk.paths(ending: ".jsonl").first)
        #expect(stage.disk.ahead(of: first) > Self.segment)
        #expect(stage.disk.ahead(of: "spare") > Self.allocation)
        #expect(try TestLog.verify(stage.disk.afterKill()).findings == [])
        stage.clock.pass(86_400_000_000)
        try await stage.log.append(TestLog.read("next day"))
        let second = try #require(stage.disk.paths(ending: ".jsonl").last)
        #expect(second != first)
        #expect(stage.disk.trace.contains("rename spare"))
        #expect(stage.disk["spare"] == nil)
        #expect(stage.disk.ahead(of: first) == 0)
        #expect(stage.disk.ahead(of: second) > Self.allocation)
        stage.look()
        #expect(stage.disk["spare"] == [])
        stage.log.close()
        #expect(stage.disk.ahead(of: second) == 0)
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func aSpareOutlivesAStopAndAKill() async throws {
        let stage = try Stage()
        stage.look()
        stage.log.close()
        for disk in [stage.disk.afterKill(), stage.disk.afterPowerCut()] {
            let later = try Stage(disk)
            let segment = try #require(disk.paths(ending: ".jsonl").last)
            #expect(disk.ahead(of: segment) > Self.allocation)
            later.log.close()
            #expect(try TestLog.verify(disk).findings == [])
        }
    }

    @Test func aForeignFileInPlaceOfTheSpareIsNotWrittenTo() async throws {
        let stage = try Stage()
        stage.look()
        stage.disk["spare"] = Array("somebody's".utf8)
        stage.clock.pass(86_400_000_000)
        try await stage.log.append(TestLog.read("a"))
        #expect(stage.disk["spare"] == Array("somebody's".utf8))
        stage.log.close()
        try stage.reopen()
        #expect(stage.disk["spare"] == nil)
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func onANearlyFullDiskSecretsAreRefusedAndAdministrationIsNot() async throws {
        let stage = try Stage()
        stage.look()
        try await stage.log.append(TestLog.read("before"))
        stage.disk.fill(leaving: 50_000)
        stage.look()
        #expect(stage.log.health.disk.level == .critical)
        await #expect(
            throws: AuditError.nearlyFull(path: "/memory", isRefusing: false, freeBytes: 50_000, freeFiles: nil)
        ) {
            try await stage.log.append(TestLog.read("refused"))
        }
        // What was accepted before still gets its end.
        var outcome = TestLog.read("accepted")
        outcome.phase = .outcome
        try await stage.log.append(outcome)
        try await stage.log.append(TestLog.administration())
        #expect(stage.operations.filter { $0 == "anomaly.raise" }.count == 1)
        #expect(stage.log.health.disk.reserve == .held)

        stage.disk.fill(leaving: 20 << 20)
        stage.look()
        #expect(stage.log.health.disk.level == .normal)
        try await stage.log.append(TestLog.read("after"))
        stage.log.close()
        #expect(stage.operations.contains("anomaly.close"))
        #expect(!TestLog.lines(stage.disk).contains { $0.contains("refused\"") })
        #expect(try TestLog.verify(stage.disk).findings == [])
        #expect(stage.notices.messages.count == 2)
    }

    @Test func theSentenceSaysWhyAndWhatToDo() {
        let error = AuditError.nearlyFull(
            path: "/var/lib/coffre-audit",
            isRefusing: false,
            freeBytes: 3 << 20,
            freeFiles: 12
        )
        #expect(
            error.message
                == "the audit log's disk is nearly full: 3 MiB and 12 files left below /var/lib/coffre-audit; free space or prune; secrets are refused until then"
        )
    }

    /// Fills the disk and what was set aside.
    private static func exhaust(_ stage: Stage) async {
        stage.look()
        stage.disk.fill(leaving: 0)
        stage.look()
        for _ in 0..<20_000 where stage.log.health.disk.reserve == .held {
            let collected = Collected()
            for _ in 0..<500 { stage.log.append(TestLog.administration()) { collected.add($0) } }
            await stage.settle()
            if collected.all.contains(where: { (try? $0.get()) == nil }) { stage.look() }
        }
        await stage.settle()
    }

    @Test func atTheEndTheReserveIsGivenUpOnceAndTheLogCanBeStopped() async throws {
        let stage = try Stage()
        await Self.exhaust(stage)
        #expect(stage.log.health.disk.level == .emergency)
        #expect(stage.log.health.disk.reserve == .released)
        #expect(stage.log.health.isWritable)
        try await stage.log.append(TestLog.administration())
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.read("refused")) }
        stage.look()
        await stage.settle()
        stage.look()
        #expect(stage.operations.filter { $0 == "reserve.used" }.count == 1)
        let record = try #require(TestLog.lines(stage.disk).first { $0.contains("reserve.used") })
        let number = try #require(record.split(separator: #""_s":"#).last?.split(separator: ",").first)
        #expect(stage.disk["reserve"] == Array("\(number)\n".utf8))
        stage.log.close()
        #expect(stage.operations.last == "segment.seal")

        // A start on the full disk knows it.
        try stage.reopen()
        #expect(stage.log.health.disk.level == .emergency)
        stage.wait()
        stage.look()
        #expect(stage.log.health.disk.level == .emergency)
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.read("refused")) }
        await stage.settle()
        #expect(stage.operations.filter { $0 == "reserve.used" }.count == 1)

        // Not before all of it can be set aside again.
        stage.disk.fill(leaving: Self.reserve + Self.allocation)
        stage.look()
        #expect(stage.log.health.disk.reserve == .released)
        stage.disk.fill(leaving: 32 << 20)
        stage.look()
        #expect(stage.log.health.disk.reserve == .held)
        #expect(stage.log.health.disk.level < .critical)
        try await stage.log.append(TestLog.read("again"))
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
        #expect(stage.notices.messages.filter { $0.contains("reserve has been given up") }.count == 1)
    }

    @Test func theLastEighthOfTheReserveIsForWhatMakesRoom() async throws {
        let stage = try Stage()
        await Self.exhaust(stage)
        var prune = TestLog.administration()
        prune.operation = .prune
        try await stage.log.append(TestLog.administration())
        stage.disk.fill(leaving: Self.reserve / 8 - 1)
        stage.look()
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.administration()) }
        try await stage.log.append(prune)
        stage.log.close()
        #expect(stage.operations.last == "segment.seal")
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func whatIsVitalIsEssentialToo() {
        #expect(AuditOperation.allCases.allSatisfy { !$0.isVital || $0.isEssential })
        #expect(AuditOperation.allCases.filter(\.isVital).count == 11)
    }

    @Test func aKillBetweenTheReserveAndItsRecordLeavesTheRecordToTheNextStart() async throws {
        let stage = try Stage()
        stage.look()
        stage.log.close()
        let disk = stage.disk.afterKill()
        disk["reserve"] = []
        disk.fill(leaving: 2 << 20)
        let later = try Stage(disk, capacity: Self.roomy)
        #expect(later.log.health.disk.level == .emergency)
        later.look()
        await later.settle()
        later.look()
        await later.settle()
        #expect(later.operations.filter { $0 == "reserve.used" }.count == 1)
        later.log.close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aStartOnAFullDiskUsesTheReserve() async throws {
        let stage = try Stage()
        stage.look()
        stage.log.close()
        let disk = stage.disk.afterKill()
        disk["spare"] = nil
        disk.fill(leaving: 0)
        let later = try Stage(disk)
        later.look()
        await later.settle()
        #expect(later.operations.filter { $0 == "reserve.used" }.count == 1)
        later.log.close()
        #expect(later.operations.last == "segment.seal")
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aStopOnAFullDiskUsesTheReserve() async throws {
        let stage = try Stage()
        stage.look()
        stage.disk.fill(leaving: 0)
        stage.look()
        #expect(stage.log.health.disk.level == .critical)
        stage.log.close()
        #expect(stage.operations.suffix(3) == ["reserve.used", "daemon.stop", "segment.seal"])
        #expect(stage.disk.paths(ending: ".seal").count == 1)
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test(arguments: [30, 122, 27, 28] as [Int32])
    func aDiskThatRefusesEverythingStopsNothingForGood(errno: Int32) async throws {
        let stage = try Stage()
        stage.look()
        stage.disk.change { $0.refusesWrites = errno }
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.read("lost")) }
        stage.look()
        #expect(stage.log.health.disk.level == .emergency)
        #expect(stage.log.health.isWritable)
        stage.disk.change { $0.refusesWrites = nil }
        // The reserve goes first, then, when nothing is refused any more, everything is set aside again.
        stage.look()
        await stage.settle()
        stage.wait()
        stage.look()
        #expect(stage.log.health.disk.level == .normal)
        try await stage.log.append(TestLog.read("after"))
        stage.log.close()
        #expect(!TestLog.lines(stage.disk).contains { $0.contains("\"lost\"") })
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func aBatchThatFitsInPartIsTakenBack() async throws {
        let stage = try Stage()
        stage.disk.fill(leaving: 700)
        let collected = Collected()
        for _ in 0..<4 { stage.log.append(TestLog.administration()) { collected.add($0) } }
        while collected.all.count < 4 { yieldThread() }
        let path = try #require(stage.disk.paths(ending: ".jsonl").first)
        #expect(stage.disk[path]?.last == 0x0a)
        #expect(collected.all.contains(.failure(.noSpace(path: path))))
        stage.disk.fill(leaving: 32 << 20)
        stage.look()
        try await stage.log.append(TestLog.administration())
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func withoutInodesASegmentCannotBeginAndNothingIsLost() async throws {
        let stage = try Stage()
        stage.disk.change { $0.fileLimit = $0.names.count }
        stage.look()
        #expect(stage.log.health.disk.level == .critical)
        #expect(stage.log.health.disk.freeFiles == 0)
        stage.clock.pass(86_400_000_000)
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.administration()) }
        #expect(stage.log.health.isWritable)
        stage.disk.change { $0.fileLimit = nil }
        stage.look()
        #expect(stage.log.health.disk.level == .emergency)
        stage.wait()
        stage.look()
        try await stage.log.append(TestLog.read("after"))
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test(arguments: [nil, 95] as [Int32?])
    func aFileSystemThatGuaranteesNothingIsSaidOnce(error: Int32?) async throws {
        let disk = MemoryDisk()
        disk.change {
            $0.allocationError = error
            $0.copiesOnWrite = error == nil
        }
        let stage = try Stage(disk)
        for _ in 0..<3 { stage.look() }
        #expect(stage.log.health.disk.preallocation == (error == nil ? .copyOnWrite : .unsupported))
        #expect(stage.notices.messages.count == 1)
        #expect(stage.notices.messages.allSatisfy { $0.contains("ext4") })
        #expect(stage.log.health.disk.level == .normal)
        try await stage.log.append(TestLog.read("a"))
        // What cannot be set aside is kept free all the same.
        stage.disk.fill(leaving: error == nil ? 50_000 : 4 << 20)
        stage.look()
        await #expect(throws: AuditError.self) { try await stage.log.append(TestLog.read("b")) }
        try await stage.log.append(TestLog.administration())
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func aFailedSyncOfASpareThatWasTakenOverIsFinal() async throws {
        let stage = try Stage()
        stage.look()
        var hits = 0
        let opened = stage.disk.afterKill()
        for call in 1...60 {
            let disk = opened.afterKill()
            let later = try Stage(disk)
            later.look()
            later.clock.pass(86_400_000_000)
            let start = disk.trace.count
            disk.arrange(.fails(errno: 5), atCall: call)
            let isDone = (try? await later.log.append(TestLog.administration())) != nil
            let trace = disk.trace
            guard trace.count >= start + call else { break }
            let failed = trace[start + call - 1]
            if failed == "fsync spare.new" {
                hits += 1
                #expect(!isDone)
                #expect(!later.log.health.isWritable)
            }
            later.log.close()
        }
        stage.log.close()
        #expect(hits == 1)
    }
}
