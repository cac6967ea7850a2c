import CoffreCrypto
import CoffreStorage
import CoffreVault
import Foundation
import Testing

/// What somebody can do who writes to the database file.
struct BarrierTamperTests {
    /// A vault with rows a and b, closed; `change` runs SQL on its file; then it is opened again.
    private func reopen(after change: (SQLiteConnection) throws -> Void) async throws -> BarrierFixtureReopened {
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        try await vault.put("b", "two")
        vault.store.close()
        do { try change(try SQLiteConnection(path: vault.folder.path + "/vault.db", mode: .readWrite)) }
        return try BarrierFixtureReopened(vault)
    }

    @Test(arguments: [
        // The value of the one row under the address of the other, alone and with its version and label.
        "UPDATE cell SET value=(SELECT value FROM o WHERE o.name<>cell.name) WHERE ns=7",
        """
        UPDATE cell SET (value, version, label)=(SELECT value, version, label FROM o WHERE o.name<>cell.name) WHERE ns=7
        """,
        "UPDATE cell SET value=label WHERE ns=7",
        "UPDATE cell SET version=version+1 WHERE ns=7",
        "UPDATE cell SET value=substr(value, 1, length(value)-1) WHERE ns=7",
        "UPDATE cell SET value=CAST(value||x'00' AS BLOB) WHERE ns=7",
        "UPDATE cell SET value=x'' WHERE ns=7",
        "UPDATE cell SET value=CAST(x'02'||substr(value, 2) AS BLOB) WHERE ns=7",
        "UPDATE cell SET value=CAST(x'0100000000'||substr(value, 6) AS BLOB) WHERE ns=7",
        "UPDATE cell SET value=CAST(x'01ffffffff'||substr(value, 6) AS BLOB) WHERE ns=7",
    ])
    func aChangedOrMovedValueDoesNotOpen(sql: String) async throws {
        let vault = try await reopen { file in
            try file.execute("CREATE TEMP TABLE o AS SELECT * FROM cell WHERE ns=7")
            try file.execute(sql)
        }
        for name in ["a", "b"] {
            let error = #expect(throws: BarrierError.self) { try vault.barrier.get(key(name)) }
            guard case .corrupt(let address) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(address.count == 66)
            #expect(address.hasPrefix("07"))
        }
        await #expect(throws: BarrierError.setHashMismatch) { try await vault.verify() }
    }

    @Test func aLabelInPlaceOfAnotherDoesNotOpen() async throws {
        let vault = try await reopen { try $0.execute("UPDATE cell SET label=value WHERE ns=7") }
        #expect(throws: BarrierError.self) { try vault.barrier.names(in: .kvData, parent: Array("folder".utf8)) }
    }

    @Test func aRowMovedToAnotherNamespaceDoesNotOpen() async throws {
        // The hashes differ as well between namespaces: read by the address that the row has there.
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        try await vault.barrier.commit([.put(key("a", .token), secret("two"), expect: .any)])
        vault.store.close()
        do {
            let file = try SQLiteConnection(path: vault.folder.path + "/vault.db", mode: .readWrite)
            try file.execute(
                "UPDATE cell SET (value, version)=(SELECT value, version FROM cell o WHERE o.ns=7) WHERE ns=3"
            )
        }
        let again = try BarrierFixtureReopened(vault)
        #expect(throws: BarrierError.self) { try again.barrier.get(key("a", .token)) }
        #expect(try again.barrier.get(key("a")).map { text($0.value) } == "one")
    }

    @Test(arguments: ["DELETE FROM cell WHERE ns=7 AND name=(SELECT max(name) FROM cell WHERE ns=7)"])
    func aRemovedRowIsFoundByTheScrub(sql: String) async throws {
        let vault = try await reopen { try $0.execute(sql) }
        await #expect(throws: BarrierError.setHashMismatch) { try await vault.verify() }
    }

    @Test func anOldRowPutBackIsFoundByTheScrub() async throws {
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        let path = vault.folder.path + "/vault.db"
        vault.store.close()
        do {
            let file = try SQLiteConnection(path: path, mode: .readWrite)
            try file.execute("CREATE TABLE old AS SELECT * FROM cell WHERE ns=7")
        }
        let second = try BarrierFixtureReopened(vault)
        try await second.barrier.commit([.put(key("a"), secret("two"), expect: .any)])
        second.store.close()
        do {
            let file = try SQLiteConnection(path: path, mode: .readWrite)
            try file.execute("REPLACE INTO cell SELECT * FROM old")
        }
        let third = try BarrierFixtureReopened(vault)
        #expect(try third.barrier.get(key("a")).map { text($0.value) } == "one", "it is genuine, but old")
        await #expect(throws: BarrierError.setHashMismatch) { try await third.verify() }
    }

