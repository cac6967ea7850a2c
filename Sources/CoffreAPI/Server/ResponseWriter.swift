internal import CoffreCrypto
internal import CoffreVault
internal import NIOCore

/// Serialises an answer into one wiped buffer, so that it leaves in one write.
enum ResponseWriter {
    static let continueLine: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    /// - Parameters:
    ///   - isHead: leave the body out but say its length (RFC 9110 §9.3.2).
    ///   - isVersion10: the client speaks HTTP/1.0 and must be told when the connection stays.
    static func write(_ answer: ReleasedAnswer, isHead: Bool, closes: Bool, isVersion10: Bool) -> ByteBuffer {
        let hasBody = answer.status != 204 && answer.status != 304
        var buffer = ByteBufferAllocator.wiping.buffer(capacity: 256 + (hasBody && !isHead ? answer.body.count : 0))
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
            if !isHead { writeBody(answer.body, to: &buffer) }
        } else {
            buffer.writeStaticString("\r\n")
        }
        return buffer
    }

    private static func writeBody(_ body: ResponseBody, to buffer: inout ByteBuffer) {
        for piece in body.pieces {
            switch piece {
            case .clear(let bytes): buffer.writeBytes(bytes)
            case .secret(let secret): secret.withBytes { _ = buffer.writeBytes($0) }
            }
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
