import CoffreCrypto
import CoffreStorage
import CoffreVault
import Foundation
import Synchronization
import Testing

struct BarrierTests {
    @Test func aCommittedRowIsReadBackAndListed() async throws {
        let vault = try BarrierFixture()
        let generation = try await vault.barrier.commit([
            .put(key("b"), secret("two"), expect: .absent), .put(key("a"), secret("one"), expect: .any),
            .put(key("a", in: "other"), secret("three"), expect: .any),
        ])
        #expect(generation == 2)
        #expect(vault.barrier.generation == 2)
        #expect(try vault.value("a") == "one")
        #expect(try vault.value("b") == "two")
        #expect(try vault.value("a", in: "other") == "three")
        #expect(try vault.value("c") == nil)
        #expect(try vault.barrier.get(key("a", .token)) == nil)
        #expect(
            try vault.barrier.names(in: .kvData, parent: Array("folder".utf8)) == [Array("a".utf8), Array("b".utf8)]
        )
        let entries = try vault.barrier.entries(in: .kvData, parent: Array("folder".utf8))
        #expect(entries.map { text($0.entry.value) } == ["one", "two"])
        #expect(try vault.barrier.entries(in: .kvData, parent: Array("folder".utf8), limit: 1).count == 1)
    }

    @Test func namesAndValuesMayBeEmptyOrAnyBytes() async throws {
        let vault = try BarrierFixture()
        let empty = BarrierKey(namespace: .other, parent: [], name: [])
        let binary = BarrierKey(namespace: .other, parent: [], name: [0, 255, 128])
        try await vault.barrier.commit([
            .put(empty, secret(""), expect: .absent), .put(binary, secret("\u{0}"), expect: .absent),
        ])
        #expect(try vault.barrier.get(empty)?.value.count == 0)
        #expect(try vault.barrier.names(in: .other, parent: []) == [[], [0, 255, 128]])
    }

    @Test(arguments: [0, 1, 27, 28, 29, 60, 4091, 4092, 4093, 8188, 8189, 100_000, 1_000_000])
    func valuesOfAnyLengthComeBack(count: Int) async throws {
        let vault = try BarrierFixture()
        let bytes = Random.bytes(count)
        try await vault.barrier.commit([.put(key("x"), SharedSecret(copying: bytes), expect: .any)])
        #expect(try vault.barrier.get(key("x"))?.value.withBytes { Array($0) } == bytes)
    }

    @Test func aBatchWhoseExpectationFailsWritesNothing() async throws {
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        let first = try #require(try vault.barrier.get(key("a")))
        await #expect(throws: BarrierError.conflict) {
            try await vault.barrier.commit([
                .put(key("new"), secret("x"), expect: .any), .put(key("a"), secret("two"), expect: .absent),
            ])
        }
        #expect(try vault.value("new") == nil)
        try await vault.barrier.commit([.put(key("a"), secret("two"), expect: .version(first.version))])
        await #expect(throws: BarrierError.conflict) {
            try await vault.barrier.commit([.put(key("a"), secret("three"), expect: .version(first.version))])
        }
        await #expect(throws: BarrierError.conflict) {
            try await vault.barrier.commit([.delete(key("missing"), expect: .version(1))])
        }
        #expect(try vault.value("a") == "two")
    }

    @Test func aVersionIsNeverGivenTwiceEvenAfterADelete() async throws {
        let vault = try BarrierFixture()
        var seen: Set<UInt64> = []
        for _ in 0..<5 {
            try await vault.put("a", "x")
            #expect(seen.insert(try #require(try vault.barrier.get(key("a"))).version).inserted)
            try await vault.barrier.commit([.delete(key("a"), expect: .any)])
        }
    }

    @Test func insertIfAbsentKeepsAnExistingRow() async throws {
        let vault = try BarrierFixture()
        try await vault.barrier.commit([.insertIfAbsent(key("a"), secret("one"))])
        let generation = try await vault.barrier.commit([.insertIfAbsent(key("a"), secret("two"))])
        #expect(try vault.value("a") == "one")
        #expect(generation == vault.barrier.generation)
    }

    @Test func aFolderRowGoesOnlyWithItsLastChild() async throws {
        let vault = try BarrierFixture()
        let child = Array("child".utf8)
        let marker = key("child/", in: "folder", .kvMetadata)
        try await vault.barrier.commit([
            .put(marker, secret(""), expect: .any), .put(key("1", in: "child"), secret("x"), expect: .any),
            .put(key("2", in: "child"), secret("y"), expect: .any),
        ])
        func delete(_ name: String) async throws {
            try await vault.barrier.commit([
                .delete(key(name, in: "child"), expect: .any),
                .deleteIfChildless(marker, namespace: .kvData, parent: child),
            ])
        }
        try await delete("1")
        #expect(try vault.barrier.get(marker) != nil)
        try await delete("2")
        #expect(try vault.barrier.get(marker) == nil)
    }

    @Test func rowsSurviveSealAndReopening() async throws {
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        let generation = vault.barrier.generation
        vault.barrier.seal()
        #expect(vault.barrier.isSealed)
        #expect(vault.barrier.generation == nil)
        #expect(throws: BarrierError.sealed) { try vault.value("a") }
        await #expect(throws: BarrierError.sealed) { try await vault.put("a", "two") }
        vault.store.close()

        let store = try SQLiteStore(SQLiteStore.Configuration(folder: vault.folder.path))
        let barrier = Barrier(store: store)
        let seal = SealStore(store: store, barrier: barrier)
        #expect(try seal.submit(vault.shares[0]).isSealed == false)
        #expect(barrier.generation == generation)
        #expect(try barrier.get(key("a")).map { text($0.value) } == "one")
        store.close()
    }
}
