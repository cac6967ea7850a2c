import CoffreAudit
import Synchronization

/// A disk in memory that knows what has been synced, counts calls, fails or dies at the n-th, and can be restarted.
final class MemoryDisk: LogFileSystem {
    enum Trouble: Sendable, Equatable {
        /// The call fails once, without effect.
        case fails(errno: Int32)
        /// A write stores half of its bytes; any other call fails with ENOSPC.
        case writesHalf
        /// This call and all later ones fail without effect: the process is gone.
        case kills
    }

    struct Content: Sendable, Equatable {
        var bytes: [UInt8] = []
        var synced: [UInt8] = []
        /// Microseconds since 1970, as told last.
        var modified: Int64?
        let inode: UInt64
        /// Bytes set aside from the beginning.
        var allocated = 0

        var taken: Int { max(bytes.count, allocated) }
    }

    struct State: Sendable {
        var contents: [UInt64: Content] = [:]
        var names: [String: UInt64] = [:]
        var syncedNames: [String: UInt64] = [:]
        /// Names that were given or taken since their folder was synced.
        var unsynced: [Substring: Set<String>] = [:]
        var folders: Set<String> = [""]
        var nextInode: UInt64 = 1
        var calls = 0
        var trouble: (call: Int, what: Trouble)?
        var trace: [String] = []
        /// No file can be made there.
        var denied: String?
        var isLocked = false

        /// Names of files and folders by the folder that they lie in.
        var entries: [Substring: Set<String>] = [:]

        mutating func link(_ name: String, _ inode: UInt64?) {
            names[name] = inode
            unsynced[Self.folder(name), default: []].insert(name)
            list(name, inode != nil)
        }

        mutating func list(_ name: String, _ isThere: Bool) {
            let folder = Self.folder(name)
            let part = String(folder.isEmpty ? name[...] : name[folder.endIndex...].dropFirst())
            guard isThere else {
                entries[folder]?.remove(part)
                return
            }
            entries[folder, default: []].insert(part)
            if !folder.isEmpty, folders.insert(String(folder)).inserted { list(String(folder), true) }
        }

        static func folder(_ name: String) -> Substring {
            name.utf8.lastIndex(of: 0x2f).map { name[..<$0] } ?? ""
        }

        /// Bytes that fit; nil for a disk without end.
        var capacity: Int?
        /// Files that fit; nil for a disk without end.
        var fileLimit: Int?
        /// What fallocate(2) says instead of setting bytes aside.
        var allocationError: Int32?
        var copiesOnWrite = false
        /// Bytes of somebody else.
        var foreign = 0
        /// Every change of the disk fails with this.
        var refusesWrites: Int32?

        var used: Int { names.values.reduce(foreign) { $0 + (contents[$1]?.taken ?? 0) } }
        var free: Int { capacity.map { max(0, $0 - used) } ?? .max }
    }

    let state: Mutex<State>

    init(_ state: State = State()) { self.state = Mutex(state) }

    // MARK: What tests do with it

    var calls: Int { state.withLock { $0.calls } }
    var trace: [String] { state.withLock { $0.trace } }

    /// Trouble at the `call`-th call from now on, counted from 1.
    func arrange(_ what: Trouble, atCall call: Int) {
        state.withLock { $0.trouble = ($0.calls + call, what) }
    }

    /// From now on no file can be made at `path`; nil ends it.
    func deny(_ path: String?) { state.withLock { $0.denied = path } }

    func calm() { state.withLock { $0.trouble = nil } }

    /// The disk after the process was killed: everything written is there.
    func afterKill() -> MemoryDisk { restarted { _ in } }

    /// The disk after a power cut: only what was synced is there.
    func afterPowerCut() -> MemoryDisk {
        restarted { state in
            for name in state.names.keys where state.syncedNames[name] == nil { state.list(name, false) }
            for name in state.syncedNames.keys { state.list(name, true) }
            state.names = state.syncedNames
            state.unsynced = [:]
            for inode in state.contents.keys {
                let synced = state.contents[inode]?.synced ?? []
                state.contents[inode]?.bytes = synced
            }
        }
    }

    private func restarted(_ change: (inout State) -> Void) -> MemoryDisk {
        var copy = state.withLock { $0 }
        change(&copy)
        copy.calls = 0
        copy.trouble = nil
        copy.trace = []
        copy.isLocked = false
        return MemoryDisk(copy)
    }

    func paths(ending: String = "") -> [String] {
        state.withLock { $0.names.keys.filter { $0.hasSuffix(ending) }.sorted() }
    }

