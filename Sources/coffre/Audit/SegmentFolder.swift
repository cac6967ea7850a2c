import Glibc

/// The segments of an audit folder: `seg/YYYY/MM/DD/NNNNNNNNNNNN.jsonl`, in the order of the log.
struct SegmentFolder {
    /// Longest line the log may hold, with room to spare; a longer one is not a record.
    static let maximumLine = 65_536

    let root: String

    /// What stands in the folder now.
    struct Listing {
        /// Segments that can be read, oldest first.
        var segments: [String] = []
        /// Whether compressed ones exist.
        var hasCompressed = false
    }

    /// - Throws: ``Failure`` when the folder cannot be read.
    func list() throws -> Listing {
        var listing = Listing()
        let base = "\(root)/seg"
        guard let years = Self.names(base) else {
            let reason = String(cString: strerror(errno))
            throw Failure(
                "cannot read the audit log in \(base): \(reason)",
                "lecture impossible du journal dans \(base) : \(reason)"
            )
        }
        for year in years {
            for month in Self.names("\(base)/\(year)") ?? [] {
                for day in Self.names("\(base)/\(year)/\(month)") ?? [] {
                    for name in Self.names("\(base)/\(year)/\(month)/\(day)") ?? [] {
                        if name.hasSuffix(".jsonl") {
                            listing.segments.append("\(base)/\(year)/\(month)/\(day)/\(name)")
                        }
                        if name.hasSuffix(".jsonl.zst") { listing.hasCompressed = true }
                    }
                }
            }
        }
        return listing
    }

    /// Whether somebody holds the log's lock: a daemon that writes it. As the kernel lists it (proc_locks(5)), since whoever
    /// reads the log may not open that file.
    var isBeingWritten: Bool {
        var status = stat()
        guard lstat(root + "/lock", &status) == 0, let file = fopen("/proc/locks", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.contains(":\(status.st_ino) ") { return true }
        }
        return false
    }

    /// Names in a folder in byte order, without hidden ones; nil with `errno` set when it cannot be read.
    private static func names(_ path: String) -> [String]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.utf8.first != 0x2e { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

/// Reads the whole lines of one segment, from the end backwards or as they are appended.
final class SegmentReader {
    private let descriptor: Int32
    private var offset: off_t = 0
    private var partial: [UInt8] = []

    /// - Returns: nil when it is not a regular file that can be read.
    init?(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The last `count` whole lines; reading goes on after them.
    func last(_ count: Int) -> [[UInt8]] {
        let size = lseek(descriptor, 0, SEEK_END)
        var start = size
        var block: [UInt8] = []
        var feeds = 0
        // One line feed more than lines wanted: the one before the first of them.
        while start > 0, feeds <= count {
            let length = min(start, 65_536)
            start -= length
            let chunk = read(at: start, Int(length))
            guard chunk.count == Int(length) else { break }
            feeds += chunk.count { $0 == 0x0a }
            block = chunk + block
        }
        offset = start
        partial = []
        if start > 0, let feed = block.firstIndex(of: 0x0a) {
            offset += off_t(feed + 1)
            block.removeFirst(feed + 1)
        }
        offset += off_t(block.count)
        return take(block).suffix(count)
    }

    /// Whole lines that were appended since the last call.
    func appended() -> [[UInt8]] {
        var lines: [[UInt8]] = []
        while true {
            let chunk = read(at: offset, 65_536)
            guard !chunk.isEmpty else { return lines }
            offset += off_t(chunk.count)
            lines += take(chunk)
        }
    }

    /// Every whole line from where reading stands, one after the other.
    func forEachLine(_ body: ([UInt8]) -> Void) {
        while true {
            let chunk = read(at: offset, 65_536)
            guard !chunk.isEmpty else { return }
            offset += off_t(chunk.count)
            for line in take(chunk) { body(line) }
        }
    }

    private func take(_ bytes: [UInt8]) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for byte in bytes {
            if byte == 0x0a {
                lines.append(partial)
                partial = []
            } else if partial.count < SegmentFolder.maximumLine {
                partial.append(byte)
            }
        }
        return lines
    }

    private func read(at position: off_t, _ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let now = pread(
                    descriptor,
                    buffer.baseAddress?.advanced(by: filled),
                    count - filled,
                    position + off_t(filled)
                )
                if now < 0 && errno == EINTR { continue }
                guard now > 0 else { break }
                filled += now
            }
        }
    }
}
