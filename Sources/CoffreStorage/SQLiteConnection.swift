internal import CSQLite

/// One connection to a SQLite database, used by one thread at a time. Closed when it goes.
package final class SQLiteConnection {
    /// How the file is opened; it must exist.
    package enum Mode: Sendable {
        case readWrite
        case readOnly
    }

    private let handle: OpaquePointer
    private var statements: [UnsafeRawPointer: SQLiteStatement] = [:]
    private let frames: UnsafeMutablePointer<Int32>

    /// - Parameter path: of an existing file; not followed when its last component is a symbolic link.
    /// - Throws: ``StorageError`` as mapped from the result code.
    package init(path: String, mode: Mode) throws(StorageError) {
        let access = mode == .readWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY
        let flags = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW
        var opened: OpaquePointer?
        let status = sqlite3_open_v2(path, &opened, flags, nil)
        guard status == SQLITE_OK, let opened else {
            let systemError = opened.map { sqlite3_system_errno($0) } ?? 0
            sqlite3_close_v2(opened)
            throw .sqlite(status, systemError: systemError)
        }
        handle = opened
        frames = .allocate(capacity: 1)
        frames.initialize(to: 0)
    }

    /// Ends automatic checkpoints and counts the frames of the write-ahead log instead, for ``logFrames``.
    package func takeOverCheckpoints() {
        // SQLite keeps its automatic checkpoint in this hook: setting it replaces that one.
        sqlite3_wal_hook(
            handle,
            { context, _, _, frames in
                context?.assumingMemoryBound(to: Int32.self).pointee = frames
                return SQLITE_OK
            },
            frames
        )
    }

    deinit {
        for statement in statements.values { statement.finalize() }
        sqlite3_close_v2(handle)
        frames.deallocate()
    }

    /// The statement for `sql`, compiled at its first use and kept. One place in the code, one use at a time.
    package func statement(_ sql: StaticString) throws(StorageError) -> SQLiteStatement {
        let key = UnsafeRawPointer(sql.utf8Start)
        if let known = statements[key] { return known }
        let made = try SQLiteStatement(sql, connection: handle)
        statements[key] = made
        return made
    }

    /// Runs statements that return nothing of interest (pragmas, schema). `sql` comes from the code, never from input.
    package func execute(_ sql: String) throws(StorageError) {
        let status = sqlite3_exec(handle, sql, nil, nil, nil)
        guard status == SQLITE_OK else { throw .sqlite(status, systemError: sqlite3_system_errno(handle)) }
    }

    /// The first column of the first row of `sql`, as an integer; nil without a row.
    package func integer(_ sql: StaticString) throws(StorageError) -> Int64? {
        let statement = try statement(sql)
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : nil
    }

    /// The first column of the first row of `sql`, as text; nil without a row.
    package func text(_ sql: StaticString) throws(StorageError) -> String? {
        let statement = try statement(sql)
        defer { statement.reset() }
        return try statement.step() ? statement.text(0) : nil
    }

    /// Begins a write transaction, taking the write lock at once.
    package func begin() throws(StorageError) { try statement("BEGIN IMMEDIATE").run() }

    /// Makes the transaction durable (with `synchronous=FULL`). After an error the transaction may still be open: roll back.
    package func commit() throws(StorageError) { try statement("COMMIT").run() }

    /// Whether a transaction is open. SQLite ends one by itself after some errors.
    package var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Takes back the open transaction, if any.
    package func rollBack() {
        // A failing ROLLBACK leaves the transaction to the next BEGIN, which fails and is reported then.
        if isInTransaction { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
    }

    /// Frames in the write-ahead log as of this connection's last commit, after ``takeOverCheckpoints()``.
    package var logFrames: Int { Int(frames.pointee) }

    /// Rows changed by the last statement.
    package var changes: Int { Int(sqlite3_changes64(handle)) }

    /// Moves the write-ahead log into the database as far as readers allow; `truncate` also empties the file.
    /// - Returns: frames left in the log.
    package func checkpoint(truncate: Bool) throws(StorageError) -> Int {
        var frames: Int32 = 0
        var moved: Int32 = 0
        let mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE
        let status = sqlite3_wal_checkpoint_v2(handle, nil, mode, &frames, &moved)
        guard status == SQLITE_OK else { throw .sqlite(status, systemError: sqlite3_system_errno(handle)) }
        let left = max(0, frames - moved)
        self.frames.pointee = left
        return Int(left)
    }

    /// Writes a consistent copy of the whole database into the existing, empty file at `path`.
    ///
    /// Blocks for the length of the copy; a write by another connection restarts it, one by this connection cannot happen.
    package func backUp(to path: String) throws(StorageError) {
        let copy = try SQLiteConnection(path: path, mode: .readWrite)
        guard let backup = sqlite3_backup_init(copy.handle, "main", handle, "main") else {
            throw .sqlite(sqlite3_extended_errcode(copy.handle), systemError: sqlite3_system_errno(copy.handle))
        }
        let stepped = sqlite3_backup_step(backup, -1)
        let finished = sqlite3_backup_finish(backup)
        guard stepped == SQLITE_DONE, finished == SQLITE_OK else {
            let status = stepped == SQLITE_DONE ? finished : stepped
            throw .sqlite(status, systemError: sqlite3_system_errno(copy.handle))
        }
    }
}

@available(*, unavailable)
extension SQLiteConnection: Sendable {}
