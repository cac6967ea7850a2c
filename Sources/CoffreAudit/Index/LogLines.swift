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

    let segments: LogSegments

    /// The beginning of the segment that holds a record, or of the first that there is.
    func start(of sequence: UInt64) -> Place? {
        guard let index = segments.index(holding: sequence) ?? segments.all.indices.first else { return nil }
        let first = segments.all[index].name.first
        return Place(sequence: first, segment: first, offset: 0)
    }

    /// The records that are missing at a place where reading stopped, although later ones are there: they were pruned,
    /// or somebody took them away; only a verification can tell.
    func gap(at place: Place) -> Range<UInt64>? {
        let next = (segments.index(holding: place.sequence) ?? -1) + 1
        guard next < segments.all.count else { return nil }
        return place.sequence..<segments.all[next].name.first
    }

    /// - Parameters:
    ///   - place: of a record.
    ///   - end: the record before which reading stops at the latest.
    ///   - visit: returns false to stop.
    /// - Returns: the place after the last record that was shown.
    /// - Throws: ``AuditError`` `.damaged` when a line is not the record that must stand there.
    func read(
        from place: Place,
        to end: UInt64,
        _ visit: (UnsafeRawBufferPointer, borrowing RecordForm, Place) -> Bool
    ) throws(AuditError) -> Place {
        var leaf: Digest?
        var here = place
        guard var index = segments.index(first: here.segment) else { return here }
        do throws(FileFailure) {
            while here.sequence < end {
                let path = segments.all[index].name.path
                let isStopped = try read(try segments.open(index), path, &here, &leaf, end, visit)
                index += 1
                // The end of the open segment, a gap, or a segment that ended where the next one begins.
                guard !isStopped, here.sequence < end, index < segments.all.count,
                    segments.all[index].name.first == here.sequence
                else { break }
                here = Place(sequence: here.sequence, segment: here.sequence, offset: 0)
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
        _ path: String,
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
        let bytes = UnsafeRawBufferPointer(buffer)
        var form = RecordForm()
        var filled = 0
        while here.sequence < end {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = try file.read(at: here.offset + filled, into: room)
            guard count > 0 else { return false }
            filled += count
            var start = 0
            while here.sequence < end, let feed = Self.lineFeed(in: bytes, from: start, to: filled) {
                let line = UnsafeRawBufferPointer(rebasing: bytes[start..<feed])
                guard form.read(line) == nil, form.sequence == here.sequence, leaf == nil || leaf == form.previous
                else {
                    throw FileFailure(call: "form", path: path, errno: 0)
                }
                leaf = TreeHash.leaf(line)
                let place = here
                here.sequence += 1
                here.offset += feed + 1 - start
                start = feed + 1
                if !visit(line, form, place) { return true }
            }
            guard here.sequence >= end || filled - start <= LineEncoder.maximumLineBytes else {
                throw FileFailure(call: "form", path: path, errno: 0)
            }
            if start > 0, let base = buffer.baseAddress {
                memmove(base, base + start, filled - start)
                filled -= start
            }
        }
        return false
    }

    private static func lineFeed(in bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Int? {
        guard start < end, let base = bytes.baseAddress, let found = memchr(base + start, 0x0a, end - start) else {
            return nil
        }
        return UnsafeRawPointer(found) - base
    }
}

extension LogLines {
    /// The lines of the segments that there are now.
    init(files: any LogFileSystem) throws(AuditError) { segments = try LogSegments(files) }
}
