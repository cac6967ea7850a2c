internal import CCoffreShims
internal import Glibc

/// Whether the log's folder and the one above it can be trusted.
enum FolderCheck {
    static func check(_ folder: Descriptor, path: String) throws(AuditError) {
        var status = stat()
        do throws(FileFailure) {
            try folder.use("fstat", path) { fstat($0, &status) == 0 }
        } catch {
            throw error.asAuditError
        }
        guard status.st_uid == geteuid() else {
            throw .unsafePath(
                path: path,
                problem: "belongs to uid \(status.st_uid), not to uid \(geteuid()) of this process",
                remedy: "type: chown \(geteuid()) \(path)"
            )
        }
        guard status.st_mode & 0o022 == 0 else {
            throw .unsafePath(path: path, problem: "can be written by others", remedy: "type: chmod go-w \(path)")
        }
    }

    /// The folder above: owned by root or by us, and when others may write it, sticky (as /tmp is).
    static func checkParent(of path: String) throws(AuditError) {
        let parent = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
        let shown = parent.isEmpty ? "/" : parent
        var status = stat()
        guard stat(shown, &status) == 0 else {
            if errno == ENOENT {
                throw .unsafePath(path: shown, problem: "does not exist", remedy: "type: mkdir -p \(shown)")
            }
            throw .system(call: "stat", path: shown, errno: errno)
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw .unsafePath(
                path: shown,
                problem: "belongs to uid \(status.st_uid), who could replace the audit log",
                remedy: "type: chown root \(shown)"
            )
        }
        guard status.st_mode & 0o022 == 0 || status.st_mode & S_ISVTX != 0 else {
            throw .unsafePath(
                path: shown,
                problem: "can be written by others, who could replace the audit log",
                remedy: "type: chmod go-w \(shown)"
            )
        }
    }

    static func explain(_ path: String, errno: Int32) -> AuditError {
        switch errno {
        case ENOENT:
            return .unsafePath(path: path, problem: "does not exist", remedy: "check the path of the audit log")
        case ELOOP:
            return .unsafePath(
                path: path,
                problem: "is a symbolic link",
                remedy: "name the real folder in [audit] directory"
            )
        case ENOTDIR:
            return .unsafePath(path: path, problem: "is not a folder", remedy: "move it away, then start again")
        default:
            return .system(call: "open", path: path, errno: errno)
        }
    }
}
