internal import AsyncHTTPClient
internal import CoffreCrypto
internal import CoffreWire
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// One HTTP request to one address, and its answer: nothing followed, nothing unpacked, nothing kept beyond `limit`.
struct WebExchange {
    /// What a server says before its answer's content.
    struct Head: Sendable {
        let status: Int
        let headers: HTTPHeaders

        func text(_ name: String) -> String? { headers.first(name: name) }
    }

    /// What went wrong, and whether the request had gone by then.
    struct Failure: Error {
        let code: BrokerFailure.Code
        let isTooLong: Bool
        let wasSent: Bool
    }

    let url: String
    let host: String
    let method: HTTPMethod
    let headers: HTTPHeaders
    let body: [UInt8]?
    let limit: Int

    /// Blocks until `deadline` at most.
    /// - Parameter read: sees the content in memory that is wiped afterwards.
    func perform<R: Sendable>(
        to address: NetworkAddress,
        tls: TLSConfiguration,
        deadline: NIODeadline,
        read: (Head, UnsafeRawBufferPointer) -> R
    ) throws(Failure) -> R {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls,
            redirectConfiguration: .disallow,
            timeout: HTTPClient.Configuration.Timeout(connect: max(deadline - .now(), .milliseconds(1))),
            decompression: .disabled
        )
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        // One request is all that a client makes. Timers of connections that are closed keep some 12 KB each until they ring.
        configuration.connectionPool.idleTimeout = .seconds(1)
        // The name is checked in the certificate; the connection goes to the address that was judged.
        configuration.dnsOverride = [host: address.description]
        let client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton),
            configuration: configuration
        )
        // Not waited for: a server that does not say goodbye must not hold the job beyond its time.
        defer { client.shutdown { [client] _ in withExtendedLifetime(client) {} } }
        let collector = Collector(limit: limit)
        do {
            let request = try HTTPClient.Request(
                url: url,
                method: method,
                headers: headers,
                body: body.map { .bytes($0) }
            )
            let head = try client.execute(request: request, delegate: collector, deadline: deadline).wait()
            return collector.withContent { read(head, $0) }
        } catch {
            throw Failure(
                code: Self.isBreak(error) ? .unavailable : WebJobs.failure(error).code,
                isTooLong: error is ResponseAccumulator.ResponseTooBigError,
                wasSent: collector.wasSent
            )
        }
    }

    /// Whether the connection ended in the middle of the answer.
    private static func isBreak(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPParserError: error == .invalidEOFState
        case let error as NIOSSLError: error == .uncleanShutdown
        default: false
        }
    }

    private final class Collector: HTTPClientResponseDelegate {
        /// The answer's content; wiped when it goes.
        private final class Content {
            let memory: UnsafeMutableRawBufferPointer
            var count = 0
            var head: Head?
            var wasSent = false

            init(limit: Int) { memory = .allocate(byteCount: limit, alignment: 16) }

            deinit {
                Memory.wipe(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
                memory.deallocate()
            }
        }

        private let content: Mutex<Content>
        private let limit: Int

        init(limit: Int) {
            self.limit = limit
            content = Mutex(Content(limit: limit))
        }

        var wasSent: Bool { content.withLock { $0.wasSent } }

        func withContent<R: Sendable>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
            content.withLock { body(UnsafeRawBufferPointer(rebasing: $0.memory[..<$0.count])) }
        }

        func didSendRequestHead(task: HTTPClient.Task<Head>, _ head: HTTPRequestHead) {
            content.withLock { $0.wasSent = true }
        }

        func didReceiveHead(task: HTTPClient.Task<Head>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
            content.withLock { $0.head = Head(status: Int(head.status.code), headers: head.headers) }
            let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
            return length > limit ? tooLong(task) : task.eventLoop.makeSucceededVoidFuture()
        }

        func didReceiveBodyPart(task: HTTPClient.Task<Head>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
            let fits = content.withLock { content in
                guard buffer.readableBytes <= limit - content.count else { return false }
                buffer.withUnsafeReadableBytes { bytes in
                    UnsafeMutableRawBufferPointer(rebasing: content.memory[content.count...]).copyMemory(from: bytes)
                }
                content.count += buffer.readableBytes
                return true
            }
            return fits ? task.eventLoop.makeSucceededVoidFuture() : tooLong(task)
        }

        func didFinishRequest(task: HTTPClient.Task<Head>) throws -> Head {
            guard let head = content.withLock({ $0.head }) else { throw HTTPClientError.remoteConnectionClosed }
            return head
        }

        private func tooLong(_ task: HTTPClient.Task<Head>) -> EventLoopFuture<Void> {
            task.eventLoop.makeFailedFuture(ResponseAccumulator.ResponseTooBigError(maxBodySize: limit))
        }
    }
}
