/// The body codec: fields of `tag(1) ‖ length(4, big endian) ‖ bytes`, tags strictly ascending. One value has one
/// encoding, and what decodes re-encodes to the same bytes.
struct BrokerFieldReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    private var lastTag: UInt8 = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The field `tag` when it comes next, nil when a later one does.
    mutating func optional(_ tag: UInt8, atMost limit: Int) throws(BrokerWireError) -> UnsafeRawBufferPointer? {
        precondition(tag > lastTag, "fields are read in ascending order")
        guard offset < bytes.count, bytes[offset] == tag else { return nil }
        lastTag = tag
        guard bytes.count - offset >= 5 else { throw BrokerWireError(.wrongLength, "a field of the body is cut off") }
        let length = Int(bytes.bigEndian32(at: offset + 1))
        guard length <= limit else { throw BrokerWireError(.tooLong, "a field of the body is too long") }
        guard bytes.count - offset - 5 >= length else {
            throw BrokerWireError(.wrongLength, "a field of the body is cut off")
        }
        defer { offset += 5 + length }
        return UnsafeRawBufferPointer(rebasing: bytes[(offset + 5)..<(offset + 5 + length)])
    }

    mutating func required(_ tag: UInt8, atMost limit: Int) throws(BrokerWireError) -> UnsafeRawBufferPointer {
        guard let field = try optional(tag, atMost: limit) else {
            throw BrokerWireError(.invalidField, "a field of the body is missing, repeated or out of order")
        }
        return field
    }

    mutating func optionalText(_ tag: UInt8, atMost limit: Int) throws(BrokerWireError) -> String? {
        guard let field = try optional(tag, atMost: limit) else { return nil }
        return try BrokerText.decode(field)
    }

    mutating func text(_ tag: UInt8, atMost limit: Int) throws(BrokerWireError) -> String {
        try BrokerText.decode(required(tag, atMost: limit))
    }

    /// A field of exactly `count` bytes, read as a big-endian number.
    mutating func number(_ tag: UInt8, bytes count: Int) throws(BrokerWireError) -> UInt64 {
        let field = try required(tag, atMost: count)
        guard field.count == count else { throw BrokerWireError(.wrongLength, "a number has the wrong length") }
        return field.reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func optionalNumber(_ tag: UInt8, bytes count: Int) throws(BrokerWireError) -> UInt64? {
        guard offset < bytes.count, bytes[offset] == tag else { return nil }
        return try number(tag, bytes: count)
    }

    func finish() throws(BrokerWireError) {
        guard offset == bytes.count else {
            throw BrokerWireError(.invalidField, "the body holds an unknown, repeated or misplaced field")
        }
    }
}

/// Writes fields into memory that the caller owns and wipes.
struct BrokerFieldWriter {
    private let target: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

    mutating func append(_ tag: UInt8, _ field: UnsafeRawBufferPointer) {
        append(raw: [tag])
        append(raw: UInt32(field.count).bigEndianBytes)
        append(raw: field)
    }

    mutating func append(_ tag: UInt8, _ field: [UInt8]) {
        field.withUnsafeBytes { append(tag, $0) }
    }

    mutating func append(_ tag: UInt8, _ text: String) { append(tag, Array(text.utf8)) }

    private mutating func append(raw: [UInt8]) { raw.withUnsafeBytes { append(raw: $0) } }

    private mutating func append(raw: UnsafeRawBufferPointer) {
        guard !raw.isEmpty else { return }
        UnsafeMutableRawBufferPointer(rebasing: target[count..<(count + raw.count)]).copyMemory(from: raw)
        count += raw.count
    }
}

/// Text of the body: UTF-8 without NUL.
enum BrokerText {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws(BrokerWireError) -> String {
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw BrokerWireError(.invalidField, "text of the body is not UTF-8, or holds a NUL")
        }
        return text
    }

    static func check(_ text: String, _ range: ClosedRange<Int>) throws(BrokerWireError) {
        guard range.contains(text.utf8.count) else {
            throw BrokerWireError(.tooLong, "a text of the job is empty or too long")
        }
        guard !text.utf8.contains(0) else { throw BrokerWireError(.invalidField, "a text of the job holds a NUL") }
    }
}

extension UnsafeRawBufferPointer {
    func bigEndian32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    func bigEndian64(at offset: Int) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension FixedWidthInteger {
    var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
