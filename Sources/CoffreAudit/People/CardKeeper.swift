internal import CoffreCrypto
internal import Synchronization

/// Replaces cards, and takes them away for good, each under records of the log. One thing at a time, not on the writer's
/// thread.
final class CardKeeper: Sendable {
    /// A record of the log with these details.
    typealias MakeDraft = @Sendable (AuditOperation, [AuditWhat.Detail]) -> AuditDraft

    let files: any LogFileSystem
    let clock: any LogClock
    let months: Int
    let subjects: SubjectTable
    let housekeeping: Housekeeping
    let queries: QueryHistory
    private let keys: LogKeys
    private let thread: WriterThread
    private let turn = Mutex(())
    private let failure = Mutex<AuditError?>(nil)
    private let isStopping = Atomic(false)
    /// `CLOCK_BOOTTIME` microseconds of the last look for what nobody needs.
    private let lastExpiry = Mutex<UInt64?>(nil)

    init(
        _ configuration: AuditLogConfiguration,
        _ thread: WriterThread,
        _ subjects: SubjectTable,
        _ keys: LogKeys,
        _ housekeeping: Housekeeping
    ) {
        files = configuration.fileSystem
        clock = configuration.clock
        months = configuration.retentionMonths
        self.thread = thread
        self.subjects = subjects
        self.keys = keys
        self.housekeeping = housekeeping
        queries = QueryHistory(directory: configuration.directory, clock: configuration.clock) { thread.current.uptime }
    }

    /// Why the last look was not finished; nil when it was.
    var currentFailure: AuditError? { failure.withLock { $0 } }

    func stop() { isStopping.store(true, ordering: .relaxed) }

    var shouldStop: Bool { isStopping.load(ordering: .relaxed) }

    /// The log's own count of time.
    var uptime: UInt64 { thread.current.uptime }

    func inTurn<R: Sendable>(_ body: () throws(AuditError) -> R) throws(AuditError) -> R {
        try turn.withLock { _ throws(AuditError) in try body() }
    }

    func attempt<R>(_ body: () throws(FileFailure) -> R) throws(AuditError) -> R {
        do throws(FileFailure) { return try body() } catch {
            throw LogWriter.isTransient(error.errno) ? .noSpace(path: error.path) : error.asAuditError
        }
    }

    func epochs() throws(AuditError) -> EpochChain {
        try attempt { () throws(FileFailure) in
            guard let identity = try files.contents(of: LogIdentity.path, limit: 2048).flatMap({ LogIdentity($0) })
            else {
                throw FileFailure(call: "read", path: LogIdentity.path, errno: 2)
            }
            return try EpochChain.load(files, identity).chain
        }
    }

    static let ownDraft: MakeDraft = { PendingRecord.own($0, $1).draft }

    // MARK: Now and then

    /// Once at start: what a crash has left undone.
    func start() {
        note { () throws(AuditError) in
            try inTurn { () throws(AuditError) in try settle() }
        }
    }

    /// As ``start()``, and every six hours what nobody needs any more.
    func sweep() {
        note { () throws(AuditError) in
            try inTurn { () throws(AuditError) in try settle() }
            let now = clock.bootMicroseconds()
            let isDue = lastExpiry.withLock { last in
                guard last.map({ now < $0 || now - $0 >= 6 * 3_600_000_000 }) ?? true else { return false }
                last = now
                return true
            }
            guard isDue else { return }
            _ = try expire()
            _ = try purgeQueries()
        }
    }

    /// Deletes the query history of connections that were removed 90 days ago, each under a `connector.remove` record
    /// with the number of its rows.
    func purgeQueries() throws(AuditError) -> [String] {
        try queries.purge(try housekeeping.holdsInForce().holds) { connection, rows, removed throws(AuditError) in
            var draft = Self.ownDraft(.connectorRemove, [("history", .int(rows)), ("removed", .text(removed))])
            draft.what.connector = connection
            _ = try housekeeping.appendProven(draft)
        }
    }

