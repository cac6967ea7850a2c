/// Reads what lies inside one field: numbers of fixed width, and texts behind their length, one after another.
struct BrokerListReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func number<N: FixedWidthInteger & UnsignedInteger>(
        _ type: N.Type = N.self
    ) throws(BrokerWireError) -> N {
        let width = N.bitWidth / 8
        guard bytes.count - offset >= width else { throw Self.cutOff }
        defer { offset += width }
        return bytes[offset..<(offset + width)].reduce(0) { $0 << 8 | N($1) }
    }

    /// A flag is a byte, 0 or 1.
    mutating func flag() throws(BrokerWireError) -> Bool {
        switch try number(UInt8.self) {
        case 0: false
        case 1: true
        default: throw BrokerWireError(.invalidField, "a flag is 0 or 1")
        }
    }

    /// A number of items, refused above `limit`.
    mutating func count(atMost limit: Int) throws(BrokerWireError) -> Int {
        let count = Int(try number(UInt16.self))
        guard count <= limit else { throw BrokerWireError(.tooLong, "a list of the body is too long") }
        return count
    }

    /// UTF-8 without NUL, `range` bytes long, behind its length in two bytes.
    mutating func text(_ range: ClosedRange<Int>) throws(BrokerWireError) -> String {
        let length = Int(try number(UInt16.self))
        guard range.contains(length) else { throw BrokerWireError(.tooLong, "a text of a list is empty or too long") }
        guard bytes.count - offset >= length else { throw Self.cutOff }
        defer { offset += length }
        return try BrokerText.decode(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)]))
    }

    /// A text behind a flag.
    mutating func optionalText(_ range: ClosedRange<Int>) throws(BrokerWireError) -> String? {
        try flag() ? try text(range) : nil
    }

    /// A number behind a flag.
    mutating func optionalNumber<N: FixedWidthInteger & UnsignedInteger>(
        _ type: N.Type
    ) throws(BrokerWireError) -> N? {
        try flag() ? try number(type) : nil
    }

    func finish() throws(BrokerWireError) {
        guard offset == bytes.count else { throw BrokerWireError(.wrongLength, "a list of the body goes on too long") }
    }

    private static var cutOff: BrokerWireError { BrokerWireError(.wrongLength, "a list of the body is cut off") }
}

/// Writes what ``BrokerListReader`` reads. Whoever writes has checked the limits.
struct BrokerListWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ number: some FixedWidthInteger & UnsignedInteger) { bytes += number.bigEndianBytes }

    mutating func append(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    mutating func append(count: Int) { append(UInt16(count)) }

    mutating func append(_ text: String) {
        append(UInt16(text.utf8.count))
        bytes += Array(text.utf8)
    }

    mutating func append(_ text: String?) {
        append(text != nil)
        if let text { append(text) }
    }

    mutating func append(_ number: (some FixedWidthInteger & UnsignedInteger)?) {
        append(number != nil)
        if let number { append(number) }
    }
}

/// Text compared by its bytes: to a database two names that Unicode holds for equal are two names.
enum ByteOrder {
    static func isAscending(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    static func isAscending(_ left: (String, String), _ right: (String, String)) -> Bool {
        left.0.utf8.elementsEqual(right.0.utf8) ? isAscending(left.1, right.1) : isAscending(left.0, right.0)
    }

    /// Whether each item comes before the next.
    static func areAscending<T>(_ items: [T], _ isAscending: (T, T) -> Bool) -> Bool {
        zip(items, items.dropFirst()).allSatisfy { isAscending($0, $1) }
    }
}
