internal import CoffreCrypto
internal import Glibc
internal import Synchronization

/// What a running log does with its sealed segments, one thing at a time: compress, prune, hold.
final class Housekeeping: Sendable {
    /// What is known of the last looks.
    struct State: Sendable {
        var holds: [LegalHold] = []
        /// Why the last one was not finished; nil when it was.
        var failure: AuditError?
    }

    private let files: any LogFileSystem
    private let clock: any LogClock
    private let months: Int
    private let thread: WriterThread
    private let state = Mutex(State())
    /// Whoever holds it works on the log's files.
    private let turn = Mutex(HoldHistory())
    private let isStopping = Atomic(false)

    init(_ configuration: AuditLogConfiguration, _ thread: WriterThread) {
        files = configuration.fileSystem
        clock = configuration.clock
        months = configuration.retentionMonths
        self.thread = thread
    }

    var current: State { state.withLock { $0 } }

    func stop() { isStopping.store(true, ordering: .relaxed) }

    private var shouldStop: Bool { isStopping.load(ordering: .relaxed) }

    /// Reads the holds for the first time.
    func look() {
        do throws(AuditError) { _ = try readHolds() } catch { state.withLock { $0.failure = error } }
    }

    /// Runs on a thread of its own, behind all others.
    func sweep() {
        // Of the calling thread alone: setpriority(2), "C library/kernel differences".
        _ = setpriority(Int32(PRIO_PROCESS.rawValue), 0, 10)
        // Each for itself: what stops one is no reason to leave the other.
        var failure: AuditError?
        do throws(AuditError) {
            failure = try prune(isDry: false, approver: nil, makeDraft: Self.ownDraft).failure
        } catch { failure = error }
        do throws(AuditError) { try compress() } catch { failure = failure ?? error }
        state.withLock { $0.failure = failure }
    }

    func compress() throws(AuditError) {
        try inTurn { _ throws(AuditError) in
            _ = try SegmentPacker(files: files).run(try epochs()) { shouldStop }
        }
    }

    /// - Parameters:
    ///   - approver: the sid of who vouches for the wall clock.
    ///   - makeDraft: the `prune` record with these details.
    func prune(
        isDry: Bool,
        limit: Int? = nil,
        approver: String?,
        makeDraft: @escaping ([AuditWhat.Detail]) -> AuditDraft
    ) throws(AuditError) -> PruneReport {
        try inTurn { history throws(AuditError) in
            let epochs = try epochs()
            try history.read(files, epochs)
            if !isDry { try followHistory(epochs, history) }
            let rule = SegmentPruner.Rule(
                months: months,
                now: RecordTime(microseconds: clock.realMicroseconds()),
                uptime: thread.current.uptime,
                approver: approver
            )
            let pruner = SegmentPruner(
                files: files,
                epochs: epochs,
                rule: rule,
                holds: try inForce(epochs, history),
                history: history,
                append: { draft throws(AuditError) in try self.appendProven(draft) },
                makeDraft: makeDraft
            )
            return try pruner.run(isDry: isDry, limit: limit) { shouldStop }
        }
    }

    /// Puts a hold in force: its record, then its file.
    /// - Returns: the hold.
    func set(_ draft: AuditDraft) throws(AuditError) -> LegalHold {
        try inTurn { _ throws(AuditError) in
            let hold = try setHold(draft, try epochs())
            _ = try holds(try epochs())
            return hold
        }
    }

    @discardableResult
    private func setHold(_ draft: AuditDraft, _ epochs: EpochChain) throws(AuditError) -> LegalHold {
        let proven = try appendProven(draft)
        guard let proof = RecordProof(proven.proof, epochs: epochs), let hold = LegalHold(proof) else {
            throw .invalidRecord(reason: "a hold needs an id, a scope, a reason and a day of review")
        }
        try attempt { () throws(FileFailure) in
            try files.makeFolder(LegalHold.folder, isPrivate: false)
            try files.replace(LegalHold.path(hold.id), with: proven.proof)
        }
        return hold
    }

    /// Ends a hold: the record, then the file goes.
    /// - Returns: false when there is no such hold; nothing is recorded then.
    func clear(_ id: String, _ draft: AuditDraft) throws(AuditError) -> Bool {
        try inTurn { _ throws(AuditError) in
            guard try holds(try epochs()).contains(where: { $0.id.utf8.elementsEqual(id.utf8) }) else { return false }
            _ = try appendProven(draft)
            try removeFile(of: id)
            _ = try holds(try epochs(), isClearing: true)
            return true
        }
    }

    /// What the log says of its holds, and what their files say of those whose record is gone.
    private func inForce(_ epochs: EpochChain, _ history: HoldHistory) throws(AuditError) -> [HeldScope] {
        let orders = history.inForce.map { HeldScope(id: $0.id, scope: $0.scope) }
        let others = try holds(epochs).filter { hold in !orders.contains { $0.id.utf8.elementsEqual(hold.id.utf8) } }
        return orders + others.filter { !history.isEnded($0.id) }.map { HeldScope(id: $0.id, scope: $0.scope) }
    }

