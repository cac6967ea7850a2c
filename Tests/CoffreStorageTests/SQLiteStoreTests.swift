import CoffreStorage
import Foundation
import Synchronization
import Testing

struct SQLiteStoreTests {
    @Test func rowsComeBackAlsoAfterReopening() throws {
        let folder = try StorageTestFolder()
        let store = try folder.open()
        let big = [UInt8](repeating: 7, count: 300_000)
        try store.put([row(address(1, 0, 1)), row(address(2, 0, 1), version: .max, big), row(address(1, 0, 2), [])])
        #expect(try store.get(address(1, 0, 1)) == StorageCell(version: 1, value: [1, 2, 3]))
        #expect(try store.get(address(2, 0, 1)) == StorageCell(version: .max, value: big))
        #expect(try store.get(address(1, 0, 2))?.value == [])
        #expect(try store.get(address(1, 1, 1)) == nil)
        store.close()
        let again = try folder.open()
        #expect(try again.get(address(2, 0, 1)) == StorageCell(version: .max, value: big))
        try again.commitAndWait([.delete(address(2, 0, 1), expect: .any)])
        #expect(try again.get(address(2, 0, 1)) == nil)
        again.close()
    }

    @Test func aFolderIsReadInOrderOfHashesAndWithinItsLimit() throws {
        let store = try StorageTestFolder().open()
        try store.put(
            (0..<50).reversed().map { row(address(3, 5, $0)) } + [row(address(3, 4, 1)), row(address(4, 5, 1))]
        )
        let rows = try store.range(namespace: 3, parent: hash(5), limit: .max)
        #expect(rows.map(\.address) == (0..<50).map { address(3, 5, $0) })
        #expect(rows.allSatisfy { $0.label == [9] && $0.value == [1, 2, 3] })
        #expect(try store.range(namespace: 3, parent: hash(5), limit: 7) == Array(rows.prefix(7)))
        #expect(try store.range(namespace: 3, parent: hash(6), limit: 7) == [])
        store.close()
    }

    @Test func aScanMeetsEveryRowOnceInAddressOrder() throws {
        let store = try StorageTestFolder().open()
        let all = (0..<30).map { address(UInt8($0 % 3), UInt64($0 % 5), UInt64($0)) }
        try store.put(all.map { row($0) })
        let seen = Seen()
        let work = ScanWork { transaction throws(StorageError) in
            var cursor: StorageAddress?
            while true {
                let page = try transaction.scan(after: cursor, limit: 7)
                seen.add(page.map(\.address))
                guard let last = page.last else { return }
                cursor = last.address
            }
        }
        store.submit(work)
        store.drain()
        #expect(seen.addresses == all.sorted())
        store.close()
    }

    @Test(arguments: [
        (StorageBatch.Expectation.absent, false), (.version(4), false), (.version(5), true), (.any, true),
    ])
    func expectationsDecide(expectation: StorageBatch.Expectation, isMet: Bool) throws {
        let store = try StorageTestFolder().open()
        try store.put([row(address(1, 0, 1), version: 5)])
        let change: [StorageBatch.Mutation] = [
            .put(row(address(1, 0, 2)), expect: .absent), .delete(address(1, 0, 1), expect: expectation),
        ]
        if isMet {
            try store.commitAndWait(change)
        } else {
            #expect(throws: StorageBatch.Conflict.self) { try store.commitAndWait(change) }
        }
        #expect(try store.get(address(1, 0, 1)) == (isMet ? nil : StorageCell(version: 5, value: [1, 2, 3])))
        #expect((try store.get(address(1, 0, 2)) != nil) == isMet)
        store.close()
    }

