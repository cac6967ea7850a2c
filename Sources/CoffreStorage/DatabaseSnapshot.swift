internal import CSQLite
internal import Glibc

/// A storage that can be copied while it is written.
package protocol SnapshotSource: Sendable {
    /// A copy of one moment. Blocks for as long as it takes: call it on a thread of its own, one call at a time.
    /// - Parameter shouldStop: asked between pieces.
    /// - Throws: ``StorageError`` `.full`, `.io`, `.closed` when it was told to stop.
    func takeSnapshot(shouldStop: () -> Bool) throws(StorageError) -> DatabaseSnapshot
}

/// A whole database as one file without a name: it is gone when the last reference is, or with the process.
package final class DatabaseSnapshot: Sendable {
    /// Open for reading.
    package let descriptor: Int32
    /// Length in bytes.
    package let count: Int
    /// The cells beside the rows, of the same moment.
    package let meta: [MetaKey: [UInt8]]

    init(descriptor: Int32, count: Int, meta: [MetaKey: [UInt8]]) {
        self.descriptor = descriptor
        self.count = count
        self.meta = meta
    }

    deinit { close(descriptor) }

    /// Lends the bytes in order, in pieces of at most 1 MiB.
    package func forEachPiece(_ body: (UnsafeRawBufferPointer) -> Void) throws(StorageError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < count {
            let read = pread(descriptor, buffer.baseAddress, min(buffer.count, count - offset), off_t(offset))
            if read < 0, errno == EINTR { continue }
            guard read > 0 else { throw StorageError(.io, "the copy of the database cannot be read back") }
            body(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
            offset += read
        }
    }
}

extension SQLiteStore: SnapshotSource {
    /// Name of the copy while it is made.
    static let snapshotName = "coffre.db.snapshot"
    /// Pages between two pauses: 1 MiB.
    private static let pagesPerStep: Int32 = 256
    /// What must stay free on the disk for the writers, in bytes.
    private static let reserveBytes = 16 << 20

    package func takeSnapshot(shouldStop: () -> Bool) throws(StorageError) -> DatabaseSnapshot {
        let target = folder + "/" + Self.snapshotName
        try checkRoom()
        unlink(target)
        // Before SQLite opens it, so that it is private from its first moment.
        let descriptor = open(target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StorageError(.io, "the copy of the database cannot be made in \(folder): \(Self.reason(errno))")
        }
        do throws(StorageError) {
            let meta = try copy(to: target, shouldStop: shouldStop)
            // A single file, without the write-ahead log: file format versions 1 (sqlite.org/fileformat.html, 1.3.3).
            var facts = stat()
            guard pwrite(descriptor, [1, 1], 2, 18) == 2, fstat(descriptor, &facts) == 0 else {
                throw StorageError(.io, "the copy of the database cannot be finished: \(Self.reason(errno))")
            }
            unlink(target)
            return DatabaseSnapshot(descriptor: descriptor, count: Int(facts.st_size), meta: meta)
        } catch {
            unlink(target)
            Glibc.close(descriptor)
            throw error
        }
    }

    /// A copy that fills the disk would stop the vault's own writes.
    private func checkRoom() throws(StorageError) {
        var facts = stat()
        var room = statvfs()
        guard stat(folder + "/coffre.db", &facts) == 0, statvfs(folder, &room) == 0 else {
            throw StorageError(.io, "the state folder cannot be looked at: \(Self.reason(errno))")
        }
        let free = Int(clamping: UInt64(room.f_bavail)) * Int(clamping: UInt64(room.f_frsize))
        let needed = Int(facts.st_size) + Self.reserveBytes
        guard free >= needed else {
            throw StorageError(
                .full,
                "a snapshot needs \(needed >> 20) MiB free on the state folder's file system, and there are "
                    + "\(free >> 20): free some space"
            )
        }
    }

    private func copy(to target: String, shouldStop: () -> Bool) throws(StorageError) -> [MetaKey: [UInt8]] {
        let source = try SQLiteConnection(path: folder + "/coffre.db", isReader: true)
        // The copy is of the moment of this transaction, however long it takes and whatever is written meanwhile.
        try source.execute("BEGIN")
        var meta: [MetaKey: [UInt8]] = [:]
        for key in MetaKey.allCases { meta[key] = try Self.meta(key, source) }
        let copy = try SQLiteConnection(path: target, isReader: false)
        try copy.execute("PRAGMA journal_mode=OFF")
        try copy.execute("PRAGMA synchronous=OFF")
        try source.backup(to: copy, pagesPerStep: Self.pagesPerStep) { took in
            if shouldStop() { return false }
            // Half of the time belongs to the others.
            usleep(useconds_t(clamping: min(max(took / 1000, 500), 50_000)))
            return true
        }
        try source.execute("COMMIT")
        return meta
    }

    static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

extension SQLiteConnection {
    /// Copies everything (sqlite.org/backup_finish.html).
    /// - Parameter pause: called between steps with the nanoseconds of the last one; false ends the copy.
    func backup(
        to target: SQLiteConnection,
        pagesPerStep: Int32,
        pause: (UInt64) -> Bool
    ) throws(StorageError) {
        guard let backup = sqlite3_backup_init(target.raw, "main", raw, "main") else {
            throw Self.error(sqlite3_extended_errcode(target.raw), "backup")
        }
        var failure: StorageError?
        while true {
            let start = Self.nanoseconds()
            let code = sqlite3_backup_step(backup, pagesPerStep)
            if code == SQLITE_DONE { break }
            guard code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED else {
                failure = Self.error(code, "backup")
                break
            }
            guard pause(Self.nanoseconds() - start) else {
                failure = StorageError(.closed, "the snapshot was given up because the vault stops")
                break
            }
        }
        let code = sqlite3_backup_finish(backup)
        if let failure { throw failure }
        guard code == SQLITE_OK else { throw Self.error(code, "backup") }
    }

    private static func nanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
