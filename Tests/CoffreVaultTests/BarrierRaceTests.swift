import CoffreCrypto
import CoffreStorage
import CoffreTestSupport
import CoffreVault
import Foundation
import Synchronization
import Testing

/// What happens to the barrier while a write is on its way.
struct BarrierRaceTests {
    private struct Fixture {
        let folder: TestFolder
        let store: HeldStore
        let barrier: Barrier
        let root = SharedSecret(copying: (0..<32).map { UInt8($0) })

        init() async throws {
            folder = try TestFolder("br")
            store = HeldStore(try SQLiteStore(folder: folder.file("state")))
            barrier = Barrier(store: store)
            let keyring = try root.withSecret { try barrier.create(rootKey: $0, vault: BarrierRowTests.vault) }
            _ = try await barrier.commit([], meta: [.keyring: keyring])
        }

        func open(_ barrier: Barrier) throws {
            try root.withSecret { try barrier.open(rootKey: $0, vault: BarrierRowTests.vault) }
        }

        func put(_ range: Range<Int>) async throws {
            _ = try await barrier.commit(range.map { .put(key("n\($0)"), value("v\($0)"), expect: .any) })
        }

        /// Whether the barrier opens, given that somebody is about to open it.
        func isOpen() async -> Bool {
            for _ in 0..<100_000 {
                if !barrier.isSealed { return true }
                await Task.yield()
            }
            return false
        }

        func expectRows(_ range: Range<Int>, in barrier: Barrier) throws {
            for number in range {
                let entry = try #require(try barrier.get(key("n\(number)")))
                #expect(entry.value.withBytes { String(decoding: $0, as: UTF8.self) } == "v\(number)")
            }
        }
    }

    private func passes(_ barrier: Barrier, limit: Int = 1000) async throws {
        var place: RowAddress?
        repeat { place = try await barrier.reencryptStep(after: place, limit: limit) } while place != nil
    }

    @Test func aWriteThatARotationOvertakesIsNotUnderAnErasedTerm() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        try await fixture.put(0..<3)
        fixture.store.hold()
        async let late: Void = fixture.put(3..<4)
        await fixture.store.untilHeld(1)
        fixture.store.pass()
        try await barrier.rotate()
        try await passes(barrier)
        #expect(!barrier.hasOldTerms)
        fixture.store.release()
        try await late
        try fixture.expectRows(0..<4, in: barrier)
        let again = Barrier(store: fixture.store)
        try fixture.open(again)
        try fixture.expectRows(0..<4, in: again)
    }

    @Test func aRotationInTheMiddleOfAPassErasesNoTermInUse() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        try await fixture.put(0..<30)
        try await barrier.rotate()
        var place = try await barrier.reencryptStep(after: nil, limit: 10)
        try await barrier.rotate()
        while let start = place { place = try await barrier.reencryptStep(after: start, limit: 10) }
        try fixture.expectRows(0..<30, in: barrier)
        #expect(barrier.hasOldTerms, "the term in the middle needs a pass of its own")
        try await passes(barrier)
        #expect(!barrier.hasOldTerms)
        try fixture.expectRows(0..<30, in: barrier)
        try barrier.scrub()
    }

    @Test func twoRotationsAtOnceLeaveOneKeyring() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        fixture.store.hold()
        async let first: Void = barrier.rotate()
        await fixture.store.untilHeld(1)
        fixture.store.pass()
        let error = await #expect(throws: BarrierError.self) { try await barrier.rotate() }
        #expect(error?.code == .conflict)
        fixture.store.release()
        try await first
        try await fixture.put(0..<3)
        let again = Barrier(store: fixture.store)
        try fixture.open(again)
        try fixture.expectRows(0..<3, in: again)
        try await again.rotate()
    }

    @Test func readsGoOnDuringRotations() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        try await fixture.put(0..<10)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask { for _ in 0..<100 { try fixture.expectRows(0..<10, in: barrier) } }
            }
            group.addTask {
                for _ in 0..<20 {
                    try await barrier.rotate()
                    try await fixture.put(0..<10)
                    try await passes(barrier, limit: 3)
                }
            }
            try await group.waitForAll()
        }
        try barrier.scrub()
    }

    @Test func aWriteThatWaitsAcrossASealFailsAlsoAfterTheNextUnseal() async throws {
        let fixture = try await Fixture()
        fixture.store.hold()
        async let late: Void = fixture.put(0..<1)
        await fixture.store.untilHeld(1)
        fixture.store.pass()
        fixture.barrier.seal()
        try fixture.open(fixture.barrier)
        fixture.store.release()
        do {
            try await late
            Issue.record("the write belongs to a time that is over")
        } catch let error as BarrierError {
            #expect(error.code == .sealed)
        }
        #expect(try fixture.barrier.get(key("n0")) == nil)
        try await fixture.put(0..<1)
        try fixture.barrier.scrub()
    }

    @Test func openingWaitsForATransactionThatBeganBeforeTheSeal() async throws {
        let fixture = try await Fixture()
        try await fixture.put(0..<3)
        let (sealed, opened) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        // Between the transaction's meta row and its commit: seal, and open on another thread. What opens too early takes
        // the old state for the present one; the wait is for that case alone.
        fixture.store.beforeCommit {
            fixture.barrier.seal()
            Thread.detachNewThread {
                sealed.signal()
                try? fixture.open(fixture.barrier)
                opened.signal()
            }
            sealed.wait()
            _ = opened.wait(timeout: .now() + .milliseconds(200))
        }
        _ = try? await fixture.put(3..<6)
        #expect(await fixture.isOpen())
        try await fixture.put(6..<9)
        try fixture.barrier.scrub()
        try fixture.expectRows(0..<9, in: fixture.barrier)
    }

    @Test func theMetaRowIsNotUnderTheRootKey() async throws {
        let fixture = try await Fixture()
        try await fixture.put(0..<1)
        #expect(try fixture.store.meta(.transaction)?.prefix(4) == [0, 0, 0, 1])
        try await fixture.barrier.rotate()
        try await fixture.put(0..<1)
        #expect(try fixture.store.meta(.transaction)?.prefix(4) == [0, 0, 0, 2])
        try await passes(fixture.barrier)
        fixture.barrier.seal()
        try fixture.open(fixture.barrier)
        try fixture.expectRows(0..<1, in: fixture.barrier)
    }
}

