internal import Glibc

/// The queue in front of the storage thread, with the two things that are waited for: work, and the end of work.
final class StorageWorkQueue: @unchecked Sendable {  // All state is used under `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var waiting: [any StorageWork] = []
    private var submitted: UInt64 = 0
    private var ended: UInt64 = 0
    private var isClosed = false
    private var needsCompaction = false

    /// One round of the storage thread.
    struct Round {
        let works: [any StorageWork]
        let compacts: Bool
    }

    init() {
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        // Both fail only without memory or with attributes, which are nil.
        precondition(pthread_mutex_init(mutex, nil) == 0 && pthread_cond_init(changed, nil) == 0, "no mutex")
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        changed.deallocate()
    }

    private func withLock<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// - Returns: false when the queue is closed; the work is not taken then.
    func add(_ work: any StorageWork) -> Bool {
        withLock {
            if isClosed { return false }
            waiting.append(work)
            submitted += 1
            pthread_cond_broadcast(changed)
            return true
        }
    }

    func requestCompaction() {
        withLock {
            needsCompaction = true
            pthread_cond_broadcast(changed)
        }
    }

    /// Waits for work; nil when the queue is closed and empty.
    /// - Parameter limit: how many works a round holds at most.
    func next(limit: Int) -> Round? {
        withLock {
            while waiting.isEmpty, !isClosed, !needsCompaction { pthread_cond_wait(changed, mutex) }
            if waiting.isEmpty, isClosed { return nil }
            let works: [any StorageWork]
            if waiting.count <= limit {
                works = waiting
                waiting = []
            } else {
                works = Array(waiting.prefix(limit))
                waiting.removeFirst(limit)
            }
            let compacts = needsCompaction
            needsCompaction = false
            return Round(works: works, compacts: compacts)
        }
    }

    /// Reports that `count` works have ended.
    func finish(_ count: Int) {
        withLock {
            ended += UInt64(count)
            pthread_cond_broadcast(changed)
        }
    }

    /// Waits until everything submitted before this call has ended.
    func drain() {
        withLock {
            let target = submitted
            while ended < target { pthread_cond_wait(changed, mutex) }
        }
    }

    /// Refuses new work from now on; what is queued still runs.
    func close() {
        withLock {
            isClosed = true
            pthread_cond_broadcast(changed)
        }
    }
}
