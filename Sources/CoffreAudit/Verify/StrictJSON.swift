/// A strict parser for one line: the subset of RFC 8785 that the writer emits, nothing else.
///
/// Finds members without copying; the arrays are reused from line to line.
struct StrictJSON: Sendable {
    enum Kind: Sendable, Equatable {
        case object, array, string, integer, flag
    }

    /// A member of an object or an element of an array. Ranges are offsets into the line; of a string, without quotes.
    struct Member: Sendable {
        let parent: Int
        let depth: Int
        let kind: Kind
        let key: Range<Int>
        var value: Range<Int>
    }

    static let maximumDepth = 4

    /// In reading order; index 0 is the line's own object.
    private(set) var members: [Member] = []
    private var position = 0

    /// Lower-case letters, digits, `_ . /`.
    static func isKeyByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f || byte == 0x2e || byte == 0x2f
    }

    /// - Parameter maximumDepth: 4 for records.
    /// - Returns: why the bytes are not one object in the strict form, nil when they are.
    mutating func parse(_ line: UnsafeRawBufferPointer) -> String? {
        members.removeAll(keepingCapacity: true)
        position = 0
        guard let first = line.first, first == 0x7b else { return "not an object" }
        if let defect = value(line, parent: -1, depth: 1, key: 0..<0) { return defect }
        return position == line.count ? nil : "bytes after the object"
    }

    private mutating func value(
        _ line: UnsafeRawBufferPointer,
        parent: Int,
        depth: Int,
        key: Range<Int>
    ) -> String? {
        guard position < line.count else { return "ends too early" }
        let start = position
        let index = members.count
        func member(_ kind: Kind, _ range: Range<Int>) -> Member {
            Member(parent: parent, depth: depth, kind: kind, key: key, value: range)
        }
        switch line[position] {
        case 0x7b, 0x5b:
            guard depth <= Self.maximumDepth else { return "nested too deeply" }
            let isObject = line[position] == 0x7b
            members.append(member(isObject ? .object : .array, start..<start))
            position += 1
            let defect = isObject ? object(line, index, depth) : array(line, index, depth)
            members[index].value = start..<position
            return defect
        case 0x22:
            if let defect = string(line) { return defect }
            members.append(member(.string, (start + 1)..<(position - 1)))
        case 0x2d, 0x30...0x39:
            if let defect = integer(line) { return defect }
            members.append(member(.integer, start..<position))
        case 0x74 where matches(line, "true"):
            position += 4
            members.append(member(.flag, start..<position))
        case 0x66 where matches(line, "false"):
            position += 5
            members.append(member(.flag, start..<position))
        default:
            return "not a value of the strict form"
        }
        return nil
    }

    private func matches(_ line: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard position + length <= line.count else { return false }
        for offset in 0..<length where line[position + offset] != word.utf8Start[offset] { return false }
        return true
    }

    private mutating func object(_ line: UnsafeRawBufferPointer, _ parent: Int, _ depth: Int) -> String? {
        var previous: Range<Int>?
        if position < line.count, line[position] == 0x7d {
            position += 1
            return nil
        }
        while true {
            guard position < line.count, line[position] == 0x22 else { return "a name is missing" }
            position += 1
            let start = position
            while position < line.count, Self.isKeyByte(line[position]) { position += 1 }
            let key = start..<position
            guard !key.isEmpty, position + 1 < line.count, line[position] == 0x22, line[position + 1] == 0x3a else {
                return "a name is not lower-case ASCII"
            }
            if let previous, !Self.precedes(line, previous, key) {
                return "names are not in order or occur twice"
            }
            previous = key
            position += 2
            if let defect = value(line, parent: parent, depth: depth + 1, key: key) { return defect }
            guard position < line.count else { return "ends too early" }
            position += 1
            switch line[position - 1] {
            case 0x2c: continue
            case 0x7d: return nil
            default: return "a comma or closing brace is missing"
            }
        }
    }

    private static func precedes(_ line: UnsafeRawBufferPointer, _ left: Range<Int>, _ right: Range<Int>) -> Bool {
        let common = min(left.count, right.count)
        var offset = 0
        while offset < common {
            let (a, b) = (line[left.lowerBound + offset], line[right.lowerBound + offset])
            if a != b { return a < b }
            offset += 1
        }
        return left.count < right.count
    }

    private mutating func array(_ line: UnsafeRawBufferPointer, _ parent: Int, _ depth: Int) -> String? {
        if position < line.count, line[position] == 0x5d {
            position += 1
            return nil
        }
        while true {
            if let defect = value(line, parent: parent, depth: depth + 1, key: 0..<0) { return defect }
            guard position < line.count else { return "ends too early" }
            position += 1
            switch line[position - 1] {
            case 0x2c: continue
            case 0x5d: return nil
            default: return "a comma or closing bracket is missing"
            }
        }
    }

    private mutating func integer(_ line: UnsafeRawBufferPointer) -> String? {
        let isNegative = line[position] == 0x2d
        if isNegative { position += 1 }
        let start = position
        var value: UInt64 = 0
        while position < line.count, (0x30...0x39).contains(line[position]), position - start < 17 {
            value = value * 10 + UInt64(line[position] - 0x30)
            position += 1
        }
        guard position > start, value <= 9_007_199_254_740_991 else { return "a number is out of range" }
        guard line[start] != 0x30 || (position == start + 1 && !isNegative) else { return "a number starts with zero" }
        return nil
    }

    private mutating func string(_ line: UnsafeRawBufferPointer) -> String? {
        position += 1
        while position < line.count {
            let byte = line[position]
            switch byte {
            case 0x22:
                position += 1
                return nil
            case 0x5c:
                if let defect = escape(line) { return defect }
            case 0x20..<0x7f:
                position += 1
            case 0x80...:
                guard let scalar = scalar(line) else { return "not UTF-8" }
                guard PrintableText.isAcceptable(scalar) else { return "an unprintable character" }
            default:
                return "a control character"
            }
        }
        return "ends too early"
    }

    /// `\"`, or an escaped backslash that begins `\\` or `\u{HEX}` one level up.
    private mutating func escape(_ line: UnsafeRawBufferPointer) -> String? {
        if matches(line, #"\""#) {
            position += 2
            return nil
        }
        if matches(line, #"\\\\"#) {
            position += 4
            return nil
        }
        guard matches(line, #"\\u{"#) else { return "an escape that the strict form does not have" }
        position += 4
        let start = position
        var value: UInt32 = 0
        while position < line.count, position - start < 6 {
            switch line[position] {
            case 0x30...0x39: value = value << 4 | UInt32(line[position] - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(line[position] - 0x41 + 10)
            default:
                return finishEscape(line, start, value)
            }
            position += 1
        }
        return finishEscape(line, start, value)
    }

    private mutating func finishEscape(_ line: UnsafeRawBufferPointer, _ start: Int, _ value: UInt32) -> String? {
        guard position > start, position < line.count, line[position] == 0x7d, Unicode.Scalar(value) != nil,
            line[start] != 0x30 || position == start + 1
        else { return "an escape that the strict form does not have" }
        position += 1
        return nil
    }

    /// The code point at `position`, which moves behind it; nil when the bytes are not UTF-8 (RFC 3629).
    private mutating func scalar(_ line: UnsafeRawBufferPointer) -> Unicode.Scalar? {
        let lead = line[position]
        let length: Int
        var value: UInt32
        let least: UInt32
        switch lead {
        case 0xc2...0xdf: (length, value, least) = (2, UInt32(lead & 0x1f), 0x80)
        case 0xe0...0xef: (length, value, least) = (3, UInt32(lead & 0x0f), 0x800)
        case 0xf0...0xf4: (length, value, least) = (4, UInt32(lead & 0x07), 0x10000)
        default: return nil
        }
        guard position + length <= line.count else { return nil }
        for offset in 1..<length {
            guard line[position + offset] & 0xc0 == 0x80 else { return nil }
            value = value << 6 | UInt32(line[position + offset] & 0x3f)
        }
        guard value >= least, let scalar = Unicode.Scalar(value) else { return nil }
        position += length
        return scalar
    }
}

extension PrintableText {
    /// Whether a reader accepts the code point unescaped. Code points that this Unicode version does not know are
    /// accepted: the writer's version may have been newer.
    static func isAcceptable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .spaceSeparator, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse:
            return scalar == " "
        default:
            return true
        }
    }
}
