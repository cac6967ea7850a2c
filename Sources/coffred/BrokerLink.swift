internal import CoffreAPI
internal import CoffreCrypto
internal import CoffreVault
internal import CoffreWire
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// coffred's side of the line to the broker: one connection, made when it is needed, many jobs at once.
///
/// Everything runs on the event loop. What the broker sends is untrusted: frames that nobody waits for are dropped, a
/// frame that is none ends the connection.
final class BrokerLink: BrokerTransport {
    /// A job may take this long, beyond the time limits that travel in it.
    private static let patience = TimeAmount.seconds(120)

    private typealias Frame = (kind: BrokerFrame.Kind, body: [UInt8])

    private final class State {
        var isStopped = false
        var channel: (any Channel)?
        var connecting: EventLoopFuture<any Channel>?
        var waiting: [BrokerJobID: (promise: EventLoopPromise<Frame>, timer: Scheduled<Void>)] = [:]
    }

    private let path: String
    private let expectedUID: UInt32
    private let loop: any EventLoop
    private let state: NIOLoopBoundBox<State>

    init(path: String, expectedUID: UInt32, loop: any EventLoop) {
        self.path = path
        self.expectedUID = expectedUID
        self.loop = loop
        state = .makeBoxSendingValue(State(), eventLoop: loop)
    }

    func exchange(
        _ kind: BrokerFrame.Kind,
        _ id: BrokerJobID,
        body: SharedSecret
    ) async throws(BrokerTransportError) -> (kind: BrokerFrame.Kind, body: [UInt8]) {
        do {
            return try await loop.flatSubmit { self.start(kind, id, body) }.get()
        } catch let error as BrokerTransportError {
            throw error
        } catch {
            throw BrokerTransportError("\(error)")
        }
    }

    /// As ``exchange(_:_:body:)``, for threads that may block; never on the event loop.
    func exchangeBlocking(
        _ kind: BrokerFrame.Kind,
        _ id: BrokerJobID,
        body: SharedSecret
    ) throws(BrokerTransportError) -> (kind: BrokerFrame.Kind, body: [UInt8]) {
        do {
            return try loop.flatSubmit { self.start(kind, id, body) }.wait()
        } catch let error as BrokerTransportError {
            throw error
        } catch {
            throw BrokerTransportError("\(error)")
        }
    }

    /// Lets nobody wait any more: what was asked fails at once, and what is asked from here on too.
    func stop() {
        loop.execute {
            self.state.value.isStopped = true
            self.closed("coffred is stopping")
        }
    }

    func acknowledge(_ id: BrokerJobID) async {
        // Lost acknowledgements do no harm: the broker forgets parked answers by itself.
        _ = try? await loop.submit {
            guard let channel = self.state.value.channel else { return }
            channel.writeAndFlush(try self.encode(.ack, id, SharedSecret(copying: [])), promise: nil)
        }.get()
    }

    private func start(_ kind: BrokerFrame.Kind, _ id: BrokerJobID, _ body: SharedSecret) -> EventLoopFuture<Frame> {
        guard !state.value.isStopped else {
            return loop.makeFailedFuture(BrokerTransportError("coffred is stopping"))
        }
        let promise = loop.makePromise(of: Frame.self)
        let timer = loop.scheduleTask(in: Self.patience) {
            self.fail(id, BrokerTransportError("the broker did not answer in time"))
        }
        state.value.waiting[id] = (promise, timer)
        connect().whenComplete { result in
            do {
                try result.get().writeAndFlush(try self.encode(kind, id, body), promise: nil)
            } catch {
                self.fail(
                    id,
                    error as? BrokerTransportError ?? BrokerTransportError("cannot reach \(self.path): \(error)")
                )
            }
        }
        return promise.futureResult
    }

    private func encode(_ kind: BrokerFrame.Kind, _ id: BrokerJobID, _ body: SharedSecret) throws -> ByteBuffer {
        let header = try BrokerFrame.Header(kind: kind, jobID: id, bodyBytes: body.count).encode()
        // The job holds a password: its bytes are wiped when the buffer goes.
        var buffer = ByteBufferAllocator.wiping.buffer(capacity: header.count + body.count)
        buffer.writeBytes(header)
        body.withBytes { _ = buffer.writeBytes($0) }
        return buffer
    }

    private func connect() -> EventLoopFuture<any Channel> {
        if let channel = state.value.channel, channel.isActive { return loop.makeSucceededFuture(channel) }
        if let connecting = state.value.connecting { return connecting }
        let future = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FrameHandler(link: self))
                }
            }
            .connect(unixDomainSocketPath: path)
            .flatMap { channel in self.checkPeer(channel) }
        state.value.connecting = future
        future.whenComplete { result in
            self.state.value.connecting = nil
            self.state.value.channel = try? result.get()
        }
        return future
    }

    private func checkPeer(_ channel: any Channel) -> EventLoopFuture<any Channel> {
        guard let provider = channel as? any SocketOptionProvider else {
            return loop.makeFailedFuture(BrokerTransportError("the broker's socket has no peer"))
        }
        // struct ucred of unix(7).
        let credentials: EventLoopFuture<(pid: Int32, uid: UInt32, gid: UInt32)> = provider.unsafeGetSocketOption(
            level: .socket,
            name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
        )
        return credentials.flatMapThrowing { credentials in
            guard credentials.uid == self.expectedUID else {
                channel.close(promise: nil)
                throw BrokerTransportError(
                    "uid \(credentials.uid) is behind the broker's socket, not uid \(self.expectedUID) of [broker] user"
                )
            }
            return channel
        }
    }

    private func fail(_ id: BrokerJobID, _ error: BrokerTransportError) {
        guard let entry = state.value.waiting.removeValue(forKey: id) else { return }
        entry.timer.cancel()
        entry.promise.fail(error)
    }

    fileprivate func received(_ header: BrokerFrame.Header, _ body: [UInt8]) {
        guard header.kind == .answer || header.kind == .gone,
            let entry = state.value.waiting.removeValue(forKey: header.jobID)
        else { return }
        entry.timer.cancel()
        entry.promise.succeed((header.kind, body))
    }

    fileprivate func closed(_ reason: String) {
        state.value.channel = nil
        for id in state.value.waiting.keys { fail(id, BrokerTransportError(reason)) }
    }
}

/// Cuts the broker's bytes into frames.
private final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: BrokerLink
    private var received: [UInt8] = []

    init(link: BrokerLink) { self.link = link }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.append(contentsOf: unwrapInboundIn(data).readableBytesView)
        do {
            while let header = try received.withUnsafeBytes({ try BrokerFrame.Header.parse($0) }) {
                let end = BrokerFrame.headerBytes + header.bodyBytes
                guard received.count >= end else { return }
                link.received(header, Array(received[BrokerFrame.headerBytes..<end]))
                received.removeFirst(end)
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { link.closed("the broker closed the connection") }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
