internal import CoffreCrypto
internal import Synchronization

/// What the log says of itself.
package struct AuditHealth: Sendable, Equatable {
    package enum KeyLocation: String, Sendable {
        case credential, file
    }

    /// False once a write or sync has failed for good, or after ``AuditLog/close()``.
    package let isWritable: Bool
    /// Durable records: the tree size.
    package let size: UInt64
    /// `CLOCK_REALTIME` microseconds of the last durable record.
    package let lastRecordTime: Int64
    package let keyLocation: KeyLocation
    /// Records that the `checkpoint` file covers.
    package let checkpointSize: UInt64
    /// When the `checkpoint` file was written, in microseconds since 1970; nil before the first.
    package let checkpointTime: Int64?
    /// The epoch that is open.
    package let epoch: UInt64
    /// Records that the index knows; 0 when none is kept.
    package let indexSize: UInt64
    /// Why the index could not be brought up to date; nil when it could.
    package let indexFailure: AuditError?
    /// Why the newest checkpoint could not be written; nil when it could.
    package let checkpointFailure: AuditError?
    /// What is left on the disk, and what is set aside there.
    package let disk: DiskReport
    /// Why the tiles of the tree could not be brought up to date; nil when they could.
    package let treeFailure: AuditError?

    package init(
        isWritable: Bool,
        size: UInt64,
        lastRecordTime: Int64,
        keyLocation: KeyLocation,
        checkpointSize: UInt64,
        checkpointTime: Int64?,
        epoch: UInt64,
        indexSize: UInt64,
        indexFailure: AuditError?,
        checkpointFailure: AuditError?,
        disk: DiskReport,
        treeFailure: AuditError?
    ) {
        self.disk = disk
        self.treeFailure = treeFailure
        self.indexSize = indexSize
        self.indexFailure = indexFailure
        self.epoch = epoch
        self.checkpointSize = checkpointSize
        self.checkpointTime = checkpointTime
        self.checkpointFailure = checkpointFailure
        self.isWritable = isWritable
        self.size = size
        self.lastRecordTime = lastRecordTime
        self.keyLocation = keyLocation
    }
}

