internal import Glibc
internal import Synchronization

/// The thread that owns the writer once the log is open.
final class WriterThread: Sendable {
    /// What callers may know of the writer.
    struct Status: Sendable {
        /// Of the durable records.
        var frontier: Frontier
        var lastTime: Int64
        /// Microseconds since genesis by the log's own count.
        var uptime: UInt64
        var failure: AuditError?
    }

    let queue: WriterQueue
    private let deliver: AuditLogConfiguration.Delivery
    private let status: Mutex<Status>
    private let handle = Mutex<pthread_t?>(nil)

    /// Hands the writer over to a new thread.
    init(_ writer: consuming LogWriter, configuration: AuditLogConfiguration) throws(AuditError) {
        queue = WriterQueue(limit: configuration.queueLimit)
        deliver = configuration.deliver
        status = Mutex(
            Status(
                frontier: writer.chain.frontier,
                lastTime: writer.chain.lastTime.microseconds,
                uptime: writer.chain.uptime.total,
                failure: nil
            )
        )
        let start = Unmanaged.passRetained(Start(self, writer))
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                start.owner.run(start)
                return nil
            },
            start.toOpaque()
        )
        guard code == 0 else {
            start.release()
            throw .system(call: "pthread_create", path: configuration.directory, errno: code)
        }
        handle.withLock { $0 = thread }
    }

    /// Carries the writer into its thread; nobody else holds it.
    private final class Start {
        let owner: WriterThread
        var writer: LogWriter

        init(_ owner: WriterThread, _ writer: consuming LogWriter) {
            self.owner = owner
            self.writer = writer
        }
    }

    var current: Status { status.withLock { $0 } }

    private func run(_ start: Start) {
        while let records = queue.takeAll() {
            start.writer.append(records, deliver: serve)
            publish(start)
            if let failure = start.writer.failure { return finish(failure, start) }
        }
        // Refused from outside: nothing more is appended, not even that.
        if let refusal = queue.endedWith { return finish(refusal, start) }
        start.writer.announce(.own(.daemonStop, []))
        start.writer.append([], deliver: serve)
        do throws(AuditError) {
            if start.writer.failure == nil { try start.writer.closeSegment(reason: "stop") }
        } catch {
            return finish(error, start)
        }
        publish(start)
        finish(.closed, start)
    }

    private func publish(_ start: Start) {
        let now = Status(
            frontier: start.writer.chain.frontier,
            lastTime: start.writer.chain.lastTime.microseconds,
            uptime: start.writer.chain.uptime.total,
            failure: start.writer.failure ?? queue.endedWith
        )
        status.withLock { $0 = now }
    }

    /// - Parameters: the batch and where the chain stands after it.
    private func serve(_ result: BatchResult, frontier: Frontier, lastTime: RecordTime) {
        status.withLock {
            $0.frontier = frontier
            // Before anybody hears of it, so that who does sees it in the log's health too.
            if let failure = result.finalFailure { $0.failure = failure }
            $0.lastTime = lastTime.microseconds
        }
        deliver { result.serveCallers() }
        result.serveLog()
    }

    private func finish(_ error: AuditError, _ start: Start) {
        status.withLock { $0.failure = error }
        let waiting = queue.end(error)
        guard !waiting.isEmpty else { return }
        let result = BatchResult(waiting[...], failedWith: error)
        deliver { result.serveCallers() }
        result.serveLog()
    }

    /// Takes no record any more: what waits and what comes fails with `error`. A batch that is being written is finished.
    func refuse(_ error: AuditError) {
        status.withLock { $0.failure = $0.failure ?? error }
        let waiting = queue.end(error)
        guard !waiting.isEmpty else { return }
        let result = BatchResult(waiting[...], failedWith: error)
        deliver { result.serveCallers() }
        result.serveLog()
    }

    /// Writes what waits, closes the segment and ends the thread. Returns when it has ended, except on that thread.
    func stop() {
        queue.close()
        handle.withLock { handle in
            guard let thread = handle else { return }
            handle = nil
            if pthread_equal(thread, pthread_self()) != 0 {
                pthread_detach(thread)
            } else {
                pthread_join(thread, nil)
            }
        }
    }
}
