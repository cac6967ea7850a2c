internal import Glibc
internal import Synchronization

/// Runs closures on threads of their own, so many at once, the rest in order of arrival.
final class WorkerThreads: Sendable {
    private struct State {
        var running = 0
        var waiting: [@Sendable () -> Void] = []
    }

    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: threads at the same time.
    init(limit: Int) { self.limit = limit }

    /// Runs `work` soon. The caller bounds what waits.
    func submit(_ work: @escaping @Sendable () -> Void) {
        let isNeeded = state.withLock { state in
            state.waiting.append(work)
            guard state.running < limit else { return false }
            state.running += 1
            return true
        }
        guard isNeeded else { return }
        if !Self.start({ self.drain() }) {
            // No thread to be had: do it here, so that no work is lost.
            drain()
        }
    }

    private func drain() {
        while true {
            let work = state.withLock { state -> (@Sendable () -> Void)? in
                guard !state.waiting.isEmpty else {
                    state.running -= 1
                    return nil
                }
                return state.waiting.removeFirst()
            }
            guard let work else { return }
            work()
        }
    }

    /// Starts a detached thread. - Returns: whether there is one.
    static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            &attributes,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            },
            box.toOpaque()
        )
        if status != 0 { box.release() }
        return status == 0
    }
}