/// The append-only audit log: one writer, many callers, a receipt only for a durable record.
package final class AuditLog: Sendable {
    package typealias Completion = @Sendable (Result<AuditReceipt, AuditError>) -> Void

    /// The log's name.
    package let origin: String
    /// This run of the daemon, as `daemon.start` names it: 32 hex digits.
    package let instance: String
    /// The highest storage generation that an outcome record of this log holds, as read back at open.
    package let lastGeneration: UInt64?
    private let thread: WriterThread
    private let checkpoints: CheckpointWriter
    private let checkpointThread: PeriodicThread?
    private let index: IndexKeeper
    let logFiles: any LogFileSystem
    /// Absolute path of the log's folder.
    package let directory: String
    /// How long records are kept, in months.
    package let retentionMonths: Int
    private let indexThread: PeriodicThread?
    private let housekeeping: Housekeeping
    private let housekeepingThread: PeriodicThread?
    private let disk: DiskWatch
    private let diskThread: PeriodicThread?
    private let tiles: TileKeeper
    private let tileThread: PeriodicThread?
    let subjects: SubjectTable
    let cards: CardKeeper
    private let keys: LogKeys
    private let epochs: EpochKeys
    private let keyLocation: AuditHealth.KeyLocation
    private let deliver: AuditLogConfiguration.Delivery
    let outsideKeeper: OutsideKeeper
    /// Reads the log's records back.
    package let history: LogHistory
    /// Held until the log is closed, even after a failure.
    private let lock: Mutex<(any LogFile)?>

    private init(_ opened: consuming LogOpener.Opened, configuration: AuditLogConfiguration) throws(AuditError) {
        origin = opened.origin
        instance = opened.instance
        lastGeneration = opened.lastGeneration
        keys = opened.keys
        epochs = opened.epochs
        keyLocation = configuration.keys.location
        deliver = configuration.deliver
        history = LogHistory(files: configuration.fileSystem)
        lock = Mutex(opened.lock)
        subjects = try SubjectTable(files: configuration.fileSystem, keys: opened.keys, clock: configuration.clock)
        let checkpoints = opened.checkpoints
        let thread = try WriterThread(opened.writer, configuration: configuration)
        self.thread = thread
        self.checkpoints = checkpoints
        checkpointThread = try configuration.checkpointMilliseconds.map { milliseconds throws(AuditError) in
            try PeriodicThread(every: Int32(clamping: milliseconds)) { checkpoints.write(thread.current.frontier) }
        }
        logFiles = configuration.fileSystem
        directory = configuration.directory
        retentionMonths = configuration.retentionMonths
        let index = IndexKeeper(directory: configuration.directory)
        self.index = index
        indexThread = try configuration.indexMilliseconds.map { milliseconds throws(AuditError) in
            try PeriodicThread(every: Int32(clamping: milliseconds), givesWay: true) {
                index.catchUp(to: thread.current.frontier.size)
            }
        }
        let housekeeping = Housekeeping(configuration, thread)
        self.housekeeping = housekeeping
        housekeeping.look()
        let cards = CardKeeper(configuration, thread, subjects, opened.keys, housekeeping)
        self.cards = cards
        housekeepingThread = try configuration.housekeepingMilliseconds.map { milliseconds throws(AuditError) in
            try PeriodicThread(every: Int32(clamping: milliseconds)) {
                housekeeping.sweep()
                cards.sweep()
            }
        }
        let disk = opened.disk
        self.disk = disk
        diskThread = try configuration.space.lookMilliseconds.map { milliseconds throws(AuditError) in
            try PeriodicThread(every: Int32(clamping: milliseconds)) { disk.look { thread.queue.push($0) } }
        }
        let tiles = TileKeeper(configuration.fileSystem)
        self.tiles = tiles
        tileThread = try configuration.tileMilliseconds.map { milliseconds throws(AuditError) in
            try PeriodicThread(every: Int32(clamping: milliseconds)) { tiles.catchUp(to: thread.current.frontier) }
        }
        outsideKeeper = opened.outside
        try outsideKeeper.start(outsideLog)
        for card in subjects.interrupted { _ = thread.queue.push(subjects.record(card)) }
        cards.start()
    }

    deinit { close() }

    /// Opens the log for writing: genesis on first use, else recovery. Blocks on the disk.
    ///
    /// Afterwards `daemon.start` is durable and the log is locked against a second writer.
    /// - Throws: ``AuditError``: `.alreadyOpen`, `.unsafePath`, `.damaged` (nothing was changed), `.keysUnavailable`,
    ///   `.contradicted`, `.invalidConfiguration`, `.noSpace`, `.failed`, `.system`.
    package static func open(_ configuration: AuditLogConfiguration) throws(AuditError) -> AuditLog {
        try AuditLog(try LogOpener(configuration).open(), configuration: configuration)
    }

    /// Queues a record. `completion` runs through the configured delivery once the record is durable, or has failed.
    ///
    /// Records are written in the order of these calls. Never blocks on the disk.
    package func append(_ draft: AuditDraft, completion: @escaping Completion) {
        if let error = disk.refusal(of: draft)
            ?? thread.queue.push(PendingRecord(draft: draft, waiter: .caller(completion)))
        {
            deliver { completion(.failure(error)) }
        }
    }

    /// Appends a record and returns once it is durable.
    @discardableResult
    package func append(_ draft: AuditDraft) async throws(AuditError) -> AuditReceipt {
        try await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<AuditReceipt, AuditError>, Never>) in
            append(draft) { continuation.resume(returning: $0) }
        }.get()
    }

    /// A short keyed digest (24 characters of base64) of `bytes` under the log's digest key; `domain` says what they
    /// are, and the input is unambiguous: both parts carry their length.
    package func keyedDigest(_ bytes: UnsafeRawBufferPointer, domain: StaticString) -> String {
        let domain = domain.withUTF8Buffer { Array($0) }
        var buffer = ByteBuffer(capacity: 64)
        buffer.append(shortDigest: DigestInput(domain: domain).digest(of: bytes, key: keys.digest))
        return String(decoding: buffer.bytes, as: UTF8.self)
    }

    /// The pseudonym of a person or service; registered, with its card sealed, at first sight. Blocks on the disk then.
    ///
    /// Works while the vault is sealed. The `subject.register` record stands before any record appended afterwards.
    /// - Parameters:
    ///   - uid: the kernel's uid, when that identifies the subject.
    ///   - entity: the identity entity, when that does.
    ///   - card: what resolves the pseudonym (login, display name, …), at most 64 KiB; only its salted commitment
    ///     enters the log.
    /// - Throws: ``AuditError``: `.noSpace`, `.failed`, `.closed`, `.overloaded`, `.system`, `.invalidRecord`.
    package func subject(kind: AuditWho.Kind, uid: UInt32?, entity: String?, card: [UInt8]) throws(AuditError) -> String
    {
        try subjects.subject(kind: kind, uid: uid, entity: entity, card: card) { thread.queue.push($0) }
    }

    /// Appends a `heartbeat`; the daemon calls it every five minutes.
    /// - Parameter details: time synchronisation, free space, age of the last witness contact.
    package func heartbeat(_ details: [AuditWhat.Detail]) { _ = thread.queue.push(.own(.heartbeat, details)) }

    /// Looks records up. Blocks on the disk: call it on a thread of its own.
    /// - Parameter isOver: asked now and then; true ends the page where it stands.
    /// - Throws: ``AuditError``: `.damaged`, `.system`.
    package func page(_ query: AuditQuery, isOver: () -> Bool = { false }) throws(AuditError) -> AuditQuery.Page {
        let page = try query.page(logFiles, directory, isOver) { _ in }
        if page.distrust != nil { index.distrust() }
        return page
    }

    /// One record as it stands in the log, held to the one after it; nil when there is none. Blocks on the disk.
    /// - Throws: ``AuditError``: `.damaged`, `.system`.
    package func line(of sequence: UInt64) throws(AuditError) -> [UInt8]? {
        try AuditQuery.line(of: sequence, logFiles, directory)
    }

    /// Why segments could not be compressed or pruned when this was tried last; nil when they could.
    package var housekeepingFailure: AuditError? { housekeeping.current.failure }

    /// Holds in force, as far as the last look knows.
    package var holdsInForce: Int { housekeeping.current.holds.count }

    /// Compresses sealed segments now. Blocks on the disk.
    /// - Throws: ``AuditError``: `.damaged`, `.noSpace`, `.system`.
    package func compress() throws(AuditError) { try housekeeping.compress() }

    /// Deletes what is older than the retention, or says what would be. Blocks on the disk.
    /// - Parameters:
    ///   - limit: segments that are deleted at most.
    ///   - approver: the sid of an officer who vouches for the wall clock, where the log's own count of time does not
    ///     reach.
    ///   - makeDraft: makes each `prune` record from its details.
    /// - Throws: ``AuditError``: `.damaged` (what is damaged stays), `.noSpace`, `.failed`, `.closed`, `.system`.
    package func prune(
        isDry: Bool,
        limit: Int? = nil,
        approver: String?,
        makeDraft: @escaping ([AuditWhat.Detail]) -> AuditDraft
    ) throws(AuditError) -> PruneReport {
        try housekeeping.prune(isDry: isDry, limit: limit, approver: approver, makeDraft: makeDraft)
    }

    /// Puts a hold in force, durably. Blocks on the disk.
    /// - Parameter draft: `hold.set` with ``LegalHold/details(_:id:reason:review:)``.
    /// - Throws: ``AuditError``: `.invalidRecord`, `.noSpace`, `.failed`, `.closed`, `.damaged`, `.system`.
    package func setHold(_ draft: AuditDraft) throws(AuditError) -> LegalHold { try housekeeping.set(draft) }

    /// Ends a hold, durably. Blocks on the disk.
    /// - Returns: false when there is none with that id.
    package func clearHold(_ id: String, _ draft: AuditDraft) throws(AuditError) -> Bool {
        try housekeeping.clear(id, draft)
    }

    /// The holds in force. Blocks on the disk.
    package func holds() throws(AuditError) -> [LegalHold] { try housekeeping.readHolds() }

    /// The newest checkpoint that this run has written, a C2SP signed note; nil before the first.
    package var checkpoint: [UInt8]? { checkpoints.current.note }

    /// Who remembers the log outside of it, the strongest first; the journal is the last.
    package var outside: [OutsideStatus] { outsideKeeper.status }

    /// To be called when the newest checkpoint has been written to the journal.
    package func checkpointJournalled() { outsideKeeper.journalled(size: checkpoints.current.size) }

    /// The log as those outside touch it.
    var outsideLog: OutsideContext.Log {
        let (origin, checkpoints, thread, epochs) = (origin, checkpoints, thread, epochs)
        return OutsideContext.Log(
            head: {
                guard let note = checkpoints.current.note else { return nil }
                return SignedHead(note: note, origin: origin)
            },
            epoch: { epochs.number },
            append: { _ = thread.queue.push($0) },
            refuse: { thread.refuse($0) }
        )
    }

    /// Number of durable records.
    package var size: UInt64 { thread.current.frontier.size }

    package var health: AuditHealth {
        let now = thread.current
        let checkpoint = checkpoints.current
        return AuditHealth(
            isWritable: now.failure == nil,
            size: now.frontier.size,
            lastRecordTime: now.lastTime,
            keyLocation: keyLocation,
            checkpointSize: checkpoint.size,
            checkpointTime: SignedHead.time(directory: directory),
            epoch: epochs.number,
            indexSize: index.current.size,
            indexFailure: index.current.failure,
            checkpointFailure: checkpoint.failure,
            disk: disk.report,
            treeFailure: tiles.failure
        )
    }

    /// Looks at the disk now, as the watch does every second: sets aside what is missing, and tells what has changed.
    /// Blocks.
    package func lookAtDisk() { disk.look { [queue = thread.queue] in queue.push($0) } }

    /// Drains the queue, writes `daemon.stop` and `segment.seal`, seals the segment and releases the lock. Blocks.
    ///
    /// May be called more than once; later appends fail with `.closed`.
    package func close() {
        outsideKeeper.stop()
        index.stop()
        tiles.stop()
        indexThread?.stop()
        housekeeping.stop()
        cards.stop()
        housekeepingThread?.stop()
        tileThread?.stop()
        checkpointThread?.stop()
        diskThread?.stop()
        disk.prepareToStop { [queue = thread.queue] in queue.push($0) }
        thread.stop()
        lock.withLock { $0 = nil }
    }
}
