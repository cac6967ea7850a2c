import CoffreCrypto
import CoffreStorage
import CoffreTestSupport
import CoffreVault
import Foundation
import Testing

/// The barrier on a real database: what lies on disk, and what a change from outside does.
struct BarrierTests {
    private struct Fixture {
        let folder: TestFolder
        let store: SQLiteStore
        let barrier: Barrier
        let root: SharedSecret

        init(maximumPages: Int? = nil) async throws {
            folder = try TestFolder("b")
            store = try SQLiteStore(folder: folder.file("state"), maximumPages: maximumPages)
            barrier = Barrier(store: store)
            root = SharedSecret(copying: (0..<32).map { UInt8($0) })
            let keyring = try root.withSecret { try barrier.create(rootKey: $0, vault: BarrierRowTests.vault) }
            _ = try await barrier.commit([], meta: [.keyring: keyring])
        }

        var file: String { folder.file("state/coffre.db") }

        func reopened() throws -> Barrier {
            let barrier = Barrier(store: store)
            try root.withSecret { try barrier.open(rootKey: $0, vault: BarrierRowTests.vault) }
            return barrier
        }

        /// Runs SQL from outside, as another process could.
        func sql(_ text: String) throws {
            let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()"
            let result = try RunningProcess.run("/usr/bin/env", ["python3", "-c", script, file, text])
            try #require(result.status == 0, "\(result.output)")
        }
    }

    private func key(_ name: String, in parent: String = "p") -> BarrierKey {
        BarrierKey(namespace: .kvData, parent: Array(parent.utf8), name: Array(name.utf8))
    }

    private func value(_ text: String) -> SharedSecret { SharedSecret(copying: Array(text.utf8)) }

    private func text(_ entry: BarrierEntry?) -> String? {
        entry.map { entry in entry.value.withBytes { String(decoding: $0, as: UTF8.self) } }
    }