    subscript(path: String) -> [UInt8]? {
        get { state.withLock { state in state.names[path].flatMap { state.contents[$0]?.bytes } } }
        set {
            state.withLock { state in
                state.list(path, newValue != nil)
                guard let newValue else {
                    state.names[path] = nil
                    state.syncedNames[path] = nil
                    return
                }
                let inode = state.names[path] ?? state.nextInode
                if state.names[path] == nil { state.nextInode += 1 }
                state.names[path] = inode
                state.syncedNames[path] = inode
                state.contents[inode] = Content(bytes: newValue, synced: newValue, inode: inode)
            }
        }
    }

    // MARK: LogFileSystem

    /// Counts the call; true when it must have half an effect.
    @discardableResult
    fileprivate func step(_ call: String, _ path: String) throws(FileFailure) -> Bool {
        let trouble: Trouble? = state.withLock { state in
            state.calls += 1
            state.trace.append("\(call) \(path)")
            guard let trouble = state.trouble else { return nil }
            switch trouble.what {
            case .kills: return state.calls >= trouble.call ? trouble.what : nil
            case .fails, .writesHalf: return state.calls == trouble.call ? trouble.what : nil
            }
        }
        switch trouble {
        case nil: return false
        case .fails(let errno): throw FileFailure(call: call, path: path, errno: errno)
        case .kills: throw FileFailure(call: call, path: path, errno: 5)
        case .writesHalf where call == "write": return true
        case .writesHalf: throw FileFailure(call: call, path: path, errno: 28)
        }
    }

    func prepareRoot(create: Bool) throws(AuditError) {}

    func lock(_ path: String) throws(AuditError) -> any LogFile {
        let isFree = state.withLock { state in
            defer { state.isLocked = true }
            return !state.isLocked
        }
        guard isFree else { throw .alreadyOpen(path: "memory") }
        if self[path] == nil { self[path] = [] }
        let inode = state.withLock { $0.names[path] ?? 0 }
        return MemoryFile(self, inode, path, onRelease: { [state = LockRelease(self)] in state.release() })
    }

    fileprivate func refuseWrites(_ call: String, _ path: String) throws(FileFailure) {
        if let errno = state.withLock({ $0.refusesWrites }) { throw FileFailure(call: call, path: path, errno: errno) }
    }

    func space() throws(FileFailure) -> DiskSpace {
        try step("statfs", "")
        return state.withLock { state in
            DiskSpace(
                freeBytes: state.capacity == nil ? 1 << 40 : state.free,
                totalBytes: state.capacity ?? 1 << 40,
                files: state.fileLimit.map { (free: max(0, $0 - state.names.count), total: $0) },
                copiesOnWrite: state.copiesOnWrite
            )
        }
    }

    func renameNew(_ path: String, to target: String) throws(FileFailure) {
        try step("rename", path)
        try refuseWrites("rename", path)
        let errno: Int32 = state.withLock { state in
            guard state.names[target] == nil else { return 17 }
            guard let inode = state.names[path] else { return 2 }
            state.link(target, inode)
            state.link(path, nil)
            return 0
        }
        guard errno == 0 else { throw FileFailure(call: "rename", path: path, errno: errno) }
    }

    func makeFolder(_ path: String, isPrivate: Bool) throws(FileFailure) {
        try step("mkdir", path)
        state.withLock { state in
            var done = ""
            for part in path.split(separator: "/") {
                done = done.isEmpty ? String(part) : done + "/" + part
                if state.folders.insert(done).inserted { state.list(done, true) }
            }
        }
    }

    func create(_ path: String, isPrivate: Bool) throws(FileFailure) -> any LogFile {
        try step("create", path)
        if state.withLock({ $0.denied == path }) { throw FileFailure(call: "create", path: path, errno: 13) }
        try refuseWrites("create", path)
        if state.withLock({ state in state.fileLimit.map { state.names.count >= $0 } ?? false }) {
            throw FileFailure(call: "create", path: path, errno: 28)
        }
        let inode: UInt64? = state.withLock { state in
            guard state.names[path] == nil else { return nil }
            let inode = state.nextInode
            state.nextInode += 1
            state.link(path, inode)
            state.contents[inode] = Content(inode: inode)
            return inode
        }
        guard let inode else { throw FileFailure(call: "create", path: path, errno: 17) }
        return MemoryFile(self, inode, path)
    }

    func open(_ path: String, writable: Bool) throws(FileFailure) -> any LogFile {
        try step("open", path)
        guard let inode = state.withLock({ $0.names[path] }) else {
            throw FileFailure(call: "open", path: path, errno: 2)
        }
        return MemoryFile(self, inode, path)
    }

    func names(in folder: String) throws(FileFailure) -> [String] {
        try step("readdir", folder)
        return state.withLock { Array($0.entries[folder[...]] ?? []) }
    }

    func identity(of path: String) throws(FileFailure) -> FileIdentity? {
        try step("stat", path)
        return state.withLock { state in
            if let inode = state.names[path] { return FileIdentity(device: 1, inode: inode, links: 1) }
            return state.folders.contains(path) ? FileIdentity(device: 1, inode: 0, links: 2) : nil
        }
    }

