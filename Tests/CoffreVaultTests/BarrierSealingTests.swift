import CoffreCrypto
import CoffreStorage
import CoffreVault
import Foundation
import Synchronization
import Testing

struct BarrierSealingTests {
    /// Takes the storage thread until it is let go.
    private final class Gate: StorageWork {
        private let entered = DispatchSemaphore(value: 0)
        private let opened = DispatchSemaphore(value: 0)

        func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict {
            entered.signal()
            opened.wait()
            return .accepted
        }

        func complete(_ outcome: StorageOutcome) {}
        func waitUntilEntered() { entered.wait() }
        func open() { opened.signal() }
    }

    private final class Answers: Sendable {
        private let results = Mutex<[Result<UInt64, BarrierError>]>([])
        var all: [Result<UInt64, BarrierError>] { results.withLock { $0 } }
        func add(_ result: Result<UInt64, BarrierError>) { results.withLock { $0.append(result) } }
    }

    /// Completions that wait until they are asked for, as those of another event loop do.
    private final class Deferred: Sendable {
        private let closures = Mutex<[@Sendable () -> Void]>([])
        var count: Int { closures.withLock { $0.count } }
        func add(_ closure: @escaping @Sendable () -> Void) { closures.withLock { $0.append(closure) } }

        func run() {
            let all = closures.withLock { closures in
                let all = closures
                closures = []
                return all
            }
            for closure in all { closure() }
        }
    }

    @Test func sealingWhileAWriteWaitsMakesThatWriteFailAndWritesNothing() throws {
        let vault = try BarrierFixture()
        let answers = Answers()
        let gate = Gate()
        vault.store.submit(gate)
        gate.waitUntilEntered()
        vault.barrier.commit([.put(key("a"), secret("one"), expect: .any)]) { answers.add($0) }
        vault.barrier.seal()
        gate.open()
        vault.store.drain()
        try vault.unseal()
        #expect(try vault.value("a") == nil)
        #expect(vault.barrier.generation == 1)
        vault.store.close()
        #expect(answers.all == [.failure(.sealed)])
    }

    @Test func sealingBeforeTheAnswerTurnsItIntoSealed() async throws {
        let folder = try TemporaryFolder()
        let store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
        let deferred = Deferred()
        let barrier = Barrier(store: store, deliver: { deferred.add($0) })
        let seal = SealStore(store: store, barrier: barrier)
        let shares = try seal.initialize(type: .shamir, shares: 1, threshold: 1).shares
        let answers = Answers()
        barrier.commit([.put(key("a"), secret("one"), expect: .any)]) { answers.add($0) }
        store.drain()
        barrier.seal()
        store.close()
        deferred.run()
        #expect(answers.all == [.failure(.sealed)])
        // The write itself had become durable.
        let again = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
        let second = Barrier(store: again)
        _ = try SealStore(store: again, barrier: second).submit(shares[0])
        #expect(try second.get(key("a")) != nil)
        again.close()
    }

    @Test func allAnswersOfAGroupAreDeliveredAtOnce() throws {
        let folder = try TemporaryFolder()
        let store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
        let deferred = Deferred()
        let barrier = Barrier(store: store, deliver: { deferred.add($0) })
        _ = try SealStore(store: store, barrier: barrier).initialize(type: .shamir, shares: 1, threshold: 1)
        let gate = Gate()
        store.submit(gate)
        gate.waitUntilEntered()
        let answers = Answers()
        for number in 0..<30 {
            let expectation: BarrierMutation.Expectation = number.isMultiple(of: 3) ? .version(99) : .any
            barrier.commit([.put(key("\(number)"), secret("x"), expect: expectation)]) { answers.add($0) }
        }
        gate.open()
        store.close()
        #expect(deferred.count == 3, "initialisation, the gate, and one group")
        #expect(answers.all.isEmpty)
        deferred.run()
        let expected = (0..<30).map { number -> Result<UInt64, BarrierError> in
            number.isMultiple(of: 3) ? .failure(.conflict) : .success(2)
        }
        #expect(answers.all == expected)
    }

    @Test func unsealingRightAfterSealingSeesTheLastGroup() async throws {
        let vault = try BarrierFixture()
        for round in 0..<30 {
            let answers = Answers()
            for number in 0..<5 {
                vault.barrier.commit([.put(key("\(number)"), secret("\(round)"), expect: .any)]) { answers.add($0) }
            }
            vault.barrier.seal()
            try vault.unseal()
        }
        try await vault.put("last", "x")
        try await verify(vault.barrier)
    }

    @Test func concurrentWritersAndASealNeverBreakTheSetHash() async throws {
        let vault = try BarrierFixture()
        let (barrier, seal, shares) = (vault.barrier, vault.seal, vault.shares)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<100 {
                        _ = try? await barrier.commit([
                            .put(key("\(round % 7)", in: "\(task)"), secret("x"), expect: .any)
                        ])
                    }
                }
            }
            group.addTask {
                for _ in 0..<20 {
                    barrier.seal()
                    _ = try? seal.submit(shares[0])
                }
            }
        }
        #expect(!barrier.isSealed)
        try await verify(barrier)
    }

    @Test func countersUnderContentionLoseNothing() async throws {
        let vault = try BarrierFixture()
        let barrier = vault.barrier
        try await vault.put("counter", "0")
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var conflicts = 0
                    var done = 0
                    while done < 25 {
                        let entry = try #require(try barrier.get(key("counter")))
                        let next = secret("\(try #require(Int(text(entry.value))) + 1)")
                        do throws(BarrierError) {
                            try await barrier.commit([.put(key("counter"), next, expect: .version(entry.version))])
                            done += 1
                        } catch {
                            guard error == .conflict else { throw error }
                            conflicts += 1
                        }
                    }
                    return conflicts
                }
            }
            try await group.waitForAll()
        }
        #expect(try vault.value("counter") == "200")
    }

    @Test func aFullFileFailsTheCommitAndTheVaultGoesOn() async throws {
        let vault = try BarrierFixture(maximumPages: 60)
        try await vault.put("a", "one")
        let generation = vault.barrier.generation
        let big = SharedSecret(copying: Random.bytes(1_000_000))
        let error = await #expect(throws: BarrierError.self) {
            try await vault.barrier.commit([
                .put(key("a"), secret("two"), expect: .any), .put(key("big"), big, expect: .any),
            ])
        }
        guard case .storage(let cause) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.code == .full)
        #expect(vault.barrier.generation == generation)
        #expect(try vault.value("a") == "one")
        try await vault.put("a", "two")
        #expect(vault.barrier.generation == generation.map { $0 + 1 })
        try await verify(vault.barrier)
    }

    @Test func valuesAndNamesBeyondTheLimitsAreRefused() async throws {
        let vault = try BarrierFixture()
        let name = BarrierKey(
            namespace: .other,
            parent: [],
            name: [UInt8](repeating: 1, count: Barrier.maximumNameBytes + 1)
        )
        await #expect(throws: BarrierError.tooLarge) {
            try await vault.barrier.commit([.put(name, secret("x"), expect: .any)])
        }
        let value = SharedSecret(SecretBytes(count: Barrier.maximumValueBytes + 1) { _ in })
        await #expect(throws: BarrierError.tooLarge) {
            try await vault.barrier.commit([.insertIfAbsent(key("a"), value)])
        }
    }
}
