import CoffreCrypto
import Synchronization

@testable import CoffreAudit

/// A log of one segment a day.
final class RetainedYears {
    static let day: Int64 = 86_400_000_000

    let disk: MemoryDisk
    let clock = TestClock()
    let months: Int

    /// - Parameter months: of the retention.
    init(days: Int, months: Int, disk: MemoryDisk = MemoryDisk()) throws {
        self.disk = disk
        self.months = months
        try pass(days: days)
    }

    /// Few segments, the first of them older than the retention.
    static func short(days: Int = 5) throws -> RetainedYears {
        let years = try RetainedYears(days: days, months: 6)
        years.clock.pass(200 * Self.day)
        try years.pass(days: 4)
        return years
    }

    func open(_ other: MemoryDisk? = nil) throws -> AuditLog {
        var configuration = TestLog.configuration(other ?? disk, clock: clock)
        configuration.retentionMonths = months
        return try AuditLog.open(configuration)
    }

    /// Three records a day, one of a connection now and then, one by another person now and then.
    func pass(days: Int) throws {
        let log = try open()
        for day in 0..<days {
            clock.pass(Self.day)
            for number in 0..<3 {
                var draft = TestLog.read("secret/\(number)", connector: day % 10 == 0 ? "c-\(day % 3)" : nil)
                if day % 7 == 0, number == 0 { draft.who = Self.other }
                try Self.waitFor(log, draft)
            }
        }
        log.close()
    }

    static let other = AuditWho(kind: .human, sid: "s-otheraaaaaaaaaaaaaaaaa", uid: nil, gid: nil, pid: 3)

    func verify(jobs: Int = 2) throws -> VerificationReport { try LogVerifier(files: disk, jobs: jobs).verify() }

    func prune(approver: String? = nil, isDry: Bool = false) throws -> PruneReport {
        let log = try open()
        defer { log.close() }
        return try log.prune(isDry: isDry, approver: approver) { PendingRecord.own(.prune, $0).draft }
    }

    func hold(_ scope: LegalHold.Scope) throws -> String {
        let log = try open()
        defer { log.close() }
        let id = "h-" + Random.base62(12)
        let details = LegalHold.details(scope, id: id, reason: "a claim", review: "2027-06-30")
        _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
        return id
    }

    func clear(_ id: String) throws -> Bool {
        let log = try open()
        defer { log.close() }
        return try log.clearHold(id, PendingRecord.own(.holdClear, [("id", .text(id))]).draft)
    }

    static func waitFor(_ log: AuditLog, _ draft: AuditDraft) throws {
        let done = Mutex(false)
        log.append(draft) { _ in done.withLock { $0 = true } }
        while !done.withLock({ $0 }) { yieldThread() }
        if let failure = log.health.isWritable ? nil : AuditError.closed { throw failure }
    }
}
