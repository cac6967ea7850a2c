package import CoffreHost
package import CoffreVault
internal import Glibc
package import NIOCore
internal import NIOPosix

/// The HTTP server of one Unix socket, on one event loop.
///
/// The vault may run on the same loop (``EventLoopSerialExecutor``): a request then never changes threads.
package final class APIServer: Sendable {
    /// What the server holds right now.
    package struct Statistics: Sendable {
        package let connections: Int
        /// Requests that the vault has and has not answered.
        package let inFlight: Int
        /// Connections closed since the start to make room for others.
        package let evictions: Int
        package let bodyMemoryBytes: Int
        /// The number of connections beyond which others must go.
        package let maximumConnections: Int
    }

    private final class Running {
        let shared: ConnectionShared
        var listener: (any Channel)?
        var file: BoundSocketFile?
        var sweep: RepeatedTask?

        init(shared: ConnectionShared) { self.shared = shared }
    }

    package let eventLoop: any EventLoop
    private let configuration: APIServerConfiguration
    private let performer: any RequestPerformer
    private let running: NIOLoopBoundBox<Running?>

    /// - Parameter eventLoop: a loop of NIOPosix; everything happens there, also every call of `performer`.
    package init(
        configuration: APIServerConfiguration = APIServerConfiguration(),
        performer: any RequestPerformer,
        eventLoop: any EventLoop
    ) {
        self.configuration = configuration
        self.performer = performer
        self.eventLoop = eventLoop
        running = .makeEmptyBox(valueType: Running.self, eventLoop: eventLoop)
    }

    /// Starts to accept on `socket`; call once. Raises the soft limit of descriptors to the hard one.
    /// - Throws: what NIO says when the socket cannot be registered.
    package func start(on socket: consuming ListeningSocket) async throws {
        let (descriptor, file) = socket.release()
        let descriptors = ResourceLimits.raiseOpenFiles()
        // A connection takes a socket and a pidfd; 256 are left to the database, the log and everything else.
        let maximum = min(configuration.maximumConnections, max((descriptors - 256) / 2, 16))
        do {
            try await eventLoop.flatSubmit { self.listen(descriptor, file, maximum) }.get()
        } catch {
            file?.remove()
            throw error
        }
    }

    /// Starts, and returns after ``stop()``.
    package func run(on socket: consuming ListeningSocket) async throws {
        try await start(on: socket)
        try await eventLoop.flatSubmit {
            self.running.value?.listener?.closeFuture ?? self.eventLoop.makeSucceededVoidFuture()
        }.get()
        await drain()
    }

    /// Stops accepting, closes idle connections, lets requests in flight finish within the drain time, then closes the
    /// rest. Returns when no connection is left. Calling it again only waits.
    package func stop() async {
        let closed = eventLoop.flatSubmit {
            let listener = self.running.value?.listener
            listener?.close(promise: nil)
            return listener?.closeFuture ?? self.eventLoop.makeSucceededVoidFuture()
        }
        try? await closed.get()
        await drain()
    }

    /// What the server holds; nil before ``start(on:)``.
    package func statistics() async throws -> Statistics? {
        try await eventLoop.submit {
            self.running.value.map {
                Statistics(
                    connections: $0.shared.table.connections.count,
                    inFlight: $0.shared.inFlight,
                    evictions: $0.shared.table.evictions,
                    bodyMemoryBytes: $0.shared.bodyMemory.usedBytes,
                    maximumConnections: $0.shared.table.maximum
                )
            }
        }.get()
    }

    private func listen(_ descriptor: Int32, _ file: BoundSocketFile?, _ maximum: Int) -> EventLoopFuture<Void> {
        precondition(running.value == nil, "a server starts once")
        let shared = ConnectionShared(
            configuration: configuration,
            performer: performer,
            maximumConnections: maximum
        )
        let state = Running(shared: shared)
        state.file = file
        running.value = state
        let box = running
        let bootstrap = ServerBootstrap(group: eventLoop)
            .serverChannelOption(ChannelOptions.maxMessagesPerRead, value: 16)
            .childChannelOption(ChannelOptions.allocator, value: .wiping)
            .childChannelOption(ChannelOptions.recvAllocator, value: ReceiveBufferSizing())
            .childChannelOption(ChannelOptions.maxMessagesPerRead, value: 1)
            .childChannelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let shared = box.value?.shared else { throw ChannelError.ioOnClosedChannel }
                    try Self.admit(channel, shared)
                }
            }
        return bootstrap.withBoundSocket(descriptor).assumeIsolated().map { listener in
            state.listener = listener
            let interval = Self.sweepInterval(self.configuration)
            state.sweep = self.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
                box.value?.shared.sweep(now: MonotonicTime.now())
            }
        }.nonisolated()
    }

    private static func admit(_ channel: any Channel, _ shared: ConnectionShared) throws {
        guard !shared.isDraining else { throw ChannelError.ioOnClosedChannel }
        if shared.table.isFull {
            guard let victim = shared.table.takeVictim() else { throw ChannelError.ioOnClosedChannel }
            victim.closeNow()
        }
        let source = shared.configuration.processSource
        let procDirectory = shared.configuration.procDirectory
        let operations = channel.pipeline.syncOperations
        let peer = try operations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { descriptor in
            try PeerCredentials(ofConnection: descriptor, source: source, procDirectory: procDirectory)
        }
        guard let peer else { throw ChannelError.operationUnsupported }
        try operations.addHandler(Connection(shared: shared, peer: peer))
    }

    private func drain() async {
        let drained = eventLoop.flatSubmit { () -> EventLoopFuture<Void> in
            guard let state = self.running.value else { return self.eventLoop.makeSucceededVoidFuture() }
            state.file?.remove()
            state.file = nil
            let shared = state.shared
            shared.isDraining = true
            for connection in shared.table.connections { connection.drain() }
            guard !shared.table.connections.isEmpty else { return self.eventLoop.makeSucceededVoidFuture() }
            let promise = self.eventLoop.makePromise(of: Void.self)
            let earlier = shared.whenDrained
            shared.whenDrained = {
                earlier?()
                promise.succeed()
            }
            let box = self.running
            self.eventLoop.scheduleTask(in: .nanoseconds(Int64(self.configuration.drainTimeout.wholeNanoseconds))) {
                for connection in box.value?.shared.table.connections ?? [] { connection.closeNow() }
            }
            return promise.futureResult
        }
        try? await drained.get()
        try? await eventLoop.submit {
            self.running.value?.sweep?.cancel()
            self.running.value?.sweep = nil
        }.get()
    }

    /// Often enough for the shortest time, at most once a second: one pass over all connections costs microseconds.
    private static func sweepInterval(_ configuration: APIServerConfiguration) -> TimeAmount {
        let shortest =
            [
                configuration.headTimeout, configuration.progressTimeout, configuration.idleTimeout,
                configuration.lingerTimeout,
            ].map(\.wholeNanoseconds).min() ?? 0
        return .nanoseconds(Int64(min(max(shortest / 4, 5_000_000), 1_000_000_000)))
    }
}
