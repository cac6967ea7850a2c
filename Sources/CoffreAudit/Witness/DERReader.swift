/// Reads DER (X.690 §10): definite lengths in their shortest form, low tag numbers, nothing beyond the end.
struct DERReader {
    /// The bytes are not DER of the kind that is expected.
    struct Malformed: Error {}

    enum Tag {
        static let boolean: UInt8 = 0x01
        static let integer: UInt8 = 0x02
        static let octets: UInt8 = 0x04
        static let null: UInt8 = 0x05
        static let identifier: UInt8 = 0x06
        static let time: UInt8 = 0x18
        static let sequence: UInt8 = 0x30
        static let set: UInt8 = 0x31
        static let explicit0: UInt8 = 0xa0
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    var nextTag: UInt8? { rest.first }

    /// The content of the next element, which must have `tag`.
    @discardableResult
    mutating func read(_ tag: UInt8) throws(Malformed) -> ArraySlice<UInt8> {
        guard rest.first == tag else { throw Malformed() }
        return try skip()
    }

    /// The content of the next element, whatever it is.
    @discardableResult
    mutating func skip() throws(Malformed) -> ArraySlice<UInt8> {
        guard let tag = rest.popFirst(), tag & 0x1f != 0x1f, let first = rest.popFirst() else { throw Malformed() }
        var length = Int(first)
        if first >= 0x80 {
            let count = Int(first & 0x7f)
            // Three bytes are more than any answer has.
            guard (1...3).contains(count), rest.count >= count, rest.first != 0 else { throw Malformed() }
            length = rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(count)
            guard length >= 0x80 else { throw Malformed() }
        }
        guard length <= rest.count else { throw Malformed() }
        defer { rest = rest.dropFirst(length) }
        return rest.prefix(length)
    }

    mutating func reader(_ tag: UInt8) throws(Malformed) -> DERReader { DERReader(try read(tag)) }

    func finish() throws(Malformed) {
        guard rest.isEmpty else { throw Malformed() }
    }
}

/// Writes DER.
enum DERWriter {
    static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        switch count {
        case ..<0x80: return [tag, UInt8(count)] + content
        case ..<0x100: return [tag, 0x81, UInt8(count)] + content
        default: return [tag, 0x82, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)] + content
        }
    }

    /// A positive INTEGER from big-endian bytes.
    static func integer(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = Array(bytes.drop { $0 == 0 })
        if bytes.first.map({ $0 & 0x80 != 0 }) ?? true { bytes.insert(0, at: 0) }
        return element(DERReader.Tag.integer, bytes)
    }
}
