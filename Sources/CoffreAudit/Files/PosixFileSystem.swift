internal import CCoffreShims
internal import Glibc
internal import Synchronization

private typealias GroupEntry = group

/// The log's folder on a real file system.
package final class PosixFileSystem: LogFileSystem {
    private let root: String
    private let group: String?
    private let isReader: Bool
    private let opened = Mutex<(root: Descriptor, group: gid_t?)?>(nil)

    /// - Parameters:
    ///   - root: absolute path of the log's folder.
    ///   - group: who may read the segments.
    ///   - isReader: only reads, so it may belong to somebody else (offline verification).
    package init(root: String, group: String? = nil, isReader: Bool = false) {
        self.root = root
        self.group = group
        self.isReader = isReader
    }

    package func prepareRoot(create: Bool) throws(AuditError) {
        var gid: gid_t?
        if let group {
            guard let found = Self.groupID(group) else {
                throw .invalidConfiguration(reason: "there is no group \(group); create it with: groupadd -r \(group)")
            }
            gid = found
        }
        guard isReader || root.hasPrefix("/") else {
            throw .invalidConfiguration(reason: "the audit folder must be an absolute path")
        }
        if !isReader { try FolderCheck.checkParent(of: root) }
        var fd = coffre_open_folder(root)
        if fd < 0, errno == ENOENT, create {
            guard mkdir(root, 0o700) == 0 || errno == EEXIST else {
                throw .system(call: "mkdir", path: root, errno: errno)
            }
            fd = coffre_open_folder(root)
            if fd >= 0 {
                if let gid { _ = fchown(fd, uid_t.max, gid) }
                guard fchmod(fd, 0o2750) == 0 else { throw .system(call: "fchmod", path: root, errno: errno) }
            }
        }
        guard fd >= 0 else { throw FolderCheck.explain(root, errno: errno) }
        let descriptor = Descriptor(fd)
        if !isReader { try FolderCheck.check(descriptor, path: root) }
        opened.withLock { $0 = (descriptor, gid) }
    }

    package func lock(_ path: String) throws(AuditError) -> any LogFile {
        do throws(FileFailure) {
            let file = try openFile(path, flags: O_RDWR | O_CREAT, mode: 0o600)
            let status = withExtendedLifetime(file) { coffre_lock_exclusive(file.descriptor.raw) }
            if status == EAGAIN || status == EACCES { throw FileFailure(call: "lock", path: path, errno: EAGAIN) }
            guard status == 0 else { throw FileFailure(call: "fcntl", path: full(path), errno: status) }
            return file
        } catch {
            if error.call == "lock" { throw .alreadyOpen(path: root) }
            throw error.asAuditError
        }
    }

    package func makeFolder(_ path: String, isPrivate: Bool) throws(FileFailure) {
        var done = ""
        for part in path.split(separator: "/") {
            let parent = done
            done = done.isEmpty ? String(part) : done + "/" + part
            try makeOneFolder(done, parent: parent, isPrivate: isPrivate)
        }
    }

    private func makeOneFolder(_ path: String, parent: String, isPrivate: Bool) throws(FileFailure) {
        let existing = try open(path, flags: O_RDONLY | O_DIRECTORY)
        if existing >= 0 {
            return try checkOwner(Descriptor(existing), path)
        }
        guard errno == ENOENT else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        try folder(parent).use("mkdir", full(path)) { above in
            mkdirat(above, lastPart(of: path), isPrivate ? 0o700 : 0o750) == 0 || errno == EEXIST
        }
        try adopt(try folder(path), path, mode: isPrivate ? 0o700 : 0o2750)
        try syncFolder(path)
        try syncFolder(parent)
    }

    package func create(_ path: String, isPrivate: Bool) throws(FileFailure) -> any LogFile {
        let file = try openFile(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: isPrivate ? 0o600 : 0o640)
        try adopt(file.descriptor, path, mode: isPrivate ? 0o600 : 0o640)
        return file
    }

    package func open(_ path: String, writable: Bool) throws(FileFailure) -> any LogFile {
        try openFile(path, flags: (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK, mode: 0)
    }

    private func openFile(_ path: String, flags: Int32, mode: UInt32) throws(FileFailure) -> PosixFile {
        let fd = try open(path, flags: flags, mode: mode)
        guard fd >= 0 else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        let file = PosixFile(Descriptor(fd), path: full(path))
        var status = stat()
        try file.descriptor.use("fstat", full(path)) { fstat($0, &status) == 0 }
        // A FIFO, a device or a second name (hard link) in place of a file of the log.
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw FileFailure(call: "open (not a regular file)", path: full(path), errno: EINVAL)
        }
        if !isReader {
            guard status.st_nlink == 1 else {
                throw FileFailure(call: "open (the file has a second name)", path: full(path), errno: EMLINK)
            }
            try checkOwner(file.descriptor, path)
            guard parentFolder(of: path) != "keys" || status.st_mode & 0o077 == 0 else {
                throw FileFailure(call: "open (others may read it; chmod 600)", path: full(path), errno: EPERM)
            }
        }
        return file
    }

    package func names(in path: String) throws(FileFailure) -> [String] {
        let fd = try open(path.isEmpty ? "." : path, flags: O_RDONLY | O_DIRECTORY)
        guard fd >= 0 else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        guard let stream = fdopendir(fd) else {
            let failure = errno
            close(fd)
            throw FileFailure(call: "opendir", path: full(path), errno: failure)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw FileFailure(call: "readdir", path: full(path), errno: errno) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    package func identity(of path: String) throws(FileFailure) -> FileIdentity? {
        var status = stat()
        let root = try base()
        let code = withExtendedLifetime(root) { fstatat(root.raw, path, &status, AT_SYMLINK_NOFOLLOW) }
        if code == 0 { return FileIdentity(status) }
        if errno == ENOENT { return nil }
        throw FileFailure(call: "fstatat", path: full(path), errno: errno)
    }

    package func rename(_ path: String, to target: String) throws(FileFailure) {
        let to = try folder(parentFolder(of: target))
        try folder(parentFolder(of: path)).use("rename", full(path)) { from in
            withExtendedLifetime(to) { renameat(from, lastPart(of: path), to.raw, lastPart(of: target)) == 0 }
        }
    }

    package func renameNew(_ path: String, to target: String) throws(FileFailure) {
        let to = try folder(parentFolder(of: target))
        try folder(parentFolder(of: path)).use("renameat2", full(path)) { from in
            withExtendedLifetime(to) {
                coffre_rename_new(from, lastPart(of: path), to.raw, lastPart(of: target)) == 0
            }
        }
    }

    package func space() throws(FileFailure) -> DiskSpace {
        var now = coffre_space()
        let root = try base()
        let code = withExtendedLifetime(root) { coffre_space_of(root.raw, &now) }
        guard code == 0 else { throw FileFailure(call: "fstatfs", path: full(""), errno: code) }
        return DiskSpace(
            freeBytes: Int(clamping: now.free_bytes),
            totalBytes: Int(clamping: now.total_bytes),
            files: now.total_files == 0
                ? nil : (free: Int(clamping: now.free_files), total: Int(clamping: now.total_files)),
            copiesOnWrite: now.copies_on_write != 0
        )
    }

    package func remove(_ path: String) throws(FileFailure) {
        try folder(parentFolder(of: path)).use("unlink", full(path)) { unlinkat($0, lastPart(of: path), 0) == 0 }
    }

    package func modified(_ path: String) throws(FileFailure) -> Int64? {
        var status = stat()
        try folder(parentFolder(of: path)).use("fstatat", full(path)) {
            fstatat($0, lastPart(of: path), &status, AT_SYMLINK_NOFOLLOW) == 0
        }
        return Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec / 1000)
    }

    package func touch(_ path: String, at microseconds: Int64) throws(FileFailure) {
        let time = timespec(tv_sec: Int(microseconds / 1_000_000), tv_nsec: Int(microseconds % 1_000_000) * 1000)
        try folder(parentFolder(of: path)).use("utimensat", full(path)) { folder in
            [time, time].withUnsafeBufferPointer {
                utimensat(folder, lastPart(of: path), $0.baseAddress, AT_SYMLINK_NOFOLLOW) == 0
            }
        }
    }

    package func syncFolder(_ path: String) throws(FileFailure) {
        try folder(path).use("fsync", full(path)) { fsync($0) == 0 }
    }

    private func base() throws(FileFailure) -> Descriptor {
        guard let root = opened.withLock({ $0?.root }) else {
            throw FileFailure(call: "open", path: root, errno: EBADF)
        }
        return root
    }

    /// A descriptor, or -1 with errno.
    private func open(_ path: String, flags: Int32, mode: UInt32 = 0) throws(FileFailure) -> Int32 {
        let root = try base()
        return withExtendedLifetime(root) { coffre_open_beneath(root.raw, path, flags, mode) }
    }

    private func folder(_ path: String) throws(FileFailure) -> Descriptor {
        if path.isEmpty { return try base() }
        let fd = try open(path, flags: O_RDONLY | O_DIRECTORY)
        guard fd >= 0 else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        return Descriptor(fd)
    }

    /// Gives a new file or folder its group and mode, by as few calls as possible: under `RestrictSUIDSGID=` the service
    /// may neither set the setgid bit nor change groups, and inherits both from the log's folder (with `UMask=0027`).
    private func adopt(_ descriptor: Descriptor, _ path: String, mode: mode_t) throws(FileFailure) {
        var status = stat()
        try descriptor.use("fstat", full(path)) { fstat($0, &status) == 0 }
        if let gid = opened.withLock({ $0?.group }), mode & 0o070 != 0, status.st_gid != gid {
            try descriptor.use("fchown", full(path)) { fchown($0, uid_t.max, gid) == 0 }
        }
        // A private folder inherits the setgid bit too; it says nothing there.
        let ignored: mode_t = mode & 0o070 == 0 ? 0o2000 : 0
        guard status.st_mode & 0o7777 & ~ignored != mode else { return }
        try descriptor.use("fchmod (the unit needs UMask=0027)", full(path)) { fchmod($0, mode) == 0 }
    }

    /// A file or folder of the log that somebody else owns, or that others may write, is not trusted.
    private func checkOwner(_ descriptor: Descriptor, _ path: String) throws(FileFailure) {
        guard !isReader else { return }
        var status = stat()
        try descriptor.use("fstat", full(path)) { fstat($0, &status) == 0 }
        guard status.st_uid == geteuid() else {
            throw FileFailure(call: "open (another user owns it)", path: full(path), errno: EPERM)
        }
        guard status.st_mode & 0o022 == 0 else {
            throw FileFailure(call: "open (others may write it; chmod go-w)", path: full(path), errno: EPERM)
        }
    }

    private func full(_ path: String) -> String { path.isEmpty ? root : root + "/" + path }

    private static func groupID(_ name: String) -> gid_t? {
        var entry = GroupEntry()
        var found: UnsafeMutablePointer<GroupEntry>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.gr_gid
    }
}
