import CoffreAudit
import CoffreCrypto
import Glibc
import Synchronization

/// A clock that moves one millisecond at each look, and jumps when told to.
final class TestClock: LogClock {
    static let start: Int64 = 1_795_452_011_482_913  // 2026-11-23T16:40:11.482913Z

    private let now: Mutex<(real: Int64, boot: UInt64)>
    let bootID = "00112233445566778899aabbccddeeff"

    init(real: Int64 = TestClock.start) { now = Mutex((real, 1_000_000)) }

    func realMicroseconds() -> Int64 {
        now.withLock { now in
            now.real += 1000
            now.boot += 1000
            return now.real
        }
    }

    func bootMicroseconds() -> UInt64 { now.withLock { $0.boot } }

    func monotonicNanoseconds() -> UInt64 { now.withLock { $0.boot * 1000 } }

    /// Moves the wall clock alone: somebody has set it.
    func jump(by microseconds: Int64) { now.withLock { $0.real += microseconds } }

    /// Moves both clocks: time has passed.
    func pass(_ microseconds: Int64) {
        now.withLock { now in
            now.real += microseconds
            now.boot += UInt64(microseconds)
        }
    }
}

enum TestLog {
    static let origin = "test.example/coffre"

    static func configuration(
        _ disk: any LogFileSystem,
        clock: TestClock = TestClock(),
        segmentBytes: Int = 1 << 20,
        keys: AuditLogConfiguration.KeyMaterial = .file,
        origin: String = TestLog.origin,
        queueLimit: Int = 65_536,
        space: SpaceSettings = .none,
        onDisk: @escaping @Sendable (DiskNotice) -> Void = { _ in }
    ) -> AuditLogConfiguration {
        AuditLogConfiguration(
            directory: "/memory",
            origin: origin,
            softwareVersion: "1.0.0",
            keys: keys,
            segmentBytes: segmentBytes,
            queueLimit: queueLimit,
            checkpointMilliseconds: nil,
            clock: clock,
            fileSystem: disk,
            space: space,
            onDisk: onDisk,
            tileMilliseconds: nil
        )
    }

    static func open(
        _ disk: any LogFileSystem,
        clock: TestClock = TestClock(),
        segmentBytes: Int = 1 << 20,
        space: SpaceSettings = .none
    ) throws(AuditError) -> AuditLog {
        try AuditLog.open(configuration(disk, clock: clock, segmentBytes: segmentBytes, space: space))
    }

    static func verify(_ disk: any LogFileSystem) throws -> VerificationReport {
        try LogVerifier(files: disk).verify()
    }

    static let service = AuditWho(
        kind: .service,
        sid: "s-0123456789abcdefghijkl",
        uid: 988,
        gid: 988,
        pid: 4121,
        unit: "payroll.service",
        team: "paie",
        tokenAccessor: "a-0123456789abcdef"
    )

    /// Something that is allowed as long as anything is.
    static func administration() -> AuditDraft {
        AuditDraft(
            .sysWrite,
            outcome: .granted,
            correlation: "0123456789abcdef",
            acceptedAt: 1,
            who: service,
            what: AuditWhat(path: "sys/policies/acl/x")
        )
    }

    static func read(_ path: String, connector: String? = nil) -> AuditDraft {
        AuditDraft(
            .secretRead,
            outcome: .granted,
            correlation: "0123456789abcdef",
            acceptedAt: 1,
            who: service,
            what: AuditWhat(connector: connector, path: path, version: 12, fields: ["password"]),
            why: AuditWhy(policy: "p-lecture-paie", policyVersion: 4, rule: 2, purpose: "service")
        )
    }

    /// The lines of a log on a disk in memory, in order.
    static func lines(_ disk: MemoryDisk) -> [String] {
        disk.paths(ending: ".jsonl").sorted { lastPart($0) < lastPart($1) }.flatMap { path in
            String(decoding: disk[path] ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    private static func lastPart(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }
}

/// Collects completions, in the order in which they ran.
final class Collected: Sendable {
    private let results = Mutex<[Result<AuditReceipt, AuditError>]>([])

    var all: [Result<AuditReceipt, AuditError>] { results.withLock { $0 } }
    var receipts: [AuditReceipt] { all.compactMap { try? $0.get() } }

    func add(_ result: Result<AuditReceipt, AuditError>) { results.withLock { $0.append(result) } }
}

/// Holds a thread back until it is opened.
final class Gate: Sendable {
    private let isOpen = Mutex(false)

    func open() { isOpen.withLock { $0 = true } }

    /// The caller that opens the gate passes too: appends refused at once are delivered on the caller's thread.
    func pass() {
        guard pthread_equal(pthread_self(), owner) == 0 else { return }
        while !isOpen.withLock({ $0 }) { yieldThread() }
    }

    private let owner = pthread_self()
}

/// Lets another thread run.
func yieldThread() { sched_yield() }
