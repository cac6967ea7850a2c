internal import CoffreCrypto
internal import CoffreVault
internal import NIOCore

/// Gathers the body of one request from any number of reads, in memory that is wiped.
struct BodyCollector {
    private enum Chunk {
        case sizeLine
        case data(remaining: Int)
        case dataEnd
        case trailers(count: Int, bytes: Int)
        case finished
    }

    private enum Progress {
        case remaining(Int)
        case chunk(Chunk)
    }

    private var progress: Progress
    private let isDropped: Bool
    private let limits: HTTPLimits
    private let memory: BodyMemory
    private var bytes: ByteBuffer?
    private var received = 0
    /// What this body holds of the shared budget; given back by ``release()``.
    private var reserved = 0

    /// - Parameter isDropped: the request is refused anyway: bytes are counted and thrown away.
    init(framing: RequestHead.Framing, isDropped: Bool, limits: HTTPLimits, memory: BodyMemory) {
        switch framing {
        case .length(let count): progress = .remaining(count)
        case .chunked: progress = .chunk(.sizeLine)
        }
        self.isDropped = isDropped
        self.limits = limits
        self.memory = memory
    }

    /// The whole body once complete, nil when empty.
    mutating func take() -> SharedSecret? {
        defer { bytes = nil }
        guard let bytes, bytes.readableBytes > 0 else { return nil }
        return bytes.withUnsafeReadableBytes { SharedSecret(copying: $0) }
    }

    /// Gives the reserved memory back; the body may be gone or still with the vault.
    mutating func release() {
        memory.release(reserved)
        reserved = 0
        bytes = nil
    }

    /// Consumes what belongs to the body.
    /// - Returns: whether the body is complete.
    mutating func consume(_ input: inout ByteBuffer) throws(HTTPFault) -> Bool {
        switch progress {
        case .remaining(let remaining):
            let count = min(remaining, input.readableBytes)
            try store(&input, count)
            progress = .remaining(remaining - count)
            return remaining == count
        case .chunk: return try consumeChunks(&input)
        }
    }

    private mutating func store(_ input: inout ByteBuffer, _ count: Int) throws(HTTPFault) {
        guard count > 0 else { return }
        received += count
        guard received <= limits.bodyBytes else { throw .bodyTooLarge }
        guard !isDropped else {
            input.moveReaderIndex(forwardBy: count)
            return
        }
        if received > BodyMemory.freeBytes, received > reserved {
            // Blocks of at least 64 KiB and a quarter of what is there, so that the count moves rarely.
            let more = max(received - reserved, 65_536, reserved / 4)
            guard memory.reserve(more) else { throw .noBodyMemory }
            reserved += more
        }
        if bytes == nil { bytes = ByteBufferAllocator.wiping.buffer(capacity: count) }
        input.readWithUnsafeReadableBytes { source in
            bytes?.writeBytes(UnsafeRawBufferPointer(rebasing: source[..<count]))
            return count
        }
    }

    private mutating func consumeChunks(_ input: inout ByteBuffer) throws(HTTPFault) -> Bool {
        while case .chunk(let chunk) = progress {
            switch chunk {
            case .sizeLine:
                guard let size = try Self.chunkSize(&input, limit: limits.chunkLineBytes) else { return false }
                guard received + size <= limits.bodyBytes else { throw .bodyTooLarge }
                progress = .chunk(size == 0 ? .trailers(count: 0, bytes: 0) : .data(remaining: size))
            case .data(let remaining):
                let count = min(remaining, input.readableBytes)
                try store(&input, count)
                guard count == remaining else {
                    progress = .chunk(.data(remaining: remaining - count))
                    return false
                }
                progress = .chunk(.dataEnd)
            case .dataEnd:
                guard input.readableBytes >= 2 else { return false }
                guard input.readInteger(as: UInt16.self) == 0x0D0A else {
                    throw .malformed("a chunk is longer than its size says")
                }
                progress = .chunk(.sizeLine)
            case .trailers(let count, let total):
                let left = limits.trailerBytes - total
                guard let line = try Self.line(&input, limit: left, fault: .headersTooLarge) else { return false }
                if line == 0 {
                    progress = .chunk(.finished)
                } else {
                    guard count < limits.trailerCount else { throw .headersTooLarge }
                    progress = .chunk(.trailers(count: count + 1, bytes: total + line + 2))
                }
            case .finished: return true
            }
        }
        return true
    }

    /// The size in the next chunk-size line (RFC 9112 §7.1): 1–8 hexadecimal digits, then an optional extension, ignored.
    private static func chunkSize(_ input: inout ByteBuffer, limit: Int) throws(HTTPFault) -> Int? {
        let start = input.readerIndex
        let fault = HTTPFault.malformed("a chunk size is malformed")
        guard let length = try lineLength(input, limit: limit, fault: fault) else { return nil }
        let view = input.readableBytesView
        var size = 0
        var digits = 0
        while digits < length, let value = ByteClass.hexValue(view[start + digits]) {
            guard digits < 8 else { throw fault }
            size = size << 4 | Int(value)
            digits += 1
        }
        guard digits > 0 else { throw fault }
        if digits < length {
            guard view[start + digits] == 0x3B else { throw fault }
            for offset in digits..<length where !ByteClass.isFieldContent(view[start + offset]) { throw fault }
        }
        input.moveReaderIndex(forwardBy: length + 2)
        return size
    }

    /// Reads and checks one trailer line; its length without the line end.
    private static func line(_ input: inout ByteBuffer, limit: Int, fault: HTTPFault) throws(HTTPFault) -> Int? {
        guard let length = try lineLength(input, limit: limit, fault: fault) else { return nil }
        let isWellFormed = input.withUnsafeReadableBytes { source in
            var nameEnd = 0
            while nameEnd < length, ByteClass.isToken(source[nameEnd]) { nameEnd += 1 }
            if length == 0 { return true }
            guard nameEnd > 0, nameEnd < length, source[nameEnd] == ByteClass.colon else { return false }
            for index in nameEnd..<length where !ByteClass.isFieldContent(source[index]) { return false }
            return true
        }
        guard isWellFormed else { throw .malformed("a trailer line is malformed") }
        input.moveReaderIndex(forwardBy: length + 2)
        return length
    }

    /// The length of the line at the reader index without its CRLF, nil when the end has not arrived.
    private static func lineLength(
        _ input: ByteBuffer,
        limit: Int,
        fault: HTTPFault
    ) throws(HTTPFault) -> Int? {
        let found: Int? = input.withUnsafeReadableBytes { source in
            for index in 0..<min(source.count, limit + 2) where source[index] == ByteClass.lineFeed { return index }
            return nil
        }
        guard let found else {
            if input.readableBytes >= limit + 2 { throw fault }
            return nil
        }
        guard found > 0, input.getInteger(at: input.readerIndex + found - 1, as: UInt8.self) == ByteClass.carriageReturn
        else { throw .malformed("a line feed stands alone") }
        return found - 1
    }
}
