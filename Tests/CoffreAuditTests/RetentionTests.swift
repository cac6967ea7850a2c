import CoffreCrypto
import Synchronization
import Testing

@testable import CoffreAudit

/// Two years pass in seconds: what is old goes, whole segments at a time, and what stays still proves itself.
@Suite struct RetentionTests {
    private static let day: Int64 = 86_400_000_000

    private typealias Years = RetainedYears

    @Test func afterTwoYearsTheFirstDaysGoAndTheRestStillProvesItself() throws {
        let years = try Years(days: 760, months: 24)
        let before = try years.verify()
        #expect(before.isValid && before.prunedSegments == 0)
        let dry = try years.prune(isDry: true)
        #expect(try years.verify().prunedSegments == 0)
        let report = try years.prune()
        #expect(report.pruned.count == dry.pruned.count)
        // 760 days less 24 months: 29 or 30 days, one segment each and that of genesis.
        #expect((29...32).contains(report.pruned.count), "\(report.pruned.count)")
        #expect(report.held.isEmpty && report.next != nil)
        let after = try years.verify()
        #expect(after.isValid, "\(after.findings)")
        #expect(after.prunedSegments == report.pruned.count)
        #expect(after.prunedRecords == (report.pruned.last?.last ?? 0) + 1)
        // Nothing is left of the lines; seals, hashes and certificates are.
        let left = years.disk.paths(ending: ".jsonl").count + years.disk.paths(ending: ".jsonl.zst").count
        #expect(years.disk.paths(ending: ".seal").count == left + after.prunedSegments)
        #expect(try years.prune().pruned.isEmpty)
        // The log goes on, and a year later another year has gone.
        try years.pass(days: 365)
        let second = try years.prune()
        #expect((364...367).contains(second.pruned.count), "\(second.pruned.count)")
        #expect(try years.verify().isValid)
    }

    @Test func aForwardJumpOfTheClockPrunesNothing() throws {
        let years = try Years(days: 20, months: 24)
        years.clock.jump(by: 10 * 365 * Self.day)
        try years.pass(days: 2)
        let report = try years.prune()
        #expect(report.pruned.isEmpty)
        // Nearly two years are missing by the log's own count.
        #expect(report.missingSeconds > 700 * 86_400, "\(report.missingSeconds)")
        // An officer may vouch for the clock; what he did stands in each record.
        let approved = try years.prune(approver: "s-officer")
        #expect(approved.pruned.count >= 20)
        #expect(try years.verify().isValid)
    }

    @Test func heldRecordsStayUntilTheHoldEnds() throws {
        let years = try Years.short(days: 20)
        let start = TestClock.start
        let range = try years.hold(.range(since: start + 3 * Self.day, until: start + 5 * Self.day))
        let connector = try years.hold(.connector("c-1"))
        let subject = try years.hold(.subject("s-otheraaaaaaaaaaaaaaaaa"))
        let report = try years.prune()
        #expect(!report.pruned.isEmpty && report.holds == 3)
        let holding = Set(report.held.flatMap(\.holds))
        #expect(holding == [range, connector, subject])
        #expect(report.held.count < 10)
        #expect(try years.verify().isValid)
        for id in [range, connector, subject] {
            #expect(try years.clear(id))
            #expect(try !years.clear(id))
        }
        let rest = try years.prune()
        #expect(rest.pruned.count == report.held.count && rest.held.isEmpty)
        #expect(try years.verify().isValid)
    }

