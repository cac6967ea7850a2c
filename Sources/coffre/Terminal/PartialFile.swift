import Glibc
import Synchronization

/// Path of the unfinished file, for the signal handler; 0 when there is none.
private let unfinished = Atomic<UInt>(0)

/// A file that gets its name when it is whole: until then it is `NAME.partial`, mode 0600, and is removed when the
/// program fails or is told to stop. What SIGKILL leaves is taken over by the next run.
final class PartialFile: Sendable {
    private let target: String
    private let partial: String
    private let overwrites: Bool
    private let descriptor: Int32
    private let isOver = Mutex(false)

    /// - Parameters:
    ///   - overwrites: whether `target` may exist.
    ///   - folderOption: the option that takes a folder instead, to be named when `target` is one.
    /// - Throws: ``Failure``.
    init(_ target: String, overwrites: Bool, folderOption: String? = nil) throws {
        self.target = target
        self.overwrites = overwrites
        partial = target + ".partial"
        var facts = stat()
        if lstat(target, &facts) == 0 {
            guard facts.st_mode & S_IFMT == S_IFREG else {
                throw Failure(
                    "\(target) is not a plain file" + (folderOption.map { "; a folder takes \($0)" } ?? ""),
                    "\(target) n'est pas un fichier ordinaire"
                        + (folderOption.map { " ; un dossier demande \($0)" } ?? ""),
                    .usage
                )
            }
            guard overwrites else { throw Self.exists(target) }
        }
        var opened: Int32?
        // What another run has finished or left in between is looked at anew.
        for _ in 0..<10 where opened == nil { opened = try Self.open(partial) }
        guard let opened else { throw Self.isBusy(partial) }
        descriptor = opened
        Self.removeOnSignal(partial)
    }

    /// The empty file under its lock; nil when its name came to mean another file meanwhile.
    private static func open(_ partial: String) throws -> Int32? {
        let descriptor = Glibc.open(partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(partial) }
        do {
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw isBusy(partial) }
            var facts = stat()
            var named = stat()
            guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_uid == geteuid() else {
                throw Failure(
                    "\(partial) is not a file of yours: move it away",
                    "\(partial) n'est pas un fichier à vous : déplacez-le"
                )
            }
            guard lstat(partial, &named) == 0, named.st_ino == facts.st_ino, named.st_dev == facts.st_dev else {
                close(descriptor)
                return nil
            }
            guard facts.st_nlink == 1 else {
                // A run that was killed after it had given the file its name: that one stays.
                unlink(partial)
                close(descriptor)
                return nil
            }
            guard fchmod(descriptor, 0o600) == 0, ftruncate(descriptor, 0) == 0 else { throw failure(partial) }
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func isBusy(_ path: String) -> Failure {
        Failure("another command writes \(path)", "une autre commande écrit \(path)")
    }

    deinit {
        discard()
        close(descriptor)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure(partial) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Makes the file durable and gives it its name.
    func commit() throws {
        guard fsync(descriptor) == 0 else { throw Self.failure(partial) }
        if !overwrites, link(partial, target) == 0 {
            unlink(partial)
        } else {
            // A file system without hard links, or a file to be replaced.
            if !overwrites, errno == EEXIST { throw Self.exists(target) }
            guard rename(partial, target) == 0 else { throw Self.failure(target) }
        }
        isOver.withLock { $0 = true }
        unfinished.store(0, ordering: .releasing)
        let slash = target.utf8.lastIndex(of: 0x2f)
        let folder = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        let above = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(above) }
        // Some file systems cannot sync a folder, and say so by EINVAL.
        guard above >= 0, fsync(above) == 0 || errno == EINVAL else { throw Self.failure(folder) }
    }

    /// Removes the unfinished file. Does nothing after ``commit()``.
    func discard() {
        let isLeft = isOver.withLock { isOver in
            defer { isOver = true }
            return !isOver
        }
        guard isLeft else { return }
        unlink(partial)
        unfinished.store(0, ordering: .releasing)
    }

    /// Removes what earlier runs that were killed have left in `folder`; one that is being written is left alone.
    static func removeStale(in folder: String, where isOurs: (String) -> Bool) {
        for name in names(in: folder) ?? [] where isOurs(name) {
            let path = folder + "/" + name
            let descriptor = Glibc.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink(path) }
            close(descriptor)
        }
    }

    /// Names in a folder, sorted; nil with `errno` when it cannot be read.
    static func names(in path: String) -> [String]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static func removeOnSignal(_ path: String) {
        // Kept for as long as the program runs: the handler may come at any time.
        unfinished.store(UInt(bitPattern: strdup(path)), ordering: .releasing)
        for number in [SIGHUP, SIGINT, SIGTERM] where !InheritedSignals.isIgnored(number) {
            var action = sigaction()
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
            sigfillset(&action.sa_mask)
            action.__sigaction_handler.sa_handler = { number in
                // Async-signal-safe: an atomic, unlink(2) and raise(3) (signal-safety(7)).
                let address = unfinished.load(ordering: .acquiring)
                if let path = UnsafePointer<CChar>(bitPattern: address) { unlink(path) }
                raise(number)
            }
            sigaction(number, &action, nil)
        }
        // A file that grows beyond the limit is an error like a full disk, not the end of the program.
        signal(SIGXFSZ, SIG_IGN)
    }

    private static func exists(_ path: String) -> Failure {
        Failure("\(path) exists: --force replaces it", "\(path) existe : --force le remplace", .usage)
    }

    private static func failure(_ path: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("cannot write \(path): \(reason)", "écriture impossible dans \(path) : \(reason)")
    }
}
