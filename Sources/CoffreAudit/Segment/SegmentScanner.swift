internal import CoffreCrypto
internal import Glibc

/// Reads one segment from its first byte to the last and checks every line against the chain.
///
/// Pure over the file: the caller says where the chain stands before the segment and learns where it stands after.
struct SegmentScanner: ~Copyable {
    /// Why and where reading stopped before the end of the file.
    struct Defect: Sendable, Equatable {
        let reason: String
        /// Offset of the bad line.
        let offset: Int
        /// Number that the bad line should have.
        let record: UInt64
        /// Whether the bytes from `offset` to the end hold no line feed: what a torn write leaves.
        let isUnfinished: Bool
    }

    private static let chunkBytes = 1 << 20

    private(set) var frontier: Frontier
    /// Leaf hash of the last good record.
    private(set) var leaf: Digest
    private(set) var generation: UInt64?
    private(set) var tally = SegmentTally()
    private(set) var firstTime: RecordTime?
    private(set) var lastTime = RecordTime(microseconds: 0)
    private(set) var lastOperation: AuditOperation?
    /// Bytes of good lines, line feeds included.
    private(set) var goodBytes = 0
    /// What the tiles fold to whose last record was read.
    private(set) var tileRoots: [Tile: Digest] = [:]
    private var rawHash = SHA256()
    private var form = RecordForm()
    private var expected: ExpectedRoots
    private let start: Frontier
    private let previous: Digest

    /// - Parameter expected: roots that signed checkpoints name.
    init(start: Frontier, previous: Digest, generation: UInt64?, expected: ExpectedRoots = ExpectedRoots()) {
        self.expected = expected
        self.start = start
        self.previous = previous
        self.generation = generation
        frontier = start
        leaf = previous
    }

    /// Reads lines until the end or the first bad one.
    /// - Parameters:
    ///   - visit: sees each good line, without its line feed, and its form.
    /// - Returns: nil when every byte belongs to a good line.
    mutating func scan(
        _ file: any LogFile,
        visit: (UnsafeRawBufferPointer, borrowing RecordForm) -> String? = { _, _ in nil }
    ) throws(FileFailure) -> Defect? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.chunkBytes + LineEncoder.maximumLineBytes + 1,
            alignment: 16
        )
        defer { buffer.deallocate() }
        var filled = 0
        var offset = 0
        while true {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = try file.read(at: offset, into: room)
            offset += count
            filled += count
            if count == 0 {
                guard filled > 0 else { return nil }
                return defect("the last line has no line feed", isUnfinished: true)
            }
            var consumed = 0
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<filled])
            while let end = Self.lineFeed(in: bytes, from: consumed) {
                let line = UnsafeRawBufferPointer(rebasing: bytes[consumed..<end])
                if let reason = accept(line, visit) { return defect(reason, isUnfinished: false) }
                rawHash.update(UnsafeRawBufferPointer(rebasing: bytes[consumed...end]))
                goodBytes += end + 1 - consumed
                consumed = end + 1
            }
            if filled - consumed > LineEncoder.maximumLineBytes {
                return defect("the line is longer than 16384 bytes", isUnfinished: false)
            }
            if consumed > 0, let base = buffer.baseAddress {
                base.copyMemory(from: base + consumed, byteCount: filled - consumed)
                filled -= consumed
            }
        }
    }

    private func defect(_ reason: String, isUnfinished: Bool) -> Defect {
        Defect(reason: reason, offset: goodBytes, record: frontier.size, isUnfinished: isUnfinished)
    }

    private static func lineFeed(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count else { return nil }
        guard let base = bytes.baseAddress, let found = memchr(base + start, 0x0a, bytes.count - start) else {
            return nil
        }
        return UnsafeRawPointer(found) - base
    }

    private mutating func accept(
        _ line: UnsafeRawBufferPointer,
        _ visit: (UnsafeRawBufferPointer, borrowing RecordForm) -> String?
    ) -> String? {
        if let reason = form.read(line) { return reason }
        guard form.sequence == frontier.size else {
            return "its number is \(form.sequence), not \(frontier.size)"
        }
        guard form.previous == leaf else { return "it does not follow the record before (_p)" }
        guard (form.sequence == 0) == (form.operation == .genesis) else {
            return "genesis is record 0, and only record 0"
        }
        if let reason = visit(line, form) { return reason }
        let lineHash = TreeHash.leaf(line)
        if expected.isDue(at: frontier.size + 1) {
            var grown = frontier
            grown.append(leaf: lineHash)
            if let reason = expected.defect(at: grown) { return reason }
        }
        leaf = lineHash
        appendToTree(lineHash)
        if let generation = form.generation, form.phase == .outcome {
            self.generation = max(self.generation ?? 0, generation)
        }
        if firstTime == nil { firstTime = form.time }
        lastTime = form.time
        lastOperation = form.operation
        tally.add(form.operation, form.outcome)
        if let connector = form.connector {
            tally.add(connector: ExactName(unescaping: UnsafeRawBufferPointer(rebasing: line[connector])))
        }
        return nil
    }

    private mutating func appendToTree(_ leaf: Digest) {
        // One record in 65,536 may complete a tile.
        guard frontier.size & 0xffff == 0xffff else { return frontier.append(leaf: leaf) }
        let last = frontier.size
        var roots: [Tile: Digest] = [:]
        frontier.append(subtree: leaf, level: 0) { level, hash in
            guard level >= 2 * Tile.height, level % Tile.height == 0 else { return }
            roots[Tile(level: level / Tile.height - 1, index: last >> UInt64(level))] = hash
        }
        tileRoots.merge(roots) { $1 }
    }

    /// What the seal of this segment must say; nil while it holds no record.
    mutating func makeSeal() -> SegmentSeal? {
        guard let firstTime else { return nil }
        var tally = tally
        if lastOperation == .segmentSeal { tally.removeClosingRecord() }
        var rawHash = rawHash
        return SegmentSeal(
            bytes: UInt64(goodBytes),
            tally: tally,
            start: start,
            end: frontier,
            generation: generation,
            leaf: leaf,
            previous: previous,
            raw: rawHash.finish(),
            firstTime: firstTime,
            lastTime: lastTime
        )
    }
}