    @Test(arguments: ["coffre/seal/1...", "coffre/keyring/1", "coffre/meta/1..."])
    func anOldControlRowPutBackDoesNotUnseal(name: String) async throws {
        let vault = try BarrierFixture()
        let path = vault.folder.path + "/vault.db"
        vault.store.close()
        do { try SQLiteConnection(path: path, mode: .readWrite).execute("CREATE TABLE old AS SELECT * FROM cell") }
        let second = try BarrierFixtureReopened(vault)
        try await second.barrier.rotate()
        let shares = try await second.seal.rekey(shares: 1, threshold: 1)
        second.store.close()
        do {
            let file = try SQLiteConnection(path: path, mode: .readWrite)
            try file.execute("REPLACE INTO cell SELECT * FROM old WHERE CAST(name AS TEXT)='\(name)'")
        }
        let store = try SQLiteStore(SQLiteStore.Configuration(folder: vault.folder.path))
        let barrier = Barrier(store: store)
        let seal = SealStore(store: store, barrier: barrier)
        let share = name.contains("seal") ? vault.shares[0] : shares[0]
        #expect(throws: SealError.self) { try seal.submit(share) }
        #expect(barrier.isSealed)
        store.close()
    }

    @Test(arguments: ["coffre/keyring/1", "coffre/meta/1..."])
    func aMissingOrDamagedControlRowIsNamed(name: String) async throws {
        for change in ["DELETE FROM cell", "UPDATE cell SET value=x'0102'", "UPDATE cell SET version=version+1"] {
            let vault = try BarrierFixture()
            vault.store.close()
            do {
                let file = try SQLiteConnection(path: vault.folder.path + "/vault.db", mode: .readWrite)
                try file.execute("\(change) WHERE CAST(name AS TEXT)='\(name)'")
            }
            let error = #expect(throws: SealError.self) { try BarrierFixtureReopened(vault) }
            let address = name.contains("meta") ? BarrierControl.meta : BarrierControl.keyring
            #expect(error == .barrier(.corrupt(address: address.hex)))
        }
    }

    @Test func anOldCopyOfTheDatabaseShowsItsLowerGeneration() async throws {
        let vault = try BarrierFixture()
        try await vault.put("a", "one")
        vault.store.close()
        let path = vault.folder.path + "/vault.db"
        let copy = try Data(contentsOf: URL(fileURLWithPath: path))
        let second = try BarrierFixtureReopened(vault)
        let before = try #require(second.barrier.generation)
        for round in 0..<5 { try await second.barrier.commit([.put(key("a"), secret("\(round)"), expect: .any)]) }
        #expect(second.barrier.generation == before + 5)
        second.store.close()
        try copy.write(to: URL(fileURLWithPath: path))
        let third = try BarrierFixtureReopened(vault)
        #expect(third.barrier.generation == before)
        try await third.verify()
    }

    @Test func plantedNamesAndValuesAreInNoFile() async throws {
        let vault = try BarrierFixture()
        let planted = ["payroll-planted-folder", "planted-connector-name", "planted-s3cret-value"]
        func isPlanted() throws -> Bool {
            let bytes = try vault.folder.contents(prefix: "")
            return planted.contains { bytes.range(of: Data($0.utf8)) != nil }
        }
        for round in 0..<20 {
            try await vault.barrier.commit([
                .put(key(planted[1] + "\(round)", in: planted[0]), secret(planted[2]), expect: .any)
            ])
        }
        #expect(try vault.folder.contents(prefix: "vault.db-wal").count > 4096)
        #expect(try vault.folder.contents(prefix: "vault.db-shm").count > 0)
        #expect(try !isPlanted())
        vault.store.close()
        #expect(try vault.folder.contents(prefix: "vault.db").count > 4096)
        #expect(try !isPlanted())
    }

    @Test func oneNameInTwoFoldersHasTwoHashes() async throws {
        let vault = try BarrierFixture()
        try await vault.put("same", "x", in: "one")
        try await vault.put("same", "x", in: "two")
        vault.store.close()
        let file = try SQLiteConnection(path: vault.folder.path + "/vault.db", mode: .readOnly)
        #expect(try file.integer("SELECT count(DISTINCT name) FROM cell WHERE ns=7") == 2)
        #expect(try file.integer("SELECT count(DISTINCT parent) FROM cell WHERE ns=7") == 2)
    }
}

/// The same folder, opened again and unsealed.
final class BarrierFixtureReopened {
    let store: SQLiteStore
    let barrier: Barrier
    let seal: SealStore

    init(_ fixture: BarrierFixture, encryptionLimit: UInt64 = 1 << 31) throws {
        store = try SQLiteStore(SQLiteStore.Configuration(folder: fixture.folder.path))
        barrier = Barrier(store: store, encryptionLimit: encryptionLimit)
        seal = SealStore(store: store, barrier: barrier)
        _ = try seal.submit(fixture.shares[0])
    }

    deinit { store.close() }

    func verify() async throws { try await CoffreVaultTests.verify(barrier) }
}

func verify(_ barrier: Barrier, limit: Int = 3) async throws {
    while case .running = try await barrier.verifySetHash(limit: limit) {}
}
