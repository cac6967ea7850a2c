internal import CCoffreShims
internal import Glibc

/// Puts another database in the place of the one in a state folder, offline: no daemon may use the folder meanwhile.
///
/// Use it in this order: ``makeFile()``, write the bytes, ``verify(marker:)``, ``install(suffix:)``. Until the last step
/// nothing has changed; it happens whole or not at all.
package final class DatabaseReplacement {
    /// The database that is there now.
    package enum Present: Sendable {
        case none
        /// Its seal record; nil when it has none yet.
        case readable(seal: [UInt8]?)
        case unreadable
    }

    private let folder: StateFolder
    private var database: String { folder.path + "/coffre.db" }
    private var incoming: String { folder.path + "/" + Self.incomingName }
    /// Name of the new database until it is in place.
    static let incomingName = "coffre.db.restoring"
    private static let companions = ["-wal", "-shm", "-journal"]

    /// Opens or creates `path` (0700, of this user) and takes its lock.
    /// - Throws: ``StorageError`` `.alreadyOpen` when a daemon uses it, `.unsafePath`, `.io`.
    package init(folder path: String) throws(StorageError) {
        folder = try StateFolder(path)
        try folder.check("coffre.db")
        discard()
    }

    /// Removes what has not been installed.
    package func discard() {
        for end in [""] + Self.companions { unlink(incoming + end) }
    }

    /// Looks at the database that is there.
    package func present() -> Present {
        guard access(database, F_OK) == 0 else { return .none }
        do throws(StorageError) {
            let connection = try SQLiteConnection(path: database, isReader: false)
            return .readable(seal: try SQLiteStore.meta(.seal, connection))
        } catch {
            return .unreadable
        }
    }

    /// A new private file for the bytes of the other database.
    /// - Returns: a descriptor that the caller closes.
    package func makeFile() throws(StorageError) -> Int32 {
        discard()
        let descriptor = open(incoming, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StorageError(.io, "\(incoming) cannot be made: \(SQLiteStore.reason(errno))")
        }
        return descriptor
    }

    /// Checks the new file (its tables, every page) and writes `marker` into its cell ``MetaKey/restored``.
    /// - Returns: its cells.
    /// - Throws: ``StorageError`` `.corrupt`, `.full`, `.io`.
    package func verify(marker: [UInt8]) throws(StorageError) -> [MetaKey: [UInt8]] {
        let connection = try SQLiteConnection(path: incoming, isReader: false)
        try connection.execute("PRAGMA trusted_schema=OFF")
        try connection.execute("PRAGMA cell_size_check=ON")
        try connection.execute("PRAGMA temp_store=MEMORY")
        let template = try SQLiteConnection(path: ":memory:", isReader: false)
        try template.execute(SQLiteStore.schema)
        guard try Self.tables(connection) == Self.tables(template) else {
            throw StorageError(.corrupt, "the snapshot's database has other tables than a vault")
        }
        let check = try connection.statement("PRAGMA integrity_check(1)")
        guard try check.step(), check.blob(0) == Array("ok".utf8) else {
            throw StorageError(.corrupt, "the snapshot's database is damaged: take another one")
        }
        check.reset()
        var meta: [MetaKey: [UInt8]] = [:]
        for key in MetaKey.allCases { meta[key] = try SQLiteStore.meta(key, connection) }
        try connection.execute("PRAGMA journal_mode=DELETE")
        try connection.execute("PRAGMA synchronous=FULL")
        try RowStatements.putMeta(connection, .restored, marker)
        return meta
    }

    private static func tables(_ connection: SQLiteConnection) throws(StorageError) -> [[[UInt8]]] {
        let statement = try connection.statement(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name LIMIT 100"
        )
        var rows: [[[UInt8]]] = []
        while try statement.step() { rows.append((0..<4).map { statement.blob($0) }) }
        statement.reset()
        return rows
    }

    /// Puts the new file in place; the old one is kept beside it.
    /// - Parameter suffix: goes into the name of the old one, `coffre.db.before-restore-SUFFIX`.
    /// - Returns: the path of the old one, nil when there was none.
    /// - Throws: ``StorageError`` `.io`.
    package func install(suffix: String) throws(StorageError) -> String? {
        guard access(database, F_OK) == 0 else {
            try check(rename(incoming, database), "putting the database in place")
            try sync()
            return nil
        }
        var kept = "\(database).before-restore-\(suffix)"
        var number = 1
        while access(kept, F_OK) == 0 {
            number += 1
            kept = "\(database).before-restore-\(suffix)-\(number)"
        }
        // Its write-ahead log goes into the old file first: left behind, it would be taken for the new one's.
        foldJournal()
        for end in Self.companions where access(database + end, F_OK) == 0 {
            try check(rename(database + end, kept + end), "keeping the old database")
        }
        try check(rename(incoming, kept), "putting the database in place")
        if coffre_exchange_files(kept, database) != 0 {
            // A file system that cannot exchange. In between the old file has two names, and a daemon refuses to start.
            try check(rename(kept, incoming), "putting the database in place")
            try check(link(database, kept), "keeping the old database")
            try check(rename(incoming, database), "putting the database in place")
        }
        try sync()
        return kept
    }

    private func foldJournal() {
        do throws(StorageError) {
            let old = try SQLiteConnection(path: database, isReader: false)
            try old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            try old.execute("PRAGMA journal_mode=DELETE")
        } catch _ {
            // It is damaged: its journal is kept beside it.
        }
    }

    private func sync() throws(StorageError) {
        let descriptor = coffre_open_folder(folder.path)
        defer { close(descriptor) }
        try check(descriptor >= 0 ? fsync(descriptor) : -1, "syncing the state folder")
    }

    private func check(_ status: Int32, _ what: String) throws(StorageError) {
        guard status == 0 else {
            throw StorageError(.io, "\(what) failed in \(folder.path): \(SQLiteStore.reason(errno))")
        }
    }
}
