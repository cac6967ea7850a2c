internal import CCoffreShims
internal import Glibc

/// The folder that holds the database: private, ours, and used by one process.
struct StateFolder: ~Copyable {
    let path: String
    private let lock: Int32

    /// Opens or creates the folder, checks it and takes its lock.
    /// - Throws: ``StorageError`` `.unsafePath` with what to type, `.alreadyOpen`, `.io`.
    init(_ path: String) throws(StorageError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw StorageError(.io, "the state folder \(path) cannot be created: \(Self.reason(errno))")
        }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard folder >= 0 else {
            throw StorageError(.unsafePath, "the state folder \(path) cannot be opened: \(Self.reason(errno))")
        }
        defer { close(folder) }
        var facts = stat()
        guard fstat(folder, &facts) == 0 else { throw StorageError(.io, "fstat \(path): \(Self.reason(errno))") }
        guard facts.st_uid == geteuid() else {
            throw StorageError(
                .unsafePath,
                "the state folder \(path) belongs to uid \(facts.st_uid), not to this process: chown \(geteuid()) \(path)"
            )
        }
        guard facts.st_mode & 0o077 == 0 else {
            throw StorageError(
                .unsafePath,
                "the state folder \(path) is open to others (mode \(String(facts.st_mode & 0o777, radix: 8))): chmod 700 \(path)"
            )
        }
        let lock = openat(folder, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard lock >= 0 else {
            throw StorageError(.io, "the lock file in \(path) cannot be opened: \(Self.reason(errno))")
        }
        let code = coffre_lock_exclusive(lock)
        guard code == 0 else {
            close(lock)
            throw StorageError(.alreadyOpen, "another process works on \(path): stop it first")
        }
        self.lock = lock
        self.path = path
    }

    /// Refuses a database that others may read, or that is not a plain file of ours.
    func check(_ name: String) throws(StorageError) {
        var facts = stat()
        let file = path + "/" + name
        guard lstat(file, &facts) == 0 else { return }
        guard facts.st_mode & S_IFMT == S_IFREG, facts.st_uid == geteuid(), facts.st_nlink == 1 else {
            throw StorageError(.unsafePath, "\(file) is not a plain file of this user's: move it away")
        }
        guard facts.st_mode & 0o077 == 0 else {
            throw StorageError(.unsafePath, "\(file) is open to others: chmod 600 \(file)")
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

    deinit { close(lock) }
}
