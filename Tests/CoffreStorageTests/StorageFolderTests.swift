import CoffreStorage
import Foundation
import Testing

struct StorageFolderTests {
    @Test func filesArePrivate() throws {
        let folder = try StorageTestFolder()
        let old = umask(0)
        defer { umask(old) }
        let store = try folder.open()
        try store.put([row(address(1, 0, 1))])
        for name in ["vault.db", "vault.db-wal", "vault.db-shm", "coffred.lock"] {
            #expect(try folder.mode(name) == 0o600)
        }
        store.close()
    }

    @Test(arguments: [0o755, 0o770, 0o701, 0o500, 0o777])
    func aFolderOpenToOthersIsRefusedWithTheCommandThatRepairsIt(mode: Int) throws {
        let folder = try StorageTestFolder()
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder.path)
        let error = #expect(throws: StorageError.self) { try folder.open() }
        #expect(error?.code == .folderUnusable)
        #expect(error?.message.contains("chmod 0700 \(folder.path)") == true)
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
        try folder.open().close()
    }

    @Test func aMissingFolderIsNamedWithTheCommandThatMakesIt() throws {
        let folder = try StorageTestFolder()
        let missing = folder.path + "/missing"
        let error = #expect(throws: StorageError.self) {
            try SQLiteStore(SQLiteStore.Configuration(folder: missing))
        }
        #expect(error?.code == .folderUnusable)
        #expect(error?.message.contains("install -d -m 0700 \(missing)") == true)
    }

    @Test func theSameStateIsNotOpenedTwice() throws {
        let folder = try StorageTestFolder()
        let store = try folder.open()
        let error = #expect(throws: StorageError.self) { try folder.open() }
        #expect(error?.code == .inUse)
        #expect(error?.message.contains("\(folder.path) is in use by process \(getpid())") == true)
        store.close()
    }

    @Test func theLockGoesWithTheStore() throws {
        let folder = try StorageTestFolder()
        for _ in 0..<3 { try folder.open().close() }
        do { _ = try folder.open() }
        try folder.open().close()
    }

    @Test func aSymbolicLinkInPlaceOfAFileIsRefused() throws {
        let folder = try StorageTestFolder()
        let elsewhere = try StorageTestFolder()
        _ = FileManager.default.createFile(atPath: elsewhere.path + "/target", contents: nil)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/vault.db",
            withDestinationPath: elsewhere.path + "/target"
        )
        #expect(throws: StorageError(.folderUnusable, "")) { try folder.open() }
    }

    @Test func filesWithLooseModesAreTightened() throws {
        let folder = try StorageTestFolder()
        try folder.open().close()
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder.path + "/vault.db")
        try folder.open().close()
        #expect(try folder.mode("vault.db") == 0o600)
    }

    @Test func aFileThatIsNoDatabaseIsCalledDamaged() throws {
        let folder = try StorageTestFolder()
        try Data(repeating: 0x58, count: 8192).write(to: URL(fileURLWithPath: folder.path + "/vault.db"))
        #expect(throws: StorageError(.corrupt, "")) { try folder.open() }
    }

    @Test(arguments: [
        ("PRAGMA user_version=2", StorageError.Code.tooNew), ("PRAGMA application_id=7", .corrupt),
        ("PRAGMA user_version=0", .corrupt),
    ])
    func aForeignOrNewerDatabaseIsRefused(change: String, code: StorageError.Code) throws {
        let folder = try StorageTestFolder()
        try folder.open().close()
        do { try SQLiteConnection(path: folder.path + "/vault.db", mode: .readWrite).execute(change) }
        let error = #expect(throws: StorageError.self) { try folder.open() }
        #expect(error?.code == code)
    }
}
