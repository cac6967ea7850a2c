internal import Glibc
internal import Synchronization

/// Keeps the index of a running log up to date, behind the durable records: a block at a time, on a thread that gives way
/// to all others, and never on the last of the disk's space. Whatever becomes of the file, the log goes on.
final class IndexKeeper: Sendable {
    /// What is known of the index.
    struct State: Sendable {
        /// Records that it knows.
        var size: UInt64 = 0
        /// Why it could not be brought up to date; nil when it could.
        var failure: AuditError?
        /// Whether somebody found that it lies.
        var isDistrusted = false
        /// After a failure: calls to let pass before the next try, and how many there were before the last one.
        var pause = 0
        var lastPause = 0
    }

    /// Below this the rest is left to the log.
    static let leastFreeBytes: UInt64 = 64 << 20
    private static let longestPause = 64

    private let state = Mutex(State())
    private let isStopping = Atomic(false)
    private let directory: String
    private let blockRecords: Int
    private let freeBytes: @Sendable () -> UInt64

    /// - Parameter freeBytes: on the file system of `directory`.
    init(
        directory: String,
        blockRecords: Int = LogIndexer.blockRecords,
        freeBytes: (@Sendable () -> UInt64)? = nil
    ) {
        self.directory = directory
        self.blockRecords = blockRecords
        self.freeBytes = freeBytes ?? { Self.freeBytes(in: directory) }
    }

    var current: State { state.withLock { $0 } }

    /// Indexes what is new. Called by one thread, every now and then.
    /// - Parameter size: records that are durable.
    func catchUp(to size: UInt64) {
        let now = current
        guard now.isDistrusted || now.size + UInt64(blockRecords) <= size else { return }
        if now.pause > 0 {
            state.withLock { $0.pause -= 1 }
            return
        }
        do throws(AuditError) {
            let indexer = LogIndexer(directory: directory, blockRecords: blockRecords)
            if now.isDistrusted {
                try indexer.remove()
                state.withLock { $0 = State() }
            }
            guard freeBytes() >= Self.leastFreeBytes else { throw .noSpace(path: LogIndexer.fileName) }
            let done = try indexer.catchUp(to: size) { done in
                state.withLock { $0.size = done }
                return !isStopping.load(ordering: .relaxed) && freeBytes() >= Self.leastFreeBytes
            }
            state.withLock { $0 = State(size: done, isDistrusted: $0.isDistrusted) }
        } catch {
            state.withLock { state in
                state.failure = error
                state.pause = min(max(1, state.lastPause * 2), Self.longestPause)
                state.lastPause = state.pause
            }
        }
    }

    /// The index was found to say what is not so: it is made anew.
    func distrust() { state.withLock { $0.isDistrusted = true } }

    func stop() { isStopping.store(true, ordering: .relaxed) }

    private static func freeBytes(in directory: String) -> UInt64 {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return .max }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }
}
