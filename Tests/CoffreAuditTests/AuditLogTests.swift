import CoffreAudit
import CoffreCrypto
import Synchronization
import Testing

@Suite struct AuditLogTests {
    @Test func aNewLogBeginsWithGenesisAndVerifies() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let receipt = try await log.append(TestLog.read("paie/base-rh"))
        log.close()
        let lines = TestLog.lines(disk)
        #expect(receipt.index == 3)
        #expect(lines.count == 6)
        for (line, operation) in zip(
            lines,
            ["genesis", "segment.open", "daemon.start", "secret.read", "daemon.stop", "segment.seal"]
        ) {
            #expect(line.contains(#""op":"\#(operation)""#))
        }
        let report = try TestLog.verify(disk)
        #expect(report.findings == [])
        #expect(report.records == 6)
        #expect(report.sealedSegments == 1)
        #expect(report.openSegment == nil)
        #expect(report.origin == TestLog.origin)
    }

    @Test func aLogInUseVerifiesAndSaysThatItIsOpen() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        try await log.append(TestLog.read("a"))
        let report = try TestLog.verify(disk)
        #expect(report.isValid)
        #expect(report.openSegment != nil)
        #expect(report.unsealedRecords == 4)
        log.close()
    }

    /// Readers and the writer share nothing but the files: a verification at any moment finds a valid log.
    @Test func aLogThatIsBeingWrittenVerifiesAtAnyMoment() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 4000)
        async let written: Void = {
            for index in 0..<150 { try await log.append(TestLog.read("p/\(index)")) }
        }()
        for _ in 0..<40 { #expect(try TestLog.verify(disk).findings == []) }
        try await written
        log.close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aReceiptNamesTheLeafHashOfItsLine() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let receipt = try await log.append(TestLog.read("a"))
        log.close()
        let line = TestLog.lines(disk)[Int(receipt.index)]
        #expect(receipt.leafHash == SHA256.hash([0] + Array(line.utf8)))
    }

    @Test func aCleanStopIsFollowedByANewSegmentInTheSameChain() async throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        for _ in 0..<3 {
            let log = try TestLog.open(disk, clock: clock)
            try await log.append(TestLog.read("a"))
            log.close()
        }
        let report = try TestLog.verify(disk)
        #expect(report.findings == [])
        #expect(report.sealedSegments == 3)
        #expect(!TestLog.lines(disk).contains { $0.contains(#""op":"recovery""#) })
    }

    @Test func aFullSegmentIsSealedAndTheNextOneFollows() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 3000)
        for index in 0..<20 { try await log.append(TestLog.read("paie/\(index)", connector: "c-\(index % 3)")) }
        log.close()
        let report = try TestLog.verify(disk)
        #expect(report.findings == [])
        #expect(report.sealedSegments > 3)
        #expect(disk.paths(ending: ".seal").count == report.sealedSegments)
    }

    @Test func aNewDayBeginsANewSegmentInItsFolder() async throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        let log = try TestLog.open(disk, clock: clock)
        clock.pass(86_400_000_000)
        try await log.append(TestLog.read("a"))
        log.close()
        let segments = disk.paths(ending: ".jsonl")
        #expect(segments == ["seg/2026/11/23/000000000000.jsonl", "seg/2026/11/24/000000000005.jsonl"])
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test(arguments: [-315_360_000_000_000, 315_360_000_000_000, -2_000_000] as [Int64])
    func aJumpOfTheWallClockIsRecordedAndNumbersGoOn(microseconds: Int64) async throws {
        let disk = MemoryDisk()
        let clock = TestClock()
        let log = try TestLog.open(disk, clock: clock)
        clock.jump(by: microseconds)
        try await log.append(TestLog.read("a"))
        log.close()
        let reopened = try TestLog.open(disk, clock: clock)
        reopened.close()
        #expect(
            TestLog.lines(disk).contains { $0.contains(#""det":{"microseconds":\#(microseconds)},"op":"clock.jump""#) }
        )
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func theLastGenerationIsReadBackFromOutcomes() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        #expect(log.lastGeneration == nil)
        for (phase, generation) in [(AuditDraft.Phase.outcome, 41 as UInt64), (.outcome, 40), (.intent, 99)] {
            var draft = TestLog.read("a")
            draft.phase = phase
            draft.generation = generation
            try await log.append(draft)
        }
        let killed = disk.afterKill()
        log.close()
        let clean = try TestLog.open(disk)
        #expect(clean.lastGeneration == 41)
        clean.close()
        let recovered = try TestLog.open(killed)
        #expect(recovered.lastGeneration == 41)
        recovered.close()
    }

    @Test func completionsRunInTheOrderOfTheAppends() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 64 << 20)
        let collected = Collected()
        for index in 0..<5000 { log.append(TestLog.read("paie/\(index)")) { collected.add($0) } }
        log.close()
        #expect(collected.receipts.map(\.index) == (3..<5003).map { UInt64($0) })
        let lines = TestLog.lines(disk)
        #expect((0..<5000).allSatisfy { lines[$0 + 3].contains(#""path":"paie/\#($0)""#) })
        // Group commit: far fewer syncs than records.
        #expect(disk.trace.filter { $0.hasPrefix("fdatasync") }.count < 500)
    }

    @Test func concurrentAppendsAllGetTheirOwnNumber() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let indices = try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for task in 0..<16 {
                group.addTask {
                    var indices: [UInt64] = []
                    for index in 0..<50 { indices.append(try await log.append(TestLog.read("\(task)/\(index)")).index) }
                    return indices
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        log.close()
        #expect(indices.sorted() == (3..<803).map { UInt64($0) })
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func deliveryIsCalledOncePerBatch() throws {
        let disk = MemoryDisk()
        let deliveries = Mutex(0)
        var configuration = TestLog.configuration(disk)
        configuration.deliver = { run in
            deliveries.withLock { $0 += 1 }
            run()
        }
        let log = try AuditLog.open(configuration)
        let collected = Collected()
        for _ in 0..<2000 { log.append(TestLog.read("a")) { collected.add($0) } }
        log.close()
        #expect(collected.receipts.count == 2000)
        #expect(deliveries.withLock { $0 } < 500)
    }

    @Test func anAppendAfterCloseFails() async throws {
        let log = try TestLog.open(MemoryDisk())
        log.close()
        log.close()
        #expect(!log.health.isWritable)
        await #expect(throws: AuditError.closed) { try await log.append(TestLog.read("a")) }
    }

    @Test func aSecondWriterIsRefused() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        #expect(throws: AuditError.alreadyOpen(path: "memory")) { try TestLog.open(disk) }
        log.close()
        try TestLog.open(disk).close()
    }

    @Test func anotherNameIsRefusedAfterGenesisAndNoNameMeansTheSame() throws {
        let disk = MemoryDisk()
        try TestLog.open(disk).close()
        #expect(throws: AuditError.self) {
            try AuditLog.open(TestLog.configuration(disk, origin: "other.example/coffre"))
        }
        let log = try AuditLog.open(TestLog.configuration(disk, origin: ""))
        #expect(log.origin == TestLog.origin)
        log.close()
    }

    @Test(arguments: ["", "a b", "a+b", "é", String(repeating: "x", count: 201), "a\nb"])
    func anInvalidNameIsRefused(origin: String) {
        #expect(throws: AuditError.self) {
            try AuditLog.open(TestLog.configuration(MemoryDisk(), origin: origin))
        }
    }

    @Test func healthFollowsTheLog() async throws {
        let log = try TestLog.open(MemoryDisk())
        #expect(log.health.isWritable)
        #expect(log.health.size == 3)
        #expect(log.health.keyLocation == .file)
        try await log.append(TestLog.read("a"))
        #expect(log.health.size == 4)
        #expect(log.health.lastRecordTime > TestClock.start)
        log.close()
    }

    @Test func aHeartbeatIsARecord() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        log.heartbeat([("synchronised", .flag(true)), ("free", .int(12))])
        log.close()
        #expect(
            TestLog.lines(disk).contains {
                $0.contains(#""what":{"det":{"free":12,"synchronised":true},"op":"heartbeat"}"#)
            }
        )
    }
}
