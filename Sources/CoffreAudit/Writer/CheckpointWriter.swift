internal import CoffreCrypto
internal import Glibc
internal import Synchronization

/// Signs the tree head and replaces the `checkpoint` file: at every seal, and about once a second while records arrive.
///
/// A checkpoint that cannot be written is no reason to stop serving: the older one stays true, and the next second tries
/// again with a new file. What is wrong is shown in ``AuditHealth``.
final class CheckpointWriter: Sendable {
    /// What is known of the file.
    struct State: Sendable {
        /// Records that the file covers.
        var size: UInt64 = 0
        /// Records at the end of the epoch before: whatever covers more is signed by the open one's key.
        var turnedAt: UInt64 = 0
        /// The signed note that this run wrote last; nil before.
        var note: [UInt8]?
        /// Why the newest attempt failed; nil when it did not.
        var failure: AuditError?
    }

    private let files: any LogFileSystem
    private let signer: LogSigner
    private let state: Mutex<State>

    /// - Parameter size: records that the file covers already.
    init(files: any LogFileSystem, signer: LogSigner, size: UInt64) {
        self.files = files
        self.signer = signer
        state = Mutex(State(size: size))
    }

    var current: State { state.withLock { $0 } }

    /// Makes the file cover `frontier`, all of whose records are durable. Does nothing when it covers that or more.
    func write(_ frontier: Frontier) {
        state.withLock { state in
            guard frontier.size > state.size, frontier.size > state.turnedAt else { return }
            do throws(FileFailure) {
                let note = Checkpoint(frontier).note(signer)
                try files.replace(Checkpoint.path, with: note)
                state = State(size: frontier.size, turnedAt: state.turnedAt, note: note)
            } catch {
                state.failure = error.asAuditError
            }
        }
    }

    /// Changes the epoch's key while nobody signs.
    /// - Parameter size: records at the end of the old epoch.
    func turn(at size: UInt64, _ change: () throws(AuditError) -> Void) throws(AuditError) {
        try state.withLock { state throws(AuditError) in
            try change()
            state.turnedAt = size
        }
    }
}

/// The thread that writes a checkpoint every now and then, so that the writer's own never waits for it.
final class CheckpointThread: Sendable {
    private let writer: CheckpointWriter
    private let frontier: @Sendable () -> Frontier
    private let milliseconds: Int32
    /// Readable once the thread must end.
    private let stopPipe: (reading: Descriptor, writing: Descriptor)
    private let handle: Mutex<pthread_t?> = Mutex(nil)

    /// - Parameters:
    ///   - milliseconds: between two looks.
    ///   - frontier: of the durable records.
    init(
        _ writer: CheckpointWriter,
        every milliseconds: Int32,
        frontier: @escaping @Sendable () -> Frontier
    ) throws(AuditError) {
        self.writer = writer
        self.frontier = frontier
        self.milliseconds = milliseconds
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .system(call: "pipe", path: Checkpoint.path, errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        stopPipe = (Descriptor(ends[0]), Descriptor(ends[1]))
        let start = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<CheckpointThread>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            start.toOpaque()
        )
        guard code == 0 else {
            start.release()
            throw .system(call: "pthread_create", path: Checkpoint.path, errno: code)
        }
        handle.withLock { $0 = thread }
    }

    private func run() {
        while true {
            var wait = pollfd(fd: stopPipe.reading.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, milliseconds) <= 0 else { return }
            writer.write(frontier())
        }
    }

    /// Returns when the thread has ended.
    func stop() {
        handle.withLock { handle in
            guard let thread = handle else { return }
            handle = nil
            var byte: UInt8 = 0
            _ = write(stopPipe.writing.raw, &byte, 1)
            pthread_join(thread, nil)
        }
    }
}
