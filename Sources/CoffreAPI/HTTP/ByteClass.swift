/// Sets of ASCII bytes as bit masks: the grammar of RFC 9110 §5.6.2 and RFC 9112 §3.
enum ByteClass {
    static let htab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let slash: UInt8 = 0x2F
    static let colon: UInt8 = 0x3A

    /// The `tchar` of a method or header name: letters, digits and !#$%&'*+-.^_`|~
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        // Bits 0-63 and 64-127 of the set.
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        guard byte < 128 else { return false }
        return byte < 64 ? (low >> UInt64(byte)) & 1 == 1 : (high >> UInt64(byte &- 64)) & 1 == 1
    }

    /// Allowed inside a header value: everything but control bytes other than the tab.
    @inline(__always)
    static func isFieldContent(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == htab }

    /// A visible ASCII byte.
    @inline(__always)
    static func isVisible(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7F }

    /// The value of a hexadecimal digit, or nil.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }

    /// Whether `bytes` equal `lowercase` (an ASCII literal in lower case) but for the case of letters. `bytes` must
    /// consist of token bytes: then setting bit 5 maps nothing but capital letters onto letters.
    @inline(__always)
    static func matches(_ bytes: UnsafeRawBufferPointer, _ lowercase: StaticString) -> Bool {
        guard bytes.count == lowercase.utf8CodeUnitCount else { return false }
        let expected = lowercase.utf8Start
        for index in 0..<bytes.count where bytes[index] | 0x20 != expected[index] { return false }
        return true
    }

    /// Whether `bytes` are exactly `text`.
    @inline(__always)
    static func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        let expected = text.utf8Start
        for index in 0..<bytes.count where bytes[index] != expected[index] { return false }
        return true
    }
}

extension UnsafeRawBufferPointer {
    /// A view of a part, with indices from zero. `range` lies within the buffer.
    @inline(__always)
    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[range]) }

    /// Without spaces and tabs at either end (RFC 9110 §5.6.3, OWS).
    func trimmed() -> UnsafeRawBufferPointer {
        var start = 0
        var end = count
        while start < end, self[start] == ByteClass.space || self[start] == ByteClass.htab { start += 1 }
        while end > start, self[end - 1] == ByteClass.space || self[end - 1] == ByteClass.htab { end -= 1 }
        return part(start..<end)
    }
}
