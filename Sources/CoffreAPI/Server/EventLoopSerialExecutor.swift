package import NIOCore

/// Runs an actor on a NIO event loop, so that channel handlers of that loop and the actor never hop between threads.
///
/// Unlike NIO's own adapter it can tell that the current code already runs on the loop: `assumeIsolated` works from a
/// channel handler (SE-0424 `checkIsolated`, SE-0471 `isIsolatingCurrentContext`).
package final class EventLoopSerialExecutor: SerialExecutor {
    package let eventLoop: any EventLoop

    package init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Schedules `job`; a loop that has shut down drops it, as NIO does with tasks.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(complexEquality: self)
    }

    package func isSameExclusiveExecutionContext(other: EventLoopSerialExecutor) -> Bool {
        eventLoop === other.eventLoop
    }

    package func checkIsolated() { eventLoop.preconditionInEventLoop() }

    package func isIsolatingCurrentContext() -> Bool? { eventLoop.inEventLoop }
}
