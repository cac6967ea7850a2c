internal import CSQLite
internal import Glibc

extension StorageError {
    /// Maps a result code of SQLite (https://www.sqlite.org/rescode.html). The one place where codes are read.
    ///
    /// - Parameters:
    ///   - code: the extended result code of the failed call.
    ///   - systemError: `sqlite3_system_errno` of the connection, 0 when unknown.
    static func sqlite(_ code: Int32, systemError: Int32) -> StorageError {
        let primary = code & 0xff
        precondition(primary != SQLITE_MISUSE && primary != SQLITE_RANGE, "SQLite was called against its rules")
        let suffix = " (SQLite result \(code)" + (systemError == 0 ? ")" : ", errno \(systemError))")
        switch primary {
        case SQLITE_FULL: return full(suffix, code)
        case SQLITE_IOERR where systemError == ENOSPC || systemError == EDQUOT: return full(suffix, code)
        case SQLITE_IOERR where code == SQLITE_IOERR | (12 << 8), SQLITE_NOMEM:  // SQLITE_IOERR_NOMEM
            return StorageError(.outOfMemory, "the process is out of memory" + suffix, detail: code)
        case SQLITE_IOERR:
            let text = "the vault database could not be read, written or synced: check the disk and the kernel log"
            return StorageError(.ioFailure, text + suffix, detail: code)
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_FORMAT:
            let text = "the vault database is damaged: stop the daemon, keep the files, restore a backup"
            return StorageError(.corrupt, text + suffix, detail: code)
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
            let text = "the vault database cannot be written: check owner, mode and mount of the state folder"
            return StorageError(.readOnly, text + suffix, detail: code)
        case SQLITE_CANTOPEN:
            let text = "the vault database cannot be opened: check owner and mode of the state folder"
            return StorageError(.folderUnusable, text + suffix, detail: code)
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL, SQLITE_SCHEMA, SQLITE_INTERRUPT, SQLITE_ABORT:
            return StorageError(.busy, "the vault database is busy: try again" + suffix, detail: code)
        case SQLITE_TOOBIG:
            return StorageError(.tooLarge, "a row is larger than the database stores" + suffix, detail: code)
        default:
            return StorageError(.unexpected, "the vault database answered unexpectedly" + suffix, detail: code)
        }
    }

    private static func full(_ suffix: String, _ code: Int32) -> StorageError {
        let text = "no space is left for the vault database: free space or raise the quota, then try again"
        return StorageError(.full, text + suffix, detail: code)
    }
}
