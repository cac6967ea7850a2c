internal import CoffreAudit
internal import Glibc

extension Daemon {
    /// What the files of `[audit] continues` say; nil when there are none.
    /// - Throws: ``StartFailure``.
    static func continuation(_ paths: [String]) throws -> LogContinuation? {
        guard !paths.isEmpty else { return nil }
        let notes = try paths.map { path in
            guard let note = contents(of: path) else {
                throw StartFailure(
                    message: "[audit] continues: \(path) cannot be read, or is larger than 16 KiB",
                    status: 78
                )
            }
            return note
        }
        do {
            return try LogContinuation(notes: notes)
        } catch {
            throw StartFailure(message: error.message, status: 78)
        }
    }

    private static func contents(of path: String) -> [UInt8]? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16_385)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return nil }
            if got == 0 { return Array(bytes[..<count]) }
            count += got
        }
        return nil
    }
}
