internal import CoffreCrypto
internal import CoffreVault

/// The request line and headers of one request, as far as anybody here needs them.
struct RequestHead {
    enum Framing: Equatable {
        /// No body, or exactly this many bytes.
        case length(Int)
        case chunked
    }

    var verb: VaultRequest.Verb = .other
    var path: [UInt8] = []
    var query: [VaultRequest.QueryItem] = []
    /// As received, kept only for a request that is refused.
    var target: [UInt8] = []
    var framing: Framing = .length(0)
    var keepsAlive = true
    var expectsContinue = false
    /// HTTP/1.0: the answer must say `keep-alive` and cannot be preceded by `100 Continue`.
    var isVersion10 = false
    var token: SharedSecret?
    var wrapTTL: String?
    /// `X-Coffre-Subject`; also when it is empty, which is refused as any other text that is no token.
    var subject: SharedSecret?
    var namespace: String?
    var contentType: String?
    /// A fault that leaves the framing intact: the body is read and dropped, the connection stays.
    var fault: HTTPFault?

    /// What the record's digest is made of when the body is refused: the path as decoded.
    var targetForRecord: [UInt8] { fault == nil ? Array("/v1/".utf8) + path : target }
}

/// Parses a complete request head in place.
///
/// One reading only: whatever two implementations are known to frame differently (RFC 9112 §11.2) is refused, never
/// repaired.
struct RequestHeadParser {
    private var head = RequestHead()
    private var contentLength: Int?
    private var isChunked = false
    private var hosts = 0
    private var bearer: SharedSecret?
    private var hasConnectionClose = false
    private var hasKeepAlive = false
    private var seen: Seen = []

    private struct Seen: OptionSet {
        let rawValue: Int
        static let token = Seen(rawValue: 1)
        static let authorization = Seen(rawValue: 2)
        static let wrapTTL = Seen(rawValue: 4)
        static let namespace = Seen(rawValue: 8)
        static let contentType = Seen(rawValue: 16)
        static let transferEncoding = Seen(rawValue: 32)
        static let expect = Seen(rawValue: 64)
        static let subject = Seen(rawValue: 128)
    }

    private init() {}

    /// Reads a head: request line and header lines, each ended by CRLF, without the empty line. The scanner has already
    /// made sure that no line feed stands alone and that the limits hold.
    /// - Throws: a fault after which the framing is unknown, so that the connection must close.
    static func parse(_ bytes: UnsafeRawBufferPointer, limits: HTTPLimits) throws(HTTPFault) -> RequestHead {
        var parser = RequestHeadParser()
        var lineStart = 0
        var isRequestLine = true
        for index in 0..<bytes.count where bytes[index] == ByteClass.lineFeed {
            let line = bytes.part(lineStart..<index - 1)
            lineStart = index + 1
            if isRequestLine {
                isRequestLine = false
                try parser.requestLine(line, limits: limits)
            } else {
                try parser.headerLine(line)
            }
        }
        return try parser.finish()
    }

    private mutating func requestLine(_ line: UnsafeRawBufferPointer, limits: HTTPLimits) throws(HTTPFault) {
        var methodEnd = 0
        while methodEnd < line.count, ByteClass.isToken(line[methodEnd]) { methodEnd += 1 }
        guard methodEnd > 0, methodEnd < line.count, line[methodEnd] == ByteClass.space else {
            throw .malformed("the request line is malformed")
        }
        var targetEnd = methodEnd + 1
        while targetEnd < line.count, line[targetEnd] != ByteClass.space {
            guard ByteClass.isVisible(line[targetEnd]), line[targetEnd] != 0x23 else {
                throw .malformed("the request target holds a byte that must be percent-encoded")
            }
            targetEnd += 1
        }
        guard targetEnd > methodEnd + 1, targetEnd < line.count else {
            throw .malformed("the request line is malformed")
        }
        let version = line.part(targetEnd + 1..<line.count)
        if ByteClass.equals(version, "HTTP/1.0") {
            head.isVersion10 = true
        } else if !ByteClass.equals(version, "HTTP/1.1") {
            let isHTTP = version.count == 8 && ByteClass.equals(version.part(0..<5), "HTTP/")
            throw isHTTP ? .version : .malformed("the request line is malformed")
        }
        head.verb = Self.verb(line.part(0..<methodEnd))
        let target = line.part(methodEnd + 1..<targetEnd)
        do throws(HTTPFault) {
            guard head.verb != .other else { throw .method }
            let decoded = try RequestTarget(target, queryItems: limits.queryItems)
            head.path = decoded.path
            head.query = decoded.query
        } catch {
            head.fault = error
            head.target = [UInt8](target)
        }
    }

    private static func verb(_ method: UnsafeRawBufferPointer) -> VaultRequest.Verb {
        if ByteClass.equals(method, "GET") { return .get }
        if ByteClass.equals(method, "PUT") || ByteClass.equals(method, "POST") { return .write }
        if ByteClass.equals(method, "LIST") { return .list }
        if ByteClass.equals(method, "DELETE") { return .delete }
        if ByteClass.equals(method, "HEAD") { return .head }
        if ByteClass.equals(method, "PATCH") { return .patch }
        if ByteClass.equals(method, "SCAN") { return .scan }
        return .other
    }

