/// A read-only connection with its statements.
///
/// It keeps its snapshot from one read to the next while nothing is committed: opening one costs two file locks, about as
/// much as the read itself.
final class SQLiteReader {
    private let connection: SQLiteConnection
    private let begin: SQLiteStatement
    private let end: SQLiteStatement
    private let point: SQLiteStatement
    private let folder: SQLiteStatement
    /// The commit that the open snapshot contains; nil without a snapshot.
    private var snapshot: UInt64?

    init(path: String, cacheKibibytes: Int) throws(StorageError) {
        connection = try SQLiteConnection(path: path, mode: .readOnly)
        try SQLiteSchema.configureReader(connection, cacheKibibytes: cacheKibibytes)
        begin = try connection.statement("BEGIN")
        end = try connection.statement("COMMIT")
        point = try connection.statement("SELECT version, value FROM cell WHERE ns=?1 AND parent=?2 AND name=?3")
        folder = try connection.statement(
            """
            SELECT ns, parent, name, version, label, value FROM cell
            WHERE ns=?1 AND parent=?2 ORDER BY name LIMIT ?3
            """
        )
    }

    /// Makes sure that reads see `commit`.
    func refresh(to commit: UInt64) throws(StorageError) {
        if snapshot == commit { return }
        release()
        // The snapshot itself is taken by the first SELECT: it may be newer than `commit`, never older.
        try begin.run()
        snapshot = commit
    }

    /// Lets go of the snapshot, so that the write-ahead log can be emptied.
    func release() {
        guard snapshot != nil else { return }
        snapshot = nil
        // Fails only when an error has ended the transaction already.
        try? end.run()
    }

    func get(_ address: StorageAddress) throws(StorageError) -> StorageCell? {
        try point.withAddress(address) { statement throws(StorageError) in
            guard try statement.step() else { return nil }
            return StorageCell(version: UInt64(bitPattern: statement.integer(0)), value: statement.bytes(1))
        }
    }

    func range(namespace: UInt8, parent: StorageHash, limit: Int) throws(StorageError) -> [StorageRow] {
        try parent.withUnsafeBytes { parent throws(StorageError) in
            defer { folder.reset() }
            try folder.bind(1, Int64(namespace))
            try folder.bind(2, borrowing: parent)
            try folder.bind(3, Int64(clamping: limit))
            return try folder.rows()
        }
    }
}

extension SQLiteStatement {
    /// Binds the three parts of an address to the parameters 1 to 3, runs `body` and resets.
    func withAddress<R>(
        _ address: StorageAddress,
        _ body: (SQLiteStatement) throws(StorageError) -> R
    ) throws(StorageError) -> R {
        try address.parent.withUnsafeBytes { parent throws(StorageError) in
            try address.name.withUnsafeBytes { name throws(StorageError) in
                defer { reset() }
                try bind(1, Int64(address.namespace))
                try bind(2, borrowing: parent)
                try bind(3, borrowing: name)
                return try body(self)
            }
        }
    }

    /// The remaining rows of `SELECT ns, parent, name, version, label, value`.
    func rows() throws(StorageError) -> [StorageRow] {
        var rows: [StorageRow] = []
        while try step() { rows.append(try row()) }
        return rows
    }

    /// The current row of `SELECT ns, parent, name, version, label, value`.
    func row() throws(StorageError) -> StorageRow {
        guard let namespace = UInt8(exactly: integer(0)), let parent = StorageHash(bytes(1)),
            let name = StorageHash(bytes(2))
        else {
            throw StorageError(.corrupt, "the vault database holds a row with a malformed address: restore a backup")
        }
        return StorageRow(
            address: StorageAddress(namespace: namespace, parent: parent, name: name),
            version: UInt64(bitPattern: integer(3)),
            label: bytes(4),
            value: bytes(5)
        )
    }
}
