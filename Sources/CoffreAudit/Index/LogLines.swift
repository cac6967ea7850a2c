internal import CoffreCrypto
internal import Glibc

/// Reads whole lines of a log from a place on, each held to the one before it.
struct LogLines {
    /// Where a record stands.
    struct Place {
        var sequence: UInt64
        /// First record of its segment.
        var segment: UInt64
        var offset: Int
    }

    private static let chunkBytes = 1 << 18

    let files: any LogFileSystem

    /// - Parameters:
    ///   - place: of a record; the beginning of the log when nil.
    ///   - end: the record before which reading stops at the latest.
    ///   - visit: returns false to stop.
    /// - Returns: the place after the last record that was shown.
    /// - Throws: ``AuditError`` `.damaged` when a line is not the record that must stand there.
    func read(
        from place: Place?,
        to end: UInt64,
        _ visit: (UnsafeRawBufferPointer, borrowing RecordForm, Place) -> Bool
    ) throws(AuditError) -> Place {
        let segments = try SegmentName.list(files).map(\.name)
        var leaf: Digest?
        var here = place ?? Place(sequence: 0, segment: 0, offset: 0)
        guard var index = segments.firstIndex(where: { $0.first == here.segment }) else { return here }
        do throws(FileFailure) {
            while here.sequence < end {
                let name = segments[index]
                let isStopped = try read(try files.openSegment(name), name, &here, &leaf, end, visit)
                index += 1
                // The end of the open segment, or a segment that ended where the next one begins.
                guard !isStopped, here.sequence < end, index < segments.count,
                    segments[index].first == here.sequence
                else { break }
                here = Place(sequence: here.sequence, segment: segments[index].first, offset: 0)
            }
        } catch {
            guard error.call != "form" else {
                throw .damaged(segment: error.path, record: here.sequence, reason: "a line is not the record due there")
            }
            throw error.asAuditError
        }
        return here
    }

    /// - Returns: whether `visit` has stopped it.
    private func read(
        _ file: any LogFile,
        _ name: SegmentName,
        _ here: inout Place,
        _ leaf: inout Digest?,
        _ end: UInt64,
        _ visit: (UnsafeRawBufferPointer, borrowing RecordForm, Place) -> Bool
    ) throws(FileFailure) -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.chunkBytes + LineEncoder.maximumLineBytes + 1,
            alignment: 16
        )
        defer { buffer.deallocate() }
        var form = RecordForm()
        var filled = 0
        while here.sequence < end {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = try file.read(at: here.offset + filled, into: room)
            guard count > 0 else { return false }
            filled += count
            var start = 0
            while here.sequence < end, let feed = buffer[start..<filled].firstIndex(of: 0x0a) {
                let line = UnsafeRawBufferPointer(rebasing: buffer[start..<feed])
                guard form.read(line) == nil, form.sequence == here.sequence, leaf == nil || leaf == form.previous
                else {
                    throw FileFailure(call: "form", path: name.path, errno: 0)
                }
                leaf = TreeHash.leaf(line)
                let place = here
                here.sequence += 1
                here.offset += feed + 1 - start
                start = feed + 1
                if !visit(line, form, place) { return true }
            }
            guard here.sequence >= end || filled - start <= LineEncoder.maximumLineBytes else {
                throw FileFailure(call: "form", path: name.path, errno: 0)
            }
            if start > 0, let base = buffer.baseAddress {
                memmove(base, base + start, filled - start)
                filled -= start
            }
        }
        return false
    }
}
