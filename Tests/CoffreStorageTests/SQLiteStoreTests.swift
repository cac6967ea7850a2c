import CoffreStorage
import CoffreTestSupport
import Foundation
import Testing

/// The state folder and its rows.
struct SQLiteStoreTests {
    private struct Counting: TransactionSealer {
        func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
            ([1], UInt64(effects.count))
        }
        func finish(isDurable: Bool) {}
    }

    private func address(_ number: UInt64) -> RowAddress {
        RowAddress(namespace: 1, parent: RowHash(high: 0, low: 1), name: RowHash(high: number, low: 0))
    }

    private func commit(_ store: SQLiteStore, _ changes: [RowChange]) async -> Result<UInt64, StorageError> {
        await withCheckedContinuation { continuation in
            store.commit(changes, meta: [:]) { continuation.resume(returning: $0) }
        }
    }

    private func put(_ number: UInt64, _ text: String) -> RowChange {
        .put(address(number), expect: .any) { _ in ([0], Array(text.utf8)) }
    }

    private func failure<R>(_ body: () throws -> R) -> StorageError? {
        do {
            _ = try body()
            return nil
        } catch {
            return error as? StorageError
        }
    }

    @Test func aFolderThatOthersMayReadIsRefused() throws {
        let folder = try TestFolder("s")
        chmod(folder.path, 0o750)
        let error = failure { try SQLiteStore(folder: folder.path) }
        #expect(error?.code == .unsafePath)
        #expect(error?.message.contains("chmod 700 \(folder.path)") == true)
    }

    @Test func aDatabaseThatOthersMayReadIsRefused() throws {
        let folder = try TestFolder("s")
        let file = try folder.write("coffre.db", "", mode: 0o644)
        let error = failure { try SQLiteStore(folder: folder.path) }
        #expect(error?.code == .unsafePath)
        #expect(error?.message.contains("chmod 600 \(file)") == true)
    }

    @Test func aLinkInPlaceOfTheDatabaseIsRefused() throws {
        let folder = try TestFolder("s")
        let other = try folder.write("other", "")
        try FileManager.default.createSymbolicLink(atPath: folder.file("coffre.db"), withDestinationPath: other)
        #expect(failure { try SQLiteStore(folder: folder.path) }?.code == .unsafePath)
    }

    @Test func aFileThatIsNoDatabaseIsRefused() throws {
        let folder = try TestFolder("s")
        _ = try folder.write("coffre.db", String(repeating: "not a database ", count: 100))
        let error = failure { try SQLiteStore(folder: folder.path) }
        #expect(error?.code == .corrupt)
    }

    @Test func aSecondOpenIsRefusedUntilTheFirstCloses() throws {
        let folder = try TestFolder("s")
        let first = try SQLiteStore(folder: folder.path)
        let error = failure { try SQLiteStore(folder: folder.path) }
        #expect(error?.code == .alreadyOpen)
        #expect(error?.message == "another process works on \(folder.path): stop it first")
        first.close()
        try eventually("the lock is free") { failure { try SQLiteStore(folder: folder.path) } == nil }
    }

    @Test func withoutASealerNothingIsWritten() async throws {
        let folder = try TestFolder("s")
        let store = try SQLiteStore(folder: folder.path)
        guard case .failure(let error) = await commit(store, [put(1, "x")]) else {
            Issue.record("a commit without a sealer went through")
            return
        }
        #expect(error.code == .closed)
        #expect(try store.get(address(1)) == nil)
    }

    @Test func rowsCountTheirWritesAndListInOrder() async throws {
        let folder = try TestFolder("s")
        let store = try SQLiteStore(folder: folder.path)
        store.setSealer(Counting())
        for number in [3, 1, 2] as [UInt64] { _ = try await commit(store, [put(number, "v\(number)")]).get() }
        _ = try await commit(store, [put(1, "again")]).get()
        #expect(try store.get(address(1)) == StoredRow(version: 2, label: [0], value: Array("again".utf8)))
        let parent = RowHash(high: 0, low: 1)
        let all = try store.range(namespace: 1, parent: parent, after: nil, limit: 10, includesValues: true)
        #expect(all.map(\.name.high) == [1, 2, 3])
        let rest = try store.range(namespace: 1, parent: parent, after: all[0].name, limit: 1, includesValues: false)
        #expect(rest.map(\.name.high) == [2])
        #expect(rest[0].row.value == [])
        #expect(try store.scan(after: address(2), limit: 10).map(\.address) == [address(3)])
    }

    @Test func aCallThatFailsLeavesTheOthersOfItsGroup() async throws {
        let folder = try TestFolder("s")
        let store = try SQLiteStore(folder: folder.path)
        store.setSealer(Counting())
        _ = try await commit(store, [put(1, "first")]).get()
        await withTaskGroup(of: Void.self) { group in
            for number in 2..<60 as Range<UInt64> {
                group.addTask {
                    let isConflict = number.isMultiple(of: 2)
                    let change: RowChange =
                        isConflict
                        ? .put(address(1), expect: .absent) { _ in ([0], [0]) } : put(number, "v")
                    let result = await commit(store, [put(1000 + number, "with"), change])
                    if isConflict {
                        #expect(throws: StorageError.self) { try result.get() }
                    } else {
                        #expect(throws: Never.self) { try result.get() }
                    }
                }
            }
        }
        #expect(try store.get(address(1))?.value == Array("first".utf8))
        #expect(try store.get(address(1002)) == nil)
        #expect(try store.get(address(1003)) != nil)
    }

    @Test func aFolderRowGoesWithItsLastChild() async throws {
        let folder = try TestFolder("s")
        let store = try SQLiteStore(folder: folder.path)
        store.setSealer(Counting())
        let entry = RowAddress(namespace: 2, parent: RowHash(high: 9, low: 9), name: RowHash(high: 9, low: 9))
        _ = try await commit(store, [put(1, "child"), .insertIfAbsent(entry) { _ in ([0], [1]) }]).get()
        let removal = RowChange.deleteIfChildless(entry, namespace: 1, parent: RowHash(high: 0, low: 1))
        _ = try await commit(store, [removal]).get()
        #expect(try store.get(entry) != nil)
        _ = try await commit(store, [.delete(address(1), expect: .any), removal]).get()
        #expect(try store.get(entry) == nil)
    }

    @Test func anythingAfterCloseIsRefused() async throws {
        let folder = try TestFolder("s")
        let store = try SQLiteStore(folder: folder.path)
        store.close()
        #expect(failure { try store.get(address(1)) }?.code == .closed)
        guard case .failure(let error) = await commit(store, [put(1, "x")]) else {
            Issue.record("a commit after close went through")
            return
        }
        #expect(error.code == .closed)
    }
}
