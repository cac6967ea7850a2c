internal import CoffreCrypto
internal import CoffreStorage

/// Reads single records from their segments, and holds each to the one after it.
final class RecordReader {
    private let files: any LogFileSystem
    private var segments: [SegmentName]?
    private var opened: (first: UInt64, file: any LogFile)?

    init(_ files: any LogFileSystem) { self.files = files }

    /// The line of a record, its hash checked against what the record after it says (`_p`), as far as there is one.
    /// - Returns: nil when that record does not stand at that place.
    /// - Throws: ``AuditError`` `.damaged` when the record after it names another hash.
    func line(at hit: RecordIndex.Hit) throws(AuditError) -> [UInt8]? {
        guard let (line, after) = try lines(hit.segment, hit.offset), Self.read(line)?.sequence == hit.sequence else {
            return nil
        }
        var next = after
        if next == nil { next = try first(of: hit.sequence + 1) }
        let leaf = line.withUnsafeBytes { TreeHash.leaf($0) }
        if let next, Self.read(next)?.previous != leaf {
            throw .damaged(
                segment: try name(hit.segment)?.path ?? SegmentName.root,
                record: hit.sequence,
                reason: "the record after it names another hash"
            )
        }
        return line
    }

    /// Whether the record before `mark` is the one with that leaf hash.
    func isLast(_ mark: RecordIndex.Mark) throws(AuditError) -> Bool {
        guard let name = try name(mark.segment), mark.offset > 0 else { return false }
        do throws(FileFailure) {
            let file = try files.openSegment(name)
            guard try file.size() >= mark.offset else { return false }
            let length = min(mark.offset, LineEncoder.maximumLineBytes + 2)
            let tail = try Self.bytes(file, from: mark.offset - length, count: length)
            guard tail.count == length, tail.last == 0x0a else { return false }
            let body = tail.dropLast()
            let start = body.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
            return Array(body[start...]).withUnsafeBytes { TreeHash.leaf($0) }.bytes == mark.leaf
        } catch {
            throw error.asAuditError
        }
    }

    /// The line at a place and, in the same segment, the one after it.
    private func lines(_ segment: UInt64, _ offset: Int) throws(AuditError) -> (line: [UInt8], after: [UInt8]?)? {
        guard offset >= 0, let name = try name(segment) else { return nil }
        do throws(FileFailure) {
            if opened?.first != segment { opened = (segment, try files.openSegment(name)) }
            guard let file = opened?.file else { return nil }
            let bytes = try Self.bytes(file, from: offset, count: 2 * (LineEncoder.maximumLineBytes + 1))
            let parts = bytes.split(separator: 0x0a, maxSplits: 2, omittingEmptySubsequences: false).map(Array.init)
            guard parts.count > 1 else { return nil }
            return (parts[0], parts.count > 2 ? parts[1] : nil)
        } catch {
            throw error.asAuditError
        }
    }

    private func first(of segment: UInt64) throws(AuditError) -> [UInt8]? {
        if try name(segment) == nil { return nil }
        return try RecordReader(files).lines(segment, 0)?.line
    }

    private func name(_ first: UInt64) throws(AuditError) -> SegmentName? {
        if segments == nil { segments = try SegmentName.list(files).map(\.name) }
        let known = segments ?? []
        var (low, high) = (0, known.count)
        while low < high {
            let middle = (low + high) / 2
            if known[middle].first < first { low = middle + 1 } else { high = middle }
        }
        return low < known.count && known[low].first == first ? known[low] : nil
    }

    private static func read(_ line: [UInt8]) -> RecordForm? {
        var form = RecordForm()
        return line.withUnsafeBytes { form.read($0) } == nil ? form : nil
    }

    private static func bytes(_ file: any LogFile, from offset: Int, count: Int) throws(FileFailure) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < count {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count])
            let read = try file.read(at: offset + done, into: room)
            if read == 0 { break }
            done += read
        }
        return Array(buffer[..<done])
    }
}
