internal import CoffreCrypto

/// A system call that failed on a file of the log.
package struct FileFailure: Error, Sendable, Equatable {
    package let call: String
    package let path: String
    package let errno: Int32

    package init(call: String, path: String, errno: Int32) {
        self.call = call
        self.path = path
        self.errno = errno
    }

    var asAuditError: AuditError { .system(call: call, path: path, errno: errno) }
}

/// Which file a name or descriptor stands for.
package struct FileIdentity: Sendable, Equatable {
    package let device: UInt64
    package let inode: UInt64
    package let links: UInt64

    package init(device: UInt64, inode: UInt64, links: UInt64) {
        self.device = device
        self.inode = inode
        self.links = links
    }
}

/// An open file of the log. Closed when the last reference goes.
package protocol LogFile: AnyObject, Sendable {
    /// Length in bytes.
    func size() throws(FileFailure) -> Int
    /// Reads at most `target.count` bytes at `offset`; 0 at the end.
    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int
    /// Writes once at `offset` (pwrite(2)); may write less than asked.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) -> Int
    /// fdatasync(2). A failure is final: see fsync(2), an error is reported once.
    func syncData() throws(FileFailure)
    /// fsync(2).
    func sync() throws(FileFailure)
    /// ftruncate(2); gives back blocks that were set aside beyond `length`, also when the length stays the same.
    func truncate(to length: Int) throws(FileFailure)
    /// Sets blocks aside for the first `length` bytes (fallocate(2)): until they are given back, writing there cannot
    /// fail for want of space.
    /// - Parameter keepsSize: the file stays as long as it is.
    /// - Throws: EOPNOTSUPP where the file system cannot do it.
    func allocate(_ length: Int, keepsSize: Bool) throws(FileFailure)
    func identity() throws(FileFailure) -> FileIdentity
}

/// The folder of the log. All paths are relative to it; no symbolic link is followed anywhere.
package protocol LogFileSystem: Sendable {
    /// Checks the folder (a real folder, ours, not writable by others), creating it first when `create`.
    func prepareRoot(create: Bool) throws(AuditError)
    /// The lock file at `path`, created when missing, exclusively locked until the file is released.
    func lock(_ path: String) throws(AuditError) -> any LogFile
    /// Makes a folder, and its parents, durable; an existing one is checked.
    /// - Parameter isPrivate: mode 0700 instead of 2750.
    func makeFolder(_ path: String, isPrivate: Bool) throws(FileFailure)
    /// A new empty file; fails with EEXIST. Mode 0600 or 0640.
    func create(_ path: String, isPrivate: Bool) throws(FileFailure) -> any LogFile
    /// An existing regular file with a single name.
    func open(_ path: String, writable: Bool) throws(FileFailure) -> any LogFile
    /// Names in a folder except `.` and `..`, unsorted.
    func names(in folder: String) throws(FileFailure) -> [String]
    /// What `path` stands for, nil when there is nothing.
    func identity(of path: String) throws(FileFailure) -> FileIdentity?
    /// Replaces `target` atomically.
    func rename(_ path: String, to target: String) throws(FileFailure)
    /// Gives a file the name `target` where nothing is (renameat2(2)); fails with EEXIST.
    /// - Throws: EINVAL where the file system cannot do it.
    func renameNew(_ path: String, to target: String) throws(FileFailure)
    func remove(_ path: String) throws(FileFailure)
    /// What is left on the file system of the log's folder.
    func space() throws(FileFailure) -> DiskSpace
    /// When a file was last changed or touched, in microseconds since 1970; nil when nobody knows.
    func modified(_ path: String) throws(FileFailure) -> Int64?
    /// Says so of a file; lost in a power cut unless the file is synced.
    func touch(_ path: String, at microseconds: Int64) throws(FileFailure)
    /// fsync(2) of a folder: its names are durable. `""` is the log's folder.
    func syncFolder(_ path: String) throws(FileFailure)
}

extension LogFile {
    package func allocate(_ length: Int, keepsSize: Bool) throws(FileFailure) {
        throw FileFailure(call: "fallocate", path: "", errno: 95)
    }

    /// The whole file.
    /// - Throws: EFBIG when it is longer than `limit` bytes.
    func readAll(limit: Int, path: String) throws(FileFailure) -> [UInt8] {
        let size = try size()
        guard size <= limit else { throw FileFailure(call: "read", path: path, errno: 27) }
        var bytes = [UInt8](repeating: 0, count: size)
        var done = 0
        while done < size {
            let read = try readSome(&bytes, at: done)
            if read == 0 { break }
            done += read
        }
        bytes.removeLast(size - done)
        return bytes
    }

    private func readSome(_ bytes: inout [UInt8], at offset: Int) throws(FileFailure) -> Int {
        let result: Result<Int, FileFailure> = bytes.withUnsafeMutableBytes { buffer in
            do throws(FileFailure) {
                return .success(try read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[offset...])))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Writes everything or throws; a short write counts as ENOSPC.
    func writeAll(_ bytes: [UInt8], path: String) throws(FileFailure) {
        guard !bytes.isEmpty else { return }
        let result: Result<Int, FileFailure> = bytes.withUnsafeBytes { buffer in
            do throws(FileFailure) { return .success(try write(buffer, at: 0)) } catch { return .failure(error) }
        }
        guard try result.get() == bytes.count else { throw FileFailure(call: "pwrite", path: path, errno: 28) }
    }
}

/// Of a folder that is only read.
extension LogFileSystem {
    package func modified(_ path: String) throws(FileFailure) -> Int64? { nil }

    package func touch(_ path: String, at microseconds: Int64) throws(FileFailure) {
        throw FileFailure(call: "utimensat", path: path, errno: 30)
    }
}

extension LogFileSystem {
    /// Writes a small file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the folder.
    func replace(_ path: String, with bytes: [UInt8], isPrivate: Bool = false) throws(FileFailure) {
        let temporary = path + ".new"
        if try identity(of: temporary) != nil { try remove(temporary) }
        let file = try create(temporary, isPrivate: isPrivate)
        try file.writeAll(bytes, path: temporary)
        try file.sync()
        try rename(temporary, to: path)
        try syncFolder(parentFolder(of: path))
    }

    /// Writes random bytes over a file where it lies, then takes its name away. Durable afterwards; nothing when there is
    /// no such file. On a disk that writes elsewhere (flash, copy-on-write, snapshots) the old bytes may stay readable.
    func shred(_ path: String) throws(FileFailure) {
        guard try identity(of: path) != nil else { return }
        let file = try open(path, writable: true)
        let size = try file.size()
        try file.writeAll(Random.bytes(size), path: path)
        try file.sync()
        try remove(path)
        try syncFolder(parentFolder(of: path))
    }

    /// The whole of a small file, nil when it does not exist.
    func contents(of path: String, limit: Int) throws(FileFailure) -> [UInt8]? {
        guard try identity(of: path) != nil else { return nil }
        return try open(path, writable: false).readAll(limit: limit, path: path)
    }
}

/// The folder part of a relative path; `""` for a file directly in the log's folder.
func parentFolder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2f) else { return "" }
    return String(path[..<slash])
}

/// The last part of a relative path.
func lastPart(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2f) else { return path }
    return String(path[path.utf8.index(after: slash)...])
}