    func rename(_ path: String, to target: String) throws(FileFailure) {
        try step("rename", path)
        state.withLock { state in
            state.link(target, state.names[path])
            state.link(path, nil)
        }
    }

    func remove(_ path: String) throws(FileFailure) {
        try step("unlink", path)
        state.withLock { $0.link(path, nil) }
    }

    func modified(_ path: String) throws(FileFailure) -> Int64? {
        try step("stat", path)
        return state.withLock { state in state.names[path].flatMap { state.contents[$0]?.modified } }
    }

    func touch(_ path: String, at microseconds: Int64) throws(FileFailure) {
        try step("utimensat", path)
        state.withLock { state in
            if let inode = state.names[path] { state.contents[inode]?.modified = microseconds }
        }
    }

    func syncFolder(_ path: String) throws(FileFailure) {
        try step("syncdir", path)
        state.withLock { state in
            for name in state.unsynced.removeValue(forKey: path[...]) ?? [] {
                state.syncedNames[name] = state.names[name]
            }
        }
    }
}

private final class LockRelease: Sendable {
    private let disk: MemoryDisk

    init(_ disk: MemoryDisk) { self.disk = disk }

    func release() { disk.state.withLock { $0.isLocked = false } }
}

final class MemoryFile: LogFile {
    private let disk: MemoryDisk
    private let inode: UInt64
    private let path: String
    private let onRelease: (@Sendable () -> Void)?

    init(_ disk: MemoryDisk, _ inode: UInt64, _ path: String, onRelease: (@Sendable () -> Void)? = nil) {
        self.disk = disk
        self.inode = inode
        self.path = path
        self.onRelease = onRelease
    }

    deinit { onRelease?() }

    func size() throws(FileFailure) -> Int {
        try disk.step("size", path)
        return disk.state.withLock { $0.contents[inode]?.bytes.count ?? 0 }
    }

    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
        try disk.step("read", path)
        let bytes = disk.state.withLock { $0.contents[inode]?.bytes ?? [] }
        guard offset < bytes.count else { return 0 }
        let part = bytes[offset..<min(bytes.count, offset + target.count)]
        target.copyBytes(from: part)
        return part.count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) -> Int {
        let isHalf = try disk.step("write", path)
        try disk.refuseWrites("write", path)
        var fitting = isHalf ? bytes.count / 2 : bytes.count
        disk.state.withLock { state in
            guard state.capacity != nil, let content = state.contents[inode] else { return }
            fitting = min(fitting, max(0, content.taken + state.free - offset))
        }
        guard fitting > 0 || bytes.isEmpty else { throw FileFailure(call: "write", path: path, errno: 28) }
        let part = Array(bytes.prefix(fitting))
        disk.state.withLock { state in
            var content = state.contents[inode]?.bytes ?? []
            if content.count < offset { content += [UInt8](repeating: 0, count: offset - content.count) }
            content.replaceSubrange(offset..<min(content.count, offset + part.count), with: part)
            state.contents[inode]?.bytes = content
        }
        return part.count
    }

    func syncData() throws(FileFailure) { try flush("fdatasync") }

    func sync() throws(FileFailure) { try flush("fsync") }

    private func flush(_ call: String) throws(FileFailure) {
        try disk.step(call, path)
        disk.state.withLock { state in
            let bytes = state.contents[inode]?.bytes ?? []
            state.contents[inode]?.synced = bytes
        }
    }

    func truncate(to length: Int) throws(FileFailure) {
        try disk.step("truncate", path)
        try disk.refuseWrites("truncate", path)
        disk.state.withLock { state in
            let count = state.contents[inode]?.bytes.count ?? 0
            if count > length { state.contents[inode]?.bytes.removeLast(count - length) }
            state.contents[inode]?.allocated = 0
        }
    }

    func allocate(_ length: Int, keepsSize: Bool) throws(FileFailure) {
        try disk.step("fallocate", path)
        try disk.refuseWrites("fallocate", path)
        let errno: Int32 = disk.state.withLock { state in
            if let errno = state.allocationError { return errno }
            guard var content = state.contents[inode] else { return 9 }
            guard length - content.taken <= state.free else { return 28 }
            content.allocated = max(content.allocated, length)
            // Zeros of this length read back; nobody looks at them.
            if !keepsSize, content.bytes.count < length {
                content.bytes += [UInt8](repeating: 0, count: length - content.bytes.count)
            }
            state.contents[inode] = content
            return 0
        }
        guard errno == 0 else { throw FileFailure(call: "fallocate", path: path, errno: errno) }
    }

    func identity() throws(FileFailure) -> FileIdentity {
        try disk.step("fstat", path)
        let isNamed = disk.state.withLock { $0.names.values.contains(inode) }
        return FileIdentity(device: 1, inode: inode, links: isNamed ? 1 : 0)
    }
}
