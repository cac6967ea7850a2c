import CoffreStorage
import Foundation
import Testing

struct SQLiteConnectionTests {
    private func makeConnection(_ folder: StorageTestFolder, _ mode: SQLiteConnection.Mode = .readWrite) throws
        -> SQLiteConnection
    {
        let path = folder.path + "/plain.db"
        if !FileManager.default.fileExists(atPath: path) {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        return try SQLiteConnection(path: path, mode: mode)
    }

    @Test func valuesOfEveryKindGoThroughAStatement() throws {
        let folder = try StorageTestFolder()
        let connection = try makeConnection(folder)
        try connection.execute("CREATE TABLE t (i INTEGER, b BLOB, s TEXT, n TEXT)")
        let insert = try connection.statement("INSERT INTO t VALUES (?1, ?2, ?3, ?4)")
        for (number, bytes, text) in [(Int64.min, [UInt8](), ""), (.max, [0, 255], "é\u{0}x")] {
            try insert.bind(1, number)
            try insert.bind(2, bytes)
            try insert.bind(3, text)
            try insert.bindNull(4)
            try insert.run()
            #expect(connection.changes == 1)
        }
        let select = try connection.statement("SELECT i, b, s, n FROM t ORDER BY i DESC")
        #expect(try select.step())
        #expect(select.integer(0) == .max)
        #expect(select.bytes(1) == [0, 255])
        #expect(select.text(2) == "é\u{0}x")
        #expect(select.isNull(3))
        #expect(try select.step())
        #expect(select.bytes(1) == [])
        #expect(!select.isNull(1))
        #expect(select.text(2) == "")
        #expect(try !select.step())
        select.reset()
        #expect(try connection.integer("SELECT count(*) FROM t") == 2)
        #expect(try connection.text("SELECT s FROM t WHERE i=0") == nil)
    }

    @Test func aRolledBackTransactionLeavesNothing() throws {
        let folder = try StorageTestFolder()
        let connection = try makeConnection(folder)
        try connection.execute("CREATE TABLE t (i INTEGER)")
        try connection.begin()
        #expect(connection.isInTransaction)
        try connection.execute("INSERT INTO t VALUES (1)")
        connection.rollBack()
        #expect(!connection.isInTransaction)
        try connection.begin()
        try connection.execute("INSERT INTO t VALUES (2)")
        try connection.commit()
        #expect(try connection.integer("SELECT sum(i) FROM t") == 2)
    }

    @Test func aReadOnlyConnectionCannotWrite() throws {
        let folder = try StorageTestFolder()
        try makeConnection(folder).execute("CREATE TABLE t (i INTEGER)")
        let reader = try makeConnection(folder, .readOnly)
        #expect(throws: StorageError(.readOnly, "")) { try reader.execute("INSERT INTO t VALUES (1)") }
    }

    @Test func aBackupIsACompleteDatabase() throws {
        let folder = try StorageTestFolder()
        let connection = try makeConnection(folder)
        try connection.execute("PRAGMA journal_mode=WAL; CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (5)")
        let copy = folder.path + "/copy.db"
        _ = FileManager.default.createFile(atPath: copy, contents: nil)
        try connection.backUp(to: copy)
        try connection.execute("INSERT INTO t VALUES (6)")
        #expect(try SQLiteConnection(path: copy, mode: .readWrite).integer("SELECT sum(i) FROM t") == 5)
    }

    @Test func wrongSQLIsReportedWithItsCode() throws {
        let folder = try StorageTestFolder()
        let connection = try makeConnection(folder)
        let error = #expect(throws: StorageError.self) { try connection.execute("SELECT FROM") }
        #expect(error?.code == .unexpected)
        #expect(error?.detail == 1)
    }

    @Test func aMissingFileIsNotCreated() throws {
        let folder = try StorageTestFolder()
        #expect(throws: StorageError(.folderUnusable, "")) {
            try SQLiteConnection(path: folder.path + "/absent.db", mode: .readWrite)
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/absent.db"))
    }

    @Test func hashesAreOrderedBytewise() {
        let numbers: [UInt64] = [0, 1, 255, 256, 1 << 32, .max]
        #expect(numbers.map(hash).sorted() == numbers.map(hash))
        #expect(StorageHash([1]) == nil)
        #expect(hash(0x0102).bytes.suffix(2) == [1, 2])
    }
}
