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
        guard root.hasPrefix("/") else {
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
        if !isReader { try FolderCheck.check(descriptor.raw, path: root) }
        opened.withLock { $0 = (descriptor, gid) }
    }

    package func lock(_ path: String) throws(AuditError) -> any LogFile {
        do throws(FileFailure) {
            let file = try openFile(path, flags: O_RDWR | O_CREAT, mode: 0o600)
            let status = coffre_lock_exclusive(file.descriptor.raw)
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
        let existing = coffre_open_beneath(try base().raw, path, O_RDONLY | O_DIRECTORY, 0)
        if existing >= 0 {
            return try checkOwner(Descriptor(existing), path)
        }
        guard errno == ENOENT else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        let above = try folder(parent)
        let making = above.call { mkdirat($0, lastPart(of: path), 0o700) }
        guard making.result == 0 || making.errno == EEXIST else {
            throw FileFailure(call: "mkdir", path: full(path), errno: making.errno)
        }
        let made = try folder(path)
        try adopt(made, path, mode: isPrivate ? 0o700 : 0o2750)
        for descriptor in [made, above] {
            let sync = descriptor.call { fsync($0) }
            guard sync.result == 0 else { throw FileFailure(call: "fsync", path: full(path), errno: sync.errno) }
        }
    }

    package func create(_ path: String, isPrivate: Bool) throws(FileFailure) -> any LogFile {
        let file = try openFile(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        try adopt(file.descriptor, path, mode: isPrivate ? 0o600 : 0o640)
        return file
    }

    package func open(_ path: String, writable: Bool) throws(FileFailure) -> any LogFile {
        try openFile(path, flags: (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK, mode: 0)
    }

    private func openFile(_ path: String, flags: Int32, mode: UInt32) throws(FileFailure) -> PosixFile {
        let fd = coffre_open_beneath(try base().raw, path, flags, mode)
        guard fd >= 0 else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        let file = PosixFile(Descriptor(fd), path: full(path))
        var status = stat()
        guard fstat(fd, &status) == 0 else { throw FileFailure(call: "fstat", path: full(path), errno: errno) }
        // A FIFO, a device or a second name (hard link) in place of a file of the log.
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw FileFailure(call: "open (not a regular file)", path: full(path), errno: EINVAL)
        }
        if !isReader {
            guard status.st_nlink == 1 else {
                throw FileFailure(call: "open (the file has a second name)", path: full(path), errno: EMLINK)
            }
            try checkOwner(file.descriptor, path)
        }
        return file
    }

    package func names(in path: String) throws(FileFailure) -> [String] {
        let fd = coffre_open_beneath(try base().raw, path.isEmpty ? "." : path, O_RDONLY | O_DIRECTORY, 0)
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
        if fstatat(try base().raw, path, &status, AT_SYMLINK_NOFOLLOW) == 0 { return FileIdentity(status) }
        if errno == ENOENT { return nil }
        throw FileFailure(call: "fstatat", path: full(path), errno: errno)
    }

    package func rename(_ path: String, to target: String) throws(FileFailure) {
        let from = try folder(parentFolder(of: path))
        let to = try folder(parentFolder(of: target))
        let renaming = from.call { from in
            to.call { to in renameat(from, lastPart(of: path), to, lastPart(of: target)) }.result
        }
        guard renaming.result == 0 else {
            throw FileFailure(call: "rename", path: full(path), errno: renaming.errno)
        }
    }

    package func remove(_ path: String) throws(FileFailure) {
        let removal = try folder(parentFolder(of: path)).call { unlinkat($0, lastPart(of: path), 0) }
        guard removal.result == 0 else { throw FileFailure(call: "unlink", path: full(path), errno: removal.errno) }
    }

    package func syncFolder(_ path: String) throws(FileFailure) {
        let sync = try folder(path).call { fsync($0) }
        guard sync.result == 0 else { throw FileFailure(call: "fsync", path: full(path), errno: sync.errno) }
    }

    private func base() throws(FileFailure) -> Descriptor {
        guard let root = opened.withLock({ $0?.root }) else {
            throw FileFailure(call: "open", path: root, errno: EBADF)
        }
        return root
    }

    private func folder(_ path: String) throws(FileFailure) -> Descriptor {
        if path.isEmpty { return try base() }
        let fd = coffre_open_beneath(try base().raw, path, O_RDONLY | O_DIRECTORY, 0)
        guard fd >= 0 else { throw FileFailure(call: "open", path: full(path), errno: errno) }
        return Descriptor(fd)
    }

    private func adopt(_ descriptor: Descriptor, _ path: String, mode: mode_t) throws(FileFailure) {
        if let gid = opened.withLock({ $0?.group }), mode & 0o070 != 0, fchown(descriptor.raw, uid_t.max, gid) != 0 {
            throw FileFailure(call: "fchown", path: full(path), errno: errno)
        }
        guard fchmod(descriptor.raw, mode) == 0 else {
            throw FileFailure(call: "fchmod", path: full(path), errno: errno)
        }
    }

    /// A file or folder of the log that somebody else owns, or that others may write, is not trusted.
    private func checkOwner(_ descriptor: Descriptor, _ path: String) throws(FileFailure) {
        guard !isReader else { return }
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else {
            throw FileFailure(call: "fstat", path: full(path), errno: errno)
        }
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