    private func note(_ body: () throws(AuditError) -> Void) {
        do throws(AuditError) {
            try body()
            failure.withLock { $0 = nil }
        } catch {
            failure.withLock { $0 = error }
        }
    }

    /// Finishes erasures and updates that were interrupted, and drops cards that came back after they were erased.
    /// One that cannot be does not stop the others.
    private func settle() throws(AuditError) {
        var first: AuditError?
        func each(_ body: () throws(AuditError) -> Void) {
            do throws(AuditError) { try body() } catch { first = first ?? error }
        }
        let (names, defect) = try attempt { () throws(FileFailure) in try ErasureProof.list(files) }
        if let defect { first = .damaged(segment: defect.file, record: nil, reason: defect.reason) }
        let done = Set(names.filter { $0.stage == .done }.map(\.sid))
        for name in names where name.stage == .asked {
            each { () throws(AuditError) in try resume(name, isDone: done.contains(name.sid)) }
        }
        let cards = try attempt { () throws(FileFailure) in try CardFile.list(files) }
        for sid in Set(cards.map(\.sid)).intersection(done).sorted() {
            // It was erased, and it is here: an old backup. That it was erased must be proven before anything is done.
            each { () throws(AuditError) in
                guard try proof(ErasureProof.Name(sid: sid, stage: .done)) != nil else { return }
                try eraseNow(sid, .restored, Self.ownDraft)
            }
        }
        let erased = Set(names.map(\.sid))
        for card in cards where card.stage == .update && !erased.contains(card.sid) {
            each { () throws(AuditError) in try resume(card) }
        }
        if let first { throw first }
    }

    private func proof(_ name: ErasureProof.Name) throws(AuditError) -> ErasureProof? {
        let epochs = try epochs()
        let (proof, defect) = try attempt { () throws(FileFailure) in try ErasureProof.read(name, files, epochs) }
        if let defect { throw .damaged(segment: defect.file, record: nil, reason: defect.reason) }
        return proof
    }

    // MARK: Erasure

    /// Erases the card of `sid`: asked for and proven to be, then gone, then proven to be gone.
    /// - Returns: the number of the `erasure.done` record; nil when there is no such card.
    /// - Throws: ``AuditError``: `.invalidRecord` when a hold needs the card; what is interrupted later is finished by
    ///   the next sweep or start.
    func erase(_ sid: String, _ reason: ErasureReason, _ makeDraft: MakeDraft) throws(AuditError) -> UInt64? {
        guard ErasureProof.isValidSid(sid) else { return nil }
        // Before the turn: this may read much of the log, and people log in meanwhile.
        let holding = try holdNeeding(sid)
        return try inTurn { () throws(AuditError) in
            let asked = ErasureProof.Name(sid: sid, stage: .asked)
            if try proof(asked) != nil { return try finish(sid, reason, makeDraft) }
            let cards = try attempt { () throws(FileFailure) in try CardFile.list(files) }
            guard cards.contains(where: { $0.sid.utf8.elementsEqual(sid.utf8) }) else { return nil }
            if let holding {
                throw .invalidRecord(reason: "the hold \(holding) needs this card; end the hold first")
            }
            return try eraseNow(sid, reason, makeDraft)
        }
    }

    @discardableResult
    func eraseNow(_ sid: String, _ reason: ErasureReason, _ makeDraft: MakeDraft) throws(AuditError) -> UInt64 {
        let request = makeDraft(.erasureRequest, ErasureProof.details(sid, reason))
        let proven = try housekeeping.appendProven(request)
        try attempt { () throws(FileFailure) in
            try files.makeFolder(ErasureProof.folder, isPrivate: false)
            // From here on the card goes, however often the daemon is killed.
            try files.replace(ErasureProof.Name(sid: sid, stage: .asked).path, with: proven.proof)
        }
        return try finish(sid, reason, makeDraft)
    }

