import CoffreWire
import Glibc

/// Where a browser comes back to after a consent: a loopback address of this machine, for one answer (RFC 8252 §7.3).
final class CallbackListener {
    private let descriptor: Int32
    let port: UInt16

    var redirect: String { "http://127.0.0.1:\(port)/callback" }

    /// Longest request that is read, in bytes.
    private static let longest = 16_384

    /// - Parameter port: 0 for any that is free.
    /// - Throws: ``Failure``.
    init(port: UInt16) throws {
        let opened = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        descriptor = opened
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isOpen = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(opened, pointer, length) == 0 && listen(opened, 4) == 0
                    && getsockname(opened, pointer, &length) == 0
            }
        }
        self.port = UInt16(bigEndian: address.sin_port)
        guard opened >= 0, isOpen else {
            let reason = String(cString: strerror(errno))
            throw Failure(
                "cannot listen on 127.0.0.1:\(port): \(reason)",
                "impossible d'écouter sur 127.0.0.1:\(port) : \(reason)"
            )
        }
    }

    deinit { close(descriptor) }

    /// Waits for the browser. Blocks.
    /// - Parameters:
    ///   - seconds: how long.
    ///   - page: what the browser shows then.
    /// - Returns: the parameters of the first request for `/callback`.
    /// - Throws: ``Failure`` when nobody came.
    func wait(seconds: Int, page: String) throws -> [(name: String, value: String)] {
        let end = Self.now() + seconds
        while true {
            let left = end - Self.now()
            guard left > 0 else {
                throw Failure("nobody came back within \(seconds) s", "personne n'est revenu en \(seconds) s")
            }
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, Int32(left) * 1000) > 0 else { continue }
            let client = accept(descriptor, nil, nil)
            guard client >= 0 else { continue }
            defer { close(client) }
            // A browser that says nothing holds up nobody else for long.
            var limit = timeval(tv_sec: 5, tv_usec: 0)
            setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            guard let target = Self.target(of: Self.head(client)) else {
                Self.answer(client, "404 Not Found", "")
                continue
            }
            Self.answer(client, "200 OK", page)
            return target
        }
    }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec
    }

    private static func head(_ client: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < longest {
            let got = recv(client, &buffer, buffer.count, 0)
            guard got > 0 else { break }
            bytes += buffer[..<got]
            if bytes.suffix(got + 3).contains([13, 10, 13, 10]) { break }
        }
        return bytes
    }

    private static func answer(_ client: Int32, _ status: String, _ page: String) {
        let text = """
            HTTP/1.1 \(status)\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: \(page.utf8.count)\r
            Cache-Control: no-store\r\nConnection: close\r\n\r\n\(page)
            """
        _ = writeAll(Array(text.utf8), to: client)
    }

    /// The parameters of `GET /callback?…`; nil for any other request.
    static func target(of head: [UInt8]) -> [(name: String, value: String)]? {
        let line = head.prefix { $0 != 13 && $0 != 10 }
        let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3, words[0].elementsEqual("GET".utf8), words[2].starts(with: "HTTP/1.".utf8),
            words[1].starts(with: "/callback?".utf8)
        else { return nil }
        return parameters(of: String(decoding: words[1].dropFirst("/callback?".utf8.count), as: UTF8.self))
    }

    /// The parameters of a query, or of what follows the first `?` of an address.
    static func parameters(of text: String) -> [(name: String, value: String)]? {
        let query = text.split(separator: "?", maxSplits: 1).last ?? ""
        var parameters: [(name: String, value: String)] = []
        for part in query.split(separator: "#", maxSplits: 1).first?.split(separator: "&") ?? [] {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decoded(halves[0]), let value = decoded(halves.count > 1 ? halves[1] : "") else {
                return nil
            }
            parameters.append((name, value))
        }
        return parameters.contains { $0.name == "state" } ? parameters : nil
    }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case 0x2b: bytes.append(0x20)
            case 0x25:
                guard let digits = String(validating: rest.prefix(2), as: UTF8.self), digits.utf8.count == 2,
                    digits.utf8.allSatisfy({ $0 != 0x2b && $0 != 0x2d }), let value = UInt8(digits, radix: 16)
                else { return nil }
                bytes.append(value)
                rest = rest.dropFirst(2)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
