internal import Synchronization

/// The reading connections: one for point reads, one for folders, so that a long listing delays no point read.
final class SQLiteReaderPool: Sendable {
    private let points: Mutex<SQLiteReader?>
    private let folders: Mutex<SQLiteReader?>
    /// Commits so far; raised when a commit has returned, before anybody hears of it.
    private let commits = Atomic<UInt64>(0)

    init(path: String) throws(StorageError) {
        points = Mutex(try SQLiteReader(path: path, cacheKibibytes: 8192))
        folders = Mutex(try SQLiteReader(path: path, cacheKibibytes: 1024))
    }

    func get(_ address: StorageAddress) throws(StorageError) -> StorageCell? {
        try read(points) { reader throws(StorageError) in try reader.get(address) }
    }

    func range(namespace: UInt8, parent: StorageHash, limit: Int) throws(StorageError) -> [StorageRow] {
        try read(folders) { reader throws(StorageError) in
            try reader.range(namespace: namespace, parent: parent, limit: limit)
        }
    }

    private func read<R: Sendable>(
        _ reader: borrowing Mutex<SQLiteReader?>,
        _ body: (SQLiteReader) throws(StorageError) -> R
    ) throws(StorageError) -> R {
        try reader.withLock { reader throws(StorageError) in
            guard let reader else { throw .closed }
            try reader.refresh(to: commits.load(ordering: .acquiring))
            do throws(StorageError) {
                return try body(reader)
            } catch {
                reader.release()
                throw error
            }
        }
    }

    /// A commit has returned: later reads see it.
    func noteCommit() { commits.add(1, ordering: .releasing) }

    /// Lets go of all snapshots.
    func release() {
        points.withLock { $0?.release() }
        folders.withLock { $0?.release() }
    }

    func close() {
        points.withLock { $0 = nil }
        folders.withLock { $0 = nil }
    }
}
