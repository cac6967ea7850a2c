import CoffreAPI
import CoffreHost
import Foundation
import NIOCore
import NIOPosix
import Testing

/// A server on a socket in a private folder, on an event loop of its own.
final class ServerFixture: Sendable {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let performer: FakePerformer
    let server: APIServer
    let directory: String
    var path: String { "\(directory)/s" }

    init(_ configuration: APIServerConfiguration = APIServerConfiguration(), performer: FakePerformer) async throws {
        var template = Array("/tmp/coffre-api-XXXXXX".utf8CString)
        directory = String(cString: try #require(mkdtemp(&template)))
        self.performer = performer
        server = APIServer(configuration: configuration, performer: performer, eventLoop: group.next())
        try await server.start(on: ListeningSocket(path: "\(directory)/s"))
    }

    /// Runs `body` against a fresh server, then stops it.
    static func with<R: Sendable>(
        _ configuration: APIServerConfiguration = APIServerConfiguration(),
        performer: FakePerformer = FakePerformer(),
        _ body: (ServerFixture) async throws -> R
    ) async throws -> R {
        let fixture = try await ServerFixture(configuration, performer: performer)
        do {
            let result = try await body(fixture)
            await fixture.end()
            return result
        } catch {
            await fixture.end()
            throw error
        }
    }

    func end() async {
        await server.stop()
        try? await group.shutdownGracefully()
        rmdir(directory)
    }

    func connect() throws -> RawClient { try RawClient(path) }

    /// Waits until `condition` holds; the event loop sets the pace, not a clock.
    func eventually(_ condition: () -> Bool) async throws {
        for _ in 0..<2000 {
            if condition() { return }
            try await server.eventLoop.scheduleTask(in: .milliseconds(5)) {}.futureResult.get()
        }
        Issue.record("the condition never held")
    }
}

/// A client that sends bytes as they are; every wait ends after ten seconds.
///
/// Waiting happens on a thread of its own: the server's asynchronous ends need the few threads that tests share.
final class RawClient: @unchecked Sendable {  // One test uses it, one call after the other.
    private(set) var descriptor: Int32
    private var pending: [UInt8] = []

    struct Response {
        let status: Int
        let head: String
        let body: String
    }

    /// - Parameter descriptor: a socket made before, or nil for a new one.
    init(_ path: String, descriptor existing: Int32? = nil) throws {
        descriptor = existing ?? socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(connected == 0, "connect: \(String(cString: strerror(errno)))")
    }

    deinit { hangUp() }

    func hangUp() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    /// Says that nothing more is sent; answers can still be read.
    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// - Returns: whether everything was taken.
    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// The next answer, nil when the connection ends before it.
    func receive(withoutBody: Bool = false) async -> Response? {
        while true {
            if let response = takeResponse(withoutBody) { return response }
            guard await readMore() else { return nil }
        }
    }

    /// Whether the server has closed and nothing more comes.
    func isAtEnd() async -> Bool {
        guard pending.isEmpty else { return false }
        return await !readMore()
    }

    private func readMore() async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.readBlocking()) }
        }
    }

    private func readBlocking() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        pending += buffer[..<count]
        return true
    }

    private func takeResponse(_ withoutBody: Bool) -> Response? {
        let end: [UInt8] = [13, 10, 13, 10]
        guard let position = (0..<max(pending.count - 3, 0)).first(where: { pending[$0..<$0 + 4].elementsEqual(end) })
        else { return nil }
        let head = String(decoding: pending[..<position], as: UTF8.self)
        let lines = head.split(separator: "\r\n")
        let length =
            lines.first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        let bodyStart = position + 4
        let bodyEnd = bodyStart + (withoutBody ? 0 : length)
        guard pending.count >= bodyEnd else { return nil }
        let body = String(decoding: pending[bodyStart..<bodyEnd], as: UTF8.self)
        pending.removeFirst(bodyEnd)
        return Response(status: Int(lines[0].split(separator: " ")[1]) ?? 0, head: head, body: body)
    }
}
