/// What connections were asked: a SQLite file beside the audit log, of which every row may be deleted. Confined to
/// whoever owns it.
package final class QueryLedger {
    /// A statement that a login ran. Never the statement itself.
    package struct Row: Sendable, Equatable {
        /// When the login ended, in microseconds since 1970.
        package var time: Int64
        /// The login that ran it.
        package var login: String
        /// A keyed digest of the statement, as text; empty when the server did not tell which it was.
        package var statement: String
        /// How often it was run.
        package var calls: Int64
        /// Rows returned or changed by all of them.
        package var rows: Int64
        /// Microseconds that all of them took.
        package var microseconds: Int64
        /// A short code; nil when it went well.
        package var error: String?

        package init(
            time: Int64,
            login: String,
            statement: String,
            calls: Int64,
            rows: Int64,
            microseconds: Int64,
            error: String?
        ) {
            self.time = time
            self.login = login
            self.statement = statement
            self.calls = calls
            self.rows = rows
            self.microseconds = microseconds
            self.error = error
        }
    }

    /// A connection that is gone, and when by the wall clock and by the log's own count (microseconds).
    package struct Removed: Sendable, Equatable {
        package let connection: String
        package let time: Int64
        package let uptime: Int64

        package init(connection: String, time: Int64, uptime: Int64) {
            self.connection = connection
            self.time = time
            self.uptime = uptime
        }
    }

    private static let version: Int64 = 2
    private let connection: SQLiteConnection

    /// Makes the file, of mode 0600, when there is none.
    /// - Throws: ``StorageError`` `.corrupt`, `.io`, `.failed`, `.full`.
    package init(path: String) throws(StorageError) {
        connection = try SQLiteConnection(privatePath: path)
        // Overwritten with zeros when deleted; the journal is cut to nothing at each end of a transaction.
        try connection.execute(
            """
            PRAGMA secure_delete = ON;
            PRAGMA journal_mode = TRUNCATE;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS form (version INTEGER NOT NULL);
            CREATE TABLE IF NOT EXISTS query (id INTEGER PRIMARY KEY AUTOINCREMENT, connection BLOB NOT NULL,
                time INTEGER NOT NULL, login BLOB NOT NULL, statement BLOB NOT NULL, calls INTEGER NOT NULL,
                rows INTEGER NOT NULL, microseconds INTEGER NOT NULL, error BLOB);
            CREATE INDEX IF NOT EXISTS by_connection ON query (connection, id);
            CREATE TABLE IF NOT EXISTS removed (connection BLOB PRIMARY KEY, time INTEGER NOT NULL,
                uptime INTEGER NOT NULL) WITHOUT ROWID;
            INSERT INTO form SELECT 2 WHERE NOT EXISTS (SELECT * FROM form);
            """
        )
        let found = try connection.statement("SELECT version FROM form")
        defer { found.reset() }
        guard try found.step(), found.integer(0) == Self.version else {
            throw StorageError(.corrupt, "the query history has another version: move it away")
        }
    }

    private func inTransaction(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StorageError) {
            try body()
            try connection.execute("COMMIT")
        } catch {
            do throws(StorageError) { try connection.execute("ROLLBACK") } catch _ {}
            throw error
        }
    }

    /// Adds rows of a connection, and drops the oldest beyond `limit`.
    package func add(_ rows: [Row], of name: String, limit: Int) throws(StorageError) {
        try inTransaction { () throws(StorageError) in
            for row in rows {
                let insert = try connection.statement(
                    """
                    INSERT INTO query (connection, time, login, statement, calls, rows, microseconds, error)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """
                )
                insert.bind(1, Array(name.utf8))
                insert.bind(2, row.time)
                insert.bind(3, Array(row.login.utf8))
                insert.bind(4, Array(row.statement.utf8))
                insert.bind(5, row.calls)
                insert.bind(6, row.rows)
                insert.bind(7, row.microseconds)
                if let error = row.error { insert.bind(8, Array(error.utf8)) }
                try insert.run()
            }
            let drop = try connection.statement(
                """
                DELETE FROM query WHERE connection = ?1 AND id <=
                    (SELECT id FROM query WHERE connection = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
                """
            )
            drop.bind(1, Array(name.utf8))
            drop.bind(2, Int64(limit))
            try drop.run()
        }
    }

    /// The newest rows of a connection first.
    /// - Parameter before: only rows with a smaller id; nil for the newest.
    package func rows(
        of name: String,
        before: Int64? = nil,
        limit: Int
    ) throws(StorageError) -> [(id: Int64, row: Row)] {
        let select = try connection.statement(
            """
            SELECT id, time, login, statement, calls, rows, microseconds, error, error IS NULL FROM query
            WHERE connection = ? AND id < ? ORDER BY id DESC LIMIT ?
            """
        )
        defer { select.reset() }
        select.bind(1, Array(name.utf8))
        select.bind(2, before ?? .max)
        select.bind(3, Int64(limit))
        var rows: [(id: Int64, row: Row)] = []
        while try select.step() {
            let row = Row(
                time: select.integer(1),
                login: String(decoding: select.blob(2), as: UTF8.self),
                statement: String(decoding: select.blob(3), as: UTF8.self),
                calls: select.integer(4),
                rows: select.integer(5),
                microseconds: select.integer(6),
                error: select.integer(8) == 1 ? nil : String(decoding: select.blob(7), as: UTF8.self)
            )
            rows.append((select.integer(0), row))
        }
        return rows
    }

    package func count(of name: String) throws(StorageError) -> Int64 {
        let select = try connection.statement("SELECT count(*) FROM query WHERE connection = ?")
        defer { select.reset() }
        select.bind(1, Array(name.utf8))
        return try select.step() ? select.integer(0) : 0
    }

    /// What the rows of a connection from `since` on add up to.
    package func totals(of name: String, since: Int64) throws(StorageError) -> (
        calls: Int64, rows: Int64, logins: Int64
    ) {
        // total() does not overflow, as sum() would.
        let select = try connection.statement(
            """
            SELECT CAST(total(calls) AS INTEGER), CAST(total(rows) AS INTEGER), count(DISTINCT login) FROM query
            WHERE connection = ? AND time >= ?
            """
        )
        defer { select.reset() }
        select.bind(1, Array(name.utf8))
        select.bind(2, since)
        guard try select.step() else { return (0, 0, 0) }
        return (select.integer(0), select.integer(1), select.integer(2))
    }

    /// Whether a row of the connection is of the time from `since` to before `until`.
    package func has(rowsOf name: String, since: Int64, until: Int64) throws(StorageError) -> Bool {
        let select = try connection.statement(
            "SELECT 1 FROM query WHERE connection = ? AND time >= ? AND time < ? LIMIT 1"
        )
        defer { select.reset() }
        select.bind(1, Array(name.utf8))
        select.bind(2, since)
        select.bind(3, until)
        return try select.step()
    }

    /// Notes that a connection is gone; the first time counts.
    package func remove(_ removed: Removed) throws(StorageError) {
        let insert = try connection.statement("INSERT INTO removed VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        insert.bind(1, Array(removed.connection.utf8))
        insert.bind(2, removed.time)
        insert.bind(3, removed.uptime)
        try insert.run()
    }

    /// Connections that are gone and whose rows are still here.
    package func removed() throws(StorageError) -> [Removed] {
        let select = try connection.statement("SELECT connection, time, uptime FROM removed ORDER BY connection")
        defer { select.reset() }
        var all: [Removed] = []
        while try select.step() {
            all.append(
                Removed(
                    connection: String(decoding: select.blob(0), as: UTF8.self),
                    time: select.integer(1),
                    uptime: select.integer(2)
                )
            )
        }
        return all
    }

    /// Deletes all that is known of a connection.
    package func forget(_ name: String) throws(StorageError) {
        try inTransaction { () throws(StorageError) in
            for table in ["query", "removed"] {
                let delete = try connection.statement("DELETE FROM \(table) WHERE connection = ?")
                delete.bind(1, Array(name.utf8))
                try delete.run()
            }
        }
    }
}

@available(*, unavailable)
extension QueryLedger: Sendable {}
