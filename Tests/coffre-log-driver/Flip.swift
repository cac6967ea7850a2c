import CoffreAudit

/// The files of a log, in memory.
final class HeldFiles: LogFileSystem {
    private final class Held: LogFile {
        private let bytes: [UInt8]

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        func size() throws(FileFailure) -> Int { bytes.count }

        func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
            guard offset < bytes.count else { return 0 }
            let part = bytes[offset..<min(bytes.count, offset + target.count)]
            target.copyBytes(from: part)
            return part.count
        }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) -> Int { throw readOnly }
        func syncData() throws(FileFailure) { throw readOnly }
        func sync() throws(FileFailure) { throw readOnly }
        func truncate(to length: Int) throws(FileFailure) { throw readOnly }
        func identity() throws(FileFailure) -> FileIdentity { FileIdentity(device: 1, inode: 1, links: 1) }
    }

    private static let readOnly = FileFailure(call: "write", path: "held", errno: 30)
    private let files: [String: [UInt8]]
    private let folders: [String: Set<String>]

    init(_ files: [String: [UInt8]]) {
        var folders: [String: Set<String>] = ["": []]
        for path in files.keys {
            var folder = ""
            for part in path.split(separator: "/") {
                folders[folder, default: []].insert(String(part))
                folder = folder.isEmpty ? String(part) : folder + "/" + part
            }
        }
        self.files = files
        self.folders = folders
    }

    private init(_ files: [String: [UInt8]], _ folders: [String: Set<String>]) {
        self.files = files
        self.folders = folders
    }

    /// Reads what verifiers look at.
    static func read(_ folder: String) throws(FileFailure) -> HeldFiles {
        let disk = PosixFileSystem(root: folder, isReader: true)
        do throws(AuditError) { try disk.prepareRoot(create: false) } catch { Driver.fail(error.message, 66) }
        var files: [String: [UInt8]] = [:]
        let looked = ["log.vkey", "checkpoint", "epochs", "seg", "tree", "pruned", "hold", "erased"]
        var left = try disk.names(in: "").filter { looked.contains($0) }
        while let path = left.popLast() {
            do throws(FileFailure) {
                left += try disk.names(in: path).filter { !$0.hasSuffix(".new") }.map { "\(path)/\($0)" }
            } catch {
                let file = try disk.open(path, writable: false)
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: try file.size() + 1, alignment: 16)
                defer { buffer.deallocate() }
                files[path] = Array(buffer[..<(try file.read(at: 0, into: buffer))])
            }
        }
        return HeldFiles(files)
    }

    var names: [String] { files.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }

    subscript(path: String) -> [UInt8] { files[path] ?? [] }

    func with(_ path: String, _ bytes: [UInt8]) -> HeldFiles {
        var changed = files
        changed[path] = bytes
        return HeldFiles(changed, folders)
    }

    func prepareRoot(create: Bool) throws(AuditError) {}
    func lock(_ path: String) throws(AuditError) -> any LogFile { throw .alreadyOpen(path: "held") }
    func makeFolder(_ path: String, isPrivate: Bool) throws(FileFailure) { throw Self.readOnly }
    func create(_ path: String, isPrivate: Bool) throws(FileFailure) -> any LogFile { throw Self.readOnly }
    func rename(_ path: String, to target: String) throws(FileFailure) { throw Self.readOnly }
    func renameNew(_ path: String, to target: String) throws(FileFailure) { throw Self.readOnly }
    func remove(_ path: String) throws(FileFailure) { throw Self.readOnly }
    func space() throws(FileFailure) -> DiskSpace { throw Self.readOnly }
    func syncFolder(_ path: String) throws(FileFailure) { throw Self.readOnly }

    func open(_ path: String, writable: Bool) throws(FileFailure) -> any LogFile {
        guard let bytes = files[path] else { throw FileFailure(call: "open", path: path, errno: 2) }
        return Held(bytes)
    }

    func names(in folder: String) throws(FileFailure) -> [String] {
        guard let names = folders[folder] else { throw FileFailure(call: "open", path: folder, errno: 2) }
        return Array(names)
    }

    func identity(of path: String) throws(FileFailure) -> FileIdentity? {
        files[path] != nil || folders[path] != nil ? FileIdentity(device: 1, inode: 1, links: 1) : nil
    }
}

extension Driver {
    /// Changes every bit of every file, one at a time, and prints file, bit number, and `-` (valid) or the record to
    /// blame or `?` (none).
    static func flip(_ folder: String) {
        do throws(FileFailure) {
            let log = try HeldFiles.read(folder)
            guard blame(log) == "-" else { fail("the log itself is bad: record \(blame(log))", 65) }
            for name in log.names {
                var bytes = log[name]
                var lines = ""
                for bit in 0..<(8 * bytes.count) {
                    bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                    lines += "\(name) \(bit) \(blame(log.with(name, bytes)))\n"
                    bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                }
                say(String(lines.dropLast()))
            }
        } catch {
            fail("\(error.call) failed on \(error.path)", 66)
        }
    }

    private static func blame(_ log: HeldFiles) -> String {
        do throws(AuditError) {
            let report = try LogVerifier(files: log).verify()
            guard let finding = report.findings.first else { return "-" }
            return finding.record.map { String($0) } ?? "?"
        } catch {
            return "?"
        }
    }
}
