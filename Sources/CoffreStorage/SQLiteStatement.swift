internal import CSQLite

/// A compiled statement of one connection. Parameters count from 1, columns from 0.
package final class SQLiteStatement {
    private var handle: OpaquePointer?
    private let connection: OpaquePointer

    init(_ sql: StaticString, connection: OpaquePointer) throws(StorageError) {
        self.connection = connection
        let flags = UInt32(SQLITE_PREPARE_PERSISTENT)
        let length = Int32(sql.utf8CodeUnitCount)
        let status = sql.utf8Start.withMemoryRebound(to: CChar.self, capacity: sql.utf8CodeUnitCount) {
            sqlite3_prepare_v3(connection, $0, length, flags, &handle, nil)
        }
        guard status == SQLITE_OK, handle != nil else {
            throw .sqlite(status, systemError: sqlite3_system_errno(connection))
        }
    }

    /// Called by the connection before it closes.
    func finalize() {
        sqlite3_finalize(handle)
        handle = nil
    }

    package func bind(_ index: Int32, _ value: Int64) throws(StorageError) {
        try check(sqlite3_bind_int64(handle, index, value))
    }

    /// Binds without copying: `bytes` must stay valid until `reset()`.
    package func bind(_ index: Int32, borrowing bytes: UnsafeRawBufferPointer) throws(StorageError) {
        // A null pointer would bind NULL instead of an empty blob.
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            return try check(sqlite3_bind_zeroblob(handle, index, 0))
        }
        try check(sqlite3_bind_blob64(handle, index, start, UInt64(bytes.count), nil))
    }

    package func bind(_ index: Int32, _ bytes: [UInt8]) throws(StorageError) {
        let status = bytes.withUnsafeBytes { bytes in
            bytes.isEmpty
                ? sqlite3_bind_zeroblob(handle, index, 0)
                : sqlite3_bind_blob64(handle, index, bytes.baseAddress, UInt64(bytes.count), Self.transient)
        }
        try check(status)
    }

    package func bind(_ index: Int32, _ text: String) throws(StorageError) {
        var text = text
        let status = text.withUTF8 { text in
            text.withMemoryRebound(to: CChar.self) { text in
                guard let start = text.baseAddress else {
                    return sqlite3_bind_text(handle, index, "", 0, Self.transient)
                }
                return sqlite3_bind_text64(
                    handle,
                    index,
                    start,
                    UInt64(text.count),
                    Self.transient,
                    UInt8(SQLITE_UTF8)
                )
            }
        }
        try check(status)
    }

    package func bindNull(_ index: Int32) throws(StorageError) { try check(sqlite3_bind_null(handle, index)) }

    /// Advances to the next row; false when there is none. Call `reset()` afterwards, also after an error.
    package func step() throws(StorageError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let status: throw .sqlite(status, systemError: sqlite3_system_errno(connection))
        }
    }

    /// Runs a statement that returns no rows, and resets it.
    package func run() throws(StorageError) {
        defer { reset() }
        while try step() {}
    }

    /// Ends the use of the row and forgets the parameters.
    package func reset() {
        // The code repeats the error that step() has reported.
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    package func bytes(_ column: Int32) -> [UInt8] { withBytes(column) { Array($0) } }

    package func text(_ column: Int32) -> String { withBytes(column) { String(decoding: $0, as: UTF8.self) } }

    /// Lends the column's bytes, valid until the next step or reset.
    package func withBytes<R>(_ column: Int32, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let start = sqlite3_column_blob(handle, column)
        return body(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }

    private func check(_ status: Int32) throws(StorageError) {
        guard status == SQLITE_OK else { throw .sqlite(status, systemError: sqlite3_system_errno(connection)) }
    }

    // SQLITE_TRANSIENT is a C macro with a cast: "copy the bytes now".
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type?.self)
}

@available(*, unavailable)
extension SQLiteStatement: Sendable {}
