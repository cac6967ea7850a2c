import CoffreCrypto
import CoffreStorage
import CoffreVault
import Foundation
import Testing

struct SealStoreTests {
    private final class Vault {
        let folder: TemporaryFolder
        private(set) var store: SQLiteStore
        private(set) var barrier: Barrier
        private(set) var seal: SealStore

        init() throws {
            folder = try TemporaryFolder()
            store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
            barrier = Barrier(store: store)
            seal = SealStore(store: store, barrier: barrier)
        }

        deinit { store.close() }

        func restart() throws {
            store.close()
            store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
            barrier = Barrier(store: store)
            seal = SealStore(store: store, barrier: barrier)
        }
    }

    @Test func initialisingUnsealsAndSharesOpenAfterARestart() throws {
        let vault = try Vault()
        #expect(try vault.seal.isInitialized == false)
        #expect(try vault.seal.status.type == nil)
        let given = try vault.seal.initialize(type: .shamir, shares: 5, threshold: 3)
        #expect(given.shares.count == 5)
        #expect(given.shares.allSatisfy { $0.count == 33 })
        #expect(given.recoveryShares.isEmpty)
        #expect(!vault.barrier.isSealed)
        #expect(vault.barrier.generation == 1)

        try vault.restart()
        var status = try vault.seal.status
        #expect(status.isInitialized && status.isSealed && status.type == .shamir)
        #expect(status.shares == 5 && status.threshold == 3 && status.progress == 0 && status.nonce == "")
        status = try vault.seal.submit(given.shares[4])
        #expect(status.progress == 1 && status.nonce.count == 36)
        let nonce = status.nonce
        status = try vault.seal.submit(given.shares[4])
        #expect(status.progress == 1, "a share is counted once")
        status = try vault.seal.submit(given.shares[0])
        #expect(status.progress == 2 && status.nonce == nonce)
        status = try vault.seal.submit(given.shares[2])
        #expect(!status.isSealed && status.progress == 0 && status.nonce == "")
        #expect(vault.barrier.generation == 1)
    }

