internal import Synchronization

/// A file of real blocks in the log's folder, given up when nothing else is left on the disk: enough for an
/// administrator to log in, prune, export and stop cleanly (specification 3.8).
///
/// Its length tells a later start what happened: full while it is held, 0 once it has been given up, and the number of
/// the `reserve.used` record after that is durable.
final class Reserve: Sendable {
    static let path = "reserve"
    private static let newPath = "reserve.new"

    enum State: Sendable, Equatable {
        /// None is kept, or none has been made yet.
        case absent
        case held
        case released(recorded: Bool)
    }

    private let files: any LogFileSystem
    let bytes: Int
    private let now = Mutex(State.absent)

    init(_ configuration: AuditLogConfiguration) {
        files = configuration.fileSystem
        bytes = configuration.space.reserveBytes
    }

    var state: State { now.withLock { $0 } }
    var missing: Int { bytes > 0 && state != .held ? bytes : 0 }
    var isReleased: Bool { if case .released = state { true } else { false } }

    /// Reads what an earlier run has left.
    func load() throws(FileFailure) {
        guard bytes > 0, try files.identity(of: Self.path) != nil else { return }
        let file = try files.open(Self.path, writable: true)
        let length = try file.size()
        var found: State = length == 0 ? .released(recorded: false) : length < 64 ? .released(recorded: true) : .held
        if found == .held {
            // A copy of the folder may have made holes of it.
            do throws(FileFailure) {
                try file.allocate(bytes, keepsSize: false)
            } catch {
                guard LogWriter.isTransient(error.errno) || error.errno == 95 else { throw error }
                found = .absent
            }
        }
        now.withLock { $0 = found }
    }

    /// Gives the blocks up. Blocks on the disk.
    /// - Returns: false when there was nothing to give up.
    func release() throws(FileFailure) -> Bool {
        guard state == .held else { return false }
        let file = try files.open(Self.path, writable: true)
        try file.truncate(to: 0)
        try file.sync()
        now.withLock { $0 = .released(recorded: false) }
        return true
    }

    /// Notes that the record of it is durable.
    func recorded(as index: UInt64) throws(FileFailure) {
        guard state == .released(recorded: false) else { return }
        let text = Array("\(index)\n".utf8)
        let file = try files.open(Self.path, writable: true)
        try file.writeAll(text, path: Self.path)
        try file.sync()
        now.withLock { if $0 == .released(recorded: false) { $0 = .released(recorded: true) } }
    }

    /// Makes it again, or for the first time, when `free` bytes allow. Blocks on the disk.
    /// - Throws: EOPNOTSUPP where the file system cannot set blocks aside.
    func make(from free: Int) throws(FileFailure) {
        guard missing > 0, missing <= free else { return }
        if try files.identity(of: Self.newPath) != nil { try files.remove(Self.newPath) }
        let file = try files.create(Self.newPath, isPrivate: true)
        do throws(FileFailure) {
            try file.allocate(bytes, keepsSize: false)
            try file.sync()
            try files.rename(Self.newPath, to: Self.path)
            try files.syncFolder("")
        } catch {
            do throws(FileFailure) { try files.remove(Self.newPath) } catch _ {}
            throw error
        }
        now.withLock { $0 = .held }
    }
}
