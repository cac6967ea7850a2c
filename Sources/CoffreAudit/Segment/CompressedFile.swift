internal import CoffreCrypto

/// A compressed segment, read as if it were the segment.
final class CompressedFile: LogFile {
    private let file: any LogFile
    private let path: String
    private let layout: SegmentContainer.Layout

    /// - Throws: EBADMSG when `file` is not a container of the form that Coffre writes.
    init(_ file: any LogFile, path: String) throws(FileFailure) {
        self.file = file
        self.path = path
        let size = try file.size()
        let footer = SegmentContainer.footerBytes
        guard size > footer,
            let count = SegmentContainer.tableBytes(
                footer: try file.bytes(at: size - footer, count: footer),
                fileBytes: size
            ), let layout = SegmentContainer.layout(try file.bytes(at: size - count, count: count), fileBytes: size)
        else { throw Self.damage(path) }
        self.layout = layout
    }

    private static func damage(_ path: String) -> FileFailure { FileFailure(call: "zstd", path: path, errno: 74) }

    /// Whether `failure` says that a container is damaged.
    static func isDamage(_ failure: FileFailure) -> Bool { failure.call == "zstd" && failure.errno == 74 }

    /// Whether every byte of the file is what its digest frame covers. Reads the file once.
    func isWhole() throws(FileFailure) -> Bool {
        guard let end = layout.offsets.last else { return false }
        var hash = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < end {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, end - done)])
            let count = try file.read(at: done, into: room)
            guard count > 0 else { return false }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            done += count
        }
        hash.update(layout.table)
        return try file.bytes(at: end, count: SegmentContainer.digestBytes)
            == SegmentContainer.digestHeader + hash.finish().bytes
    }

    func size() throws(FileFailure) -> Int { layout.rawBytes }

    /// Reads to the end of a frame at most: whoever reads on from there never has one decompressed twice.
    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
        guard offset >= 0, offset < layout.rawBytes, !target.isEmpty else { return 0 }
        let frame = offset / SegmentContainer.frameBytes
        let inside = offset - frame * SegmentContainer.frameBytes
        let count = layout.rawCount(frame)
        if inside == 0, target.count >= count {
            try unpack(frame, into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]))
            return count
        }
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        defer { whole.deallocate() }
        try unpack(frame, into: whole)
        let part = whole[inside..<min(count, inside + target.count)]
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
        return part.count
    }

    private func unpack(_ frame: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) {
        let (start, end) = (layout.offsets[frame], layout.offsets[frame + 1])
        let packed = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 64)
        defer { packed.deallocate() }
        guard try file.fill(packed, at: start), ZstdFrame.decompress(UnsafeRawBufferPointer(packed), into: target)
        else { throw Self.damage(path) }
    }

    func identity() throws(FileFailure) -> FileIdentity { try file.identity() }

    // A compressed segment is never written.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) -> Int { throw readOnly("pwrite") }
    func syncData() throws(FileFailure) { throw readOnly("fdatasync") }
    func sync() throws(FileFailure) { throw readOnly("fsync") }
    func truncate(to length: Int) throws(FileFailure) { throw readOnly("ftruncate") }

    private func readOnly(_ call: String) -> FileFailure { FileFailure(call: call, path: path, errno: 30) }
}

extension LogFile {
    /// Fills `target` from `offset` on. - Returns: false when the file ends before.
    func fill(_ target: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileFailure) -> Bool {
        var done = 0
        while done < target.count {
            let count = try read(at: offset + done, into: UnsafeMutableRawBufferPointer(rebasing: target[done...]))
            if count == 0 { return false }
            done += count
        }
        return true
    }

    /// At most `count` bytes from `offset` on; fewer at the end of the file.
    func bytes(at offset: Int, count: Int) throws(FileFailure) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < count {
            let read = try read(at: offset + done, into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count]))
            if read == 0 { break }
            done += read
        }
        return Array(buffer[..<done])
    }
}
