internal import CoffreCrypto

/// The file of a compressed segment, `N.jsonl.zst`: what `zstd -dc` turns into the segment.
///
/// Frames of 128 KiB of the segment each; then a skippable frame with the SHA-256 of all the rest of the file, so that
/// no bit of it is free; last a seek table as in zstd's contrib/seekable_format. It is a container and nothing more:
/// what the segment says is pinned by its seal.
enum SegmentContainer {
    /// Bytes of the segment in one frame, except the last.
    static let frameBytes = 131_072
    /// Largest segment that is read: 64 GiB.
    static let maximumBytes: UInt64 = 1 << 36

    /// Magic of a zstd skippable frame (RFC 8878 §3.1.2), user bits 0, and the length of a SHA-256.
    static let digestHeader: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]
    static let digestBytes = 8 + 32
    /// Of the seek table: skippable frame header before, footer after its entries of eight bytes.
    static let tableHeaderBytes = 8
    static let footerBytes = 9
    private static let tableMagic: [UInt8] = [0x5e, 0x2a, 0x4d, 0x18]
    private static let footerMagic: [UInt8] = [0xb1, 0xea, 0x92, 0x8f]

    /// The seek table over frames of `sizes` compressed bytes.
    static func table(_ sizes: [UInt32], rawBytes: Int) -> [UInt8] {
        var bytes = tableMagic
        func add(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        add(UInt32(sizes.count * 8 + footerBytes))
        for (index, size) in sizes.enumerated() {
            add(size)
            add(UInt32(min(frameBytes, rawBytes - index * frameBytes)))
        }
        add(UInt32(sizes.count))
        bytes.append(0)
        return bytes + footerMagic
    }

    /// Where the frames of a container lie.
    struct Layout: Sendable, Equatable {
        /// Offset of each frame, and the end of the last one.
        let offsets: [Int]
        let rawBytes: Int
        /// The seek table as it stands in the file.
        let table: [UInt8]

        var frames: Int { offsets.count - 1 }
        var fileBytes: Int { (offsets.last ?? 0) + SegmentContainer.digestBytes + table.count }

        func rawCount(_ frame: Int) -> Int {
            min(SegmentContainer.frameBytes, rawBytes - frame * SegmentContainer.frameBytes)
        }
    }

    /// - Parameter footer: the last nine bytes of the file.
    /// - Returns: bytes of the seek table, nil when there is none.
    static func tableBytes(footer: [UInt8], fileBytes: Int) -> Int? {
        guard footer.count == footerBytes, footer[4] == 0, Array(footer[5...]) == footerMagic else { return nil }
        let frames = Int(number(footer[..<4]))
        let bytes = tableHeaderBytes + frames * 8 + footerBytes
        guard frames > 0, frames <= Int(maximumBytes) / frameBytes, bytes + digestBytes < fileBytes else { return nil }
        return bytes
    }

    /// Strict: nil when `table` is not what ``table(_:rawBytes:)`` writes for a file of `fileBytes`.
    static func layout(_ table: [UInt8], fileBytes: Int) -> Layout? {
        guard table.count > tableHeaderBytes + footerBytes else { return nil }
        var sizes: [UInt32] = []
        var (offsets, raw) = ([0], 0)
        var entry = tableHeaderBytes
        while entry + 8 + footerBytes <= table.count {
            let size = number(table[entry..<entry + 4])
            guard size > 0, size <= maximumFrameBytes else { return nil }
            sizes.append(size)
            offsets.append(offsets[offsets.count - 1] + Int(size))
            raw += Int(number(table[entry + 4..<entry + 8]))
            entry += 8
        }
        guard raw > (sizes.count - 1) * frameBytes, raw <= sizes.count * frameBytes,
            SegmentContainer.table(sizes, rawBytes: raw) == table
        else { return nil }
        let layout = Layout(offsets: offsets, rawBytes: raw, table: table)
        return layout.fileBytes == fileBytes ? layout : nil
    }

    /// More than zstd ever makes of 128 KiB (`ZSTD_compressBound`).
    static let maximumFrameBytes: UInt32 = 140_000

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
