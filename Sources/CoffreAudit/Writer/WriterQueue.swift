internal import Glibc

/// What callers hand to the writer's thread.
final class WriterQueue: @unchecked Sendable {  // Every property below is touched under `mutex` only.
    private enum State {
        case open
        case closing
        case ended(AuditError)
    }

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let arrived: UnsafeMutablePointer<pthread_cond_t>
    private let limit: Int
    private var waiting: [PendingRecord] = []
    private var state = State.open
    private var isWriterAsleep = false

    init(limit: Int) {
        self.limit = limit
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

    private func withLock<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// - Returns: why the record was not taken, nil when it was.
    func push(_ record: PendingRecord) -> AuditError? {
        withLock {
            switch state {
            case .open: break
            case .closing: return .closed
            case .ended(let error): return error
            }
            guard waiting.count < limit else { return .overloaded }
            waiting.append(record)
            if isWriterAsleep { pthread_cond_signal(arrived) }
            return nil
        }
    }

    /// Why nothing is taken any more; nil while the queue is open, or closing as it should.
    var endedWith: AuditError? {
        withLock {
            guard case .ended(let error) = state else { return nil }
            return error
        }
    }

    /// Everything that waits, in order; sleeps until there is something.
    /// - Returns: nil once the queue is closing and empty.
    func takeAll() -> [PendingRecord]? {
        withLock {
            while waiting.isEmpty {
                guard case .open = state else { return nil }
                isWriterAsleep = true
                pthread_cond_wait(arrived, mutex)
                isWriterAsleep = false
            }
            var taken: [PendingRecord] = []
            taken.reserveCapacity(min(waiting.count * 2, limit))
            swap(&taken, &waiting)
            return taken
        }
    }

    /// Takes nothing more; what waits is still written.
    func close() {
        withLock {
            if case .open = state { state = .closing }
            pthread_cond_signal(arrived)
        }
    }

    /// Takes nothing more and gives back what waits: it fails with `error`.
    func end(_ error: AuditError) -> [PendingRecord] {
        withLock {
            state = .ended(error)
            pthread_cond_signal(arrived)
            var taken: [PendingRecord] = []
            swap(&taken, &waiting)
            return taken
        }
    }
}
