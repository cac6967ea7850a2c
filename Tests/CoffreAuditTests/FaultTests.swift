import CoffreAudit
import CoffreCrypto
import Testing

/// What the disk may do, and what must hold afterwards.
@Suite struct FaultTests {
    /// Space is set aside, and only when the story says so.
    private static let space = SpaceSettings(reserveBytes: 8192, lookMilliseconds: nil)

    /// One run that touches everything: two openings, appends, two rotations, two epochs that end, a subject, looks at
    /// the disk that set space aside and take it over, a reserve given up and made again, a clean stop.
    /// - Returns: paths of the records that were acknowledged.
    private static func story(_ disk: MemoryDisk, clock: TestClock = TestClock()) -> [String] {
        var acknowledged: [String] = []
        for round in 0..<2 {
            guard let log = try? TestLog.open(disk, clock: clock, segmentBytes: 2500, space: space) else { continue }
            log.lookAtDisk()
            _ = try? log.subject(kind: .human, uid: 1000, entity: nil, card: Array("alice".utf8))
            for index in 0..<6 {
                let path = "story/\(round)/\(index)"
                if index == 3 { clock.pass(86_400_000_000) }
                let collected = Collected()
                log.append(TestLog.read(path)) { collected.add($0) }
                // The next append waits, so that every record is a batch of its own.
                while collected.all.isEmpty { yieldThread() }
                if !collected.receipts.isEmpty { acknowledged.append(path) }
                if index == 1, round == 0 { emergency(log, disk, clock) }
                if index == 4 { log.lookAtDisk() }
            }
            log.close()
        }
        return acknowledged
    }

    /// The disk fills up to the last byte and is freed again.
    private static func emergency(_ log: AuditLog, _ disk: MemoryDisk, _ clock: TestClock) {
        disk.change { $0.capacity = $0.used }
        // At the end of the segment its seal finds no place.
        for _ in 0..<8 where log.health.disk.reserve == .held {
            let collected = Collected()
            log.append(TestLog.administration()) { collected.add($0) }
            while collected.all.isEmpty { yieldThread() }
            log.lookAtDisk()
        }
        disk.change { $0.capacity = nil }
        clock.pass(10_000_000)
        log.lookAtDisk()
    }

    /// Nothing acknowledged is missing, and the log opens and verifies.
    private static func check(_ disk: MemoryDisk, holds acknowledged: [String], _ note: Comment) throws {
        let clock = TestClock(real: TestClock.start + 3_600_000_000)
        let log: AuditLog
        do {
            log = try TestLog.open(disk, clock: clock)
        } catch {
            Issue.record("it does not open: \(error) \(note)")
            return
        }
        log.close()
        let report = try TestLog.verify(disk)
        #expect(report.findings == [], note)
        let lines = TestLog.lines(disk)
        for path in acknowledged {
            #expect(lines.contains { $0.contains("\"path\":\"\(path)\"") }, note)
        }
    }

    private static let callsOfTheStory: Int = {
        let disk = MemoryDisk()
        _ = story(disk)
        return disk.calls
    }()

