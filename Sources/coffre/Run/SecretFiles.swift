import Glibc

/// Files of secrets for one child: mode 0600 in a folder of mode 0700 that lives in memory (tmpfs).
struct SecretFiles: Sendable {
    let directory: String
    private var names: [String] = []

    /// - Throws: ``Failure`` when neither `$XDG_RUNTIME_DIR` nor `/dev/shm` is a tmpfs.
    init() throws {
        let candidates = [environmentValue("XDG_RUNTIME_DIR"), "/dev/shm"].compactMap { $0 }
        guard let parent = candidates.first(where: Self.isInMemory) else {
            throw Failure(
                "neither $XDG_RUNTIME_DIR nor /dev/shm is a file system in memory: use --env",
                "ni $XDG_RUNTIME_DIR ni /dev/shm n'est un système de fichiers en mémoire : utilisez --env"
            )
        }
        var template = Array("\(parent)/coffre-run-XXXXXX".utf8CString)
        // mkdtemp(3) makes it with mode 0700.
        guard mkdtemp(&template) != nil else { throw Self.failure("mkdtemp", parent) }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Writes one file, new and private.
    /// - Returns: its path.
    mutating func add(_ name: String, _ content: [UInt8]) throws -> String {
        let path = "\(directory)/\(name)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
        defer { close(descriptor) }
        names.append(name)
        guard fchmod(descriptor, 0o600) == 0, writeAll(content, to: descriptor) else {
            throw Self.failure("write", path)
        }
        return path
    }

    /// - Returns: false when something is left: the child put other files there.
    func remove() -> Bool {
        for name in names { unlink("\(directory)/\(name)") }
        return rmdir(directory) == 0
    }

    /// Whether the file system that `path` is on is a tmpfs, by its device in proc_pid_mountinfo(5).
    private static func isInMemory(_ path: String) -> Bool {
        var information = stat()
        guard stat(path, &information) == 0, access(path, W_OK | X_OK) == 0,
            let table = try? Input.file("/proc/self/mountinfo", for: "run")
        else { return false }
        // makedev(3) in glibc: 12 low and 20 high bits of major, 8 low and 12 high bits of minor.
        let number = UInt64(information.st_dev)
        let major = (number >> 8 & 0xfff) | (number >> 32 & 0xffff_f000)
        let minor = (number & 0xff) | (number >> 12 & 0xffff_ff00)
        let device = "\(major):\(minor)"
        return table.split(separator: 0x0a).contains { line in
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard fields.count > 2, fields[2] == device, let dash = fields.firstIndex(of: "-") else { return false }
            return fields[(dash + 1)...].first.map { ["tmpfs", "ramfs"].contains($0) } ?? false
        }
    }

    private static func failure(_ call: String, _ path: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("\(call) \(path): \(reason)", "\(call) \(path) : \(reason)")
    }
}
