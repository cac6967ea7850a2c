internal import CSQLite
internal import Glibc

/// One connection with its cached statements. Confined to whoever owns it.
final class SQLiteConnection {
    private var handle: OpaquePointer?
    private var statements: [String: SQLiteStatement] = [:]

    /// - Throws: ``StorageError`` `.corrupt`, `.io`, `.failed`.
    init(path: String, isReader: Bool) throws(StorageError) {
        var opened: OpaquePointer?
        let flags =
            (isReader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOMUTEX
            | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        handle = opened
        guard code == SQLITE_OK else {
            let error = Self.error(code, "opening \(path)")
            sqlite3_close_v2(opened)
            handle = nil
            throw error
        }
        sqlite3_busy_timeout(handle, 5000)
    }

    /// Opens `privatePath` for writing; makes it with mode 0600 when there is none.
    ///
    /// SQLite gives the files it keeps beside a database the database's own mode, so nothing needs the umask, which
    /// belongs to the whole process.
    /// - Throws: ``StorageError`` `.corrupt`, `.io`, `.failed`.
    convenience init(privatePath: String) throws(StorageError) {
        let descriptor = open(privatePath, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StorageError(.io, "\(privatePath) cannot be opened: \(String(cString: strerror(errno)))")
        }
        close(descriptor)
        try self.init(path: privatePath, isReader: false)
    }

    deinit {
        statements.removeAll()
        sqlite3_close_v2(handle)
    }

    /// The library's own handle, for calls that are in no statement.
    var raw: OpaquePointer? { handle }

    /// Runs statements that return nothing.
    func execute(_ sql: String) throws(StorageError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw Self.error(code, sql.prefix(40).description) }
    }

    /// A prepared statement, made once per text.
    func statement(_ sql: String) throws(StorageError) -> SQLiteStatement {
        if let known = statements[sql] {
            known.reset()
            return known
        }
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared else { throw Self.error(code, sql.prefix(40).description) }
        let statement = SQLiteStatement(prepared)
        statements[sql] = statement
        return statement
    }

    /// Maps a result code to an error, in one place. See sqlite.org/rescode.html.
    static func error(_ code: Int32, _ place: String) -> StorageError {
        let text = String(cString: sqlite3_errstr(code))
        switch code & 0xff {
        case SQLITE_FULL:
            return StorageError(.full, "the disk is full: free some space on the state folder's file system")
        case SQLITE_IOERR where code == SQLITE_IOERR | (26 << 8):
            return StorageError(.io, "the database file is too large for this file system")
        case SQLITE_IOERR, SQLITE_READONLY, SQLITE_CANTOPEN:
            return StorageError(
                .io,
                "the database cannot be read or written (\(text)): check the disk and its permissions"
            )
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return StorageError(.corrupt, "the database is damaged (\(text)): restore a backup")
        case SQLITE_BUSY, SQLITE_LOCKED:
            return StorageError(.alreadyOpen, "another process has the database open")
        default: return StorageError(.failed, "the database refused (\(text), \(place))")
        }
    }
}

/// A prepared statement. It belongs to its connection and must not leave it.
final class SQLiteStatement {
    private let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { sqlite3_finalize(handle) }

    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }

    /// Copies `bytes`.
    func bind(_ index: Int32, _ bytes: [UInt8]) {
        guard !bytes.isEmpty else {
            sqlite3_bind_zeroblob(handle, index, 0)
            return
        }
        _ = bytes.withUnsafeBytes { buffer in
            sqlite3_bind_blob64(handle, index, buffer.baseAddress, UInt64(buffer.count), Self.transient)
        }
    }

    func bind(_ index: Int32, _ hash: RowHash) {
        withUnsafeBytes(of: (hash.high.bigEndian, hash.low.bigEndian)) { buffer in
            _ = sqlite3_bind_blob64(handle, index, buffer.baseAddress, 16, Self.transient)
        }
    }

    /// True when there is a row.
    func step() throws(StorageError) -> Bool {
        let code = sqlite3_step(handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default:
            sqlite3_reset(handle)
            throw SQLiteConnection.error(code, "step")
        }
    }

    /// Runs to the end.
    func run() throws(StorageError) {
        while try step() {}
        sqlite3_reset(handle)
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func blob(_ column: Int32) -> [UInt8] {
        let count = Int(sqlite3_column_bytes(handle, column))
        guard count > 0, let start = sqlite3_column_blob(handle, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    func hash(_ column: Int32) throws(StorageError) -> RowHash {
        let count = Int(sqlite3_column_bytes(handle, column))
        guard let start = sqlite3_column_blob(handle, column),
            let hash = RowHash(UnsafeRawBufferPointer(start: start, count: count)), count == 16
        else {
            throw StorageError(.corrupt, "the database is damaged (an address of the wrong length): restore a backup")
        }
        return hash
    }

    // SQLITE_TRANSIENT is a macro: the library copies before the call returns.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)  // The C macro's own definition.
}

@available(*, unavailable)
extension SQLiteStatement: Sendable {}

@available(*, unavailable)
extension SQLiteConnection: Sendable {}
