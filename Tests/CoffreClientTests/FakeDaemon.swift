import Dispatch
import Glibc
import Synchronization
import Testing

/// A daemon that answers as it is told, on a Unix socket of its own: one request per connection.
final class FakeDaemon: Sendable {
    /// What a client sent.
    struct Request: Sendable {
        var line = ""
        var headers: [(name: String, value: String)] = []
        var body = ""

        func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
    }

    /// What it gets.
    enum Reply: Sendable {
        /// Status and JSON body; an empty body is none.
        case json(Int, String)
        /// Exactly these bytes, then the end of the connection.
        case bytes(String)
        /// Nothing: the connection stays open until the client closes it.
        case silence

        var text: String? {
            switch self {
            case .json(let status, let body):
                "HTTP/1.1 \(status) Status\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            case .bytes(let bytes): bytes
            case .silence: nil
            }
        }
    }

    let directory: String
    var socketPath: String { "\(directory)/s.sock" }
    private let listener: Int32
    private let received = Received()

    /// What came so far, in order.
    private final class Received: Sendable {
        let requests = Mutex<[Request]>([])
    }

    var requests: [Request] { received.requests.withLock { $0 } }

    /// - Parameter handler: called on a thread of the daemon, one call per request.
    init(_ handler: @escaping @Sendable (Request) -> Reply) throws {
        var template = Array("/tmp/coffre-fake-XXXXXX".utf8CString)
        mkdtemp(&template)
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = "\(directory)/s.sock"
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(listener, 64) == 0)
        DispatchQueue(label: "fake daemon").async { [received, listener] in
            while true {
                let connection = accept(listener, nil, nil)
                // Closed here and nowhere else: after a close, its number may already belong to another daemon.
                guard connection >= 0 else { return _ = close(listener) }
                DispatchQueue.global().async {
                    Self.serve(connection, received, handler)
                }
            }
        }
    }

    /// Answers by request line; anything else is 404.
    convenience init(_ routes: [String: Reply]) throws {
        try self.init { routes[$0.line] ?? .json(404, #"{"errors":[]}"#) }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        unlink(socketPath)
        rmdir(directory)
    }

    private static func serve(
        _ connection: Int32,
        _ received: Received,
        _ handler: (Request) -> Reply
    ) {
        defer { close(connection) }
        guard let request = read(connection) else { return }
        received.requests.withLock { $0.append(request) }
        guard let text = handler(request).text else {
            var byte: UInt8 = 0
            _ = recv(connection, &byte, 1, 0)
            return
        }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    private static func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            if let request = parse(bytes) { return request }
            let count = recv(connection, &block, block.count, 0)
            guard count > 0 else { return nil }
            bytes += block[..<count]
        }
    }

    private static func parse(_ bytes: [UInt8]) -> Request? {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        var request = Request()
        request.line = String(lines[0].dropLast(" HTTP/1.1".count))
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            request.headers.append((String(line[..<colon]), String(value)))
        }
        let length = request.header("content-length").flatMap { Int($0) } ?? 0
        guard bytes.count - end.upperBound >= length else { return nil }
        request.body = String(decoding: bytes[end.upperBound...], as: UTF8.self)
        return request
    }
}
