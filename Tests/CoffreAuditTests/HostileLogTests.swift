import CoffreCrypto
import Synchronization
import Testing

@testable import CoffreAudit

/// Cases of section 6 of the specification that need somebody who holds the keys, or who writes several things at once.
/// HostileCases.md says which test stands for which case.
@Suite struct HostileLogTests {
    /// Six segments of a few records each.
    private static func manySegments() throws -> MemoryDisk {
        let disk = MemoryDisk()
        let clock = TestClock()
        for round in 0..<6 {
            let log = try TestLog.open(disk, clock: clock)
            for index in 0..<2 { log.append(TestLog.read("paie/\(round)/\(index)")) { _ in } }
            log.close()
        }
        return disk
    }

    // MARK: Case 9

    @Test(arguments: 0..<6, ["segment", "seal", "both", "both, with a prune file"])
    func aSegmentOrSealThatIsGoneIsMissedWhereItWas(place: Int, what: String) throws {
        let disk = try Self.manySegments()
        let data = disk.paths(ending: ".jsonl")
        let first = UInt64(data[place].split(separator: "/").last?.prefix(12) ?? "") ?? 0
        if what != "seal" { disk[data[place]] = nil }
        if what != "segment" { disk[data[place].replacing(".jsonl", with: ".seal")] = nil }
        if what == "both, with a prune file" {
            try disk.makeFolder("pruned", isPrivate: false)
            let forged = #"{"first":\#(first),"reason":"retention"}"#
            disk["pruned/\(data[place].split(separator: "/").last?.prefix(12) ?? "").json"] = Array(forged.utf8)
        }
        let isTail = place == data.count - 1
        let report = try TestLog.verify(disk)
        // The seal of the last segment may be missing: a crash leaves that, and the checkpoint still signs the records.
        guard !(isTail && what == "seal") else { return #expect(report.findings == []) }
        #expect(!report.isValid)
        if what == "both" { #expect(report.findings.first?.record == first, "\(report.findings)") }
        if what == "both, with a prune file" {
            // What nobody signed is no prune file; unless it lies behind the end, its place is missed as well.
            let isNamed = report.findings.first.map { $0.file.hasPrefix("pruned/") || $0.record == first } ?? false
            #expect(isNamed, "\(report.findings)")
        }
        // A start looks at the last seal and what stands beside its segments; holes are for verifiers to find.
        if what == "segment" || what == "seal" { #expect(throws: AuditError.self) { try TestLog.open(disk) } }
    }

    // MARK: Case 13

    private static func signer(_ disk: MemoryDisk) throws -> LogSigner {
        let configuration = TestLog.configuration(disk)
        let keys = try LogKeys.load(from: disk, material: .file, create: false)
        return LogSigner(
            origin: TestLog.origin,
            keys: keys,
            epochs: try EpochKeys.load(configuration, keys, create: false)
        )
    }

    private static func note(_ size: UInt64, _ root: Digest, _ signer: LogSigner) -> [UInt8] {
        signer.sign(Array("\(TestLog.origin)\n\(size)\n\(Base64.encode(root.bytes))\n".utf8))
    }

    /// Who holds the keys signs a tree over other bytes than the lines, while the chain is right; with the root alone,
    /// and with a seal whose every other word is right.
    @Test func aTreeOverOtherBytesIsFoundThoughTheChainIsRight() throws {
        let disk = try Self.manySegments()
        let signer = try Self.signer(disk)
        let lines = TestLog.lines(disk).map { Array($0.utf8) }
        var other = Frontier()
        for (number, line) in lines.enumerated() {
            other.append(leaf: AuditLine.leafHash(of: number == 4 ? line + [0x20] : line))
        }
        let forged = disk.afterKill()
        forged["checkpoint"] = Self.note(other.size, other.root, signer)
        #expect(try TestLog.verify(forged).findings.first?.reason.contains("another history") == true)
        #expect(throws: AuditError.self) { try TestLog.open(forged) }

        let seals = disk.paths(ending: ".seal")
        let identity = try #require(disk[LogIdentity.path].flatMap { LogIdentity($0) })
        let last = try #require(seals.last)
        var seal = try #require(SegmentSeal(note: disk[last] ?? [], epochs: EpochChain(identity)))
        seal.end = other
        let sealed = disk.afterKill()
        sealed[last] = seal.note(signer)
        sealed["checkpoint"] = nil
        let finding = try #require(try TestLog.verify(sealed).findings.first)
        #expect(finding.file == last)
    }

    /// The tree is the one over the lines as they are, signed anew, while the chain inside them is not right.
    @Test(arguments: [1, 5, 11])
    func aBrokenChainIsFoundThoughTheTreeIsRight(broken: Int) throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        for index in 0..<10 { log.append(TestLog.read("paie/\(index)")) { _ in } }
        log.close()
        let signer = try Self.signer(disk)
        let path = try #require(disk.paths(ending: ".jsonl").first)
        var lines = try #require(disk[path]).split(separator: 0x0a).map { Array($0) }
        lines[broken].replaceSubrange(7..<51, with: Array(Base64.encode(SHA256.hash([9]).bytes).utf8))
        disk[path] = lines.flatMap { $0 + [0x0a] }
        var tree = Frontier()
        for line in lines { tree.append(leaf: AuditLine.leafHash(of: line)) }
        disk["checkpoint"] = Self.note(tree.size, tree.root, signer)
        disk[path.replacing(".jsonl", with: ".seal")] = nil
        let report = try TestLog.verify(disk)
        #expect(report.findings.first?.record == UInt64(broken))
        #expect(report.findings.first?.reason.contains("_p") == true)
        #expect(throws: AuditError.self) { try TestLog.open(disk) }
    }

    // MARK: Case 16

    /// A batch of several records, cut at every byte: what was acknowledged stays, whole lines of the batch stay (nobody
    /// was told, but they are records), and the rest is saved and named.
    @Test func aBatchOfManyRecordsTornAtAnyByteLosesNothingAcknowledged() throws {
        let disk = MemoryDisk()
        var configuration = TestLog.configuration(disk)
        let gate = Gate()
        configuration.deliver = { run in
            gate.pass()
            run()
        }
        let log = try AuditLog.open(configuration)
        let collected = Collected()
        log.append(TestLog.read("kept")) { collected.add($0) }
        // The writer's thread is held in the delivery of the first; the others become one batch.
        let path = try #require(disk.paths(ending: ".jsonl").first)
        while !TestLog.lines(disk).contains(where: { $0.contains("kept") }) { yieldThread() }
        for index in 0..<4 { log.append(TestLog.read("torn/\(index)")) { collected.add($0) } }
        let before = try #require(disk[path]).count
        gate.open()
        while collected.all.count < 5 { yieldThread() }
        let after = disk.afterKill()
        log.close()
        let whole = try #require(after[path])
        #expect(whole[before...].count { $0 == 0x0a } == 4)
        for length in before...whole.count {
            let torn = after.afterKill()
            torn[path] = Array(whole[..<length])
            try TestLog.open(torn).close()
            let lines = TestLog.lines(torn)
            let wholeLines = whole[before..<length].count { $0 == 0x0a }
            #expect(lines.contains { $0.contains("kept") })
            #expect(lines.count { $0.contains("\"path\":\"torn/") } == wholeLines)
            let rest = length - (whole[..<length].lastIndex(of: 0x0a).map { $0 + 1 } ?? 0)
            #expect(torn.paths(ending: ".bin").count == (rest > 0 ? 1 : 0), "\(length)")
            if let saved = torn.paths(ending: ".bin").first { #expect(torn[saved]?.count == rest) }
            let report = try TestLog.verify(torn)
            #expect(report.findings == [], "\(length)")
        }
    }

    // MARK: Case 22

    /// A clock that is set at every look.
    private final class WildClock: LogClock {
        private static let steps: [Int64] = [
            0, 315_360_000_000_000, -315_360_000_000_000, 1, -1, 3_600_000_000, -5_000_000, .max / 4, 86_400_000_000,
            -86_400_000_000,
        ]
        private let looks = Mutex(0)
        private let base: Int64
        let bootID = "00112233445566778899aabbccddeeff"

        init(base: Int64) { self.base = base }

        func realMicroseconds() -> Int64 {
            looks.withLock { looks in
                looks += 1
                return base + Self.steps[looks % Self.steps.count] % 250_000_000_000_000_000
            }
        }

        func bootMicroseconds() -> UInt64 { UInt64(looks.withLock { $0 }) * 1000 }
        func monotonicNanoseconds() -> UInt64 { bootMicroseconds() * 1000 }
    }

    /// Without a battery a machine may believe that it is 1970; a clock may be set while a batch is being made.
    @Test(arguments: [0, TestClock.start])
    func aClockThatIsSetAllTheTimeChangesNoNumberAndEndsNoEpochEarly(base: Int64) throws {
        let disk = MemoryDisk()
        let clock = WildClock(base: max(base, 400_000_000_000_000))
        var configuration = TestLog.configuration(disk)
        configuration.clock = base == 0 ? WildClock(base: 315_360_000_000_000) : clock
        for round in 0..<2 {
            let log = try AuditLog.open(configuration)
            let collected = Collected()
            for index in 0..<30 {
                log.append(TestLog.read("\(round)/\(index)")) { collected.add($0) }
                while collected.all.count <= index { yieldThread() }
            }
            #expect(collected.receipts.count == 30, "\(collected.all.filter { (try? $0.get()) == nil })")
            let numbers = collected.receipts.map(\.index)
            #expect(numbers == numbers.sorted() && Set(numbers).count == 30)
            log.close()
        }
        let report = try TestLog.verify(disk)
        #expect(report.findings == [])
        // Hardly any time has passed on the clock that nobody sets.
        #expect(report.epochs <= 2)
        #expect(TestLog.lines(disk).contains { $0.contains(#""op":"clock.jump""#) })
    }

    // MARK: Case 32

    /// The key of a later epoch under an earlier log: the log was rolled back, its keys were not.
    @Test func theKeyOfALaterEpochIsRefusedAndNothingIsWritten() throws {
        let clock = TestClock()
        let early = try EpochTests.disk(1, clock: clock)
        let later = early.afterKill()
        clock.pass(86_400_000_000)
        let log = try TestLog.open(later, clock: clock)
        log.append(TestLog.read("a")) { _ in }
        log.close()
        early[EpochKeys.path] = later[EpochKeys.path]
        let before = TestLog.lines(early)
        #expect(throws: AuditError.self) { try TestLog.open(early, clock: clock) }
        #expect(TestLog.lines(early) == before)
    }
}
