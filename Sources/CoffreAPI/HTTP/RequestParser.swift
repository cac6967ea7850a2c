internal import CoffreCrypto
package import CoffreVault
internal import Glibc
package import NIOCore

/// An incremental HTTP/1.1 request parser (RFC 9112).
///
/// Why our own: swift-nio's parser (llhttp) refuses the method `LIST`, which Vault clients send, and rewriting bytes in
/// front of it would mean two framings of one stream, the recipe for request smuggling. This one reads each byte once,
/// refuses what is ambiguous, and puts token and body into wiped memory at once.
package struct RequestParser {
    /// One complete request.
    package struct Parsed {
        package enum Content {
            case request(VaultRequest)
            case refused(RefusedRequest)
        }

        package let content: Content
        package let keepsAlive: Bool
        package let isHead: Bool
        package let isVersion10: Bool
    }

    package enum Step {
        /// Every byte is consumed or is the beginning of something longer.
        case needsMore
        /// The client waits for `100 Continue` before it sends the body.
        case continueExpected
        case complete(Parsed)
        /// The framing is lost: answer and close.
        case broken(RefusedRequest)
    }

    private enum State {
        case head
        case body(RequestHead, BodyCollector)
        case broken
    }

    private let limits: HTTPLimits
    private let memory: BodyMemory
    private var state = State.head
    // Progress of the search for the end of the head, relative to the reader index.
    private var scanned = 0
    private var lineStart = 0
    private var lines = 0

    package init(limits: HTTPLimits, memory: BodyMemory) {
        self.limits = limits
        self.memory = memory
    }

    /// Whether bytes of an incomplete request have been seen; `input` is what the caller keeps.
    package func isInsideRequest(_ input: ByteBuffer?) -> Bool {
        if case .head = state { return (input?.readableBytes ?? 0) > 0 }
        return true
    }

    /// Whether the head is complete and the body is not.
    package var isReadingBody: Bool {
        if case .body = state { return true }
        return false
    }

    /// Advances by what `input` holds. Call again after `complete` for a pipelined request.
    ///
    /// - Parameters:
    ///   - input: unread bytes; consumed ones are skipped, the rest must be offered again with more behind it.
    ///   - now: `CLOCK_MONOTONIC` in nanoseconds.
    ///   - reserved: receives what the body of a completed request holds of the shared budget; the caller gives it back.
    package mutating func next(_ input: inout ByteBuffer, now: UInt64, reserved: inout BodyReservation?) -> Step {
        if case .head = state {
            do throws(HTTPFault) {
                guard let length = try scanHead(input) else { return .needsMore }
                let limits = limits
                let head: Result<RequestHead, HTTPFault> = input.withUnsafeReadableBytes { bytes in
                    do throws(HTTPFault) {
                        return .success(try RequestHeadParser.parse(bytes.part(0..<length), limits: limits))
                    } catch {
                        return .failure(error)
                    }
                }
                let parsed = try head.get()
                input.moveReaderIndex(forwardBy: length + 2)
                resetScan()
                if case .length(0) = parsed.framing { return complete(parsed, nil, now: now) }
                if case .length(let count) = parsed.framing, count > limits.bodyBytes {
                    return fail(.bodyTooLarge, target: parsed.targetForRecord, now: now)
                }
                let body = BodyCollector(
                    framing: parsed.framing,
                    isDropped: parsed.fault != nil,
                    limits: limits,
                    memory: memory
                )
                state = .body(parsed, body)
                if parsed.expectsContinue, !parsed.isVersion10, input.readableBytes == 0 { return .continueExpected }
            } catch {
                return fail(error, target: Self.target(in: input), now: now)
            }
        }
        guard case .body(let head, var body) = state else { return .needsMore }
        state = .broken  // Gives up the reference, so that the collector is changed in place.
        do throws(HTTPFault) {
            let isComplete = try body.consume(&input)
            guard isComplete else {
                state = .body(head, body)
                return .needsMore
            }
            let secret = body.take()
            reserved = BodyReservation(body)
            return complete(head, secret, now: now)
        } catch {
            body.release()
            return fail(error, target: head.targetForRecord, now: now)
        }
    }

    /// The refusal for a request that stopped arriving.
    package mutating func timedOut(_ input: ByteBuffer, now: UInt64) -> RefusedRequest {
        let target = if case .body(let head, _) = state { head.targetForRecord } else { Self.target(in: input) }
        abandon()
        return Self.refusal(.timeout, target, now)
    }

    /// Frees what an incomplete request holds.
    package mutating func abandon() {
        if case .body(_, var body) = state { body.release() }
        state = .broken
    }

    private mutating func resetScan() {
        scanned = 0
        lineStart = 0
        lines = 0
    }

    private mutating func complete(_ head: RequestHead, _ body: SharedSecret?, now: UInt64) -> Step {
        state = .head
        let content: Parsed.Content
        if let fault = head.fault {
            content = .refused(Self.refusal(fault, head.target, now))
        } else {
            content = .request(
                VaultRequest(
                    verb: head.verb,
                    path: head.path,
                    query: head.query,
                    token: head.token,
                    wrapTTL: head.wrapTTL,
                    namespace: head.namespace,
                    contentType: head.contentType,
                    subject: head.subject,
                    body: body,
                    acceptedAt: now
                )
            )
        }
        return .complete(
            Parsed(
                content: content,
                keepsAlive: head.keepsAlive,
                isHead: head.verb == .head,
                isVersion10: head.isVersion10
            )
        )
    }

    private mutating func fail(_ fault: HTTPFault, target: [UInt8], now: UInt64) -> Step {
        state = .broken
        return .broken(Self.refusal(fault, target, now))
    }

    private static func refusal(_ fault: HTTPFault, _ target: [UInt8], _ now: UInt64) -> RefusedRequest {
        RefusedRequest(
            reason: fault.reason,
            status: fault.status,
            message: fault.message,
            target: target,
            acceptedAt: now
        )
    }

    /// What stands between the first two spaces of an unparsed request, as far as it arrived, for the record.
    private static func target(in input: ByteBuffer) -> [UInt8] {
        input.withUnsafeReadableBytes { bytes in
            let line = bytes.prefix { $0 != ByteClass.lineFeed && $0 != ByteClass.carriageReturn }
            guard let space = line.firstIndex(of: ByteClass.space) else { return [UInt8](line.prefix(8192)) }
            return [UInt8](line[(space + 1)...].prefix { $0 != ByteClass.space }.prefix(8192))
        }
    }

    /// Looks for the empty line that ends the head, once over every byte.
    /// - Returns: the length of the head up to and including the CRLF of its last line, nil when the end has not arrived.
    private mutating func scanHead(_ input: ByteBuffer) throws(HTTPFault) -> Int? {
        let result: Result<Int?, HTTPFault> = input.withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return .success(nil) }
            while scanned < bytes.count {
                guard let hit = memchr(base + scanned, Int32(ByteClass.lineFeed), bytes.count - scanned) else {
                    scanned = bytes.count
                    break
                }
                let index = base.distance(to: UnsafeRawPointer(hit))
                guard index > lineStart, bytes[index - 1] == ByteClass.carriageReturn else {
                    return .failure(.malformed("a line feed stands alone"))
                }
                if index - 1 == lineStart {
                    // An empty line. In front of the request line it is refused too: no client of this API sends one.
                    return lines == 0 ? .failure(.malformed("the request line is empty")) : .success(lineStart)
                }
                if lines == 0, index - 1 > limits.requestLineBytes { return .failure(.requestLineTooLong) }
                lines += 1
                lineStart = index + 1
                scanned = index + 1
                if lines > limits.headerCount + 1 { return .failure(.headersTooLarge) }
            }
            if lines == 0, bytes.count > limits.requestLineBytes + 2 { return .failure(.requestLineTooLong) }
            return .success(nil)
        }
        let length = try result.get()
        if (length ?? input.readableBytes) > limits.requestLineBytes + limits.headerBytes { throw .headersTooLarge }
        return length
    }
}

/// What a completed body still holds of the shared budget, until its request is answered.
package struct BodyReservation {
    private var body: BodyCollector

    init(_ body: BodyCollector) { self.body = body }

    package mutating func release() { body.release() }
}