private func key(_ name: String) -> BarrierKey {
    BarrierKey(namespace: .kvData, parent: Array("p".utf8), name: Array(name.utf8))
}

private func value(_ text: String) -> SharedSecret { SharedSecret(copying: Array(text.utf8)) }

/// A store whose commits wait until they are let go.
private final class HeldStore: KeyValueStore {
    private struct State {
        var isHolding = false
        var held: [@Sendable () -> Void] = []
        var beforeCommit: (@Sendable () -> Void)?
    }

    private let base: SQLiteStore
    private let state = Mutex(State())

    init(_ base: SQLiteStore) { self.base = base }

    /// From now on commits are kept back.
    func hold() { state.withLock { $0.isHolding = true } }

    /// Commits go through again; those kept back stay so.
    func pass() { state.withLock { $0.isHolding = false } }

    func release() {
        let held = state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for run in held { run() }
    }

    func untilHeld(_ count: Int) async {
        while state.withLock({ $0.held.count }) < count { await Task.yield() }
    }

    /// Runs `body` once, on the storage's thread, when the next transaction has been sealed and is not yet committed.
    func beforeCommit(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.beforeCommit = body } }

    func commit(
        _ changes: [RowChange],
        meta: [MetaKey: [UInt8]],
        completion: @escaping @Sendable (Result<UInt64, StorageError>) -> Void
    ) {
        let base = base
        let run: @Sendable () -> Void = { base.commit(changes, meta: meta, completion: completion) }
        let isHeld = state.withLock { state in
            if state.isHolding { state.held.append(run) }
            return state.isHolding
        }
        if !isHeld { run() }
    }

    func setSealer(_ sealer: (any TransactionSealer)?) {
        base.setSealer(sealer.map { sealer in Watching(sealer) { [weak self] in self?.runBeforeCommit() } })
    }

    private func runBeforeCommit() {
        let body = state.withLock { state in
            defer { state.beforeCommit = nil }
            return state.beforeCommit
        }
        body?()
    }

    func get(_ address: RowAddress) throws(StorageError) -> StoredRow? { try base.get(address) }

    func range(
        namespace: UInt8,
        parent: RowHash,
        after: RowHash?,
        limit: Int,
        includesValues: Bool
    ) throws(StorageError) -> [(name: RowHash, row: StoredRow)] {
        try base.range(namespace: namespace, parent: parent, after: after, limit: limit, includesValues: includesValues)
    }

    func scan(after: RowAddress?, limit: Int) throws(StorageError) -> [(address: RowAddress, row: StoredRow)] {
        try base.scan(after: after, limit: limit)
    }

    func readSnapshot(_ visit: (RowAddress, StoredRow) -> Void) throws(StorageError) -> [UInt8]? {
        try base.readSnapshot(visit)
    }

    func meta(_ key: MetaKey) throws(StorageError) -> [UInt8]? { try base.meta(key) }
}

private final class Watching: TransactionSealer {
    private let base: any TransactionSealer
    private let didPrepare: @Sendable () -> Void

    init(_ base: any TransactionSealer, didPrepare: @escaping @Sendable () -> Void) {
        self.base = base
        self.didPrepare = didPrepare
    }

    func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
        let sealed = try base.prepare(effects)
        didPrepare()
        return sealed
    }

    func finish(isDurable: Bool) { base.finish(isDurable: isDurable) }
}
