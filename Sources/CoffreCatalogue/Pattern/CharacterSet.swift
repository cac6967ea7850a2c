/// A set of characters that a pattern allows at one place: any of ASCII, and all or none of the others.
struct CharacterSet: Sendable, Equatable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    /// Whether characters outside ASCII belong to it.
    private var hasOthers = false

    /// `.`: anything but an end of line.
    static let anything: CharacterSet = {
        var ends = CharacterSet()
        ends.insert(0x0a)
        ends.insert(0x0d)
        return ends.inverted
    }()

    /// `\s`: white space of ASCII.
    static let space: CharacterSet = {
        var set = CharacterSet()
        for byte: UInt8 in [0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20] { set.insert(byte) }
        return set
    }()

    var inverted: CharacterSet {
        var set = self
        set.low = ~low
        set.high = ~high
        set.hasOthers = !hasOthers
        return set
    }

    /// - Parameter byte: below 128.
    mutating func insert(_ byte: UInt8) {
        if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte - 64) }
    }

    mutating func formUnion(_ other: CharacterSet) {
        low |= other.low
        high |= other.high
        hasOthers = hasOthers || other.hasOthers
    }

    /// - Parameter lead: the first byte of a character in UTF-8.
    func contains(_ lead: UInt8) -> Bool {
        switch lead {
        case 0..<64: low >> UInt64(lead) & 1 == 1
        case 64..<128: high >> UInt64(lead - 64) & 1 == 1
        default: hasOthers
        }
    }
}
