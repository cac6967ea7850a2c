import CoffreStorage
import CoffreTestSupport
import Foundation
import Testing

/// Copies of a database that is being written, and their way back.
struct DatabaseSnapshotTests {
    /// The generation counts transactions; the meta row is its text.
    private final class Numbering: TransactionSealer, @unchecked Sendable {  // One call at a time, by the protocol.
        private var number: UInt64 = 0

        func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
            number += 1
            return (Array(String(number).utf8), number)
        }
        func finish(isDurable: Bool) {}
    }

    private static func address(_ number: Int) -> RowAddress {
        RowAddress(namespace: 1, parent: RowHash(high: 0, low: 1), name: RowHash(high: UInt64(number), low: 0))
    }

    private static func put(_ store: SQLiteStore, _ number: Int, bytes: Int = 2000) async throws {
        let change = RowChange.put(address(number), expect: .any) { _ in ([0], [UInt8](repeating: 3, count: bytes)) }
        let result = await withCheckedContinuation { continuation in
            store.commit([change], meta: [:]) { continuation.resume(returning: $0) }
        }
        _ = try result.get()
    }

    private static func opened(_ folder: TestFolder) throws -> SQLiteStore {
        let store = try SQLiteStore(folder: folder.path)
        store.setSealer(Numbering())
        return store
    }

    private static func bytes(of snapshot: DatabaseSnapshot) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try snapshot.forEachPiece { bytes += $0 }
        return bytes
    }

    /// Puts bytes in the place of a database.
    private static func install(_ bytes: [UInt8], in folder: String, marker: String = "m") throws -> String? {
        let replacement = try DatabaseReplacement(folder: folder)
        defer { replacement.discard() }
        let file = FileHandle(fileDescriptor: try replacement.makeFile(), closeOnDealloc: true)
        try file.write(contentsOf: Data(bytes))
        try file.close()
        _ = try replacement.verify(marker: Array(marker.utf8))
        return try replacement.install(suffix: "now")
    }

    private static func count(_ store: SQLiteStore) throws -> Int {
        var count = 0
        _ = try store.readSnapshot { _, _ in count += 1 }
        return count
    }

    @Test func aCopyIsOfOneMomentWhateverIsWrittenMeanwhile() async throws {
        let folder = try TestFolder("s")
        let store = try Self.opened(folder)
        for number in 0..<2000 { try await Self.put(store, number) }
        let (snapshot, writes) = try await withThrowingTaskGroup(of: Int.self) { group in
            let isOver = Flag()
            group.addTask {
                var number = 2000
                while !isOver.isSet {
                    try await Self.put(store, number)
                    number += 1
                }
                return number - 2000
            }
            let snapshot = try await Self.onThread {
                defer { isOver.set() }
                return try store.takeSnapshot { false }
            }
            return (snapshot, try await group.reduce(0, +))
        }
        #expect(writes > 0)
        let generation = try #require(Int(String(decoding: snapshot.meta[.transaction] ?? [], as: UTF8.self)))
        #expect((2000...2000 + writes).contains(generation))
        #expect(!FileManager.default.fileExists(atPath: folder.file("coffre.db.snapshot")))
        let other = try TestFolder("s")
        #expect(try Self.install(try Self.bytes(of: snapshot), in: other.path) == nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: other.path).sorted() == ["coffre.db", "lock"])
        let restored = try SQLiteStore(folder: other.path)
        #expect(try Self.count(restored) == generation)
        #expect(try restored.meta(.restored) == Array("m".utf8))
    }

    @Test func aCopyThatIsGivenUpLeavesNothing() async throws {
        let folder = try TestFolder("s")
        let store = try Self.opened(folder)
        for number in 0..<400 { try await Self.put(store, number, bytes: 20_000) }
        var asked = 0
        #expect(throws: StorageError.self) {
            _ = try store.takeSnapshot {
                asked += 1
                return asked > 1
            }
        }
        #expect(asked == 2)
        #expect(!FileManager.default.fileExists(atPath: folder.file("coffre.db.snapshot")))
    }

    @Test func aStartRemovesWhatACrashLeft() throws {
        let folder = try TestFolder("s")
        for end in ["", "-journal", "-wal", "-shm"] {
            _ = try folder.write("coffre.db.snapshot" + end, "half")
            _ = try folder.write("coffre.db.restoring" + end, "half")
        }
        let store = try Self.opened(folder)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!names.contains { $0.contains("snapshot") || $0.contains("restoring") })
        store.close()
    }

    @Test func foreignTablesAndDamagedPagesAreRefused() async throws {
        let folder = try TestFolder("s")
        let store = try Self.opened(folder)
        for number in 0..<50 { try await Self.put(store, number) }
        let whole = try Self.bytes(of: try store.takeSnapshot { false })
        let other = try TestFolder("s")
        // A page of the tree, overwritten.
        var damaged = whole
        for position in 8192..<8292 { damaged[position] = 0xff }
        #expect(throws: StorageError.self) { _ = try Self.install(damaged, in: other.path) }
        let foreign = other.file("foreign")
        let made = try RunningProcess.run(
            "/usr/bin/sqlite3",
            [foreign, "CREATE TABLE row (a); CREATE TABLE meta (key, value); CREATE VIEW v AS SELECT 1;"]
        )
        #expect(made.status == 0)
        let bytes = try #require(FileManager.default.contents(atPath: foreign))
        #expect(throws: StorageError.self) { _ = try Self.install([UInt8](bytes), in: other.path) }
        #expect(throws: StorageError.self) { _ = try Self.install(Array("no database".utf8), in: other.path) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: other.path).sorted() == ["foreign", "lock"])
    }

    @Test func theOldDatabaseIsKeptWithItsLastWrites() async throws {
        let folder = try TestFolder("s")
        let store = try Self.opened(folder)
        for number in 0..<10 { try await Self.put(store, number) }
        let early = try Self.bytes(of: try store.takeSnapshot { false })
        for number in 10..<30 { try await Self.put(store, number) }
        #expect(throws: StorageError.self) { _ = try DatabaseReplacement(folder: folder.path) }
        store.close()
        let kept = try Self.whenUnlocked { try Self.install(early, in: folder.path) }
        #expect(kept == folder.file("coffre.db.before-restore-now"))
        let again = try Self.whenUnlocked { try SQLiteStore(folder: folder.path) }
        #expect(try Self.count(again) == 10)
        again.close()
        let other = try TestFolder("s")
        try FileManager.default.moveItem(atPath: kept, toPath: other.file("coffre.db"))
        #expect(try Self.count(try SQLiteStore(folder: other.path)) == 30)
    }

    /// A process that another test has just forked holds a copy of a lock until it runs its program.
    private static func whenUnlocked<R>(_ body: () throws -> R?) throws -> R {
        var result: R?
        try eventually("the lock is free") {
            do {
                result = try body()
                return true
            } catch let error as StorageError where error.code == .alreadyOpen {
                return false
            }
        }
        return try #require(result)
    }

    private static func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedContinuation { continuation in
            WorkerThread.start { continuation.resume(returning: Result { try body() }) }
        }.get()
    }
}

private final class Flag: @unchecked Sendable {  // Guarded by the lock.
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}
