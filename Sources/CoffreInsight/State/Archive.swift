/// What is wrong with a saved state.
package struct ArchiveError: Error, Sendable, Equatable {
    package let message: String
}

/// Writes values to bytes, or reads them back: the same description of a type does both, so that the two cannot differ.
///
/// Form: `coffre-insight`, version (1 byte), the values (integers little-endian, counts of 4 bytes), and SipHash-2-4 of all that
/// under a fixed key, against damage; it proves nothing to anybody.
struct Archive {
    private static let magic = Array("coffre-insight\u{3}".utf8)
    private static let check = SipHash(key0: 0x636f_6666_7265_2d69, key1: 0x6e73_6967_6874_2d31)

    private(set) var bytes: [UInt8]
    private var place = 0
    /// Where the values end that are read.
    private var end = 0
    let isReading: Bool

    /// For writing.
    /// - Parameter size: about how many bytes: while an array grows, it is there twice.
    init(expecting size: Int) {
        bytes = []
        bytes.reserveCapacity(size)
        bytes += Self.magic
        isReading = false
    }

    /// For reading.
    /// - Throws: ``ArchiveError``.
    init(reading bytes: [UInt8]) throws(ArchiveError) {
        let body = bytes.dropLast(8)
        guard bytes.count >= Self.magic.count + 8, body.starts(with: Self.magic) else {
            throw ArchiveError(message: "not a saved state of this version")
        }
        var sum: UInt64 = 0
        for (index, byte) in bytes.suffix(8).enumerated() { sum |= UInt64(byte) << UInt64(8 * index) }
        guard body.withUnsafeBufferPointer({ Self.check.hash($0, 0) }) == sum else {
            throw ArchiveError(message: "the saved state is damaged")
        }
        self.bytes = bytes
        end = body.endIndex
        place = Self.magic.count
        isReading = true
    }

    /// - Returns: the bytes with their check value.
    consuming func finished() -> [UInt8] {
        let sum = bytes.withUnsafeBufferPointer { Self.check.hash($0, 0) }
        for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: sum >> UInt64(8 * index))) }
        return bytes
    }

    var isAtEnd: Bool { place == end }

    mutating func value<T: FixedWidthInteger>(_ value: inout T) throws(ArchiveError) {
        let size = MemoryLayout<T>.size
        guard isReading else {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
            return
        }
        guard end - place >= size else { throw ArchiveError(message: "the saved state is cut off") }
        let raw = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: T.self) }
        value = T(littleEndian: raw)
        place += size
    }

    /// A time, or a number of spans since 1970: what is read is one that can be reckoned with.
    mutating func time(_ value: inout Int64) throws(ArchiveError) {
        try self.value(&value)
        guard !isReading || InsightTime.range.contains(value) else {
            throw ArchiveError(message: "a time in the saved state is none")
        }
    }

    mutating func value(_ value: inout Float) throws(ArchiveError) {
        var bits = value.bitPattern
        try self.value(&bits)
        value = Float(bitPattern: bits)
        guard !isReading || abs(value) < 1e15 else {
            throw ArchiveError(message: "a number in the saved state is none")
        }
    }

    mutating func value(_ value: inout Float16) throws(ArchiveError) {
        var bits = value.bitPattern
        try self.value(&bits)
        value = Float16(bitPattern: bits)
        guard !isReading || value.isFinite else { throw ArchiveError(message: "a number in the saved state is none") }
    }

    mutating func value(_ value: inout Bool) throws(ArchiveError) {
        var byte: UInt8 = value ? 1 : 0
        try self.value(&byte)
        value = byte != 0
    }

    mutating func value(_ value: inout String) throws(ArchiveError) {
        var text = Array(value.utf8)
        try list(&text, atMost: 4096, of: 0) { (archive, byte) throws(ArchiveError) in try archive.value(&byte) }
        guard isReading else { return }
        guard let read = String(validating: text, as: UTF8.self) else {
            throw ArchiveError(message: "a name in the saved state is no text")
        }
        value = read
    }

    /// - Parameter empty: what an element is before it is read.
    mutating func list<T>(
        _ list: inout [T],
        atMost limit: Int,
        of empty: T,
        _ each: (inout Archive, inout T) throws(ArchiveError) -> Void
    ) throws(ArchiveError) {
        var count = UInt32(list.count)
        try value(&count)
        if isReading {
            guard count <= limit, Int(count) <= end - place else {
                throw ArchiveError(message: "the saved state is larger than may be")
            }
            list = []
            list.reserveCapacity(Int(count))
            for _ in 0..<count {
                var element = empty
                try each(&self, &element)
                list.append(element)
            }
        } else {
            for index in list.indices { try each(&self, &list[index]) }
        }
    }

    mutating func table<T>(
        _ table: inout [UInt64: T],
        atMost limit: Int,
        of empty: () -> T,
        _ each: (inout Archive, inout T) throws(ArchiveError) -> Void
    ) throws(ArchiveError) {
        var count = UInt32(table.count)
        try value(&count)
        if isReading {
            guard count <= limit, Int(count) <= end - place else {
                throw ArchiveError(message: "the saved state is larger than may be")
            }
            table = [:]
            for _ in 0..<count {
                var key: UInt64 = 0
                try value(&key)
                var element = empty()
                try each(&self, &element)
                table[key] = element
            }
        } else {
            for var (key, element) in table.sorted(by: { $0.key < $1.key }) {
                try value(&key)
                try each(&self, &element)
            }
        }
    }
}