    @Test func aConflictFailsAloneAndTheRestOfItsGroupCommits() throws {
        let store = try StorageTestFolder().open()
        let hook = CountingHook()
        store.attach(hook)
        let gate = GateWork()
        store.submit(gate)
        gate.waitUntilEntered()
        let batches = (0..<20).map { number in
            // Odd ones want the row of their predecessor to be absent, which it is not any more.
            StorageBatch([.put(row(address(1, 0, UInt64(number / 2))), expect: .absent)]) { _ in }
        }
        for batch in batches { store.submit(batch) }
        gate.open()
        store.drain()
        for (number, batch) in batches.enumerated() {
            switch try #require(batch.outcome) {
            case .committed(let group):
                #expect(number.isMultiple(of: 2))
                #expect(group == 1)
            case .rejected(let error):
                #expect(!number.isMultiple(of: 2))
                #expect(error is StorageBatch.Conflict)
            case .failed(let error): Issue.record("failed: \(error.message)")
            }
        }
        #expect(hook.counts.groups == 2, "the gate, and everything behind it")
        #expect(hook.counts.committed == 1)
        store.close()
        #expect(hook.counts.deliveries == 2)
    }

    @Test func whoeverHearsOfACommitCanReadIt() async throws {
        let store = try StorageTestFolder().open()
        let failures = Tally()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for round in 0..<200 {
                        let target = address(1, UInt64(task), UInt64(round % 5))
                        let cell = row(target, version: UInt64(round), [UInt8(round)])
                        let isRead: Bool = await withCheckedContinuation { continuation in
                            store.submit(
                                StorageBatch([.put(cell, expect: .any)]) { _ in
                                    let found = try? store.get(target)
                                    continuation.resume(returning: found?.version == UInt64(round))
                                }
                            )
                        }
                        if !isRead { failures.add() }
                    }
                }
            }
        }
        #expect(failures.count == 0)
        store.close()
    }

    @Test func manyWritersShareGroups() async throws {
        let store = try StorageTestFolder().open()
        let hook = CountingHook()
        store.attach(hook)
        let gate = GateWork()
        store.submit(gate)
        gate.waitUntilEntered()
        for number in 0..<500 {
            store.submit(StorageBatch([.put(row(address(1, 0, UInt64(number))), expect: .any)]) { _ in })
        }
        gate.open()
        store.drain()
        #expect(hook.counts.committed == 1)
        #expect(try store.range(namespace: 1, parent: hash(0), limit: .max).count == 500)
        store.close()
    }

    @Test func aFullFileTakesTheGroupBackAndLetsLaterOnesPass() throws {
        let store = try StorageTestFolder().open(maximumPages: 40)
        let hook = CountingHook()
        store.attach(hook)
        try store.put([row(address(1, 0, 1))])
        let big = [UInt8](repeating: 1, count: 1_000_000)
        let gate = GateWork()
        store.submit(gate)
        gate.waitUntilEntered()
        let small = StorageBatch([.put(row(address(1, 0, 2)), expect: .any)]) { _ in }
        let large = StorageBatch([.put(row(address(1, 0, 3), big), expect: .any)]) { _ in }
        let refused = StorageBatch([.put(row(address(1, 0, 2)), expect: .absent)]) { _ in }
        for batch in [small, large, refused] { store.submit(batch) }
        gate.open()
        store.drain()
        for batch in [small, large, refused] {
            guard case .failed(let error) = batch.outcome else {
                Issue.record("the group must fail as a whole")
                continue
            }
            #expect(error.code == .full)
            #expect(error.message.contains("free space"))
        }
        #expect(try store.get(address(1, 0, 2)) == nil)
        #expect(try store.get(address(1, 0, 1)) != nil)
        try store.put([row(address(1, 0, 2))])
        #expect(try store.get(address(1, 0, 2)) != nil)
        #expect(hook.counts.committed == 2)
        store.close()
    }

    @Test func aClosedStoreRefusesEverythingAndAnswersWhatWasQueued() throws {
        let store = try StorageTestFolder().open()
        let gate = GateWork()
        store.submit(gate)
        gate.waitUntilEntered()
        let queued = StorageBatch([.put(row(address(1, 0, 1)), expect: .any)]) { _ in }
        store.submit(queued)
        gate.open()
        store.close()
        guard case .committed = queued.outcome else {
            Issue.record("queued work runs before the store closes")
            return
        }
        #expect(throws: StorageError(.closed, "")) { try store.get(address(1, 0, 1)) }
        #expect(throws: StorageError(.closed, "")) { try store.put([row(address(1, 0, 1))]) }
        store.close()
    }

    @Test func theLogIsEmptiedWhileReadersHoldSnapshots() throws {
        let folder = try StorageTestFolder()
        let store = try folder.open()
        func logBytes() throws -> Int {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/vault.db-wal")
            return (attributes[.size] as? NSNumber)?.intValue ?? 0
        }
        for round in 0..<40 {
            let content = [UInt8](repeating: UInt8(round), count: 1_000_000)
            try store.put([row(address(1, 0, 1), version: UInt64(round), content)])
            #expect(try store.get(address(1, 0, 1))?.value == content)
        }
        // 40 MB have been written; the log is moved into the file after some 16 MB.
        #expect(try logBytes() < 24_000_000)
        store.requestCompaction()
        try store.put([row(address(1, 0, 2))])
        store.close()
    }
}

private final class ScanWork: StorageWork {
    private let body: @Sendable (any StorageTransaction) throws(StorageError) -> Void

    init(_ body: @escaping @Sendable (any StorageTransaction) throws(StorageError) -> Void) { self.body = body }

    func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict {
        try body(transaction)
        return .accepted
    }

    func complete(_ outcome: StorageOutcome) {}
}

private final class Tally: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
}

private final class Seen: Sendable {
    private let value = Mutex<[StorageAddress]>([])
    var addresses: [StorageAddress] { value.withLock { $0 } }
    func add(_ new: [StorageAddress]) { value.withLock { $0 += new } }
}