    /// What holds keep, and the records on which that rests, as the log says it. Blocks on the disk.
    func holdsInForce() throws(AuditError) -> (holds: [HeldScope], history: HoldHistory) {
        try inTurn { history throws(AuditError) in
            let epochs = try epochs()
            try history.read(files, epochs)
            return (try inForce(epochs, history), history)
        }
    }

    /// A hold is in force as long as the log says so. Where its file is gone, taken away or never written before a crash,
    /// it is ordered again with the same words; where the file of one that was ended is still there, it goes.
    private func followHistory(_ epochs: EpochChain, _ history: HoldHistory) throws(AuditError) {
        for order in history.inForce {
            let path = LegalHold.path(order.id)
            guard try attempt({ () throws(FileFailure) in try files.identity(of: path) == nil }) else { continue }
            let record = Int64(clamping: order.record)
            _ = thread.queue.push(
                .own(.anomalyRaise, [("hold", .text(order.id)), ("kind", .text("hold")), ("record", .int(record))])
            )
            let details =
                LegalHold.details(order.scope, id: order.id, reason: order.reason, review: order.review)
                + [("restores", .int(record))]
            try setHold(PendingRecord.own(.holdSet, details).draft, epochs)
        }
        let ended = try holds(epochs).filter { history.isEnded($0.id) }
        for hold in ended { try removeFile(of: hold.id) }
        if !ended.isEmpty { _ = try holds(epochs, isClearing: true) }
    }

    private func removeFile(of id: String) throws(AuditError) {
        try attempt { () throws(FileFailure) in
            try files.remove(LegalHold.path(id))
            try files.syncFolder(LegalHold.folder)
        }
    }

    /// The holds in force, read anew.
    /// - Parameter isClearing: whether one may have gone since.
    @discardableResult
    func holds(_ epochs: EpochChain, isClearing: Bool = false) throws(AuditError) -> [LegalHold] {
        let (found, defect) = try attempt { () throws(FileFailure) in try LegalHold.load(files, epochs) }
        // Whoever may have changed one hold may have taken another away: nothing is deleted then.
        let before = state.withLock { $0.holds.map(\.id) }
        if let gone = before.first(where: { id in !found.contains { $0.id.utf8.elementsEqual(id.utf8) } }), !isClearing
        {
            throw .damaged(segment: LegalHold.path(gone), record: nil, reason: "a hold in force went away unrecorded")
        }
        if let defect { throw .damaged(segment: defect.file, record: nil, reason: defect.reason) }
        state.withLock { $0.holds = found }
        return found
    }

    func readHolds() throws(AuditError) -> [LegalHold] { try holds(try epochs()) }

    private func epochs() throws(AuditError) -> EpochChain {
        try attempt { () throws(FileFailure) in
            guard let identity = try files.contents(of: LogIdentity.path, limit: 2048).flatMap({ LogIdentity($0) })
            else {
                throw FileFailure(call: "read", path: LogIdentity.path, errno: 2)
            }
            return try EpochChain.load(files, identity).chain
        }
    }

    private func attempt<R>(_ body: () throws(FileFailure) -> R) throws(AuditError) -> R {
        do throws(FileFailure) { return try body() } catch {
            throw LogWriter.isTransient(error.errno) ? .noSpace(path: error.path) : error.asAuditError
        }
    }

    private func inTurn<R: Sendable>(
        _ body: (inout HoldHistory) throws(AuditError) -> sending R
    ) throws(AuditError) -> R {
        try turn.withLock { history throws(AuditError) in try body(&history) }
    }

    /// Appends a record and returns once it is durable. Not on the writer's thread.
    func appendProven(_ draft: AuditDraft) throws(AuditError) -> ProvenRecord {
        let answer = Answer<Result<ProvenRecord, AuditError>>()
        let record = PendingRecord(draft: draft, waiter: .proven { answer.give($0) })
        if let error = thread.queue.push(record) { throw error }
        return try answer.take().get()
    }

    /// A `prune` record of the log by itself.
    static func ownDraft(_ details: [AuditWhat.Detail]) -> AuditDraft {
        PendingRecord.own(.prune, details).draft
    }
}

/// A value that one thread gives and another waits for.
private final class Answer<Value: Sendable>: @unchecked Sendable {  // `value` is touched under `mutex` only.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let arrived: UnsafeMutablePointer<pthread_cond_t>
    private var value: Value?

    init() {
        mutex = .allocate(capacity: 1)
        arrived = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(arrived, nil)
    }

    deinit {
        pthread_cond_destroy(arrived)
        pthread_mutex_destroy(mutex)
        arrived.deallocate()
        mutex.deallocate()
    }

    func give(_ value: Value) {
        pthread_mutex_lock(mutex)
        self.value = value
        pthread_cond_signal(arrived)
        pthread_mutex_unlock(mutex)
    }

    func take() -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let value { return value }
            pthread_cond_wait(arrived, mutex)
        }
    }
}
