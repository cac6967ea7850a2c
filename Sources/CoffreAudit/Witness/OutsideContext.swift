internal import CoffreCrypto
internal import Synchronization

/// What the channels to the outside share.
final class OutsideContext: Sendable {
    /// The running log, as far as they touch it.
    struct Log: Sendable {
        /// The newest signed head.
        let head: @Sendable () -> SignedHead?
        /// The epoch that is open.
        let epoch: @Sendable () -> UInt64
        /// Queues a record of the log about itself.
        let append: @Sendable (PendingRecord) -> Void
        /// Ends the writing for good.
        let refuse: @Sendable (AuditError) -> Void
    }

    /// For so many seconds all witnesses get the same head, so that their cosignatures stand under one note.
    private static let roundSeconds: UInt64 = 20

    private struct Shared {
        /// Records that the channels themselves have caused.
        var ownRecords: UInt64 = 0
        var round: (head: SignedHead, begin: UInt64)?
    }

    let configuration: OutsideConfiguration
    let files: any LogFileSystem
    let origin: String
    private let clock: any LogClock
    private let shared = Mutex(Shared())

    init(_ configuration: OutsideConfiguration, files: any LogFileSystem, clock: any LogClock, origin: String) {
        self.configuration = configuration
        self.files = files
        self.clock = clock
        self.origin = origin
    }

    /// Seconds since boot, suspend included.
    var boot: UInt64 { clock.bootMicroseconds() / 1_000_000 }
    /// Seconds since 1970.
    var wall: Int64 { clock.realMicroseconds() / 1_000_000 }

    var ownRecords: UInt64 { shared.withLock { $0.ownRecords } }

    /// The head that a witness gets now, when the newest is to be submitted: another one's, if that is of this moment.
    /// - Parameter size: what the witness has cosigned already.
    func head(_ newest: SignedHead, beyond size: UInt64) -> SignedHead {
        let now = boot
        return shared.withLock { shared in
            let pause = min(Self.roundSeconds, configuration.intervalSeconds / 2)
            if let round = shared.round, now < round.begin + pause, round.head.size <= newest.size,
                round.head.size > size
            {
                return round.head
            }
            shared.round = (newest, now)
            return newest
        }
    }

    /// Records a success that leaves a trace outside.
    func record(_ kind: OutsideStatus.Kind, name: String, size: UInt64, time: String, in log: Log) {
        shared.withLock { $0.ownRecords += 1 }
        log.append(
            .own(
                .witnessCosigned,
                [
                    ("kind", .text(kind.rawValue)), ("name", .text(name)), ("size", .int(Int64(clamping: size))),
                    ("time", .text(time)),
                ]
            )
        )
    }

    func report(isAlarm: Bool, _ message: String, _ facts: [String: String]) {
        configuration.report(OutsideConfiguration.Report(isAlarm: isAlarm, message: message, facts: facts))
    }

    /// Keeps a small file below `witness/`; what cannot be kept is reported.
    func keep(_ bytes: [UInt8], at path: String) {
        do throws(FileFailure) {
            try files.makeFolder(WitnessState.folder, isPrivate: false)
            try files.replace(path, with: bytes)
        } catch {
            report(isAlarm: true, "what a witness said cannot be kept", ["reason": error.asAuditError.message])
        }
    }
}

/// The contact with one of them: when it was, what went wrong, and when to try again.
struct OutsideContact: Sendable {
    var schedule: OutsideSchedule
    /// Seconds since 1970 of the last success.
    private(set) var lastContact: Int64?
    private(set) var lastSize: UInt64
    private(set) var error: String?
    /// Boot seconds from which the window counts.
    private var since: Int64
    /// Boot seconds of the last alarm about the window.
    private var alarmed: Int64?
    private let window: Int64

    /// - Parameter lastContact: seconds since 1970, from an earlier run.
    init(_ context: OutsideContext, period: UInt64, lastContact: Int64? = nil, lastSize: UInt64 = 0) {
        schedule = OutsideSchedule(period: period)
        window = Int64(clamping: context.configuration.windowSeconds)
        let silence = lastContact.map { max(0, context.wall - $0) } ?? 0
        since = Int64(clamping: context.boot) - silence
        self.lastContact = lastContact
        self.lastSize = lastSize
    }

    mutating func succeeded(_ context: OutsideContext, size: UInt64) {
        let now = context.boot
        schedule.succeeded(at: now)
        since = Int64(clamping: now)
        alarmed = nil
        error = nil
        lastContact = context.wall
        lastSize = size
    }

    /// - Returns: whether this is another failure than the one before.
    mutating func failed(_ context: OutsideContext, _ reason: String) -> Bool {
        schedule.failed(at: context.boot)
        defer { error = reason }
        return error != reason
    }

    func isOverdue(at boot: UInt64) -> Bool { Int64(clamping: boot) - since > window }

    /// Whether an alarm about the window is due now: when it has passed, and each time it has passed again.
    mutating func isAlarmDue(at boot: UInt64) -> Bool {
        let now = Int64(clamping: boot)
        guard isOverdue(at: boot), now - (alarmed ?? .min / 2) > window else { return false }
        alarmed = now
        return true
    }

    func status(
        _ kind: OutsideStatus.Kind,
        name: String = "",
        _ context: OutsideContext,
        isContradicting: Bool = false
    ) -> OutsideStatus {
        OutsideStatus(
            kind: kind,
            name: name,
            lastContact: lastContact,
            lastSize: lastSize,
            error: error,
            isOverdue: isOverdue(at: context.boot),
            isContradicting: isContradicting
        )
    }
}
