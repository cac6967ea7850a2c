/// The database file: its settings and its one table.
enum SQLiteSchema {
    /// `PRAGMA user_version`; a higher one is refused.
    static let version: Int64 = 1
    /// `PRAGMA application_id`: "Cfr1".
    static let applicationID: Int64 = 0x4366_7231

    /// Settings of the writing connection. A commit is durable when it returns; freed bytes are overwritten.
    static func configureWriter(_ connection: SQLiteConnection, maximumPages: Int?) throws(StorageError) {
        try connection.execute("PRAGMA busy_timeout=2000")
        try connection.execute("PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF")
        try connection.execute("PRAGMA secure_delete=ON; PRAGMA cell_size_check=ON; PRAGMA cache_size=-4096")
        guard try connection.text("PRAGMA journal_mode=WAL") == "wal" else {
            let text = "the file system of the state folder does not support a write-ahead log: use a local one"
            throw StorageError(.ioFailure, text)
        }
        // Checkpoints are run by the commit loop, after the answers.
        connection.takeOverCheckpoints()
        try connection.execute(
            "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864"
        )
        if let maximumPages { try connection.execute("PRAGMA max_page_count=\(maximumPages)") }
    }

    static func configureReader(_ connection: SQLiteConnection, cacheKibibytes: Int) throws(StorageError) {
        try connection.execute("PRAGMA busy_timeout=2000; PRAGMA query_only=ON; PRAGMA mmap_size=0")
        try connection.execute("PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON")
        try connection.execute("PRAGMA cache_size=-\(cacheKibibytes)")
    }

    /// Creates the table in an empty file; refuses a file of a newer version or of another program.
    static func migrate(_ connection: SQLiteConnection) throws(StorageError) {
        let found = try connection.integer("PRAGMA user_version") ?? 0
        let application = try connection.integer("PRAGMA application_id") ?? 0
        if found == version, application == applicationID { return }
        guard found <= version else {
            throw StorageError(.tooNew, "the vault database has format \(found): install a version that knows it")
        }
        guard found == 0, application == 0, try connection.integer("SELECT count(*) FROM sqlite_schema") == 0 else {
            throw StorageError(.corrupt, "the vault database is a database of another program")
        }
        try connection.begin()
        do {
            try connection.execute(
                """
                CREATE TABLE cell (
                    ns INTEGER NOT NULL, parent BLOB NOT NULL, name BLOB NOT NULL,
                    version INTEGER NOT NULL, label BLOB NOT NULL, value BLOB NOT NULL,
                    PRIMARY KEY (ns, parent, name)
                ) STRICT, WITHOUT ROWID;
                PRAGMA application_id=\(applicationID); PRAGMA user_version=\(version)
                """
            )
            try connection.commit()
        } catch {
            connection.rollBack()
            throw error
        }
    }
}
