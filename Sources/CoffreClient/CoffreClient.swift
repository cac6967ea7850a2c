public import CoffreWire
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// A client of the vault's HTTP API on its Unix socket.
///
/// Each call opens a connection of its own and closes it: the daemon takes the caller's identity from the kernel when a
/// connection is accepted, and a call that issues something is never sent twice. Calls may run concurrently.
public struct CoffreClient: Sendable {
    /// Where the daemon is and how long to wait for it.
    public struct Configuration: Sendable {
        /// Path of the socket; `/run/coffre/coffre.sock` by default.
        public var socketPath = "/run/coffre/coffre.sock"
        /// Sent as `X-Vault-Token`. Without one the daemon decides by the kernel's word on the caller; the default.
        public var token: ClientToken?
        /// Sent as `X-Coffre-Subject`: the ID token of the person for whom a service asks. None by default.
        public var subject: ClientToken?
        /// For one whole call, connection included; 60 s by default.
        public var timeout: Duration = .seconds(60)
        /// Largest answer in bytes; 32 MiB by default, as in the server's own limit for requests.
        public var maximumAnswerSize = 32 << 20

        /// All defaults.
        public init() {}
    }

    /// The verbs of the API. Lists are asked for by GET with `list=true`, as other clients do.
    public enum Method: String, Sendable {
        /// Read.
        case get = "GET"
        /// Create or change.
        case put = "PUT"
        /// Delete.
        case delete = "DELETE"
        /// JSON merge patch (RFC 7396).
        case patch = "PATCH"
    }

    /// The configuration given at the start.
    public let configuration: Configuration

    /// Nothing is opened before the first call.
    public init(_ configuration: Configuration = .init()) {
        self.configuration = configuration
    }

    /// Sends one request and reads its answer.
    ///
    /// - Parameters:
    ///   - method: the verb.
    ///   - path: below `/v1/`, not encoded.
    ///   - query: names and values, not encoded.
    ///   - body: JSON text, sent as it is.
    /// - Returns: the answer of a status below 300.
    /// - Throws: ``ClientError``; every code.
    public func send(
        _ method: Method,
        _ path: String,
        query: [(name: String, value: String)] = [],
        body: [UInt8]? = nil
    ) async throws(ClientError) -> Answer {
        let raw = try await exchange(method, path, query: query, body: body)
        guard (200..<300).contains(raw.status) else { throw Self.failure(raw) }
        return try Answer(raw)
    }

    /// As ``send(_:_:query:body:)`` with a JSON value.
    public func send(_ method: Method, _ path: String, json: JSONValue) async throws(ClientError) -> Answer {
        try await send(method, path, body: json.encoded())
    }

    package func exchange(
        _ method: Method,
        _ path: String,
        query: [(name: String, value: String)] = [],
        body: [UInt8]? = nil
    ) async throws(ClientError) -> RawAnswer {
        let uri = try Self.uri(path, query)
        let address: SocketAddress
        do {
            address = try SocketAddress(unixDomainSocketPath: configuration.socketPath)
        } catch {
            throw ClientError(.invalidInput, "the path of the socket is empty or longer than 107 bytes")
        }
        do {
            return try await perform(head(method, uri, body), body, at: address)
        } catch let error as ClientError {
            throw error
        } catch {
            throw Self.connectionFailure(error, configuration.socketPath)
        }
    }

    private func perform(
        _ head: HTTPRequestHead,
        _ body: [UInt8]?,
        at address: SocketAddress
    ) async throws -> RawAnswer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: RawAnswer.self)
        let limit = configuration.maximumAnswerSize
        let timeout = TimeAmount(configuration.timeout)
        let deadline = loop.scheduleTask(in: timeout) {
            promise.fail(ClientError(.timedOut, "no answer within \(configuration.timeout)"))
        }
        let answer = promise.futureResult
        answer.whenComplete { _ in deadline.cancel() }
        // The promise is completed by whichever comes first: the answer, the deadline, a broken connection, the caller.
        let connecting = ClientBootstrap(group: loop).connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
                    try pipeline.addHandler(HTTPExchange(maximumSize: limit, promise: promise))
                }
            }
            .connect(to: address)
        connecting.whenComplete { result in
            switch result {
            case .failure(let error): promise.fail(error)
            case .success(let channel):
                answer.whenComplete { _ in channel.close(promise: nil) }
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                if let body, !body.isEmpty {
                    channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
                }
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
        }
        return try await withTaskCancellationHandler {
            try await answer.get()
        } onCancel: {
            promise.fail(ClientError(.cancelled, "the call was cancelled"))
        }
    }

    func head(_ method: Method, _ uri: String, _ body: [UInt8]?) -> HTTPRequestHead {
        var headers: HTTPHeaders = ["Host": "localhost", "Connection": "close", "X-Vault-Request": "true"]
        if let token = configuration.token { headers.add(name: "X-Vault-Token", value: token.value) }
        if let subject = configuration.subject { headers.add(name: "X-Coffre-Subject", value: subject.value) }
        if let body {
            let type = method == .patch ? "application/merge-patch+json" : "application/json"
            headers.add(name: "Content-Type", value: type)
            headers.add(name: "Content-Length", value: String(body.count))
        } else if method == .put || method == .patch {
            headers.add(name: "Content-Length", value: "0")
        }
        return HTTPRequestHead(
            version: .http1_1,
            method: HTTPMethod(rawValue: method.rawValue),
            uri: uri,
            headers: headers
        )
    }

    static func uri(
        _ path: String,
        _ query: [(name: String, value: String)]
    ) throws(ClientError) -> String {
        let base = "/v1/" + (try RequestPath(path)).encoded
        guard !query.isEmpty else { return base }
        let pairs = query.map { "\(RequestPath.percentEncoded($0.name))=\(RequestPath.percentEncoded($0.value))" }
        return base + "?" + pairs.joined(separator: "&")
    }

    package static func failure(_ raw: RawAnswer) -> ClientError {
        let errors = (try? JSONValue(parsing: raw.body))?["errors"]?.array?.compactMap(\.string) ?? []
        return ClientError(status: raw.status, errors: errors)
    }

    static func connectionFailure(_ error: any Error, _ path: String) -> ClientError {
        switch error {
        case let error as IOError where error.errnoCode == ENOENT:
            ClientError(.unreachable, "\(path) does not exist: is coffred running?")
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            ClientError(.unreachable, "nothing listens on \(path): is coffred running?")
        case let error as IOError where error.errnoCode == EACCES:
            ClientError(.unreachable, "no right to use \(path): its group is usually coffre-clients")
        case is ChannelError:
            ClientError(.timedOut, "\(path) did not accept the connection in time")
        default:
            ClientError(.connectionLost, "the connection to \(path) broke")
        }
    }
}