    @Test func theStoryIsLongEnoughToBeWorthBreaking() {
        let disk = MemoryDisk()
        #expect(Self.story(disk).count == 12)
        #expect(disk.calls > 100)
        #expect(disk.paths(ending: ".seal").count >= 4)
        #expect(disk.trace.filter { $0.hasPrefix("fallocate") }.count >= 8)
        #expect(disk.trace.contains("rename spare"))
        #expect(disk.trace.contains("truncate reserve"))
        let operations = TestLog.lines(disk).filter { $0.contains(#""op":"reserve.used""#) }
        #expect(operations.count == 1)
    }

    @Test func aKillAtAnyCallLosesNothingAcknowledged() throws {
        for call in 1...Self.callsOfTheStory {
            let disk = MemoryDisk()
            disk.arrange(.kills, atCall: call)
            let acknowledged = Self.story(disk)
            try Self.check(disk.afterKill(), holds: acknowledged, "killed at call \(call)")
            try Self.check(disk.afterPowerCut(), holds: acknowledged, "power cut at call \(call)")
        }
    }

    @Test(arguments: [5, 28] as [Int32])
    func anErrorAtAnyCallLosesNothingAcknowledged(errno: Int32) throws {
        for call in 1...Self.callsOfTheStory {
            let disk = MemoryDisk()
            disk.arrange(.fails(errno: errno), atCall: call)
            let acknowledged = Self.story(disk)
            let trace = disk.trace
            let note: Comment = "errno \(errno) at call \(call), \(call <= trace.count ? trace[call - 1] : "")"
            try Self.check(disk.afterKill(), holds: acknowledged, note)
            try Self.check(disk.afterPowerCut(), holds: acknowledged, note)
        }
    }

    @Test func aShortWriteAtAnyCallLosesNothingAcknowledged() throws {
        for call in 1...Self.callsOfTheStory {
            let disk = MemoryDisk()
            disk.arrange(.writesHalf, atCall: call)
            let acknowledged = Self.story(disk)
            try Self.check(disk.afterKill(), holds: acknowledged, "half a write at call \(call)")
        }
    }

    @Test func aFailedSyncIsFinal() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        try await log.append(TestLog.read("before"))
        let synced = disk.afterPowerCut()
        disk.arrange(.fails(errno: 5), atCall: 2)  // write, then fdatasync
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("lost")) }
        let calls = disk.trace.filter { $0.hasPrefix("write seg/") || $0.hasPrefix("fdatasync") }.count
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("later")) }
        #expect(!log.health.isWritable)
        log.close()
        #expect(disk.trace.filter { $0.hasPrefix("write seg/") || $0.hasPrefix("fdatasync") }.count == calls)
        #expect(TestLog.lines(synced).contains { $0.contains("before") })
    }

    @Test(arguments: [28, 122, 27, 30] as [Int32])
    func aFullDiskFailsTheBatchWholeAndTheLogGoesOnWhenThereIsSpace(errno: Int32) async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        disk.arrange(.fails(errno: errno), atCall: 1)
        await #expect(throws: AuditError.noSpace(path: "seg/2026/11/23/000000000000.jsonl")) {
            try await log.append(TestLog.read("refused"))
        }
        #expect(log.health.isWritable)
        let receipt = try await log.append(TestLog.read("accepted"))
        log.close()
        #expect(receipt.index == 3)
        #expect(!TestLog.lines(disk).contains { $0.contains("refused") })
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aFullDiskWhoseTruncationFailsIsFinal() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        disk.arrange(.kills, atCall: 1)
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("a")) }
        #expect(!log.health.isWritable)
        log.close()
    }

    @Test func aBatchTornAtAnyByteIsCutAndNothingBeforeItIsLost() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        try await log.append(TestLog.read("kept"))
        let path = try #require(disk.paths(ending: ".jsonl").first)
        let before = try #require(disk[path]).count
        try await log.append(TestLog.read("torn"))
        let after = disk.afterKill()
        log.close()
        let whole = try #require(after[path])
        for length in before..<whole.count {
            let torn = after.afterKill()
            torn[path] = Array(whole[..<length])
            let reopened = try TestLog.open(torn)
            reopened.close()
            let lines = TestLog.lines(torn)
            #expect(lines.contains { $0.contains("kept") })
            #expect(!lines.contains { $0.contains("\"torn\"") })
            #expect(lines.contains { $0.contains(#""op":"recovery""#) })
            let saved = torn.paths(ending: ".bin")
            #expect(saved.isEmpty == (length == before))
            if let file = saved.first {
                let tail = Array(whole[before..<length])
                #expect(torn[file] == tail)
                let hash = Base64.encode(SHA256.hash(tail).bytes)
                #expect(lines.contains { $0.contains(#""cut":\#(tail.count),"sha256":"\#(hash)""#) })
            }
            #expect(try TestLog.verify(torn).findings == [])
        }
    }

    @Test func aTailOfZerosIsTorn() async throws {
        let (disk, path) = try await Self.killedLog()
        disk[path]? += [UInt8](repeating: 0, count: 5000)
        try TestLog.open(disk).close()
        #expect(try TestLog.verify(disk).findings == [])
        #expect(disk.paths(ending: ".bin").count == 1)
    }

    @Test(arguments: ["\n", "\r\n", "garbage\n", "{\"_p\":"])
    func aStrayEndIsTorn(tail: String) async throws {
        let (disk, path) = try await Self.killedLog()
        disk[path]? += Array(tail.utf8)
        try TestLog.open(disk).close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test(arguments: ["hole", "blank line", "carriage return", "flipped", "dropped", "swapped", "repeated last"])
    func damageInTheMiddleIsRefusedAndNothingIsChanged(kind: String) async throws {
        let (disk, path) = try await Self.killedLog()
        let bytes = try #require(disk[path])
        var lines = bytes.split(separator: 0x0a).map { Array($0) + [0x0a] }
        switch kind {
        case "hole": lines[2] = [UInt8](repeating: 0, count: lines[2].count)
        case "blank line": lines.insert([0x0a], at: 3)
        case "carriage return": lines[3].insert(0x0d, at: lines[3].count - 1)
        case "flipped": lines[3][200] ^= 1
        case "dropped": lines.remove(at: 3)
        case "swapped": lines.swapAt(3, 4)
        default: lines.append(lines[lines.count - 1])
        }
        let damaged = Array(lines.joined())
        disk[path] = damaged
        #expect {
            try TestLog.open(disk)
        } throws: { error in
            guard case AuditError.damaged(let segment, _, _) = error else { return false }
            return segment == path
        }
        #expect(disk[path] == damaged)
        #expect(disk.paths(ending: ".seal") == [])
    }

    @Test(arguments: [
        "data cut", "data grown", "last record", "seal missing", "seal of another", "seal garbage", "key file",
    ])
    func aSealThatContradictsItsSegmentIsRefused(kind: String) async throws {
        let disk = MemoryDisk()
        for _ in 0..<2 {
            let log = try TestLog.open(disk)
            try await log.append(TestLog.read("a"))
            log.close()
        }
        let data = disk.paths(ending: ".jsonl")
        let seals = disk.paths(ending: ".seal")
        switch kind {
        case "data cut": disk[data[1]]?.removeLast()
        case "data grown": disk[data[1]]?.append(0x0a)
        case "last record": disk[data[1]]?[try #require(disk[data[1]]).count - 5] ^= 1
        case "seal missing": disk[seals[0]] = nil
        case "seal of another": disk[seals[1]] = disk[seals[0]]
        case "seal garbage": disk[seals[1]]?[60] ^= 1
        default: disk["log.vkey"]?[3] ^= 1
        }
        #expect(throws: AuditError.self) { try TestLog.open(disk) }
    }

    @Test func aLogWithoutItsSegmentsIsNotBegunAgain() throws {
        let disk = MemoryDisk()
        try TestLog.open(disk).close()
        for path in disk.paths() where path.hasPrefix("seg/") { disk[path] = nil }
        #expect(throws: AuditError.self) { try TestLog.open(disk) }
    }

    @Test func aLogWithoutItsKeysIsNotWritten() throws {
        let disk = MemoryDisk()
        try TestLog.open(disk).close()
        disk["keys/log.keys"] = nil
        #expect(throws: AuditError.self) { try TestLog.open(disk) }
    }

    @Test(arguments: ["segment", "lock"])
    func aFileRemovedUnderTheWriterStopsIt(which: String) async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let path = which == "lock" ? "lock" : try #require(disk.paths(ending: ".jsonl").first)
        disk[path] = nil
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("a")) }
        #expect(!log.health.isWritable)
        log.close()
    }

    @Test func aFullQueueRefuses() throws {
        let disk = MemoryDisk()
        var configuration = TestLog.configuration(disk, queueLimit: 4)
        let gate = Gate()
        configuration.deliver = { run in
            gate.pass()
            run()
        }
        let log = try AuditLog.open(configuration)
        let collected = Collected()
        for _ in 0..<64 { log.append(TestLog.read("a")) { collected.add($0) } }
        gate.open()
        log.close()
        #expect(collected.all.count == 64)
        #expect(collected.all.contains { $0 == .failure(.overloaded) })
        #expect(!collected.receipts.isEmpty)
        #expect(try TestLog.verify(disk).findings == [])
    }

    /// A log whose process was killed after five reads, and the path of its only segment.
    static func killedLog() async throws -> (MemoryDisk, String) {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        for index in 0..<5 { try await log.append(TestLog.read("p/\(index)")) }
        let killed = disk.afterKill()
        log.close()
        return (killed, try #require(killed.paths(ending: ".jsonl").first))
    }
}
