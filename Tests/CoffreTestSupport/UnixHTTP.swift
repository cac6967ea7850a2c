package import Foundation
import Glibc

/// A blocking HTTP/1.1 client of a Unix socket, small enough to trust in tests: what it sends is what the test says.
package struct UnixHTTP {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package struct Answer {
        package let status: Int
        package let headers: [String: String]
        package let body: Data

        package var text: String { String(decoding: body, as: UTF8.self) }
        package var json: [String: Any] { (try? JSONSerialization.jsonObject(with: body) as? [String: Any]) ?? [:] }
        package var data: [String: Any] { json["data"] as? [String: Any] ?? [:] }
        package var errors: [String] { json["errors"] as? [String] ?? [] }
    }

    private let descriptor: Int32
    private var buffered: [UInt8] = []

    /// Connects; reads fail after `timeout` seconds without a byte.
    package init(_ path: String, timeout: Int = 20) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < 108 else { throw Failure(description: "socket path too long: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw Failure(description: "connect \(path): \(String(cString: strerror(code)))")
        }
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    package func close() { Glibc.close(descriptor) }

    /// Sends bytes as they are.
    package func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "send: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    package func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Whether the peer has closed; waits for a byte up to the timeout.
    package mutating func isClosed() -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        if count == 1 { buffered.append(byte) }
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }

    private mutating func fill() throws {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count > 0 else {
            throw Failure(
                description: count == 0 ? "closed by the server" : "recv: \(String(cString: strerror(errno)))"
            )
        }
        buffered.append(contentsOf: chunk[..<count])
    }

    /// Reads one answer; `hasBody` is false after HEAD.
    package mutating func receive(hasBody: Bool = true) throws -> Answer {
        let end: Int
        while true {
            if let found = buffered.firstRange(of: Array("\r\n\r\n".utf8)) {
                end = found.upperBound
                break
            }
            try fill()
        }
        let lines = String(decoding: buffered[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces
            )
        }
        let status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
        if hasBody, headers["transfer-encoding"] == "chunked" {
            buffered.removeFirst(end)
            return Answer(status: status, headers: headers, body: try receiveChunks())
        }
        let length = hasBody ? Int(headers["content-length"] ?? "0") ?? 0 : 0
        while buffered.count < end + length { try fill() }
        let body = Data(buffered[end..<end + length])
        buffered.removeFirst(end + length)
        return Answer(status: status, headers: headers, body: body)
    }

    // RFC 9112 §7.1, without trailers.
    private mutating func receiveChunks() throws -> Data {
        var body = Data()
        while true {
            guard let end = buffered.firstRange(of: Array("\r\n".utf8)) else {
                try fill()
                continue
            }
            let size = Int(String(decoding: buffered[..<end.lowerBound], as: UTF8.self), radix: 16) ?? 0
            while buffered.count < end.upperBound + size + 2 { try fill() }
            body.append(contentsOf: buffered[end.upperBound..<end.upperBound + size])
            buffered.removeFirst(end.upperBound + size + 2)
            if size == 0 { return body }
        }
    }

    /// One request on this connection.
    package mutating func request(
        _ method: String,
        _ path: String,
        token: String? = nil,
        body: String? = nil,
        headers: [String: String] = [:]
    ) throws -> Answer {
        var text = "\(method) /v1/\(path) HTTP/1.1\r\nHost: localhost\r\n"
        if let token { text += "X-Vault-Token: \(token)\r\n" }
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.utf8.count)\r\n" }
        try send(text + "\r\n" + (body ?? ""))
        return try receive(hasBody: method != "HEAD")
    }

    /// One request on a connection of its own.
    package static func once(
        _ socket: String,
        _ method: String,
        _ path: String,
        token: String? = nil,
        body: String? = nil,
        headers: [String: String] = [:]
    ) throws -> Answer {
        var client = try UnixHTTP(socket)
        defer { client.close() }
        return try client.request(method, path, token: token, body: body, headers: headers)
    }
}