    @Test func aSecondInitialisationIsRefused() throws {
        let vault = try Vault()
        _ = try vault.seal.initialize(type: .shamir, shares: 1, threshold: 1)
        #expect(throws: SealError.alreadyInitialized) {
            try vault.seal.initialize(type: .shamir, shares: 1, threshold: 1)
        }
    }

    @Test func twoInitialisationsAtOnceMakeOneVault() async throws {
        let vault = try Vault()
        let seal = vault.seal
        let results = await withTaskGroup(of: Result<SealInitialization, any Error>.self) { group in
            for _ in 0..<4 {
                group.addTask { Result { try seal.initialize(type: .shamir, shares: 1, threshold: 1) } }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let winners = results.compactMap { try? $0.get() }
        #expect(winners.count == 1)
        try vault.restart()
        #expect(try vault.seal.submit(try #require(winners.first).shares[0]).isSealed == false)
    }

    @Test func wrongSharesAreNoticedAndTheProgressStartsAgain() throws {
        let (vault, stranger) = (try Vault(), try Vault())
        let given = try vault.seal.initialize(type: .shamir, shares: 3, threshold: 2)
        let foreign = try stranger.seal.initialize(type: .shamir, shares: 3, threshold: 2)
        vault.barrier.seal()
        _ = try vault.seal.submit(given.shares[0])
        let fitting = foreign.shares.first { $0.withBytes { $0[32] } != given.shares[0].withBytes { $0[32] } }
        #expect(throws: SealError.wrongShares) { try vault.seal.submit(try #require(fitting)) }
        #expect(try vault.seal.status.progress == 0)
        #expect(vault.barrier.isSealed)
        _ = try vault.seal.submit(given.shares[0])
        #expect(try vault.seal.submit(given.shares[1]).isSealed == false)
    }

    @Test func resettingForgetsTheSharesGiven() throws {
        let vault = try Vault()
        let given = try vault.seal.initialize(type: .shamir, shares: 2, threshold: 2)
        vault.barrier.seal()
        _ = try vault.seal.submit(given.shares[0])
        vault.seal.resetProgress()
        #expect(try vault.seal.status.progress == 0)
        #expect(try vault.seal.submit(given.shares[1]).isSealed)
    }

    @Test func malformedSharesAreRefusedAndTheOthersStay() throws {
        let vault = try Vault()
        let given = try vault.seal.initialize(type: .shamir, shares: 3, threshold: 3)
        vault.barrier.seal()
        _ = try vault.seal.submit(given.shares[0])
        var twin = given.shares[0].withBytes { Array($0) }
        twin[0] ^= 1
        for bytes in [[], Random.bytes(32), Random.bytes(34), [UInt8](repeating: 0, count: 33), twin] {
            #expect(throws: SealError.invalidShare) { try vault.seal.submit(SharedSecret(copying: bytes)) }
        }
        #expect(try vault.seal.status.progress == 1)
    }

    @Test func aCredentialOpensAndRecoverySharesDoWhenItIsLost() throws {
        let vault = try Vault()
        let credential = SharedSecret(SecretBytes.randomKey(count: 32))
        let given = try vault.seal.initialize(
            type: .credential,
            shares: 1,
            threshold: 1,
            recoveryShares: 3,
            recoveryThreshold: 2,
            credentialKey: credential
        )
        #expect(given.shares.isEmpty && given.recoveryShares.count == 3)
        try vault.restart()
        #expect(throws: SealError.barrier(.wrongKey)) {
            try vault.seal.unseal(credentialKey: SharedSecret(SecretBytes.randomKey(count: 32)))
        }
        #expect(vault.barrier.isSealed)
        try vault.seal.unseal(credentialKey: credential)
        #expect(!vault.barrier.isSealed)
        try vault.restart()
        let status = try vault.seal.status
        #expect(status.type == .credential && status.shares == 3 && status.threshold == 2)
        _ = try vault.seal.submit(given.recoveryShares[2])
        #expect(try vault.seal.submit(given.recoveryShares[0]).isSealed == false)
    }

    @Test func aShamirVaultHasNoCredential() throws {
        let vault = try Vault()
        #expect(throws: SealError.notInitialized) {
            try vault.seal.unseal(credentialKey: SharedSecret(SecretBytes.randomKey(count: 32)))
        }
        #expect(throws: SealError.notInitialized) { try vault.seal.submit(SharedSecret(copying: Random.bytes(33))) }
        _ = try vault.seal.initialize(type: .shamir, shares: 1, threshold: 1)
        #expect(throws: SealError.wrongType) {
            try vault.seal.unseal(credentialKey: SharedSecret(SecretBytes.randomKey(count: 32)))
        }
    }

    @Test(
        arguments: [
            (SealType.shamir, 0, 0, 0, 0, nil), (.shamir, 3, 1, 0, 0, nil), (.shamir, 3, 2, 1, 1, nil),
            (.shamir, 3, 2, 0, 0, 32), (.credential, 1, 1, 1, 1, nil), (.credential, 1, 1, 1, 1, 31),
            (.credential, 1, 1, 0, 0, 32), (.credential, 3, 2, 3, 2, 32), (.credential, 1, 1, 3, 1, 32),
        ] as [(SealType, Int, Int, Int, Int, Int?)]
    )
    func contradictoryParametersAreRefused(
        type: SealType,
        shares: Int,
        threshold: Int,
        recoveryShares: Int,
        recoveryThreshold: Int,
        keyBytes: Int?
    ) throws {
        let vault = try Vault()
        #expect(throws: SealError.invalidParameters) {
            try vault.seal.initialize(
                type: type,
                shares: shares,
                threshold: threshold,
                recoveryShares: recoveryShares,
                recoveryThreshold: recoveryThreshold,
                credentialKey: keyBytes.map { SharedSecret(SecretBytes.randomKey(count: $0)) }
            )
        }
        #expect(try vault.seal.isInitialized == false)
    }

    @Test func aFailedInitialisationLeavesAnUninitialisedVault() throws {
        let folder = try TemporaryFolder()
        // One table takes two pages: there is room for it, and none for a vault's rows once a large row lies there.
        do {
            let store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path, maximumPages: 8))
            let filler = StorageAddress(namespace: 200, parent: .zero, name: .zero)
            try store.commitAndWait([
                .put(
                    StorageRow(address: filler, version: 1, label: [], value: [UInt8](repeating: 1, count: 20_000)),
                    expect: .any
                )
            ])
            for name in UInt8(0)..<20 {
                // Fill what is left, until nothing more fits.
                let row = StorageRow(
                    address: StorageAddress(
                        namespace: 201,
                        parent: .zero,
                        name: StorageHash([UInt8](repeating: name, count: 16))!
                    ),
                    version: 1,
                    label: [],
                    value: [UInt8](repeating: 1, count: 300)
                )
                if (try? store.commitAndWait([.put(row, expect: .any)])) == nil { break }
            }
            let seal = SealStore(store: store, barrier: Barrier(store: store))
            let error = #expect(throws: SealError.self) {
                try seal.initialize(type: .shamir, shares: 1, threshold: 1)
            }
            guard case .barrier(.storage(let cause)) = error else {
                Issue.record("the cause is the full file")
                return
            }
            #expect(cause.code == .full)
            #expect(try seal.isInitialized == false)
            #expect(try store.get(BarrierControl.keyring) == nil)
            #expect(try store.get(BarrierControl.meta) == nil)
            store.close()
        }
        let store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path))
        let seal = SealStore(store: store, barrier: Barrier(store: store))
        #expect(try seal.isInitialized == false)
        _ = try seal.initialize(type: .shamir, shares: 1, threshold: 1)
        store.close()
    }

    @Test func aChangedSealRecordDoesNotOpen() throws {
        let (root, key) = (
            SharedSecret(SecretBytes.randomKey(count: 32)), SharedSecret(SecretBytes.randomKey(count: 32))
        )
        let record = try root.withSecret { root in
            try key.withSecret { key in
                try SealRecord(
                    vaultID: Random.bytes(16),
                    type: .credential,
                    shares: 1,
                    threshold: 1,
                    recoveryShares: 5,
                    recoveryThreshold: 3,
                    rootKey: root,
                    unsealKey: key,
                    recoveryKey: SharedSecret(copying: Random.bytes(32))
                )
            }
        }
        func opens(_ record: SealRecord, _ purpose: SealRecord.Purpose) -> Bool {
            key.withSecret { key in
                guard let opened = record.unwrap(key, as: purpose) else { return false }
                return root.withSecret { $0.isEqual(to: opened) }
            }
        }
        let bytes = record.encoded
        #expect(SealRecord(decoding: bytes) == record)
        #expect(opens(record, .unseal))
        #expect(!opens(record, .recovery), "each wrap is bound to its purpose")
        for position in 0..<82 {
            for bit in 0..<8 {
                var changed = bytes
                changed[position] ^= 1 << bit
                guard let decoded = SealRecord(decoding: changed) else { continue }
                #expect(decoded.encoded == changed, "what decodes is what was written")
                #expect(!opens(decoded, .unseal))
            }
        }
        for length in 0..<bytes.count { #expect(SealRecord(decoding: Array(bytes.prefix(length))) == nil) }
        #expect(SealRecord(decoding: bytes + [0]) == nil)
    }
}
