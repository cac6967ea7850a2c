internal import Glibc
internal import Synchronization

/// Runs closures on threads of their own, so many at once, and so many of each kind: a server that does not answer holds
/// up its own jobs alone. The rest waits in order of arrival.
final class WorkerThreads: Sendable {
    private struct Work {
        let kind: String
        let body: @Sendable () -> Void
    }

    private struct State {
        var running = 0
        var runningOfKind: [String: Int] = [:]
        var waiting: [Work] = []
    }

    private let limit: Int
    private let limitOfKind: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: threads at the same time.
    ///   - limitOfKind: of these, for one kind.
    init(limit: Int, limitOfKind: Int) {
        self.limit = limit
        self.limitOfKind = limitOfKind
    }

    /// Runs `body` soon. The caller bounds what waits.
    func submit(_ kind: String, _ body: @escaping @Sendable () -> Void) {
        let isNeeded = state.withLock { state in
            state.waiting.append(Work(kind: kind, body: body))
            guard state.running < limit, state.runningOfKind[kind] ?? 0 < limitOfKind else { return false }
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
        var last: String?
        while true {
            let work = state.withLock { state -> Work? in
                if let last { state.runningOfKind[last] = state.runningOfKind[last].flatMap { $0 > 1 ? $0 - 1 : nil } }
                // What cannot begin here waits for the end of another of its kind, which takes it up.
                let next = state.waiting.firstIndex { state.runningOfKind[$0.kind] ?? 0 < limitOfKind }
                guard let next else {
                    state.running -= 1
                    return nil
                }
                state.runningOfKind[state.waiting[next].kind, default: 0] += 1
                return state.waiting.remove(at: next)
            }
            guard let work else { return }
            last = work.kind
            work.body()
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
