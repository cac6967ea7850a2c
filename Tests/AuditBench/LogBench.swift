import CoffreAudit
import Dispatch
import Glibc
import Synchronization

/// How fast a log is written, opened and verified.
struct LogBench {
    private static let waiters = 64

    let directory: String

    init(_ directory: String) { self.directory = directory }

    private static let who = AuditWho(
        kind: .service,
        sid: "s-0123456789abcdefghijkl",
        uid: 988,
        gid: 988,
        pid: 4121,
        unit: "payroll.service",
        team: "paie",
        tokenAccessor: "a-0123456789abcdef"
    )

    private static let draft = AuditDraft(
        .secretRead,
        outcome: .granted,
        correlation: "0123456789abcdef",
        acceptedAt: 1,
        who: who,
        what: AuditWhat(path: "secret/pay/app-7", version: 12, fields: ["password"]),
        why: AuditWhy(policy: "p-lecture-paie", policyVersion: 4, rule: 2, purpose: "service")
    )

    private func configuration(clock: (any LogClock)? = nil, months: Int = 24) -> AuditLogConfiguration {
        AuditLogConfiguration(
            directory: directory,
            origin: "bench.example/coffre",
            softwareVersion: "bench",
            keys: .file,
            retentionMonths: months,
            clock: clock
        )
    }

    /// Waiters that each append again when their last record is durable.
    private final class Load: Sendable {
        let latencies = Mutex<[Int64]>([])
        let left = Atomic(LogBench.waiters)
        let done = DispatchSemaphore(value: 0)
        private let log: AuditLog
        private let end: ContinuousClock.Instant

        init(_ log: AuditLog, seconds: Int) {
            self.log = log
            end = .now + .seconds(seconds)
        }

        func start() { for _ in 0..<LogBench.waiters { append() } }

        private func append() {
            let begin = ContinuousClock.now
            guard begin < end else {
                if left.subtract(1, ordering: .relaxed).newValue == 0 { done.signal() }
                return
            }
            log.append(LogBench.draft) { [self] result in
                if case .failure(let error) = result { fatalError("\(error)") }
                let took = ContinuousClock.now - begin
                latencies.withLock { $0.append(Int64(took.seconds * 1e6)) }
                append()
            }
        }
    }

    func append(seconds: Int) throws {
        let log = try AuditLog.open(configuration())
        let load = Load(log, seconds: seconds)
        load.start()
        load.done.wait()
        log.close()
        let sorted = load.latencies.withLock { $0.sorted() }
        func percentile(_ part: Double) -> Double {
            Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))])
        }
        let syncs = try syncMicroseconds(bytes: Self.waiters * 560)
        report([
            "records_per_second": Double(sorted.count) / Double(seconds), "latency_us_p50": percentile(0.5),
            "latency_us_p99": percentile(0.99), "fdatasync_us_p50": syncs[syncs.count / 2],
            "fdatasync_us_p99": syncs[syncs.count * 99 / 100], "resident_mib": residentMiB(),
        ])
    }

    /// Writes as one batch does, each followed by a sync.
    /// - Returns: what the syncs took, sorted.
    private func syncMicroseconds(bytes: Int) throws -> [Double] {
        let path = directory + "/.sync"
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        guard file >= 0 else { throw AuditError.system(call: "open", path: path, errno: errno) }
        defer {
            close(file)
            unlink(path)
        }
        let block = [UInt8](repeating: 0x2e, count: bytes)
        guard posix_fallocate(file, 0, off_t(bytes * 2000)) == 0 else { return [0] }
        return (0..<2000).map { number in
            _ = pwrite(file, block, bytes, off_t(number * bytes))
            let begin = ContinuousClock.now
            fdatasync(file)
            return (ContinuousClock.now - begin).seconds * 1e6
        }.sorted()
    }

    func tail() throws {
        let log = try AuditLog.open(configuration())
        let load = Mutex(0)
        // One segment, nearly full.
        let count = 64 * 1_048_576 / 600
        let isDone = DispatchSemaphore(value: 0)
        for number in 0..<count {
            log.append(Self.draft) { _ in
                load.withLock { $0 += 1 }
                if number == count - 1 { isDone.signal() }
            }
            if number % 4096 == 4095 { while load.withLock({ $0 }) < number - 4096 { sched_yield() } }
        }
        isDone.wait()
        report(["records": Double(count)])
        fflush(nil)
        _exit(0)
    }

    func open() throws {
        let begin = ContinuousClock.now
        let log = try AuditLog.open(configuration())
        let took = (ContinuousClock.now - begin).milliseconds
        let size = log.health.size
        log.close()
        report(["open_ms": took, "records": Double(size)])
    }

    func tidy() throws {
        let clock = SteppedClock()
        clock.pass(200 * 604_800_000_000)
        let log = try AuditLog.open(configuration(clock: clock, months: 6))
        func draft(_ operation: AuditOperation, _ details: [AuditWhat.Detail]) -> AuditDraft {
            AuditDraft(
                operation,
                outcome: .granted,
                correlation: "0123456789abcdef",
                acceptedAt: 1,
                who: Self.who,
                what: AuditWhat(details: details)
            )
        }
        let begin = ContinuousClock.now
        try log.compress()
        let packed = (ContinuousClock.now - begin).seconds
        // The second day, and only a part of what is old: else nothing would be left to verify.
        let since = SteppedClock.start + 86_400_000_000
        let details = LegalHold.details(
            .range(since: since, until: since + 86_400_000_000),
            id: "h-bench0000001",
            reason: "a claim",
            review: "2027-06-30"
        )
        _ = try log.setHold(draft(.holdSet, details))
        let pruned = try log.prune(isDry: false, limit: 12, approver: "s-officer") { draft(.prune, $0) }
        log.close()
        report([
            "compress_seconds": packed, "pruned_segments": Double(pruned.pruned.count),
            "held_segments": Double(pruned.held.count), "resident_mib": residentMiB(),
        ])
    }

    func verify(jobs: Int) throws {
        let begin = ContinuousClock.now
        let found = try LogVerifier(directory: directory, jobs: jobs).verify()
        let seconds = (ContinuousClock.now - begin).seconds
        if let finding = found.findings.first {
            print(
                "{\"valid\":false,\"file\":\"\(finding.file)\",\"record\":\(finding.record.map { "\($0)" } ?? "null")}"
            )
            exit(1)
        }
        let read = found.records - found.prunedRecords
        report([
            "jobs": Double(jobs), "records_read": Double(read), "pruned_records": Double(found.prunedRecords),
            "epochs": Double(found.epochs), "records_per_second": Double(read) / seconds,
            "resident_mib": residentMiB(),
        ])
    }
}
