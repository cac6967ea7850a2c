import CoffreCrypto
import Testing

@testable import CoffreAudit

/// A hold is what the log says of it: whoever takes its file away while nobody looks gains nothing, and neither does a
/// crash between the record and the file.
@Suite struct HoldHistoryTests {
    private static func range(days: Range<Int64>) -> LegalHold.Scope {
        .range(
            since: TestClock.start + days.lowerBound * RetainedYears.day,
            until: TestClock.start + days.upperBound * RetainedYears.day
        )
    }

    private static func count(_ text: String, in disk: MemoryDisk) -> Int {
        disk.paths(ending: ".jsonl").reduce(0) { sum, path in
            let lines = (disk[path] ?? []).split(separator: 0x0a)
            return sum + lines.count { String(decoding: $0, as: UTF8.self).contains(text) }
        }
    }

    @Test func aFileTakenAwayBetweenTwoRunsComesBack() throws {
        let years = try RetainedYears.short()
        let id = try years.hold(Self.range(days: 1..<3))
        let path = LegalHold.path(id)
        let held = try years.prune(isDry: true).held.map(\.segment)
        #expect(!held.isEmpty)
        years.disk[path] = nil
        // Even before it is back the records stay.
        #expect(try years.prune(isDry: true).held.map(\.segment) == held)
        #expect(years.disk[path] == nil)
        let report = try years.prune()
        #expect(report.held.map(\.segment) == held)
        #expect(years.disk[path] != nil)
        #expect(try years.verify().isValid)
        #expect(Self.count(#""kind":"hold""#, in: years.disk) == 1)
        #expect(Self.count(#""restores":"#, in: years.disk) == 1)
        // Once is enough, and it can be ended as ever.
        _ = try years.prune()
        #expect(Self.count(#""restores":"#, in: years.disk) == 1)
        #expect(try years.clear(id))
        #expect(try years.prune().pruned.count == held.count)
        #expect(try years.verify().isValid)
    }

    /// The file of a hold that was ended: put there again, or left by a crash.
    @Test func anEndedHoldDoesNotComeToLifeAgain() throws {
        let years = try RetainedYears.short()
        let id = try years.hold(Self.range(days: 1..<3))
        let file = years.disk[LegalHold.path(id)]
        #expect(try years.clear(id))
        years.disk[LegalHold.path(id)] = file
        let report = try years.prune()
        #expect(report.held.isEmpty && report.pruned.count > 2)
        #expect(years.disk[LegalHold.path(id)] == nil)
        #expect(try years.verify().isValid)
    }

    @Test(arguments: [true, false])
    func aKillWhileAHoldIsOrderedOrEndedLeavesTheLogInCharge(isClearing: Bool) throws {
        let years = try RetainedYears.short()
        let id = "h-0123456789ab"
        let details = LegalHold.details(Self.range(days: 1..<3), id: id, reason: "a claim", review: "2027-06-30")
        func act(_ disk: MemoryDisk, _ arrange: () -> Void) throws {
            let log = try years.open(disk)
            defer { log.close() }
            if isClearing { _ = try log.setHold(PendingRecord.own(.holdSet, details).draft) }
            arrange()
            if isClearing {
                _ = try log.clearHold(id, PendingRecord.own(.holdClear, [("id", .text(id))]).draft)
            } else {
                _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
            }
        }
        let counted = years.disk.afterKill()
        var before = 0
        try act(counted) { before = counted.calls }
        #expect(counted.calls - before > 3)
        for call in 1...(counted.calls - before) {
            let copy = years.disk.afterKill()
            try? act(copy) { copy.arrange(.kills, atCall: call) }
            let after = copy.afterPowerCut()
            let operation = isClearing ? #""op":"hold.clear""# : #""op":"hold.set""#
            let isRecorded = Self.count(operation, in: after) > 0
            let log = try years.open(after)
            let report = try log.prune(isDry: false, approver: nil) { PendingRecord.own(.prune, $0).draft }
            log.close()
            #expect(report.held.isEmpty == (isClearing == isRecorded), "call \(call)")
            #expect((after[LegalHold.path(id)] == nil) == (isClearing == isRecorded), "call \(call)")
            #expect(try TestLog.verify(after).isValid, "call \(call)")
        }
    }

    /// The segments with a hold's records are the only ones that can say so later.
    @Test func whatOrdersOrEndsAHoldStaysAsLongAsItMatters() throws {
        let years = try RetainedYears(days: 2, months: 6)
        // Its order lies in an old segment, and so does the end of another one.
        let long = try years.hold(.connector("c-none"))
        try years.pass(days: 1)
        let short = try years.hold(.connector("c-other"))
        try years.pass(days: 1)
        #expect(try years.clear(short))
        try years.pass(days: 1)
        years.clock.pass(200 * RetainedYears.day)
        try years.pass(days: 4)
        let report = try years.prune()
        #expect(report.held.map(\.holds) == [[long]], "\(report.held)")
        years.disk[LegalHold.path(long)] = nil
        #expect(try years.prune().held.map(\.holds) == [[long]])
        #expect(years.disk[LegalHold.path(long)] != nil)
        #expect(try years.clear(long))
        #expect(try years.prune().pruned.count == 1)
        #expect(try years.verify().isValid)
    }

    /// The order of the ended hold is kept by another one: its end must stay too.
    @Test func theEndOfAHoldOutlivesItsOrder() throws {
        let years = try RetainedYears(days: 2, months: 6)
        let ended = try years.hold(.connector("c-none"))
        try years.pass(days: 3)
        #expect(try years.clear(ended))
        try years.pass(days: 3)
        let keeping = try years.hold(Self.range(days: 0..<4))
        years.clock.pass(200 * RetainedYears.day)
        try years.pass(days: 4)
        let report = try years.prune()
        #expect(!report.pruned.isEmpty)
        #expect(report.held.contains { $0.holds == [ended] })
        #expect(try years.clear(keeping))
        #expect(try years.prune().held.isEmpty)
        #expect(years.disk[LegalHold.path(ended)] == nil)
        #expect(try years.verify().isValid)
    }
}
