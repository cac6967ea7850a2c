internal import Synchronization

/// Looks at the log's disk, sets space aside, gives the reserve up, and says what may still be recorded.
///
/// Everything that blocks happens in ``begin()``, at the start, and in ``look(_:)``, on a thread of its own.
final class DiskWatch: Sendable {
    typealias Push = @Sendable (PendingRecord) -> AuditError?

    let segments: SegmentSpace
    let reserve: Reserve
    private let files: any LogFileSystem
    private let clock: any LogClock
    private let directory: String
    private let preallocates: Bool
    private let notify: @Sendable (DiskNotice) -> Void
    private let level = Atomic<Int>(0)
    private let isRecording = Atomic<Bool>(false)
    private let newest = Mutex(DiskReport())
    private let state: Mutex<State>

    private struct State {
        var machine: DiskState
        var growth = GrowthMeter()
        var isSeeded = false
        var written = 0
        var refused = 0
        /// Seconds, when the disk last refused a write.
        var refusedAt: UInt64?
        var hasWarned = false
        var told: AuditError?
        /// The level that operators know of.
        var toldLevel = DiskLevel.normal

        /// What is to be told after a look that found `event`.
        mutating func untold(_ event: DiskState.Event?) -> DiskState.Event? {
            defer { toldLevel = machine.level }
            if toldLevel != machine.level { return .changed(from: toldLevel, to: machine.level) }
            if case .reminder = event { return event }
            return nil
        }
    }

    /// For so long after a refused write nothing else is believed, in seconds.
    private static let refusalSeconds: UInt64 = 5

    init(_ configuration: AuditLogConfiguration) {
        segments = SegmentSpace(configuration)
        reserve = Reserve(configuration)
        files = configuration.fileSystem
        clock = configuration.clock
        directory = configuration.directory
        preallocates = configuration.space.preallocates
        notify = configuration.onDisk
        state = Mutex(State(machine: DiskState(segmentBytes: configuration.segmentBytes)))
    }

    /// What was found at the last look.
    var report: DiskReport { newest.withLock { $0 } }

    /// Why a record is not taken now; nil when it is.
    func refusal(of draft: borrowing AuditDraft) -> AuditError? {
        guard level.load(ordering: .relaxed) >= DiskLevel.critical.rawValue else { return nil }
        let now = report
        // An outcome belongs to an act that was accepted.
        if draft.phase == .outcome || draft.operation.isVital { return nil }
        // Logins that fail and are tried again do not eat up what a prune or a clean stop needs.
        let isLast = now.reserve == .released && now.freeBytes < reserve.bytes / 8
        if draft.operation.isEssential, !isLast { return nil }
        return .nearlyFull(
            path: directory,
            isRefusing: now.level == .emergency,
            freeBytes: now.freeBytes,
            freeFiles: now.freeFiles
        )
    }

    /// Learns what an earlier run has left. Afterwards the state is known, and nothing is set aside yet.
    func begin() throws(AuditError) {
        do throws(FileFailure) {
            try reserve.load()
            try segments.adoptSpare()
            let now = seconds
            let found = try files.space()
            state.withLock { state in
                // The first look tells it: nothing can be recorded yet.
                _ = state.machine.observe(sample(found, &state, at: now), at: now)
                publish(found, state)
            }
        } catch {
            throw error.asAuditError
        }
    }

    /// For a start on a disk that is full already.
    /// - Returns: whether anything was given up.
    func giveReserveUp() -> Bool {
        do throws(FileFailure) { return try reserve.release() } catch _ { return false }
    }

    /// Looks once. Blocks on the disk.
    func look(_ push: @escaping Push) {
        let notices = state.withLock { look(&$0, push) }
        for notice in notices { notify(notice) }
    }

    /// Makes room for the last records, if nothing else is left.
    func prepareToStop(_ push: @escaping Push) {
        let now = seconds
        let notice: DiskNotice? = state.withLock { state in
            guard level.load(ordering: .relaxed) >= DiskLevel.critical.rawValue, reserve.state == .held else {
                return nil
            }
            do throws(FileFailure) {
                guard try files.space().freeBytes < state.machine.marginBytes else { return nil }
                return try giveUp(push)
            } catch {
                state.refusedAt = now
                return nil
            }
        }
        if let notice { notify(notice) }
    }

    // MARK: One look

