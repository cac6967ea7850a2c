internal import CoffreCrypto

/// Compresses sealed segments, each once: the new file is whole, durable and read back before the old one goes.
struct SegmentPacker {
    let files: any LogFileSystem

    /// Compresses every sealed segment but the newest, which readers of the log's end want as it is. Blocks on the disk
    /// for about a second per 64 MiB.
    /// - Parameter shouldStop: asked before each segment.
    /// - Returns: segments that were compressed.
    /// - Throws: ``AuditError``: `.damaged` when a segment is not the one that was sealed (it stays as it is), `.noSpace`,
    ///   `.system`.
    @discardableResult
    func run(_ epochs: EpochChain, shouldStop: () -> Bool = { false }) throws(AuditError) -> Int {
        let segments = try SegmentName.list(files).filter(\.isSealed)
        var count = 0
        var damaged: AuditError?
        for segment in segments.dropLast() where segment.data == .raw || segment.data == .both {
            if shouldStop() { break }
            do throws(FileFailure) {
                try pack(segment.name, epochs)
                count += 1
            } catch {
                if CompressedFile.isDamage(error) {
                    // It stays, and does not keep what lies behind it.
                    damaged =
                        damaged
                        ?? .damaged(
                            segment: segment.name.path,
                            record: segment.name.first,
                            reason: "it is not what was sealed, so it is not compressed"
                        )
                    continue
                }
                throw LogWriter.isTransient(error.errno) ? .noSpace(path: error.path) : error.asAuditError
            }
        }
        if let damaged { throw damaged }
        return count
    }

    private func pack(_ name: SegmentName, _ epochs: EpochChain) throws(FileFailure) {
        guard let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes),
            let seal = SegmentSeal(note: note, epochs: epochs), seal.first == name.first
        else { throw FileFailure(call: "zstd", path: name.sealPath, errno: 74) }
        let raw = try files.open(name.path, writable: false)
        let temporary = name.packedPath + ".new"
        if try files.identity(of: temporary) != nil { try files.remove(temporary) }
        let file = try files.create(temporary, isPrivate: false)
        do throws(FileFailure) {
            try write(raw, seal, to: file, temporary)
            try file.sync()
            guard try Self.hash(of: CompressedFile(file, path: temporary)) == seal.raw else {
                throw FileFailure(call: "zstd", path: temporary, errno: 74)
            }
            try files.rename(temporary, to: name.packedPath)
            try files.syncFolder(name.folder)
        } catch {
            // Nothing depends on it; what matters is the first failure.
            do throws(FileFailure) { try files.remove(temporary) } catch _ {}
            throw error
        }
        try files.remove(name.path)
        try files.syncFolder(name.folder)
    }

    private func write(
        _ raw: any LogFile,
        _ seal: SegmentSeal,
        to file: any LogFile,
        _ path: String
    ) throws(FileFailure) {
        let size = Int(clamping: seal.bytes)
        let damage = FileFailure(call: "zstd", path: path, errno: 74)
        guard try raw.size() == size, size > 0 else { throw damage }
        let zstd = ZstdFrame.Compressor()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentContainer.frameBytes, alignment: 64)
        defer { buffer.deallocate() }
        var (rawHash, packedHash, sizes, end) = (SHA256(), SHA256(), [UInt32](), 0)
        var done = 0
        while done < size {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, size - done)])
            guard try raw.fill(room, at: done), let frame = zstd.compress(UnsafeRawBufferPointer(room)) else {
                throw damage
            }
            rawHash.update(UnsafeRawBufferPointer(room))
            packedHash.update(frame)
            try file.append(frame, at: end, path: path)
            sizes.append(UInt32(frame.count))
            end += frame.count
            done += room.count
        }
        guard rawHash.finish() == seal.raw else { throw damage }
        let table = SegmentContainer.table(sizes, rawBytes: size)
        packedHash.update(table)
        try file.append(SegmentContainer.digestHeader + packedHash.finish().bytes + table, at: end, path: path)
    }

    /// SHA-256 of what a compressed file holds; nil when a byte of it is not the one that was written.
    static func hash(of file: CompressedFile) throws(FileFailure) -> Digest? {
        guard try file.isWhole() else { return nil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentContainer.frameBytes, alignment: 64)
        defer { buffer.deallocate() }
        var (hash, done) = (SHA256(), 0)
        while true {
            let count = try file.read(at: done, into: buffer)
            if count == 0 { return hash.finish() }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            done += count
        }
    }
}

extension LogFile {
    /// Writes everything at `offset` or throws; a short write counts as ENOSPC.
    fileprivate func append(_ bytes: [UInt8], at offset: Int, path: String) throws(FileFailure) {
        let result: Result<Int, FileFailure> = bytes.withUnsafeBytes { buffer in
            do throws(FileFailure) { return .success(try write(buffer, at: offset)) } catch { return .failure(error) }
        }
        guard try result.get() == bytes.count else { throw FileFailure(call: "pwrite", path: path, errno: 28) }
    }
}