    @Test func whatIsWrittenIsReadAfterReopening() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.barrier.commit([.put(key("a"), value("one"), expect: .absent)])
        _ = try await fixture.barrier.commit([.put(key("a"), value("two"), expect: .version(1))])
        fixture.barrier.seal()
        #expect(throws: BarrierError.self) { try fixture.barrier.get(key("a")) }
        let again = try fixture.reopened()
        #expect(text(try again.get(key("a"))) == "two")
        #expect(try again.get(key("a"))?.version == 2)
        #expect(try again.get(key("b")) == nil)
        #expect(again.generation == 3)
    }

    @Test func aWrongKeyOpensNothing() async throws {
        let fixture = try await Fixture()
        let wrong = SharedSecret(copying: [UInt8](repeating: 1, count: 32))
        let barrier = Barrier(store: fixture.store)
        let error = #expect(throws: BarrierError.self) {
            try wrong.withSecret { try barrier.open(rootKey: $0, vault: BarrierRowTests.vault) }
        }
        #expect(error?.code == .wrongKey)
        #expect(barrier.isSealed)
    }

    @Test func anExpectationThatFailsChangesNothing() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        _ = try await barrier.commit([.put(key("a"), value("one"), expect: .absent)])
        for mutations: [BarrierMutation] in [
            [.put(key("b"), value("x"), expect: .any), .put(key("a"), value("x"), expect: .absent)],
            [.put(key("b"), value("x"), expect: .any), .put(key("a"), value("x"), expect: .version(2))],
            [.put(key("b"), value("x"), expect: .any), .delete(key("c"), expect: .version(1))],
        ] {
            let error = await #expect(throws: BarrierError.self) { _ = try await barrier.commit(mutations) }
            #expect(error?.code == .conflict)
        }
        #expect(text(try barrier.get(key("a"))) == "one")
        #expect(try barrier.get(key("b")) == nil)
        try barrier.scrub()
    }

    @Test func concurrentCommitsShareTransactions() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        let before = try #require(barrier.generation)
        let generations = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for number in 0..<300 {
                group.addTask {
                    try await barrier.commit([.put(key("n\(number)"), value("v\(number)"), expect: .absent)])
                }
            }
            return try await group.reduce(into: Set<UInt64>()) { $0.insert($1) }
        }
        #expect(generations.count < 300)
        #expect(try #require(barrier.generation) - before == UInt64(generations.count))
        #expect(try barrier.names(in: .kvData, parent: Array("p".utf8)).count == 300)
        try barrier.scrub()
    }

    @Test func neitherNamesNorValuesStandInTheFiles() async throws {
        let fixture = try await Fixture()
        for number in 0..<50 {
            _ = try await fixture.barrier.commit([
                .put(key("canary-name-\(number)", in: "canary-parent"), value("canary-value-\(number)"), expect: .any)
            ])
        }
        for word in ["canary", "name-1", "value-1"] { #expect(try fixture.folder.contains(word) == []) }
        #expect(text(try fixture.barrier.get(key("canary-name-7", in: "canary-parent"))) == "canary-value-7")
    }

    @Test(arguments: [
        "UPDATE row SET value=(SELECT value FROM row WHERE label!=(SELECT label FROM row LIMIT 1) LIMIT 1)",
        "DELETE FROM row WHERE rowid IS NULL OR name=(SELECT name FROM row LIMIT 1)",
        "UPDATE row SET version=version+1 WHERE name=(SELECT name FROM row LIMIT 1)",
        "INSERT INTO row SELECT ns, zeroblob(16), name, version, label, value FROM row LIMIT 1",
    ])
    func aChangeFromOutsideIsFound(_ statement: String) async throws {
        let fixture = try await Fixture()
        _ = try await fixture.barrier.commit((0..<5).map { .put(key("n\($0)"), value("v\($0)"), expect: .any) })
        try fixture.barrier.scrub()
        try fixture.sql(statement.replacingOccurrences(of: "rowid IS NULL OR ", with: ""))
        let error = #expect(throws: BarrierError.self) { try fixture.barrier.scrub() }
        #expect(error?.code == .corrupt)
    }

    @Test func swappedValuesDoNotOpen() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.barrier.commit([
            .put(key("a"), value("one"), expect: .any), .put(key("b"), value("two"), expect: .any),
        ])
        try fixture.sql(
            "CREATE TEMP TABLE t AS SELECT * FROM row; UPDATE row SET value=(SELECT value FROM t WHERE t.name!=row.name)"
        )
        for name in ["a", "b"] {
            let error = #expect(throws: BarrierError.self) { try fixture.barrier.get(key(name)) }
            #expect(error?.code == .corrupt)
            #expect(error?.message.contains("restore a backup") == true)
        }
    }

    @Test func aRotationIsFollowedByNewCiphertextsAndAnErasedTerm() async throws {
        let fixture = try await Fixture()
        let barrier = fixture.barrier
        _ = try await barrier.commit((0..<250).map { .put(key("n\($0)"), value("v\($0)"), expect: .any) })
        try await barrier.rotate()
        #expect(barrier.hasOldTerms)
        _ = try await barrier.commit([.put(key("n0"), value("new"), expect: .any)])
        var place: RowAddress?
        var steps = 0
        repeat {
            place = try await barrier.reencryptStep(after: place, limit: 100)
            steps += 1
        } while place != nil && steps < 10
        #expect(!barrier.hasOldTerms)
        try barrier.scrub()
        let again = try fixture.reopened()
        #expect(!again.hasOldTerms)
        #expect(text(try again.get(key("n0"))) == "new")
        #expect(text(try again.get(key("n249"))) == "v249")
        for row in try fixture.store.scan(after: nil, limit: 1000) {
            #expect(try BarrierRow.term(of: row.row.value) == 2)
            #expect(try BarrierRow.term(of: row.row.label) == 2)
        }
    }

    @Test func aFullStorageSaysSoAndWorksAgainAfterwards() async throws {
        let fixture = try await Fixture(maximumPages: 40)
        let barrier = fixture.barrier
        _ = try await barrier.commit([.put(key("small"), value("kept"), expect: .any)])
        let large = SharedSecret(copying: [UInt8](repeating: 1, count: 300_000))
        let error = await #expect(throws: BarrierError.self) {
            _ = try await barrier.commit([.put(key("large"), large, expect: .any)])
        }
        #expect(error?.code == .storage)
        #expect(error?.cause?.code == .full)
        _ = try await barrier.commit([.put(key("small"), value("changed"), expect: .any)])
        #expect(text(try barrier.get(key("small"))) == "changed")
        #expect(try barrier.get(key("large")) == nil)
        try barrier.scrub()
    }

    @Test func aSetHashForgetsOrderAndRestoresWhatIsTakenOut() throws {
        let elements = (0..<50).map { SHA256.hash([UInt8($0)]) }
        var (forward, backward) = (SetHash(), SetHash())
        for element in elements { forward.add(element) }
        for element in elements.reversed() { backward.add(element) }
        #expect(forward == backward)
        #expect(SetHash(forward.bytes) == forward)
        var twice = forward
        twice.add(elements[0])
        #expect(twice != forward)
        for element in elements { forward.remove(element) }
        #expect(forward == SetHash())
        #expect(SetHash([1, 2, 3]) == nil)
    }
}