    private func resume(_ name: ErasureProof.Name, isDone: Bool) throws(AuditError) {
        guard let asked = try proof(name) else { return }
        let hasCard = try attempt { () throws(FileFailure) in
            try CardFile.list(files).contains { $0.sid.utf8.elementsEqual(name.sid.utf8) }
        }
        if isDone, !hasCard {
            // All but the last step.
            guard try proof(ErasureProof.Name(sid: name.sid, stage: .done)) != nil else { return }
            try attempt { () throws(FileFailure) in
                try files.remove(name.path)
                try files.syncFolder(ErasureProof.folder)
            }
        } else {
            _ = try finish(name.sid, asked.reason, Self.ownDraft)
        }
    }

    private func finish(_ sid: String, _ reason: ErasureReason, _ makeDraft: MakeDraft) throws(AuditError) -> UInt64 {
        subjects.forget(sid)
        try attempt { () throws(FileFailure) in
            for card in try CardFile.list(files) where card.sid.utf8.elementsEqual(sid.utf8) {
                try files.shred(card.path)
            }
            // The names may have gone in a run that was killed before it could make that durable.
            try files.syncFolder(CardFile.folder)
        }
        let done = try housekeeping.appendProven(makeDraft(.erasureDone, ErasureProof.details(sid, reason)))
        try attempt { () throws(FileFailure) in
            try files.replace(ErasureProof.Name(sid: sid, stage: .done).path, with: done.proof)
            try files.remove(ErasureProof.Name(sid: sid, stage: .asked).path)
            try files.syncFolder(ErasureProof.folder)
        }
        return done.receipt.index
    }

    // MARK: Rectification

    /// Replaces the card of `sid`. The record of the old one stays: it is supplemented, never edited.
    /// - Returns: the number of the `subject.update` record; nil when there is no such card.
    func update(_ sid: String, card: [UInt8], _ makeDraft: MakeDraft) throws(AuditError) -> UInt64? {
        guard ErasureProof.isValidSid(sid), !subjects.isErased(sid) else { return nil }
        return try inTurn { () throws(AuditError) in
            let cards = try attempt { () throws(FileFailure) in try CardFile.list(files) }
                .filter { $0.sid.utf8.elementsEqual(sid.utf8) }
            guard let old = cards.first(where: { $0.stage != .update }) else { return nil }
            let new = old.at(.update)
            try attempt { () throws(FileFailure) in try files.shred(new.path) }
            let commitment = try new.write(card, keys, files, at: clock.realMicroseconds())
            let record: UInt64
            do throws(AuditError) {
                record = try append(new, commitment, makeDraft)
            } catch {
                switch error {
                case .overloaded, .closed, .noSpace, .invalidRecord:
                    // Nothing says that it is the card: it is not.
                    try attempt { () throws(FileFailure) in try files.shred(new.path) }
                default: break  // The record may stand: the next start writes it again and goes on.
                }
                throw error
            }
            try swap(new)
            return record
        }
    }

    private func resume(_ new: CardFile) throws(AuditError) {
        guard let commitment = try attempt({ () throws(FileFailure) in try new.commitment(files) }) else {
            return try attempt { () throws(FileFailure) in try files.shred(new.path) }  // cut short, never recorded
        }
        _ = try append(new, commitment, Self.ownDraft)
        try swap(new)
    }

    private func append(_ card: CardFile, _ commitment: Digest, _ makeDraft: MakeDraft) throws(AuditError) -> UInt64 {
        let details = SubjectTable.details(SubjectTable.Interrupted(file: card, commitment: commitment))
        return try housekeeping.appendProven(makeDraft(.subjectUpdate, details)).receipt.index
    }

    private func swap(_ new: CardFile) throws(AuditError) {
        try attempt { () throws(FileFailure) in
            // A registration has its card named by now, unless that could not be done.
            try files.shred(new.at(.new).path)
            let old = new.at(.final).path
            if try files.identity(of: old) != nil {
                let file = try files.open(old, writable: true)
                try file.writeAll(Random.bytes(try file.size()), path: old)
                try file.sync()
            }
            try files.rename(new.path, to: old)
            try files.syncFolder(CardFile.folder)
        }
    }
}
