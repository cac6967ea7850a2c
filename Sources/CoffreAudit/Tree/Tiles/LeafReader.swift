internal import CoffreCrypto
internal import Glibc

/// Hashes the lines of a log, in order, from any record on. It does not check them: what the hashes fold to is checked.
final class LeafReader {
    private static let chunkBytes = 1 << 18
    /// Places that are remembered: every so many records.
    private static let markEvery: UInt64 = 256

    private let files: any LogFileSystem
    private var segments: [SegmentName]?
    private var current: (name: SegmentName, file: any LogFile)?
    /// Offsets of records in the open segment.
    private var marks: [(record: UInt64, offset: Int)] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: LeafReader.chunkBytes + LineEncoder.maximumLineBytes + 1,
        alignment: 16
    )

    init(_ files: any LogFileSystem) { self.files = files }

    deinit { buffer.deallocate() }

    /// Shows the leaf hash of each record of `range`. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged` when a record is not there, `.system`.
    func read(_ range: Range<UInt64>, _ visit: (Digest) -> Void) throws(AuditError) {
        var next = range.lowerBound
        while next < range.upperBound {
            let begin = next
            let name = try segment(of: next)
            do throws(FileFailure) {
                try read(name, from: &next, to: range.upperBound, visit)
            } catch {
                throw error.asAuditError
            }
            guard next > begin else { throw Self.missing(next, in: name.path) }
        }
    }

    private func list() throws(AuditError) -> [SegmentName] {
        if let segments { return segments }
        let found = try SegmentName.list(files).filter { $0.data != .none }.map(\.name)
        segments = found
        return found
    }

    private func segment(of record: UInt64) throws(AuditError) -> SegmentName {
        for _ in 0..<2 {
            let names = try list()
            // The first that begins after the record.
            var (low, high) = (0, names.count)
            while low < high {
                let middle = (low + high) / 2
                if names[middle].first <= record { low = middle + 1 } else { high = middle }
            }
            // One that ended before the record: the log has grown since, and another segment holds it.
            if low > 0, low < names.count || names[low - 1] != exhausted { return names[low - 1] }
            segments = nil
            exhausted = nil
        }
        throw Self.missing(record, in: SegmentName.root)
    }

    /// The last segment that was known when reading came to its end.
    private var exhausted: SegmentName?

    private static func missing(_ record: UInt64, in path: String) -> AuditError {
        .damaged(segment: path, record: record, reason: "record \(record) is not there")
    }

    private func read(
        _ name: SegmentName,
        from next: inout UInt64,
        to end: UInt64,
        _ visit: (Digest) -> Void
    ) throws(FileFailure) {
        if current?.name != name {
            current = (name, try files.openSegment(name))
            marks = [(name.first, 0)]
        }
        guard let file = current?.file else { return }
        let wanted = next
        let mark = marks[max(0, (marks.firstIndex { $0.record > wanted } ?? marks.count) - 1)]
        var (record, offset, filled) = (mark.record, mark.offset, 0)
        while record < end {
            let count = try file.read(
                at: offset + filled,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            )
            guard count > 0 else {
                exhausted = name
                return
            }
            filled += count
            var start = 0
            while record < end, let feed = lineFeed(from: start, to: filled) {
                if record >= next {
                    visit(TreeHash.leaf(UnsafeRawBufferPointer(rebasing: buffer[start..<feed])))
                    next = record + 1
                }
                record += 1
                start = feed + 1
                if record % Self.markEvery == 0, let last = marks.last, last.record < record {
                    marks.append((record, offset + start))
                }
            }
            guard record >= end || filled - start <= LineEncoder.maximumLineBytes else {
                throw FileFailure(call: "read (a line is too long)", path: name.path, errno: EINVAL)
            }
            offset += start
            if start > 0, let base = buffer.baseAddress {
                memmove(base, base + start, filled - start)
                filled -= start
            }
        }
    }

    private func lineFeed(from start: Int, to end: Int) -> Int? {
        guard start < end, let base = buffer.baseAddress, let found = memchr(base + start, 0x0a, end - start) else {
            return nil
        }
        return UnsafeMutableRawPointer(found) - base
    }
}

@available(*, unavailable)
extension LeafReader: Sendable {}
