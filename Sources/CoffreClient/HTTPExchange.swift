import NIOCore
import NIOHTTP1

/// What the daemon sent back, before any meaning is given to it.
package struct RawAnswer: Sendable {
    package let status: Int
    /// At most the configured number of bytes.
    package let body: [UInt8]
}

/// Collects the one answer of a connection, bounded in size.
///
/// Lives on its event loop; the promise is completed exactly once, by the whole answer or by the first error.
final class HTTPExchange: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let maximumSize: Int
    private var promise: EventLoopPromise<RawAnswer>?
    private var status = 0
    private var body: [UInt8] = []

    init(maximumSize: Int, promise: EventLoopPromise<RawAnswer>) {
        self.maximumSize = maximumSize
        self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            status = Int(head.status.code)
            if let text = head.headers.first(name: "content-length"), let length = Int(text), length > maximumSize {
                refuse(context, tooLarge)
            }
        case .body(let buffer):
            guard body.count + buffer.readableBytes <= maximumSize else { return refuse(context, tooLarge) }
            body.append(contentsOf: buffer.readableBytesView)
        case .end:
            promise?.succeed(RawAnswer(status: status, body: body))
            promise = nil
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isForeign = (error as? HTTPParserError).map { $0 != .invalidEOFState } ?? false
        refuse(
            context,
            isForeign
                ? ClientError(.malformedAnswer, "what answers on the socket does not speak HTTP/1.1")
                : ClientError(.connectionLost, "the connection broke before the answer was complete")
        )
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise?.fail(ClientError(.connectionLost, "the daemon closed the connection before its answer was complete"))
        promise = nil
        context.fireChannelInactive()
    }

    private var tooLarge: ClientError {
        ClientError(.answerTooLarge, "the answer is larger than \(maximumSize) bytes")
    }

    private func refuse(_ context: ChannelHandlerContext, _ error: ClientError) {
        promise?.fail(error)
        promise = nil
        context.close(promise: nil)
    }
}
