internal import CoffreWire
internal import Glibc
internal import Synchronization

/// Answers that coffred has not acknowledged: one sealed box a file, named after the job, durable before it is sent.
final class ParkedAnswers: Sendable {
    /// How long an answer waits, in seconds: 7 days.
    static let maximumAge = 7 * 86_400
    /// Most answers; the oldest go first.
    static let maximumCount = 10_000
    /// Largest file, in bytes.
    private static let maximumBytes = BrokerAnswer.maximumSealedBytes

    struct Failure: Error {
        let message: String

        init(_ what: String, _ number: Int32) { message = "\(what): \(String(cString: strerror(number)))" }
    }

    private let folder: String
    /// When each was parked, in seconds since 1970. The lock also keeps writers of one file apart.
    private let times: Mutex<[BrokerJobID: Int]>

    /// Opens, or makes, `parked` in the state folder, and forgets what was not written whole.
    /// - Throws: ``Failure``.
    init(stateDirectory: String) throws(Failure) {
        folder = stateDirectory + "/parked"
        for path in [stateDirectory, folder] where mkdir(path, 0o700) != 0 {
            guard errno == EEXIST else { throw Failure("cannot make the folder \(path)", errno) }
        }
        guard let listing = opendir(folder) else { throw Failure("cannot read the folder \(folder)", errno) }
        defer { closedir(listing) }
        var found: [BrokerJobID: Int] = [:]
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var status = stat()
            guard lstat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            if let id = BrokerJobID(name) {
                found[id] = status.st_mtim.tv_sec
            } else {
                unlink("\(folder)/\(name)")
            }
        }
        times = Mutex(found)
    }

    var ids: Set<BrokerJobID> { times.withLock { Set($0.keys) } }

    /// Writes and syncs a box; on return it survives a crash.
    /// - Throws: ``Failure``; nothing is left then.
    func park(_ box: [UInt8], for id: BrokerJobID) throws(Failure) {
        try times.withLock { times throws(Failure) in
            let path = "\(folder)/\(id)"
            let draft = path + ".new"
            do throws(Failure) {
                try Self.write(box, to: draft)
                guard rename(draft, path) == 0 else { throw Failure("rename", errno) }
                try Self.sync(folder)
            } catch {
                unlink(draft)
                throw error
            }
            times[id] = time(nil)
        }
    }

    /// The box of `id`, nil when there is none.
    func box(of id: BrokerJobID) -> [UInt8]? {
        times.withLock { times in
            guard times[id] != nil else { return nil }
            let file = open("\(folder)/\(id)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard file >= 0 else { return nil }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: Self.maximumBytes)
            let count = read(file, &bytes, bytes.count)
            return count > 0 ? Array(bytes[..<count]) : nil
        }
    }

    func remove(_ id: BrokerJobID) {
        times.withLock { times in
            guard times.removeValue(forKey: id) != nil else { return }
            unlink("\(folder)/\(id)")
            // A removal that a crash undoes costs one more purge, nothing else: no sync.
        }
    }

    /// Removes what is too old, and the oldest of what is too many.
    /// - Returns: whose answers are gone.
    func purge() -> [BrokerJobID] {
        times.withLock { times in
            let limit = time(nil) - Self.maximumAge
            var gone = times.filter { $0.value < limit }.map(\.key)
            let surplus = times.count - gone.count - Self.maximumCount
            if surplus > 0 {
                gone += times.filter { $0.value >= limit }.sorted { $0.value < $1.value }.prefix(surplus).map(\.key)
            }
            for id in gone {
                times[id] = nil
                unlink("\(folder)/\(id)")
            }
            return gone
        }
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw Failure("open", errno) }
        defer { close(file) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress?.advanced(by: written), $0.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Failure("write", errno) }
            written += count
        }
        guard fdatasync(file) == 0 else { throw Failure("fdatasync", errno) }
    }

    private static func sync(_ folder: String) throws(Failure) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("open", errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Failure("fsync", errno) }
    }
}
