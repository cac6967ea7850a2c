internal import CoffreCrypto
internal import CoffreVault
internal import NIOCore

/// Serialises an answer into one wiped buffer, so that it leaves in one write; only files are left to be sent in pieces.
enum ResponseWriter {
    /// Most bytes of a file that are in memory at a time, for one connection.
    static let pieceBytes = 65_536

    static let continueLine: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    /// - Parameters:
    ///   - isHead: leave the body out but say its length (RFC 9110 §9.3.2).
    ///   - isVersion10: the client speaks HTTP/1.0 and must be told when the connection stays.
    static func write(_ answer: ReleasedAnswer, isHead: Bool, closes: Bool, isVersion10: Bool) -> ByteBuffer {
        let hasBody = answer.status != 204 && answer.status != 304
        let inMemory = hasBody && !isHead ? answer.body.pieces.prefix { !$0.isFile }.reduce(0) { $0 + $1.count } : 0
        var buffer = ByteBufferAllocator.wiping.buffer(capacity: 256 + inMemory)
        if answer.status == 200 {
            buffer.writeStaticString("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n")
        } else {
            buffer.writeStaticString("HTTP/1.1 ")
            buffer.writeDecimal(answer.status)
            buffer.writeStaticString(" ")
            buffer.writeStaticString(reason(answer.status))
            buffer.writeStaticString("\r\nCache-Control: no-store\r\n")
        }
        var hasContentType = false
        for header in answer.headers where isSafe(header) {
            if header.name.utf8.count == 12, header.name.lowercased() == "content-type" { hasContentType = true }
            buffer.writeString(header.name)
            buffer.writeStaticString(": ")
            buffer.writeString(header.value)
            buffer.writeStaticString("\r\n")
        }
        if !hasContentType { buffer.writeStaticString("Content-Type: application/json\r\n") }
        if closes {
            buffer.writeStaticString("Connection: close\r\n")
        } else if isVersion10 {
            buffer.writeStaticString("Connection: keep-alive\r\n")
        }
        if hasBody {
            buffer.writeStaticString("Content-Length: ")
            buffer.writeDecimal(answer.body.count)
            buffer.writeStaticString("\r\n\r\n")
            if !isHead { for piece in answer.body.pieces.prefix(while: { !$0.isFile }) { write(piece, to: &buffer) } }
        } else {
            buffer.writeStaticString("\r\n")
        }
        return buffer
    }

    /// What ``write(_:isHead:closes:isVersion10:)`` has left to be sent: from the first file of the body on.
    static func rest(of answer: ReleasedAnswer, isHead: Bool) -> StreamedBody? {
        guard !isHead, answer.status != 204, answer.status != 304 else { return nil }
        let pieces = answer.body.pieces.drop { !$0.isFile }
        return pieces.isEmpty ? nil : StreamedBody(pieces)
    }

    fileprivate static func write(_ piece: ResponseBody.Piece, to buffer: inout ByteBuffer) {
        switch piece {
        case .clear(let bytes): buffer.writeBytes(bytes)
        case .secret(let secret): secret.withBytes { _ = buffer.writeBytes($0) }
        case .file: break
        }
    }

    /// A header that could split or reframe the answer is left out: the framing is decided here alone.
    private static func isSafe(_ header: ReleasedAnswer.Header) -> Bool {
        let ownNames = ["content-length", "transfer-encoding", "connection", "cache-control"]
        return !ownNames.contains(header.name.lowercased()) && !header.name.isEmpty
            && header.name.utf8.allSatisfy(ByteClass.isToken)
            && header.value.utf8.allSatisfy(ByteClass.isFieldContent)
    }

    /// Reason phrases of RFC 9110 §15, and Vault's own two. 501 is what `sys/health` answers before the vault is made.
    private static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 204: "No Content"
        case 307: "Temporary Redirect"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 472: "Disaster Recovery Mode Replication Secondary"
        case 473: "Performance Standby"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}

/// The part of a body that is sent piece by piece, each when the one before has left.
struct StreamedBody {
    private var pieces: ArraySlice<ResponseBody.Piece>
    private var offset = 0

    init(_ pieces: ArraySlice<ResponseBody.Piece>) { self.pieces = pieces }

    /// Whether everything has been handed out.
    var isEmpty: Bool { pieces.isEmpty }

    /// The next bytes, at most ``ResponseWriter/pieceBytes`` of a file.
    /// - Returns: nil when a file cannot be read to its end: the answer cannot be completed.
    mutating func next() -> ByteBuffer? {
        var buffer = ByteBufferAllocator.wiping.buffer(capacity: ResponseWriter.pieceBytes)
        while let piece = pieces.first {
            guard case .file(let file) = piece else {
                ResponseWriter.write(piece, to: &buffer)
                pieces.removeFirst()
                continue
            }
            guard buffer.readableBytes == 0 else { return buffer }
            var read: Int?
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: ResponseWriter.pieceBytes) { target in
                let room = UnsafeMutableRawBufferPointer(rebasing: target[..<ResponseWriter.pieceBytes])
                read = file.read(at: offset, into: room)
                return read ?? 0
            }
            guard let read else { return nil }
            offset += read
            if offset == file.count {
                pieces.removeFirst()
                offset = 0
            }
            return buffer
        }
        return buffer
    }
}

extension ResponseBody.Piece {
    fileprivate var isFile: Bool { if case .file = self { true } else { false } }

    fileprivate var count: Int {
        switch self {
        case .clear(let bytes): bytes.count
        case .secret(let secret): secret.count
        case .file(let file): file.count
        }
    }
}

extension ByteBuffer {
    /// Writes a non-negative number in decimal without a string in between.
    fileprivate mutating func writeDecimal(_ number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            writeInteger(UInt8(0x30 + number / divisor % 10))
            divisor /= 10
        }
    }
}
