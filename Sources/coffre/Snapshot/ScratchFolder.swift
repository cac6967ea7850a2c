import Glibc

/// A private folder that goes with its owner.
final class ScratchFolder: Sendable {
    let path: String

    /// - Parameter base: where it is made.
    init(in base: String) throws {
        var template = Array((base + "/coffre-drill-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            let reason = String(cString: strerror(errno))
            throw Failure(
                "no folder can be made in \(base): \(reason)",
                "aucun dossier possible dans \(base) : \(reason)"
            )
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    func file(_ name: String) -> String { path + "/" + name }

    /// Writes a small private file.
    func write(_ name: String, _ text: String) throws {
        let descriptor = open(file(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        guard descriptor >= 0, writeAll(Array(text.utf8), to: descriptor) else {
            let reason = String(cString: strerror(errno))
            throw Failure("cannot write in \(path): \(reason)", "écriture impossible dans \(path) : \(reason)")
        }
    }

    private static func remove(_ path: String) {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return }
        if facts.st_mode & S_IFMT == S_IFDIR {
            for name in PartialFile.names(in: path) ?? [] { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
