internal import Synchronization

/// Keeps the index of a running log up to date, behind the durable records.
final class IndexKeeper: Sendable {
    /// What is known of the index.
    struct State: Sendable {
        /// Records that it knows.
        var size: UInt64 = 0
        /// Why it could not be brought up to date; nil when it could.
        var failure: AuditError?
    }

    private let state = Mutex(State())
    private let isStopping = Atomic(false)
    private let directory: String

    init(directory: String) { self.directory = directory }

    var current: State { state.withLock { $0 } }

    /// Indexes what is new. Called by one thread.
    /// - Parameter size: records that are durable.
    func catchUp(to size: UInt64) {
        guard current.size < size else { return }
        do throws(AuditError) {
            let done = try LogIndexer(directory: directory).catchUp(to: size) { done in
                state.withLock { $0.size = done }
                return !isStopping.load(ordering: .relaxed)
            }
            state.withLock { $0 = State(size: done) }
        } catch {
            state.withLock { $0.failure = error }
        }
    }

    func stop() { isStopping.store(true, ordering: .relaxed) }
}
