internal import CoffreAudit
internal import Glibc

/// What the watch knows, in the state folder: its memory, and what each channel has been given. Both are replaced as a whole.
struct WatchStore: Sendable {
    /// Larger ones are not read: 96 MiB.
    private static let maximumBytes = 100_663_296

    let folder: String
    private var memory: String { folder + "/anomaly.state" }
    private var sent: String { folder + "/anomaly.sent" }

    struct Failure: Error { let message: String }

    /// - Returns: nil when there is none. - Throws: ``Failure``.
    func load() throws(Failure) -> [UInt8]? { try read(memory) }

    func save(_ bytes: [UInt8]) throws(Failure) { try replace(memory, bytes) }

    /// Number of the newest alert that each channel has, by its name; nil when there is no such file.
    func loadSent() throws(Failure) -> [String: UInt64]? {
        guard let bytes = try read(sent) else { return nil }
        var numbers: [String: UInt64] = [:]
        let damage = Failure(message: "\(sent) is damaged: alerts that were sent before may come again")
        let lines = String(decoding: bytes.prefix(4096), as: UTF8.self).split(separator: "\n")
        // A file that was cut off knows less than there was.
        guard lines.last.map(String.init) == Self.end(lines.count - 1) else { throw damage }
        for line in lines.dropLast() {
            let words = line.split(separator: " ")
            guard words.count == 2, let number = UInt64(words[1]) else { throw damage }
            numbers[String(words[0])] = number
        }
        return numbers
    }

    func saveSent(_ numbers: [String: UInt64]) throws(Failure) {
        let text = numbers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined()
        try replace(sent, Array((text + Self.end(numbers.count) + "\n").utf8))
    }

    /// The last line.
    private static func end(_ count: Int) -> String { "end of \(count)" }

    private func read(_ path: String) throws(Failure) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("open", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("fstat", path) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.maximumBytes else {
            throw Failure(message: "\(path) is no file that coffred writes: remove it")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var filled = 0
        while filled < bytes.count {
            let place = filled
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + place }, buffer.count - place)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            filled += count
        }
        return Array(bytes[..<filled])
    }

    private func replace(_ path: String, _ bytes: [UInt8]) throws(Failure) {
        let new = path + ".new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("open", new) }
        var written = 0
        while written < bytes.count {
            let place = written
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress.map { $0 + place }, buffer.count - place)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let failure = failure("write", new)
                close(descriptor)
                unlink(new)
                throw failure
            }
            written += count
        }
        let isSynced = fsync(descriptor) == 0
        close(descriptor)
        guard isSynced, rename(new, path) == 0 else { throw failure("rename", path) }
        let folder = open(self.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("open", self.folder) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw failure("fsync", self.folder) }
    }

    private func failure(_ call: String, _ path: String) -> Failure {
        Failure(message: "\(call) \(path): \(String(cString: strerror(errno)))")
    }
}
