/// Reads JSON (RFC 8259) of a line where it stands. Every function returns nil, or false, for what is not there, and the reader is
/// of no use then.
struct JSONCursor {
    let bytes: UnsafeRawBufferPointer
    var place = 0

    var isAtEnd: Bool { place == bytes.count }

    mutating func skipSpace() {
        while place < bytes.count, bytes[place] == 0x20 || bytes[place] == 0x09 || bytes[place] == 0x0d {
            place += 1
        }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard place < bytes.count, bytes[place] == byte else { return false }
        place += 1
        return true
    }

    /// The range of a string without its quotes, and whether it has escapes.
    mutating func string() -> (range: Range<Int>, isPlain: Bool)? {
        guard take(0x22) else { return nil }
        let start = place
        var isPlain = true
        while place < bytes.count {
            let byte = bytes[place]
            if byte == 0x22 {
                place += 1
                return (start..<place - 1, isPlain)
            }
            guard byte >= 0x20 else { return nil }
            if byte == 0x5c {
                isPlain = false
                place += 1
            }
            place += 1
        }
        return nil
    }

    mutating func text() -> String? {
        guard let (range, isPlain) = string() else { return nil }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[range])
        return isPlain ? String(validating: slice, as: UTF8.self) : Self.unescaped(slice)
    }

    /// A text, or empty for one so long that the log keeps its digest alone.
    mutating func shortText() -> String? {
        skipSpace()
        guard place < bytes.count, bytes[place] == 0x7b else { return text() }
        return skip() ? "" : nil
    }

    /// `true`; false for every other value.
    mutating func flag() -> Bool? {
        skipSpace()
        let start = place
        guard skip() else { return nil }
        return bytes[start..<place].elementsEqual("true".utf8)
    }

    private static func unescaped(_ slice: UnsafeRawBufferPointer) -> String? {
        var result: [UInt8] = []
        result.reserveCapacity(slice.count)
        var index = 0
        func unit() -> UInt16? {
            guard index + 4 <= slice.count else { return nil }
            var value: UInt16 = 0
            for byte in slice[index..<index + 4] {
                guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { return nil }
                value = value << 4 | UInt16(digit)
            }
            index += 4
            return value
        }
        while index < slice.count {
            let byte = slice[index]
            index += 1
            guard byte == 0x5c else {
                result.append(byte)
                continue
            }
            guard index < slice.count else { return nil }
            let kind = slice[index]
            index += 1
            switch kind {
            case 0x22, 0x5c, 0x2f: result.append(kind)
            case 0x62: result.append(0x08)
            case 0x66: result.append(0x0c)
            case 0x6e: result.append(0x0a)
            case 0x72: result.append(0x0d)
            case 0x74: result.append(0x09)
            case 0x75:
                guard let first = unit() else { return nil }
                var scalar = UInt32(first)
                if (0xd800...0xdbff).contains(first) {
                    guard index + 2 <= slice.count, slice[index] == 0x5c, slice[index + 1] == 0x75 else {
                        return nil
                    }
                    index += 2
                    guard let second = unit(), (0xdc00...0xdfff).contains(second) else { return nil }
                    scalar = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
                }
                guard let scalar = Unicode.Scalar(scalar) else { return nil }
                result.append(contentsOf: Array(String(Character(scalar)).utf8))
            default: return nil
            }
        }
        return String(validating: result, as: UTF8.self)
    }

    mutating func integer() -> Int64? {
        skipSpace()
        let isNegative = place < bytes.count && bytes[place] == 0x2d
        if isNegative { place += 1 }
        let start = place
        var value: Int64 = 0
        while place < bytes.count, (0x30...0x39).contains(bytes[place]) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, more) = product.addingReportingOverflow(Int64(bytes[place] - 0x30))
            guard !overflow, !more else { return nil }
            value = sum
            place += 1
        }
        guard place > start, place - start == 1 || bytes[start] != 0x30 else { return nil }
        if place < bytes.count, bytes[place] == 0x2e || bytes[place] | 0x20 == 0x65 { return nil }
        return isNegative ? -value : value
    }

    /// Reads past any value.
    mutating func skip(depth: Int = 0) -> Bool {
        skipSpace()
        guard depth < 8, place < bytes.count else { return false }
        switch bytes[place] {
        case 0x22: return string() != nil
        case 0x7b, 0x5b:
            let isObject = bytes[place] == 0x7b
            let end: UInt8 = isObject ? 0x7d : 0x5d
            place += 1
            if take(end) { return true }
            repeat {
                if isObject { guard string() != nil, take(0x3a) else { return false } }
                guard skip(depth: depth + 1) else { return false }
            } while take(0x2c)
            return take(end)
        default:
            let start = place
            while place < bytes.count, ![0x2c, 0x7d, 0x5d, 0x20, 0x09, 0x0d].contains(bytes[place]) { place += 1 }
            let word = bytes[start..<place]
            if word.elementsEqual("true".utf8) || word.elementsEqual("false".utf8)
                || word.elementsEqual("null".utf8)
            {
                return true
            }
            return !word.isEmpty
                && word.allSatisfy { (0x30...0x39).contains($0) || [0x2b, 0x2d, 0x2e, 0x65, 0x45].contains($0) }
        }
    }

    func isName(_ range: Range<Int>, _ name: StaticString) -> Bool {
        range.count == name.utf8CodeUnitCount
            && memoryEqual(
                bytes[range],
                UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
            )
    }

    private func memoryEqual(_ left: Slice<UnsafeRawBufferPointer>, _ right: UnsafeRawBufferPointer) -> Bool {
        var index = left.startIndex
        for byte in right {
            guard left.base[index] == byte else { return false }
            index += 1
        }
        return true
    }
}
