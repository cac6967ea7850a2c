internal import Glibc
internal import Synchronization

/// The storage thread: takes everything queued, runs it in one transaction with one sync, answers.
final class StorageCommitLoop: Sendable {
    /// Works in one group at most: bounds the wait of the first of them.
    static let groupLimit = 1024
    /// Frames (4 KiB) of the write-ahead log after which it is moved into the database.
    static let checkpointFrames = 4000

    private let queue = StorageWorkQueue()
    private let writer: Mutex<SQLiteWriter?>
    private let readers: SQLiteReaderPool
    private let hook = Mutex<(any StorageGroupHook)?>(nil)

    init(writer: sending SQLiteWriter, readers: SQLiteReaderPool) {
        self.writer = Mutex(writer)
        self.readers = readers
    }

    func attach(_ hook: any StorageGroupHook) {
        self.hook.withLock {
            precondition($0 == nil, "a store has one hook")
            $0 = hook
        }
    }

    func submit(_ work: any StorageWork) {
        if queue.add(work) { return }
        work.ended(.failed(.closed))
        work.complete(.failed(.closed))
    }

    func drain() { queue.drain() }

    func requestCompaction() { queue.requestCompaction() }

    /// Asks the thread to end after the queued work.
    func stop() { queue.close() }

    /// The body of the thread.
    func run() {
        while let round = queue.next(limit: Self.groupLimit) {
            if !round.works.isEmpty { commit(round.works) }
            checkpoint(forced: round.compacts)
        }
        // The writer closes last: it moves the log into the file, which a read-only connection cannot.
        readers.close()
        writer.withLock { $0 = nil }
    }

    private func commit(_ works: [any StorageWork]) {
        let hook = hook.withLock { $0 }
        let outcomes = writer.withLock { writer in
            writer.map { commit(works, with: $0, hook: hook) }
                ?? works.map { _ in .failed(StorageError.closed) }
        }
        for (work, outcome) in zip(works, outcomes) { work.ended(outcome) }
        queue.finish(works.count)
        let answer: @Sendable () -> Void = {
            for (work, outcome) in zip(works, outcomes) { work.complete(outcome) }
        }
        if let hook { hook.deliver(answer) } else { answer() }
    }

    private func commit(
        _ works: [any StorageWork],
        with writer: SQLiteWriter,
        hook: (any StorageGroupHook)?
    ) -> [StorageOutcome] {
        hook?.groupWillBegin()
        do {
            try writer.begin()
            var verdicts: [StorageVerdict] = []
            verdicts.reserveCapacity(works.count)
            for work in works { verdicts.append(try work.apply(in: writer)) }
            let number = try hook?.groupWillCommit(in: writer, changed: writer.hasChanged) ?? 0
            if writer.hasChanged {
                try writer.commit()
                readers.noteCommit()
            } else {
                writer.rollBack()
            }
            hook?.groupDidEnd(writer.hasChanged ? .committed : .unchanged)
            return verdicts.map { verdict in
                switch verdict {
                case .accepted: .committed(number)
                case .rejected(let error): .rejected(error)
                }
            }
        } catch {
            writer.rollBack()
            hook?.groupDidEnd(.failed)
            // A rejection may have been due to a row that is gone now: everybody hears of the failure.
            return works.map { _ in .failed(error) }
        }
    }

    /// Runs after the answers. A checkpoint that fails is tried again after the next group; the log just grows meanwhile.
    private func checkpoint(forced: Bool) {
        writer.withLock { writer in
            guard let writer, forced || writer.logFrames >= Self.checkpointFrames else { return }
            readers.release()
            try? writer.checkpoint(truncate: forced)
            // Snapshots taken meanwhile read from the log; those taken from here on do not, and the log can start again.
            readers.release()
        }
    }
}
