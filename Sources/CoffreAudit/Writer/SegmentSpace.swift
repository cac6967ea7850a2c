internal import Synchronization

/// Space set aside for the open segment and for the next one, so that a full disk is met long before a record is
/// (specification 3.6: fallocate(2), and the end of a file stays the real end).
///
/// The next segment waits as an empty file `spare` in the log's folder, outside `seg/`: no verifier takes it for a part
/// of the log. Both are made on the disk watch's thread; the writer only takes the spare over, by a rename.
final class SegmentSpace: Sendable {
    static let sparePath = "spare"
    private static let newSparePath = "spare.new"

    private struct Open {
        let file: any LogFile
        /// Bytes set aside from the beginning of the file.
        var allocated: Int
    }

    private let files: any LogFileSystem
    /// What is set aside for one segment: it ends with the batch that fills it, and with its closing record.
    let allocation: Int
    private let preallocates: Bool
    /// The writer waits for this lock only while the watch sets space aside for the very segment that is closed.
    private let open = Mutex<Open?>(nil)
    private let spare = Mutex<(any LogFile)?>(nil)
    private let length = Atomic<Int>(0)
    private let total = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)
    private let isSupported = Atomic<Bool>(true)

    init(_ configuration: AuditLogConfiguration) {
        files = configuration.fileSystem
        preallocates = configuration.space.preallocates
        allocation = configuration.segmentBytes + LogWriter.batchBytes + 4 * LineEncoder.maximumLineBytes
    }

    // MARK: What the watch asks

    /// False once the file system has said that it cannot set anything aside.
    var canAllocate: Bool { isSupported.load(ordering: .relaxed) }

    /// Bytes written by this run.
    var written: Int { total.load(ordering: .relaxed) }

    /// Writes that the disk refused so far.
    var refused: Int { refusals.load(ordering: .relaxed) }

    /// Bytes set aside and not written yet.
    var ahead: Int {
        let open = open.withLock { max(0, ($0?.allocated ?? 0) - length.load(ordering: .relaxed)) }
        return open + (spare.withLock { $0 == nil } ? 0 : allocation)
    }

    /// Bytes that should be set aside and are not.
    var missing: Int { preallocates ? missingForOpen + missingForSpare : 0 }
    private var missingForOpen: Int {
        open.withLock { $0.map { max(0, allocation - max($0.allocated, length.load(ordering: .relaxed))) } ?? 0 }
    }
    private var missingForSpare: Int { spare.withLock { $0 == nil } ? allocation : 0 }

    // MARK: What the writer says

    /// A segment has begun.
    func began(_ file: any LogFile, isAllocated: Bool) {
        length.store(0, ordering: .relaxed)
        open.withLock { $0 = Open(file: file, allocated: isAllocated ? allocation : 0) }
    }

    /// Records are durable; the segment is `end` bytes long now.
    func wrote(_ count: Int, end: Int) {
        length.store(end, ordering: .relaxed)
        total.wrappingAdd(count, ordering: .relaxed)
    }

    /// What a failed call of the writer means; a refusal for want of space is counted.
    func refusal(_ error: FileFailure, at path: String) -> AuditError {
        guard LogWriter.isTransient(error.errno) else { return .failed(reason: error.asAuditError.message) }
        refusals.wrappingAdd(1, ordering: .relaxed)
        return .noSpace(path: path)
    }

    /// Want of space for a file of the keys passes too: nothing has been promised by it yet.
    func passing(_ error: AuditError) -> AuditError {
        guard error.isWantOfSpace, case .system(_, let path, _) = error else { return error }
        refusals.wrappingAdd(1, ordering: .relaxed)
        return .noSpace(path: path)
    }

    /// A write was taken back by a truncation, which frees what was set aside behind it.
    func tookBack() { open.withLock { $0?.allocated = 0 } }

    /// A segment is sealed: the blocks behind its end go back to the disk.
    ///
    /// A failure is of no consequence: the bytes are durable, and blocks that nobody reads waste space and no more.
    func sealed(bytes: Int) {
        open.withLock { current in
            guard let ended = current else { return }
            current = nil
            guard ended.allocated > bytes else { return }
            do throws(FileFailure) { try ended.file.truncate(to: bytes) } catch _ {}
        }
    }

    /// Makes the spare the segment at `path`.
    /// - Returns: nil when there is none; the caller creates the file then. A spare's old name is gone for good after
    ///   the log's folder has been synced.
    /// - Throws: EEXIST when a segment is there, as creating it would.
    func takeSpare(as path: String) throws(FileFailure) -> (any LogFile)? {
        let taken = spare.withLock { spare in
            defer { spare = nil }
            return spare
        }
        guard let taken else { return nil }
        do throws(FileFailure) {
            // Somebody else's file under this name is not ours to use.
            guard try files.identity(of: Self.sparePath) == taken.identity(), try taken.size() == 0 else { return nil }
            try files.renameNew(Self.sparePath, to: path)
        } catch {
            if error.errno == 17 { throw error }
            return nil
        }
        return taken
    }

    // MARK: What the watch does

    /// Takes the spare that an earlier run has left, if it is one.
    func adoptSpare() throws(FileFailure) {
        guard try files.identity(of: Self.sparePath) != nil else { return }
        if preallocates {
            do throws(FileFailure) {
                let found = try files.open(Self.sparePath, writable: true)
                if try found.size() == 0 {
                    try found.allocate(allocation, keepsSize: true)
                    try found.sync()
                    return spare.withLock { $0 = found }
                }
            } catch {
                // Whatever it is, it holds nothing that the log needs; a new one is made later.
            }
        }
        try files.remove(Self.sparePath)
        try files.syncFolder("")
    }

    /// Sets aside what is missing, as far as `free` bytes allow: first for the open segment, then for the next.
    func fill(from free: Int) throws(FileFailure) {
        guard preallocates, canAllocate else { return }
        var free = free
        let wanted = missingForOpen
        if wanted > 0, wanted <= free {
            try allocateOpen()
            free -= wanted
        }
        if missingForSpare > 0, missingForSpare <= free { try makeSpare() }
    }

    /// The file system has said that it cannot set anything aside.
    func isUnsupported() { isSupported.store(false, ordering: .relaxed) }

    private func allocateOpen() throws(FileFailure) {
        let result: Result<Void, FileFailure> = open.withLock { open in
            guard let file = open?.file else { return .success(()) }
            do throws(FileFailure) {
                try file.allocate(allocation, keepsSize: true)
                open?.allocated = allocation
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private func makeSpare() throws(FileFailure) {
        for path in [Self.newSparePath, Self.sparePath] where try files.identity(of: path) != nil {
            try files.remove(path)
        }
        let file = try files.create(Self.newSparePath, isPrivate: false)
        do throws(FileFailure) {
            try file.allocate(allocation, keepsSize: true)
            try file.sync()
            try files.renameNew(Self.newSparePath, to: Self.sparePath)
            try files.syncFolder("")
        } catch {
            do throws(FileFailure) { try files.remove(Self.newSparePath) } catch _ {}
            throw error
        }
        spare.withLock { $0 = file }
    }
}
