internal import Glibc
internal import Synchronization

/// A thread that does something every now and then, so that the writer's own never waits for it.
final class PeriodicThread: Sendable {
    private let work: @Sendable () -> Void
    private let milliseconds: Int32
    private let givesWay: Bool
    /// Readable once the thread must end.
    private let stopPipe: (reading: Descriptor, writing: Descriptor)
    private let thread: Mutex<WorkerThread?> = Mutex(nil)

    /// - Parameters:
    ///   - milliseconds: between two looks.
    ///   - givesWay: whether every other thread goes first.
    ///   - work: what is done; after ``stop()`` no more.
    init(
        every milliseconds: Int32,
        givesWay: Bool = false,
        work: @escaping @Sendable () -> Void
    ) throws(AuditError) {
        self.work = work
        self.givesWay = givesWay
        self.milliseconds = milliseconds
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system(call: "pipe", path: "thread", errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        stopPipe = (Descriptor(ends[0]), Descriptor(ends[1]))
        guard let worker = WorkerThread({ [self] in run() }) else {
            throw .system(call: "pthread_create", path: "thread", errno: EAGAIN)
        }
        thread.withLock { $0 = worker }
    }

    private func run() {
        // On Linux a thread has a nice value of its own: setpriority(2), "C library/kernel differences" of nice(2).
        if givesWay { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19) }
        while true {
            var wait = pollfd(fd: stopPipe.reading.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, milliseconds) <= 0 else { return }
            work()
        }
    }

    /// Returns when the thread has ended.
    func stop() {
        thread.withLock { thread in
            guard let worker = thread else { return }
            thread = nil
            var byte: UInt8 = 0
            _ = write(stopPipe.writing.raw, &byte, 1)
            worker.join()
        }
    }
}