    private mutating func headerLine(_ line: UnsafeRawBufferPointer) throws(HTTPFault) {
        // A line that starts with a space continues the one before (obs-fold, RFC 9112 §5.2): refused, as is a space
        // between name and colon (§5.1), because neither is a token byte.
        var nameEnd = 0
        while nameEnd < line.count, ByteClass.isToken(line[nameEnd]) { nameEnd += 1 }
        guard nameEnd > 0, nameEnd < line.count, line[nameEnd] == ByteClass.colon else {
            throw .malformed("a header line is malformed")
        }
        for index in nameEnd + 1..<line.count where !ByteClass.isFieldContent(line[index]) {
            throw .malformed("a header value holds a control byte")
        }
        try header(line.part(0..<nameEnd), line.part(nameEnd + 1..<line.count).trimmed())
    }

    private mutating func header(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer
    ) throws(HTTPFault) {
        switch name.count {
        case 4 where ByteClass.matches(name, "host"): hosts += 1
        case 6 where ByteClass.matches(name, "expect"):
            try once(.expect)
            guard ByteClass.matchesText(value, "100-continue") else {
                throw .malformed("only 100-continue can be expected")
            }
            head.expectsContinue = true
        case 10 where ByteClass.matches(name, "connection"): connection(value)
        case 12 where ByteClass.matches(name, "content-type"):
            try once(.contentType)
            head.contentType = try text(value)
        case 13 where ByteClass.matches(name, "x-vault-token"):
            try once(.token)
            if !value.isEmpty { head.token = SharedSecret(copying: value) }
        case 13 where ByteClass.matches(name, "authorization"):
            try once(.authorization)
            if value.count > 7, ByteClass.matchesText(value.part(0..<7), "bearer ") {
                let credentials = value.part(7..<value.count).trimmed()
                if !credentials.isEmpty { bearer = SharedSecret(copying: credentials) }
            }
        case 14 where ByteClass.matches(name, "content-length"): try length(value)
        case 16 where ByteClass.matches(name, "x-vault-wrap-ttl"):
            try once(.wrapTTL)
            head.wrapTTL = try text(value)
        case 16 where ByteClass.matches(name, "x-coffre-subject"):
            try once(.subject)
            head.subject = SharedSecret(copying: value)
        case 17 where ByteClass.matches(name, "x-vault-namespace"):
            try once(.namespace)
            head.namespace = try text(value)
        case 17 where ByteClass.matches(name, "transfer-encoding"):
            try once(.transferEncoding)
            guard ByteClass.matchesText(value, "chunked") else {
                throw .malformed("only the chunked transfer encoding is understood")
            }
            isChunked = true
        default: break
        }
    }

    private mutating func once(_ header: Seen) throws(HTTPFault) {
        guard seen.insert(header).inserted else { throw .malformed("a header that may stand once stands twice") }
    }

    private func text(_ value: UnsafeRawBufferPointer) throws(HTTPFault) -> String {
        guard let text = String(validating: value, as: UTF8.self) else {
            throw .malformed("a header value is not valid UTF-8")
        }
        return text
    }

    private mutating func length(_ value: UnsafeRawBufferPointer) throws(HTTPFault) {
        guard contentLength == nil else { throw .malformed("the content length stands twice") }
        guard (1...15).contains(value.count) else { throw .malformed("the content length is not a number") }
        var number = 0
        for byte in value {
            guard (0x30...0x39).contains(byte) else { throw .malformed("the content length is not a number") }
            number = number * 10 + Int(byte - 0x30)
        }
        contentLength = number
    }

    /// A list of tokens (RFC 9110 §7.6.1); only `close` and `keep-alive` mean something here.
    private mutating func connection(_ value: UnsafeRawBufferPointer) {
        var start = 0
        for index in 0...value.count where index == value.count || value[index] == 0x2C {
            let option = value.part(start..<index).trimmed()
            if ByteClass.matchesText(option, "close") { hasConnectionClose = true }
            if ByteClass.matchesText(option, "keep-alive") { hasKeepAlive = true }
            start = index + 1
        }
    }

    private mutating func finish() throws(HTTPFault) -> RequestHead {
        guard hosts < 2 else { throw .malformed("the Host header stands twice") }
        guard hosts == 1 || head.isVersion10 else { throw .malformed("the Host header is missing") }
        if isChunked {
            guard contentLength == nil else {
                throw .malformed("Content-Length and Transfer-Encoding exclude each other")
            }
            guard !head.isVersion10 else { throw .malformed("HTTP/1.0 knows no transfer encoding") }
            head.framing = .chunked
        } else {
            head.framing = .length(contentLength ?? 0)
        }
        head.keepsAlive = !hasConnectionClose && (!head.isVersion10 || hasKeepAlive)
        head.token = head.token ?? bearer
        return head
    }
}

extension ByteClass {
    /// Whether `bytes` equal `lowercase` but for the case of ASCII letters; for any bytes, unlike `matches`.
    static func matchesText(_ bytes: UnsafeRawBufferPointer, _ lowercase: StaticString) -> Bool {
        guard bytes.count == lowercase.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count {
            let byte = bytes[index]
            let folded = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
            if folded != lowercase.utf8Start[index] { return false }
        }
        return true
    }
}
