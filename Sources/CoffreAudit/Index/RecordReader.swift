internal import CoffreCrypto
internal import Glibc

/// Reads single records from their segments, and holds each to the one after it.
final class RecordReader {
    /// Most lines are shorter than half of this.
    private static let usualBytes = 4096

    private let segments: LogSegments
    private var opened: (index: Int, file: any LogFile)?
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 2 * (LineEncoder.maximumLineBytes + 1),
        alignment: 16
    )

    init(_ segments: LogSegments) { self.segments = segments }

    deinit { buffer.deallocate() }

    /// The line of a record, its hash checked against what the record after it says (`_p`), as far as there is one.
    /// - Returns: nil when that record does not stand at that place.
    /// - Throws: ``AuditError`` `.damaged` when the record after it names another hash.
    func line(at hit: IndexSearch.Hit) throws(AuditError) -> [UInt8]? {
        guard let index = segments.index(first: hit.segment),
            let (line, after) = try lines(index, hit.offset), Self.read(line)?.sequence == hit.sequence
        else { return nil }
        var next = after
        if next == nil, let following = segments.index(first: hit.sequence + 1) {
            next = try lines(following, 0)?.line
        }
        let leaf = line.withUnsafeBytes { TreeHash.leaf($0) }
        if let next, Self.read(next)?.previous != leaf {
            throw .damaged(
                segment: segments.all[index].name.path,
                record: hit.sequence,
                reason: "the record after it names another hash"
            )
        }
        return line
    }

    /// Whether the record before a place of the log is the one with that number and leaf hash.
    func isLast(_ sequence: UInt64, segment: UInt64, offset: Int, leaf: [UInt8]) throws(AuditError) -> Bool {
        guard let index = segments.index(first: segment), offset > 0 else { return false }
        do throws(FileFailure) {
            let file = try segments.open(index)
            guard try file.size() >= offset else { return false }
            let length = min(offset, LineEncoder.maximumLineBytes + 2)
            let tail = try read(file, from: offset - length, count: length)
            guard tail.count == length, tail.last == 0x0a else { return false }
            let body = tail.dropLast()
            let start = body.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
            let line = Array(body[start...])
            return line.withUnsafeBytes { TreeHash.leaf($0) }.bytes == leaf && Self.read(line)?.sequence == sequence
        } catch {
            throw error.asAuditError
        }
    }

    /// The line at a place and, in the same segment, the one after it.
    private func lines(_ index: Int, _ offset: Int) throws(AuditError) -> (line: [UInt8], after: [UInt8]?)? {
        guard offset >= 0 else { return nil }
        do throws(FileFailure) {
            if opened?.index != index { opened = (index, try segments.open(index)) }
            guard let file = opened?.file else { return nil }
            for count in [Self.usualBytes, buffer.count] {
                let bytes = try read(file, from: offset, count: count)
                let isAll = bytes.count < count || count == buffer.count
                guard let end = Self.lineFeed(in: bytes, from: 0) else {
                    if isAll { return nil }
                    continue
                }
                let line = Array(bytes[..<end])
                if let next = Self.lineFeed(in: bytes, from: end + 1) { return (line, Array(bytes[(end + 1)..<next])) }
                if isAll { return (line, nil) }
            }
            return nil
        } catch {
            throw error.asAuditError
        }
    }

    private static func read(_ line: [UInt8]) -> RecordForm? {
        var form = RecordForm()
        return line.withUnsafeBytes { form.read($0) } == nil ? form : nil
    }

    /// - Returns: a part of `buffer`: fewer bytes at the end of the file.
    private func read(
        _ file: any LogFile,
        from offset: Int,
        count: Int
    ) throws(FileFailure) -> UnsafeRawBufferPointer {
        var done = 0
        while done < count {
            let read = try file.read(
                at: offset + done,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count])
            )
            if read == 0 { break }
            done += read
        }
        return UnsafeRawBufferPointer(rebasing: buffer[..<done])
    }

    private static func lineFeed(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, 0x0a, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
