internal import Glibc

/// What stands where somebody says that a log is. Tells a wrong path from a log that is damaged.
package enum LogPlace: Sendable, Equatable {
    /// A folder with something of a log in it, whole or not; or a place that cannot be looked into.
    case log
    /// A folder without anything of a log.
    case noLog
    /// A file that begins as a proof bundle does.
    case bundle
    case otherFile
    case nothing

    /// Without one of these there is no log: an intruder who takes away one does not make the rest an innocent folder.
    private static let marks = [LogIdentity.path, SegmentName.root, Checkpoint.path]

    /// Blocks on the disk.
    package init(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            self = [ENOENT, ENOTDIR].contains(errno) ? .nothing : .log
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            let isEmpty = Self.marks.allSatisfy { lstat("\(path)/\($0)", &status) != 0 && errno == ENOENT }
            self = isEmpty ? .noLog : .log
        case S_IFREG: self = Self.isBundle(path) ? .bundle : .otherFile
        default: self = .otherFile
        }
    }

    /// Whether its first block is the header of a bundle's member (POSIX ustar: name at 0, magic at 257).
    private static func isBundle(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var block = [UInt8](repeating: 0, count: 512)
        let count = block.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        return count == 512 && block.starts(with: Array("coffre-audit/".utf8))
            && block[257...].starts(with: Array("ustar".utf8))
    }
}
