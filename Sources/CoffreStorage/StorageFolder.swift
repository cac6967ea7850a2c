internal import CCoffreShims
internal import Glibc

/// The state folder, checked and locked for this process as long as the object lives.
///
/// The lock is one of the open file description (fcntl(2), `F_OFD_SETLK`): it goes with the process, however it ends.
final class StorageFolder: Sendable {
    let path: String
    private let folder: Int32
    private let lock: Int32

    static let lockName = "coffred.lock"

    /// - Throws: ``StorageError`` `.folderUnusable` with the command that repairs it, `.inUse`, `.ioFailure`.
    init(path: String) throws(StorageError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            if errno == ENOENT {
                let text = "the state folder \(path) does not exist: run install -d -m 0700 \(path)"
                throw StorageError(.folderUnusable, text, detail: ENOENT)
            }
            throw Self.unusable("the state folder \(path) cannot be opened", errno)
        }
        do {
            try Self.check(folder, path: path)
            lock = try Self.takeLock(in: folder, path: path)
        } catch {
            close(folder)
            throw error
        }
        self.folder = folder
        self.path = path
    }

    deinit {
        close(lock)
        close(folder)
    }

    private static func check(_ folder: Int32, path: String) throws(StorageError) {
        var status = stat()
        guard fstat(folder, &status) == 0 else {
            throw unusable("the state folder \(path) cannot be examined", errno)
        }
        guard status.st_uid == geteuid() else {
            let text =
                "the state folder \(path) belongs to uid \(status.st_uid), not to uid \(geteuid()) of this process: "
                + "run chown \(geteuid()) \(path)"
            throw StorageError(.folderUnusable, text)
        }
        let mode = status.st_mode & 0o7777
        guard mode & 0o777 == 0o700 else {
            let text =
                "the state folder \(path) has mode 0\(String(mode, radix: 8)), which is not private to its owner: "
                + "run chmod 0700 \(path)"
            throw StorageError(.folderUnusable, text)
        }
    }

    private static func takeLock(in folder: Int32, path: String) throws(StorageError) -> Int32 {
        let file = openat(folder, lockName, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw unusable("the lock file \(path)/\(lockName) cannot be opened", errno) }
        let status = coffre_lock_exclusive(file)
        if status == 0 {
            // The number is a help for the reader of the error below, nothing depends on it.
            let text = Array("\(getpid())\n".utf8)
            if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
            return file
        }
        var holder = [UInt8](repeating: 0, count: 16)
        let count = pread(file, &holder, holder.count, 0)
        close(file)
        guard status == EAGAIN || status == EACCES else {
            throw unusable("the lock file \(path)/\(lockName) cannot be locked", status)
        }
        let digits = holder.prefix(max(0, count)).prefix { (0x30...0x39).contains($0) }
        let who = digits.isEmpty ? "another process" : "process \(String(decoding: digits, as: UTF8.self))"
        let text = "the state folder \(path) is in use by \(who): stop it first, or choose another state_directory"
        throw StorageError(.inUse, text)
    }

    /// Makes sure that `name` is a regular file of ours with mode 0600, creating it empty if need be.
    /// - Returns: the file's path.
    func prepareFile(_ name: String) throws(StorageError) -> String {
        let file = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw Self.unusable("the file \(path)/\(name) cannot be opened", errno) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else {
            throw StorageError(.folderUnusable, "\(path)/\(name) is not a regular file of uid \(geteuid())")
        }
        guard status.st_mode & 0o7777 == 0o600 || fchmod(file, 0o600) == 0 else {
            throw Self.unusable(
                "the file \(path)/\(name) cannot be made private: run chmod 0600 \(path)/\(name)",
                errno
            )
        }
        // The name of a new file must survive a power cut. See fsync(2).
        guard fsync(folder) == 0 else { throw Self.unusable("the state folder \(path) cannot be synced", errno) }
        return "\(path)/\(name)"
    }

    private static func unusable(_ text: String, _ code: Int32) -> StorageError {
        let reason = String(cString: strerror(code))
        let isFull = code == ENOSPC || code == EDQUOT
        return StorageError(isFull ? .full : .folderUnusable, "\(text): \(reason)", detail: code)
    }
}