    private func look(_ state: inout State, _ push: @escaping Push) -> [DiskNotice] {
        var notices: [DiskNotice] = []
        let now = seconds
        measureGrowth(&state)
        do throws(FileFailure) {
            var failure = try setAside(state.machine, from: files.space().freeBytes)
            let found = try files.space()
            let seen = sample(found, &state, at: now)
            let event = state.machine.observe(seen, at: now)
            publish(found, state)
            if state.machine.level == .emergency {
                do throws(FileFailure) {
                    if let notice = try giveUp(push) { notices.append(notice) }
                } catch {
                    failure = error
                }
            }
            if let event = state.untold(event) { notices.append(tell(event, push)) }
            if !state.hasWarned, let notice = cannotSetAside(found) {
                state.hasWarned = true
                notices.append(notice)
            }
            if reserve.state == .released(recorded: false) { record(push) }
            if let notice = note(failure, &state) { notices.append(notice) }
        } catch {
            if let notice = note(error, &state) { notices.append(notice) }
        }
        return notices
    }

    /// - Returns: what went wrong, want of space excepted: that is a state and no failure.
    private func setAside(_ machine: DiskState, from free: Int) -> FileFailure? {
        let reach = 4 * machine.marginBytes
        if machine.level == .emergency, free < segments.missing + reserve.missing + reach { return nil }
        var free = free - machine.marginBytes
        do throws(FileFailure) {
            let wanted = reserve.missing
            if segments.canAllocate { try reserve.make(from: free) }
            free -= wanted - reserve.missing
            try segments.fill(from: free)
            return nil
        } catch {
            if error.errno == 95 { segments.isUnsupported() }
            return LogWriter.isTransient(error.errno) || error.errno == 95 ? nil : error
        }
    }

    private func sample(_ space: DiskSpace, _ state: inout State, at now: UInt64) -> DiskState.Sample {
        let refused = segments.refused
        if refused != state.refused {
            state.refused = refused
            state.refusedAt = now
        }
        return DiskState.Sample(
            space: space,
            aheadBytes: segments.ahead,
            missingBytes: segments.missing + reserve.missing,
            canAllocate: segments.canAllocate,
            wasRefused: state.refusedAt.map { now < $0 + Self.refusalSeconds } ?? false,
            isReserveReleased: reserve.isReleased,
            growthPerDay: state.growth.perDay(at: hour)
        )
    }

    private func publish(_ space: DiskSpace, _ state: borrowing State) {
        let level = state.machine.level
        var report = DiskReport()
        report.level = level
        report.freeBytes = space.freeBytes
        report.totalBytes = space.totalBytes
        report.freeFiles = space.files?.free
        report.growthPerDay = state.growth.perDay(at: hour)
        if let growth = report.growthPerDay, growth > 0 {
            report.daysLeft = max(0, space.freeBytes - segments.missing - reserve.missing) / growth
        }
        report.reserve = reserve.bytes == 0 || reserve.state == .absent ? .none : reserve.isReleased ? .released : .held
        report.preallocation = preallocation(space)
        report.failure = newest.withLock { $0.failure }
        newest.withLock { $0 = report }
        self.level.store(level.rawValue, ordering: .relaxed)
    }

    private func preallocation(_ space: DiskSpace) -> DiskReport.Preallocation {
        if !preallocates { return .off }
        return !segments.canAllocate ? .unsupported : space.copiesOnWrite ? .copyOnWrite : .on
    }

    // MARK: The reserve

    private func giveUp(_ push: @escaping Push) throws(FileFailure) -> DiskNotice? {
        guard try reserve.release() else { return nil }
        let free = try files.space().freeBytes
        newest.withLock {
            $0.reserve = .released
            $0.freeBytes = free
        }
        isRecording.store(false, ordering: .relaxed)
        record(push)
        return DiskNotice(
            weight: .error,
            message: "the audit log's disk is full and its reserve has been given up: free space or prune now",
            facts: ["directory": directory, "bytes": String(reserve.bytes)]
        )
    }

    private func record(_ push: @escaping Push) {
        guard !isRecording.exchange(true, ordering: .relaxed) else { return }
        let record = PendingRecord.own(
            .reserveUsed,
            [("bytes", .int(Int64(reserve.bytes)))],
            waiter: .log { result in
                guard case .success(let receipt) = result else {
                    return self.isRecording.store(false, ordering: .relaxed)
                }
                // Without the note the next start records it again.
                do throws(FileFailure) { try self.reserve.recorded(as: receipt.index) } catch _ {}
            }
        )
        if push(record) != nil { isRecording.store(false, ordering: .relaxed) }
    }