    /// Hostile case 9, and 29.
    @Test func aGapWithoutItsProofIsFound() throws {
        let years = try Years.short()
        let pruned = try years.prune().pruned
        let all = years.disk
        let first = try #require(pruned.dropFirst(2).first).first
        let certificate = PruneCertificate.path(first)
        let nodes = PruneCertificate.nodesPath(first)
        let seal = try #require(all.paths(ending: ".seal").first { $0.contains(SegmentName.stem(first)) })
        let other = PruneCertificate.path(try #require(pruned.last).first)
        #expect(try years.verify().isValid)
        for (path, content) in [
            (certificate, nil), (certificate, []), (certificate, all[other]), (nodes, nil), (nodes, []),
            (nodes, all[PruneCertificate.nodesPath(pruned[3].first)]), (seal, nil), (seal, all[certificate]),
        ] as [(String, [UInt8]?)] {
            let copy = all.afterKill()
            copy[path] = content
            #expect(try !TestLog.verify(copy).isValid, "\(path)")
        }
        // A segment that was never pruned.
        let copy = all.afterKill()
        copy[try #require(copy.paths(ending: ".jsonl").dropLast(3).last)] = nil
        #expect(try TestLog.verify(copy).findings.first?.reason.contains("no signed record says") == true)
        #expect(throws: AuditError.self) { try TestLog.open(copy) }
    }

    @Test func everyBitOfWhatStaysOfAPrunedSegmentCounts() throws {
        let years = try Years.short()
        let first = try #require(try years.prune().pruned.dropFirst().first).first
        let seal = try #require(years.disk.paths(ending: ".seal").first { $0.contains(SegmentName.stem(first)) })
        for path in [PruneCertificate.path(first), PruneCertificate.nodesPath(first), seal] {
            let bytes = try #require(years.disk[path])
            for index in stride(from: 0, to: bytes.count, by: 3) {
                var mutant = bytes
                mutant[index] ^= 1 << UInt8(index % 8)
                years.disk[path] = mutant
                #expect(try !TestLog.verify(years.disk).isValid, "\(path) byte \(index)")
            }
            years.disk[path] = bytes
        }
    }

    @Test(arguments: [MemoryDisk.Trouble.kills, .fails(errno: 28), .fails(errno: 5)])
    func pruningThatEndsAnywhereLeavesALogThatVerifies(trouble: MemoryDisk.Trouble) throws {
        let years = try Years.short()
        let counted = years.disk.afterKill()
        var before = 0
        let all = try Self.pruneOnce(counted, years) { before = counted.calls }
        #expect(all > 3)
        for call in stride(from: 1, through: counted.calls - before, by: trouble == .kills ? 1 : 2) {
            let copy = years.disk.afterKill()
            _ = try? Self.pruneOnce(copy, years) { copy.arrange(trouble, atCall: call) }
            #expect(try TestLog.verify(copy.afterKill()).isValid, "call \(call)")
            let after = copy.afterPowerCut()
            #expect(try TestLog.verify(after).isValid, "call \(call)")
            guard call.isMultiple(of: 9) else { continue }
            _ = try Self.pruneOnce(after, years)
            #expect(try TestLog.verify(after).prunedSegments == all, "call \(call)")
        }
    }

    private static func pruneOnce(
        _ disk: MemoryDisk,
        _ years: Years,
        opened: () -> Void = {}
    ) throws -> Int {
        let log = try years.open(disk)
        defer { log.close() }
        opened()
        return try log.prune(isDry: false, approver: nil) { PendingRecord.own(.prune, $0).draft }.pruned.count
    }

    @Test func aHoldThatWasTamperedWithStopsPruning() throws {
        let years = try Years.short()
        let id = try years.hold(.connector("c-0"))
        let path = LegalHold.path(id)
        var bytes = try #require(years.disk[path])
        bytes[60] ^= 1
        years.disk[path] = bytes
        #expect(throws: AuditError.self) { try years.prune() }
        #expect(try !years.verify().isValid)
    }

    /// Who has today's keys can write a `prune` record, but not make a segment older than it was.
    @Test func theCertificateOfASegmentThatWasNotOldIsRefused() throws {
        let years = try Years(days: 40, months: 1)
        #expect(try !years.prune().pruned.isEmpty)
        let finding = try #require(try years.verify().findings.first)
        #expect(finding.file.hasPrefix("pruned/"))
    }

    /// The lines are back, as after a crash or from a copy for a court: a hold keeps them, whatever was announced.
    @Test func aHoldBeatsAPruneThatWasAnnounced() throws {
        let years = try Years.short()
        let copy = years.disk.afterKill()
        let pruned = try years.prune().pruned
        for path in copy.paths(ending: ".jsonl") where years.disk[path] == nil { years.disk[path] = copy[path] }
        #expect(try years.verify().isValid)
        _ = try years.hold(.range(since: TestClock.start, until: TestClock.start + 3 * Self.day))
        let report = try years.prune()
        #expect(!report.held.isEmpty && report.held.count + report.pruned.count >= pruned.count)
        let first = try #require(report.held.first).segment.first
        #expect(years.disk.paths(ending: ".jsonl").contains { $0.contains(SegmentName.stem(first)) })
    }

    /// Older files beside a newer proof: a start refuses, and verifiers say why.
    @Test func aProofThatCoversMoreThanThereIsConvictsARollback() throws {
        for withHold in [true, false] {
            let years = try Years.short()
            let before = years.disk.afterKill()
            if withHold { _ = try years.hold(.connector("c-0")) } else { _ = try years.prune() }
            for path in years.disk.paths() where path.hasPrefix("hold/") || path.hasPrefix("pruned/") {
                before[path] = years.disk[path]
            }
            #expect(throws: AuditError.self) { try years.open(before) }
            #expect(try !TestLog.verify(before.afterKill()).isValid)
        }
    }

    @Test func aDamagedSegmentKeepsNoOtherFromBeingPruned() throws {
        let years = try Years.short()
        let all = try years.prune(isDry: true).pruned
        let path = try #require(
            years.disk.paths(ending: ".jsonl").first { $0.contains(SegmentName.stem(all[1].first)) }
        )
        years.disk[path]?[30] ^= 1
        let report = try years.prune()
        #expect(report.failure != nil && report.pruned.count == all.count - 1)
        #expect(years.disk[path] != nil)
    }

    @Test func oneJumpOfTheClockDoesNotEndPruning() throws {
        let years = try Years(days: 2, months: 6)
        years.clock.jump(by: 3650 * Self.day)
        try years.pass(days: 1)
        years.clock.jump(by: -3650 * Self.day)
        try years.pass(days: 3)
        years.clock.pass(200 * Self.day)
        try years.pass(days: 4)
        let report = try years.prune()
        #expect(report.pruned.count > 3)
        #expect(try years.verify().isValid)
    }

    @Test func exportsProveRecordsBesideAGap() throws {
        let years = try Years.short(days: 60)
        let kept = try #require(years.disk[Checkpoint.path])
        let held = try years.hold(.range(since: TestClock.start + 6 * Self.day, until: TestClock.start + 8 * Self.day))
        _ = try years.prune()
        #expect(try !years.clear("h-000000000000") && years.clear(held))
        var request = LogExtract.Request(since: TestClock.start + 261 * Self.day, until: .max)
        request.previous = kept
        for (since, until) in [(6, 8), (6, 7), (261, 300)] as [(Int64, Int64)] {
            request.since = TestClock.start + since * Self.day
            request.until = TestClock.start + until * Self.day
            request.filter.operation = .secretRead
            let extract = try LogExtract.plan(years.disk, request)
            #expect(extract.shown > 0)
            let proofs = try #require(try extract.read { _ in true })
            #expect(proofs.inclusion.count == Int(extract.shown))
            #expect(proofs.epochs.count == extract.epochSeals.count)
        }
        request.since = TestClock.start + 6 * Self.day
        request.until = TestClock.start + 300 * Self.day
        #expect(throws: AuditError.self) { try LogExtract.plan(years.disk, request) }
    }

    @Test func subtreesOfARangeAreThoseOfTheTree() throws {
        let leaves = (0..<70).map { SHA256.hash([UInt8($0)]) }
        for low in 0..<70 {
            for high in (low + 1)...70 {
                var builder = PrunedNodes.Builder(UInt64(low)..<UInt64(high))
                var start = Frontier()
                for leaf in leaves[..<low] { start.append(leaf: leaf) }
                var end = start
                for leaf in leaves[low..<high] {
                    #expect(builder.nodes == nil)
                    builder.append(leaf)
                    end.append(leaf: leaf)
                }
                let nodes = try #require(builder.nodes)
                #expect(nodes.lead(from: start, to: end))
                #expect(PrunedNodes(nodes.text) == nodes)
                var other = end
                other.append(leaf: leaves[0])
                #expect(!nodes.lead(from: start, to: other))
            }
        }
    }

    @Test func monthsAreCountedByTheCalendar() throws {
        func text(_ time: RecordTime) -> String { String(decoding: time.utf8, as: UTF8.self) }
        let cases = [
            ("2026-11-23T16:40:11.482913Z", 24, "2024-11-23T16:40:11.482913Z"),
            ("2026-08-31T00:00:00.000000Z", 6, "2026-02-28T00:00:00.000000Z"),
            ("2024-02-29T01:02:03.000004Z", 24, "2022-02-28T01:02:03.000004Z"),
            ("2026-01-15T00:00:00.000000Z", 36, "2023-01-15T00:00:00.000000Z"),
        ]
        for (now, months, before) in cases {
            let time = try #require(RecordTime(Array(now.utf8)))
            #expect(text(time.subtracting(months: months)) == before)
        }
    }
}
