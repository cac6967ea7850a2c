import CoffreWire
import NIOCore
import NIOHTTP1
import NIOPosix

extension CoffreClient {
    /// Reads an answer of any length, piece by piece, without keeping it.
    ///
    /// - Parameters:
    ///   - path: below `/v1/`, asked for by GET.
    ///   - silence: the longest time without a byte; the daemon may prepare the answer that long.
    ///   - started: gets the length that the daemon announces, before the first piece.
    ///   - sink: gets each piece, on a thread of the network library, which waits for it: nothing piles up.
    /// - Throws: ``ClientError``, or what `sink` throws.
    package func download(
        _ path: String,
        silence: Duration,
        started: @escaping @Sendable (Int) -> Void,
        to sink: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void
    ) async throws {
        let uri = try Self.uri(path, [])
        let address: SocketAddress
        do {
            address = try SocketAddress(unixDomainSocketPath: configuration.socketPath)
        } catch {
            throw ClientError(.invalidInput, "the path of the socket is empty or longer than 107 bytes")
        }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Void.self)
        let done = promise.futureResult
        let head = head(.get, uri, nil)
        let connecting = ClientBootstrap(group: loop).connectTimeout(TimeAmount(configuration.timeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(IdleStateHandler(readTimeout: TimeAmount(silence)))
                    try pipeline.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
                    try pipeline.addHandler(HTTPDownload(promise: promise, started: started, sink: sink))
                }
            }
            .connect(to: address)
        connecting.whenComplete { result in
            switch result {
            case .failure(let error): promise.fail(error)
            case .success(let channel):
                done.whenComplete { _ in channel.close(promise: nil) }
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
        }
        do {
            try await withTaskCancellationHandler {
                try await done.get()
            } onCancel: {
                promise.fail(ClientError(.cancelled, "the call was cancelled"))
            }
        } catch let error as IOError {
            throw Self.connectionFailure(error, configuration.socketPath)
        } catch let error as ChannelError {
            throw Self.connectionFailure(error, configuration.socketPath)
        }
    }
}

/// Hands the body of a successful answer on; collects that of a refusal. Lives on its event loop.
private final class HTTPDownload: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private static let maximumRefusal = 65_536

    private var promise: EventLoopPromise<Void>?
    private let started: (Int) -> Void
    private let sink: (UnsafeRawBufferPointer) throws -> Void
    private var status = 0
    private var left = 0
    private var refusal: [UInt8] = []

    init(
        promise: EventLoopPromise<Void>,
        started: @escaping (Int) -> Void,
        sink: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) {
        self.promise = promise
        self.started = started
        self.sink = sink
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard promise != nil else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            status = Int(head.status.code)
            guard status == 200 else { return }
            guard let text = head.headers.first(name: "content-length"), let length = Int(text), length >= 0 else {
                return end(context, ClientError(.malformedAnswer, "the answer does not say its length"))
            }
            left = length
            started(length)
        case .body(let buffer):
            guard status == 200 else {
                refusal += buffer.readableBytesView.prefix(Self.maximumRefusal - refusal.count)
                return
            }
            left -= buffer.readableBytes
            do {
                try buffer.withUnsafeReadableBytes { try sink($0) }
            } catch {
                end(context, error)
            }
        case .end:
            guard status == 200 else {
                return end(context, CoffreClient.failure(RawAnswer(status: status, body: refusal)))
            }
            end(context, left == 0 ? nil : ClientError(.connectionLost, "the answer is not complete"))
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            end(context, ClientError(.timedOut, "the daemon sent nothing for too long"))
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isForeign = (error as? HTTPParserError).map { $0 != .invalidEOFState } ?? false
        end(
            context,
            isForeign
                ? ClientError(.malformedAnswer, "what answers on the socket does not speak HTTP/1.1")
                : ClientError(.connectionLost, "the connection broke before the answer was complete")
        )
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(context, ClientError(.connectionLost, "the daemon closed the connection before its answer was complete"))
        context.fireChannelInactive()
    }

    private func end(_ context: ChannelHandlerContext, _ error: (any Error)?) {
        guard let promise else { return }
        self.promise = nil
        if let error { promise.fail(error) } else { promise.succeed() }
        context.close(promise: nil)
    }
}
