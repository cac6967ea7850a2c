import CoffreInsight
import Glibc

/// Reads a file or standard input line by line, in bounded memory. A line above ``InsightLine/maximumBytes`` is shown cut,
/// with one byte more than may be.
struct LineReader: ~Copyable {
    private let path: String
    private let descriptor: Int32

    /// - Parameter path: `-` for standard input.
    /// - Throws: ``Failure``.
    init(_ path: String) throws {
        self.path = path
        descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(path) }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// - Parameter afterRead: runs when all lines that were read are done, before more is waited for.
    /// - Throws: ``Failure``, and what the functions throw.
    func forEach(
        _ body: (UnsafeRawBufferPointer) throws -> Void,
        afterRead: () throws -> Void
    ) throws {
        let most = InsightLine.maximumBytes + 1
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: (1 << 18) + most, alignment: 16)
        defer { buffer.deallocate() }
        var filled = 0
        var isSkipping = false
        while true {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = read(descriptor, room.baseAddress, room.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure(path) }
            let end = filled + count
            var start = 0
            while let base = buffer.baseAddress, let found = memchr(base + start, 0x0a, end - start) {
                let feed = UnsafeMutableRawPointer(found) - base
                if !isSkipping { try body(UnsafeRawBufferPointer(rebasing: buffer[start..<min(feed, start + most)])) }
                isSkipping = false
                start = feed + 1
            }
            guard count > 0 else {
                if end > start, !isSkipping {
                    try body(UnsafeRawBufferPointer(rebasing: buffer[start..<min(end, start + most)]))
                }
                return
            }
            if end - start >= most {
                if !isSkipping { try body(UnsafeRawBufferPointer(rebasing: buffer[start..<start + most])) }
                isSkipping = true
                start = end
            }
            try afterRead()
            filled = end - start
            if start > 0, filled > 0, let base = buffer.baseAddress { memmove(base, base + start, filled) }
        }
    }

    private static func failure(_ path: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("cannot read \(path): \(reason)", "lecture impossible de \(path) : \(reason)")
    }
}
