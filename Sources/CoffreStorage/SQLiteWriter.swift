/// The writing connection with its statements: the transaction that work and hook see.
final class SQLiteWriter: StorageTransaction {
    private let connection: SQLiteConnection
    private let point: SQLiteStatement
    private let upsert: SQLiteStatement
    private let erase: SQLiteStatement
    private let probe: SQLiteStatement
    private let scanAll: SQLiteStatement
    private let scanAfter: SQLiteStatement

    /// Whether the open transaction has written anything.
    private(set) var hasChanged = false

    init(path: String, maximumPages: Int?) throws(StorageError) {
        connection = try SQLiteConnection(path: path, mode: .readWrite)
        try SQLiteSchema.configureWriter(connection, maximumPages: maximumPages)
        try SQLiteSchema.migrate(connection)
        point = try connection.statement(
            "SELECT ns, parent, name, version, label, value FROM cell WHERE ns=?1 AND parent=?2 AND name=?3"
        )
        upsert = try connection.statement("INSERT OR REPLACE INTO cell VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        erase = try connection.statement("DELETE FROM cell WHERE ns=?1 AND parent=?2 AND name=?3")
        probe = try connection.statement("SELECT 1 FROM cell WHERE ns=?1 AND parent=?2 LIMIT 1")
        scanAll = try connection.statement(
            "SELECT ns, parent, name, version, label, value FROM cell ORDER BY ns, parent, name LIMIT ?1"
        )
        scanAfter = try connection.statement(
            """
            SELECT ns, parent, name, version, label, value FROM cell
            WHERE (ns, parent, name) > (?1, ?2, ?3) ORDER BY ns, parent, name LIMIT ?4
            """
        )
    }

    func begin() throws(StorageError) {
        hasChanged = false
        try connection.begin()
    }

    func commit() throws(StorageError) { try connection.commit() }

    func rollBack() { connection.rollBack() }

    /// Frames in the write-ahead log since it was last emptied, as of the last commit.
    var logFrames: Int { connection.logFrames }

    func checkpoint(truncate: Bool) throws(StorageError) { _ = try connection.checkpoint(truncate: truncate) }

    func row(_ address: StorageAddress) throws(StorageError) -> StorageRow? {
        try point.withAddress(address) { statement throws(StorageError) in
            try statement.step() ? try statement.row() : nil
        }
    }

    func hasRows(namespace: UInt8, parent: StorageHash) throws(StorageError) -> Bool {
        try parent.withUnsafeBytes { parent throws(StorageError) in
            defer { probe.reset() }
            try probe.bind(1, Int64(namespace))
            try probe.bind(2, borrowing: parent)
            return try probe.step()
        }
    }

    func scan(after address: StorageAddress?, limit: Int) throws(StorageError) -> [StorageRow] {
        guard let address else {
            defer { scanAll.reset() }
            try scanAll.bind(1, Int64(clamping: limit))
            return try scanAll.rows()
        }
        return try scanAfter.withAddress(address) { statement throws(StorageError) in
            try statement.bind(4, Int64(clamping: limit))
            return try statement.rows()
        }
    }

    func put(_ row: StorageRow) throws(StorageError) {
        hasChanged = true
        try upsert.withAddress(row.address) { statement throws(StorageError) in
            try statement.bind(4, Int64(bitPattern: row.version))
            try statement.bind(5, row.label)
            try statement.bind(6, row.value)
            _ = try statement.step()
        }
    }

    func delete(_ address: StorageAddress) throws(StorageError) {
        hasChanged = true
        try erase.withAddress(address) { statement throws(StorageError) in _ = try statement.step() }
    }
}
