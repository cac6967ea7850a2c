internal import Glibc
internal import Synchronization

/// A thread that does something every now and then, so that the writer's own never waits for it.
package final class PeriodicThread: Sendable {
    private let work: @Sendable () -> Void
    private let milliseconds: Int32
    private let givesWay: Bool
    /// Readable once the thread must end, or look before its time.
    private let pipe: (reading: Descriptor, writing: Descriptor)
    private let thread: Mutex<WorkerThread?> = Mutex(nil)

    /// - Parameters:
    ///   - milliseconds: between two looks.
    ///   - givesWay: whether every other thread goes first.
    ///   - work: what is done; after ``stop()`` no more.
    /// - Throws: ``AuditError`` `.system`.
    package init(
        every milliseconds: Int32,
        givesWay: Bool = false,
        work: @escaping @Sendable () -> Void
    ) throws(AuditError) {
        self.work = work
        self.givesWay = givesWay
        self.milliseconds = milliseconds
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw .system(call: "pipe", path: "thread", errno: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        pipe = (Descriptor(ends[0]), Descriptor(ends[1]))
        guard let worker = WorkerThread({ [self] in run() }) else {
            throw .system(call: "pthread_create", path: "thread", errno: EAGAIN)
        }
        thread.withLock { $0 = worker }
    }

    private func run() {
        // On Linux a thread has a nice value of its own: setpriority(2), "C library/kernel differences" of nice(2).
        if givesWay { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19) }
        while true {
            var wait = pollfd(fd: pipe.reading.raw, events: Int16(POLLIN), revents: 0)
            if poll(&wait, 1, milliseconds) > 0 {
                var bytes = [UInt8](repeating: 0, count: 64)
                let count = read(pipe.reading.raw, &bytes, bytes.count)
                if count > 0, bytes[..<count].contains(Self.end) { return }
            }
            work()
        }
    }

    /// Lets it look now.
    package func wake() { put(Self.look) }

    private static let look: UInt8 = 1
    private static let end: UInt8 = 2

    /// A full pipe has enough in it.
    private func put(_ byte: UInt8) {
        var byte = byte
        _ = write(pipe.writing.raw, &byte, 1)
    }

    /// Returns when the thread has ended.
    package func stop() {
        thread.withLock { thread in
            guard let worker = thread else { return }
            thread = nil
            // Nothing but looks can fill the pipe, and each of them is read.
            while true {
                var byte = Self.end
                if write(pipe.writing.raw, &byte, 1) == 1 || (errno != EAGAIN && errno != EINTR) { break }
                usleep(1000)
            }
            worker.join()
        }
    }
}
