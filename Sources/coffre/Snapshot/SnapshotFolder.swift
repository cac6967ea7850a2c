import Glibc

/// A folder of snapshots named by their time, `coffre-20261124T031500Z.tar`.
struct SnapshotFolder {
    let path: String

    /// - Throws: ``Failure`` when it is no folder.
    init(_ path: String) throws {
        var facts = stat()
        guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR else {
            throw Failure("\(path) is not a folder", "\(path) n'est pas un dossier", .usage)
        }
        self.path = path
    }

    /// Path for a snapshot of now. Removes unfinished ones that nobody writes any more.
    func newName() throws -> String {
        PartialFile.removeStale(in: path) { $0.hasSuffix(".partial") && Self.isName(String($0.dropLast(8))) }
        return path + "/coffre-" + UTCTime.compact(Int64(time(nil))) + ".tar"
    }

    /// Path of the newest one, nil when there is none.
    var newest: String? { names.last.map { path + "/" + $0 } }

    /// Removes all but the newest, and never `written`, whatever the clock said.
    /// - Returns: paths of what was removed.
    func prune(keeping count: Int, and written: String) throws -> [String] {
        var removed: [String] = []
        for name in names.dropLast(count) {
            let file = path + "/" + name
            if file.utf8.elementsEqual(written.utf8) { continue }
            guard unlink(file) == 0 else {
                let reason = String(cString: strerror(errno))
                throw Failure("cannot remove \(file): \(reason)", "suppression impossible de \(file) : \(reason)")
            }
            removed.append(file)
        }
        return removed
    }

    // Their names sort by time.
    private var names: [String] { (PartialFile.names(in: path) ?? []).filter(Self.isName) }

    private static func isName(_ name: String) -> Bool {
        let form = Array("coffre-00000000T000000Z.tar".utf8)
        let name = Array(name.utf8)
        return name.count == form.count
            && zip(name, form).allSatisfy { $1 == 0x30 ? (0x30...0x39).contains($0) : $0 == $1 }
    }
}

/// Times in UTC.
enum UTCTime {
    /// `20261124T031500Z`.
    static func compact(_ seconds: Int64) -> String { format(seconds, "%Y%m%dT%H%M%SZ") }

    /// `2026-11-24T03:15:00Z`.
    static func text(_ seconds: Int64) -> String { format(seconds, "%Y-%m-%dT%H:%M:%SZ") }

    private static func format(_ seconds: Int64, _ form: String) -> String {
        var clock = time_t(seconds)
        var parts = tm()
        gmtime_r(&clock, &parts)
        var buffer = [CChar](repeating: 0, count: 64)
        let count = strftime(&buffer, buffer.count, form, &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
