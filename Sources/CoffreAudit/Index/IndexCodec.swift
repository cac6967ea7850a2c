internal import CoffreCrypto

/// What an index says that cannot be true. Whoever meets it reads the log instead.
struct IndexLie: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// By what records are found.
enum IndexKind: Int64, Sendable {
    /// Whoever asked or is asked for: `who.sid`, `who.ksid`, `who.for`, `who.unit`.
    case actor = 1
    case connector, path, operation, outcome
}

/// Numbers as bytes, seven bits each, the lowest first (LEB128); the last eight bytes of a row are those of a hash over
/// the row and its address, so that what a disk changes is noticed.
enum IndexCodec {
    private static let hashBytes = 8

    static func append(_ number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Small numbers for small differences of either sign.
    static func zigzag(_ number: Int64) -> UInt64 { UInt64(bitPattern: number << 1 ^ number >> 63) }

    static func unzigzag(_ number: UInt64) -> Int64 { Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1) }

    static func finish(_ bytes: inout [UInt8], _ kind: Int64, _ text: [UInt8], _ block: Int64) {
        bytes += hash(bytes[...], kind, text, block)
    }

    /// What ``finish(_:_:_:_:)`` was given.
    static func open(_ bytes: [UInt8], _ kind: Int64, _ text: [UInt8], _ block: Int64) throws(IndexLie) -> Reader {
        guard bytes.count >= hashBytes else { throw IndexLie("a row of the index is too short") }
        let body = bytes.dropLast(hashBytes)
        guard hash(body, kind, text, block).elementsEqual(bytes.suffix(hashBytes)) else {
            throw IndexLie("a row of the index was changed")
        }
        return Reader(rest: body)
    }

    private static func hash(_ body: ArraySlice<UInt8>, _ kind: Int64, _ text: [UInt8], _ block: Int64) -> [UInt8] {
        var hash = SHA256()
        for number in [kind, Int64(text.count), block] {
            withUnsafeBytes(of: number.bigEndian) { hash.update($0) }
        }
        hash.update(text)
        body.withUnsafeBytes { hash.update($0) }
        return hash.finish().withUnsafeBytes { Array($0.prefix(hashBytes)) }
    }

    /// Reads numbers one after the other.
    struct Reader {
        fileprivate var rest: ArraySlice<UInt8>

        var isAtEnd: Bool { rest.isEmpty }

        mutating func next() throws(IndexLie) -> UInt64 {
            var number: UInt64 = 0
            var shift: UInt64 = 0
            while let byte = rest.popFirst() {
                guard shift < 63 || byte <= 1 else { break }
                number |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return number }
                shift += 7
            }
            throw IndexLie("a row of the index is no list of numbers")
        }
    }
}

/// Which records of a block hold a word, by their places in it.
enum PositionList {
    static func encode(_ positions: [Int], _ kind: IndexKind, _ text: [UInt8], _ block: Int64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(positions.count + 10)
        var next = 0
        for position in positions {
            IndexCodec.append(UInt64(position - next), to: &bytes)
            next = position + 1
        }
        IndexCodec.finish(&bytes, kind.rawValue, text, block)
        return bytes
    }

    /// - Parameter count: records of a block.
    static func decode(
        _ bytes: [UInt8],
        _ kind: Int64,
        _ text: [UInt8],
        _ block: Int64,
        count: Int
    ) throws(IndexLie) -> [Int] {
        var reader = try IndexCodec.open(bytes, kind, text, block)
        var positions: [Int] = []
        positions.reserveCapacity(bytes.count)
        var next: UInt64 = 0
        while !reader.isAtEnd {
            let gap = try reader.next()
            guard gap < UInt64(count), next + gap < UInt64(count) else {
                throw IndexLie("a row of the index names a record outside its block")
            }
            positions.append(Int(next + gap))
            next += gap + 1
        }
        return positions
    }
}

/// Where and when the records of a block stand.
struct BlockPlaces {
    struct Place: Equatable {
        /// Microseconds since 1970.
        let time: Int64
        /// Number of the first record of its segment.
        let segment: UInt64
        let offset: Int
    }

    private(set) var places: [Place] = []

    var earliest: Int64 { places.map(\.time).min() ?? 0 }
    var latest: Int64 { places.map(\.time).max() ?? 0 }

    init() {}

    mutating func append(_ place: Place) { places.append(place) }

    /// Per record the difference of its time, and of its offset: none when it begins a segment, which is named after it.
    func encode(_ block: Int64) -> [UInt8] {
        guard let first = places.first else { return [] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(places.count * 5)
        IndexCodec.append(first.segment, to: &bytes)
        IndexCodec.append(UInt64(first.offset), to: &bytes)
        var (time, offset): (Int64, Int) = (0, first.offset)
        for (index, place) in places.enumerated() {
            IndexCodec.append(IndexCodec.zigzag(place.time &- time), to: &bytes)
            if index > 0 { IndexCodec.append(place.offset == 0 ? 0 : UInt64(place.offset - offset), to: &bytes) }
            (time, offset) = (place.time, place.offset)
        }
        IndexCodec.finish(&bytes, 0, [], block)
        return bytes
    }

    /// - Parameter count: records of a block.
    init(_ bytes: [UInt8], _ block: Int64, count: Int) throws(IndexLie) {
        var reader = try IndexCodec.open(bytes, 0, [], block)
        let begin = UInt64(clamping: block) &* UInt64(count)
        var segment = try reader.next()
        var offset = try reader.next()
        var time: Int64 = 0
        places.reserveCapacity(count)
        for index in 0..<count {
            time = time &+ IndexCodec.unzigzag(try reader.next())
            if index > 0 {
                let step = try reader.next()
                if step == 0 { segment = begin + UInt64(index) }
                offset = step == 0 ? 0 : offset &+ step
            }
            guard offset <= 1 << 40, segment <= begin + UInt64(index) else {
                throw IndexLie("a row of the index points nowhere")
            }
            places.append(Place(time: time, segment: segment, offset: Int(offset)))
        }
        guard reader.isAtEnd else { throw IndexLie("a row of the index is too long") }
    }
}
