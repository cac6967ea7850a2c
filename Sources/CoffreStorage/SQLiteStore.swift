internal import Glibc
internal import Synchronization

/// The embedded engine: SQLite in WAL mode, every commit synced, one writer thread with group commit.
///
/// Reads run on the caller's thread through a connection of their own; a point read costs some microseconds.
package final class SQLiteStore: KeyValueStore {
    /// Runs the completions of one group; the vault hops to its executor here.
    package typealias Delivery = @Sendable (@escaping @Sendable () -> Void) -> Void

    struct Pending: Sendable {
        let changes: [RowChange]
        let meta: [MetaKey: [UInt8]]
        let completion: @Sendable (Result<UInt64, StorageError>) -> Void
    }

    private struct Reader: @unchecked Sendable {  // Used under its mutex only.
        var connection: SQLiteConnection?
        var cache = RowCache()
    }

    /// The state folder.
    let folder: String
    private var path: String { folder + "/coffre.db" }
    private let reader: ReaderBox
    private let writer: StorageWriter

    /// Shared with the writer, which drops from the cache what it has changed before anybody hears of the commit.
    private final class ReaderBox: Sendable {
        let state: Mutex<Reader>

        init(_ reader: sending Reader) { state = Mutex(reader) }

        func forget(_ addresses: [RowAddress]) {
            state.withLock { reader in
                for address in addresses { reader.cache.remove(address) }
            }
        }
    }

    /// Opens or creates the database in `folder` (0700, ours, not in use) and starts the writer.
    /// - Throws: ``StorageError`` `.unsafePath`, `.alreadyOpen`, `.corrupt`, `.io`, `.full`.
    package init(
        folder: String,
        maximumPages: Int? = nil,
        deliver: @escaping Delivery = { run in run() }
    ) throws(StorageError) {
        let path = folder + "/coffre.db"
        self.folder = folder
        let folder = try StateFolder(folder)
        try folder.check("coffre.db")
        // What a crash in the middle of a snapshot or of a restore leaves.
        for name in [Self.snapshotName, DatabaseReplacement.incomingName] {
            for end in ["", "-journal", "-wal", "-shm"] { unlink(self.folder + "/" + name + end) }
        }
        let connection = try Self.openWriter(path, maximumPages: maximumPages)
        let reader = ReaderBox(Reader(connection: try SQLiteConnection(path: path, isReader: true)))
        self.reader = reader
        writer = StorageWriter(
            folder: folder,
            connection: connection,
            didChange: { reader.forget($0) },
            deliver: deliver
        )
    }

    private static func openWriter(_ path: String, maximumPages: Int?) throws(StorageError) -> SQLiteConnection {
        let connection = try SQLiteConnection(privatePath: path)
        try connection.execute("PRAGMA journal_mode=WAL")
        try connection.execute("PRAGMA synchronous=FULL")
        try connection.execute("PRAGMA secure_delete=ON")
        try connection.execute("PRAGMA temp_store=MEMORY")
        try connection.execute("PRAGMA mmap_size=0")
        try connection.execute("PRAGMA trusted_schema=OFF")
        if let maximumPages { try connection.execute("PRAGMA max_page_count=\(maximumPages)") }
        try connection.execute(schema)
        return connection
    }

    /// The tables; nothing else belongs into the file.
    static let schema = """
        CREATE TABLE IF NOT EXISTS row (ns INTEGER NOT NULL, parent BLOB NOT NULL, name BLOB NOT NULL,
        version INTEGER NOT NULL, label BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (ns, parent, name))
        WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS meta (key INTEGER PRIMARY KEY, value BLOB NOT NULL);
        """

    /// Finishes what is queued, then closes.
    package func close() {
        writer.close()
        reader.state.withLock { $0.connection = nil }
    }

    deinit { close() }

    private func read<R: Sendable>(_ body: (SQLiteConnection) throws(StorageError) -> R) throws(StorageError) -> R {
        let result: Result<R, StorageError> = reader.state.withLock { reader in
            guard let connection = reader.connection else {
                return .failure(StorageError(.closed, "the storage is closed"))
            }
            do throws(StorageError) {
                return .success(try body(connection))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package func get(_ address: RowAddress) throws(StorageError) -> StoredRow? {
        let result: Result<StoredRow?, StorageError> = reader.state.withLock { reader in
            guard let connection = reader.connection else {
                return .failure(StorageError(.closed, "the storage is closed"))
            }
            if let known = reader.cache[address] { return .success(known) }
            do throws(StorageError) {
                let row = try RowStatements.get(connection, address)
                if let row { reader.cache.insert(row, at: address) }
                return .success(row)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package func range(
        namespace: UInt8,
        parent: RowHash,
        after: RowHash?,
        limit: Int,
        includesValues: Bool
    ) throws(StorageError) -> [(name: RowHash, row: StoredRow)] {
        try read { connection throws(StorageError) in
            let statement = try connection.statement(
                "SELECT name, version, label, \(includesValues ? "value" : "x''") FROM row WHERE ns=?1 AND parent=?2 AND name>?3 ORDER BY name LIMIT ?4"
            )
            statement.bind(1, Int64(namespace))
            statement.bind(2, parent)
            if let after { statement.bind(3, after) } else { statement.bind(3, []) }
            statement.bind(4, Int64(limit))
            var rows: [(name: RowHash, row: StoredRow)] = []
            while try statement.step() {
                let row = StoredRow(
                    version: UInt64(bitPattern: statement.integer(1)),
                    label: statement.blob(2),
                    value: statement.blob(3)
                )
                rows.append((try statement.hash(0), row))
            }
            statement.reset()
            return rows
        }
    }

    package func scan(after: RowAddress?, limit: Int) throws(StorageError) -> [(address: RowAddress, row: StoredRow)] {
        try read { connection throws(StorageError) in
            let statement = try connection.statement(
                "SELECT ns, parent, name, version, label, value FROM row WHERE (ns, parent, name) > (?1, ?2, ?3) ORDER BY ns, parent, name LIMIT ?4"
            )
            statement.bind(1, after.map { Int64($0.namespace) } ?? -1)
            if let after { statement.bind(2, after.parent) } else { statement.bind(2, []) }
            if let after { statement.bind(3, after.name) } else { statement.bind(3, []) }
            statement.bind(4, Int64(limit))
            var rows: [(address: RowAddress, row: StoredRow)] = []
            while try statement.step() { rows.append(try Self.addressed(statement)) }
            statement.reset()
            return rows
        }
    }

    package func readSnapshot(_ visit: (RowAddress, StoredRow) -> Void) throws(StorageError) -> [UInt8]? {
        let connection = try SQLiteConnection(path: path, isReader: true)
        try connection.execute("BEGIN")
        let meta = try Self.meta(.transaction, connection)
        let statement = try connection.statement("SELECT ns, parent, name, version, label, value FROM row")
        while try statement.step() {
            let (address, row) = try Self.addressed(statement)
            visit(address, row)
        }
        statement.reset()
        try connection.execute("COMMIT")
        return meta
    }

    private static func addressed(_ statement: SQLiteStatement) throws(StorageError) -> (RowAddress, StoredRow) {
        let address = RowAddress(
            namespace: UInt8(truncatingIfNeeded: statement.integer(0)),
            parent: try statement.hash(1),
            name: try statement.hash(2)
        )
        let row = StoredRow(
            version: UInt64(bitPattern: statement.integer(3)),
            label: statement.blob(4),
            value: statement.blob(5)
        )
        return (address, row)
    }

    static func meta(_ key: MetaKey, _ connection: SQLiteConnection) throws(StorageError) -> [UInt8]? {
        let statement = try connection.statement("SELECT value FROM meta WHERE key=?1")
        statement.bind(1, key.rawValue)
        defer { statement.reset() }
        return try statement.step() ? statement.blob(0) : nil
    }

    package func meta(_ key: MetaKey) throws(StorageError) -> [UInt8]? {
        try read { connection throws(StorageError) in try Self.meta(key, connection) }
    }

    package func commit(
        _ changes: [RowChange],
        meta: [MetaKey: [UInt8]],
        completion: @escaping @Sendable (Result<UInt64, StorageError>) -> Void
    ) {
        writer.enqueue(Pending(changes: changes, meta: meta, completion: completion))
    }

    package func setSealer(_ sealer: (any TransactionSealer)?) { writer.setSealer(sealer) }
}

/// The statements that readers and the writer share.
enum RowStatements {
    static func get(_ connection: SQLiteConnection, _ address: RowAddress) throws(StorageError) -> StoredRow? {
        let statement = try connection.statement(
            "SELECT version, label, value FROM row WHERE ns=?1 AND parent=?2 AND name=?3"
        )
        bind(address, to: statement)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return StoredRow(
            version: UInt64(bitPattern: statement.integer(0)),
            label: statement.blob(1),
            value: statement.blob(2)
        )
    }

    static func put(_ connection: SQLiteConnection, _ address: RowAddress, _ row: StoredRow) throws(StorageError) {
        let statement = try connection.statement(
            "INSERT OR REPLACE INTO row (ns, parent, name, version, label, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        )
        bind(address, to: statement)
        statement.bind(4, Int64(bitPattern: row.version))
        statement.bind(5, row.label)
        statement.bind(6, row.value)
        try statement.run()
    }

    static func delete(_ connection: SQLiteConnection, _ address: RowAddress) throws(StorageError) {
        let statement = try connection.statement("DELETE FROM row WHERE ns=?1 AND parent=?2 AND name=?3")
        bind(address, to: statement)
        try statement.run()
    }

    static func hasChildren(_ connection: SQLiteConnection, namespace: UInt8, parent: RowHash) throws(StorageError)
        -> Bool
    {
        let statement = try connection.statement("SELECT 1 FROM row WHERE ns=?1 AND parent=?2 LIMIT 1")
        statement.bind(1, Int64(namespace))
        statement.bind(2, parent)
        defer { statement.reset() }
        return try statement.step()
    }

    static func putMeta(_ connection: SQLiteConnection, _ key: MetaKey, _ value: [UInt8]) throws(StorageError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")
        statement.bind(1, key.rawValue)
        statement.bind(2, value)
        try statement.run()
    }

    private static func bind(_ address: RowAddress, to statement: SQLiteStatement) {
        statement.bind(1, Int64(address.namespace))
        statement.bind(2, address.parent)
        statement.bind(3, address.name)
    }
}