    // MARK: Telling

    private func tell(_ event: DiskState.Event, _ push: Push) -> DiskNotice {
        let now = report
        var facts = [
            "directory": directory, "state": now.level.name, "free_bytes": String(now.freeBytes),
            "reserve": now.reserve.rawValue,
        ]
        if let days = now.daysLeft { facts["days_left"] = String(days) }
        if let files = now.freeFiles { facts["free_files"] = String(files) }
        let weight: DiskNotice.Weight =
            now.level >= .alarm ? .error : now.level == .warning ? .warning : .notice
        guard case .changed(let from, let to) = event else {
            return DiskNotice(weight: weight, message: "the audit log's disk is still filling up", facts: facts)
        }
        facts["before"] = from.name
        var details: [AuditWhat.Detail] = [
            ("free", .int(Int64(now.freeBytes))), ("kind", .text("disk")), ("level", .text(to.name)),
        ]
        if let days = now.daysLeft { details.append(("days", .int(Int64(days)))) }
        if to >= .alarm, to > from { _ = push(.own(.anomalyRaise, details)) }
        if from >= .alarm, to < .alarm { _ = push(.own(.anomalyClose, details)) }
        return DiskNotice(weight: weight, message: Self.sentence(to), facts: facts)
    }

    private static func sentence(_ level: DiskLevel) -> String {
        switch level {
        case .normal: "the audit log's disk has room again"
        case .warning: "the audit log's disk will be full within 30 days: plan more space, or prune"
        case .alarm: "the audit log's disk will be full soon: free space or prune"
        case .critical: "the audit log's disk is nearly full: secrets are refused until there is space"
        case .emergency: "the audit log's disk is full: secrets are refused, administrators can still log in"
        }
    }

    private func cannotSetAside(_ space: DiskSpace) -> DiskNotice? {
        switch preallocation(space) {
        case .on, .off: nil
        case .unsupported:
            DiskNotice(
                weight: .warning,
                message: "this file system cannot set space aside for the audit log: ext4 and XFS can",
                facts: ["directory": directory]
            )
        case .copyOnWrite:
            DiskNotice(
                weight: .warning,
                message:
                    "this file system copies on write, so space set aside for the audit log is no guarantee: use ext4 or XFS",
                facts: ["directory": directory]
            )
        }
    }

    /// Keeps the failure of a look for the status, and tells a new one.
    private func note(_ failure: FileFailure?, _ state: inout State) -> DiskNotice? {
        let error = failure?.asAuditError
        newest.withLock { $0.failure = error }
        defer { state.told = error }
        guard let error, error != state.told else { return nil }
        return DiskNotice(
            weight: .error,
            message: "space for the audit log cannot be looked after",
            facts: ["directory": directory, "error": error.message]
        )
    }

    // MARK: Growth

    private var seconds: UInt64 { clock.bootMicroseconds() / 1_000_000 }
    private var hour: Int64 { Int64(clamping: clock.bootMicroseconds() / 3_600_000_000) }

    private func measureGrowth(_ state: inout State) {
        let written = segments.written
        if !state.isSeeded {
            state.isSeeded = true
            seed(&state.growth)
        } else {
            state.growth.add(written - state.written, at: hour)
        }
        state.written = written
    }

    /// The sizes of the last seven days, from their folders; what cannot be read is not counted.
    private func seed(_ growth: inout GrowthMeter) {
        let now = clock.realMicroseconds()
        let day: Int64 = 86_400_000_000
        let midnight = hour - (now % day) / 3_600_000_000
        for age in 0..<Int64(7) {
            let folder = "\(SegmentName.root)/\(RecordTime(microseconds: now - age * day).folder)"
            do throws(FileFailure) {
                guard try files.identity(of: folder) != nil else { continue }
                var bytes = 0
                for name in try files.names(in: folder).prefix(Self.filesADay) {
                    bytes += try files.open("\(folder)/\(name)", writable: false).size()
                }
                growth.add(bytes, at: midnight - age * 24)
            } catch _ {}
        }
    }

    private static let filesADay = 512
}
