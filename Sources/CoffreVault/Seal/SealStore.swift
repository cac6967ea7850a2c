package import CoffreCrypto
package import CoffreStorage
internal import Glibc
internal import Synchronization

/// What an initialisation gives out, once: none of it is kept anywhere.
package struct SealInitialization: Sendable {
    /// Shares of the unseal key (33 bytes each, 32 for one share); none for a credential.
    package let shares: [SharedSecret]
    /// Shares of the recovery key; none for `shamir`.
    package let recoveryShares: [SharedSecret]
}

/// The public state of the seal.
package struct SealStatus: Sendable, Equatable {
    package let isInitialized: Bool
    package let isSealed: Bool
    /// Nil before the initialisation, like the numbers below.
    package let type: SealType?
    /// Shares that people hold and how many are needed: those of the unseal key, or with a credential the recovery ones.
    package let shares: Int
    package let threshold: Int
    /// Shares given in the attempt under way, and its name.
    package let progress: Int
    package let nonce: String
}

/// Initialises, unseals and describes the vault.
package final class SealStore: Sendable {
    private let store: any KeyValueStore
    let barrier: Barrier
    private let attempt = Mutex<UnsealProgress?>(nil)

    package init(store: any KeyValueStore, barrier: Barrier) {
        self.store = store
        self.barrier = barrier
    }

    /// - Throws: ``SealError`` `.barrier`.
    package var isInitialized: Bool {
        get throws(SealError) { try record() != nil }
    }

    /// - Throws: ``SealError`` `.barrier`.
    package var status: SealStatus {
        get throws(SealError) {
            let record = try record()
            let (progress, nonce) = attempt.withLock { ($0?.count ?? 0, $0?.nonce ?? "") }
            return SealStatus(
                isInitialized: record != nil,
                isSealed: barrier.isSealed,
                type: record?.type,
                shares: record?.heldShares ?? 0,
                threshold: record?.heldThreshold ?? 0,
                progress: progress,
                nonce: nonce
            )
        }
    }

    /// Makes a vault, in one transaction, and unseals it.
    ///
    /// Blocks for the storage thread; never call it from a completion.
    /// - Parameters:
    ///   - shares: of the unseal key, 1–255; 1 for a credential, which has none.
    ///   - threshold: 2–`shares`, or 1 for one share.
    ///   - recoveryShares: of the recovery key: 0 for `shamir`, 1–255 for a credential.
    ///   - credentialKey: 32 bytes, for a credential only.
    /// - Throws: ``SealError`` `.alreadyInitialized`, `.invalidParameters`, `.barrier`.
    package func initialize(
        type: SealType,
        shares: Int,
        threshold: Int,
        recoveryShares: Int = 0,
        recoveryThreshold: Int = 0,
        credentialKey: SharedSecret? = nil
    ) throws(SealError) -> SealInitialization {
        guard try record() == nil else { throw .alreadyInitialized }
        let plan = try SealPlan(
            type: type,
            shares: shares,
            threshold: threshold,
            recoveryShares: recoveryShares,
            recoveryThreshold: recoveryThreshold,
            credentialKey: credentialKey
        )
        let rows: [StorageRow]
        do {
            let rootKey = SecretBytes.randomKey(count: SealRecord.keyBytes)
            let record = try plan.record(vaultID: Random.bytes(16), rootKey: rootKey)
            rows = try BarrierControl.genesis(
                vaultID: record.vaultID,
                rootKey: rootKey,
                sealCell: record.encoded,
                createdAt: UInt64(max(0, time(nil)))
            )
        } catch {
            throw .barrier(.storage(.encryptionFailed))
        }
        do {
            try store.commitAndWait(rows.map { .put($0, expect: .absent) })
        } catch let error as StorageError {
            throw .barrier(.storage(error))
        } catch {
            throw .alreadyInitialized
        }
        try plan.unsealKey.withSecret { key throws(SealError) in
            do throws(BarrierError) { try barrier.unseal(unsealKey: key) } catch { throw .barrier(error) }
        }
        return SealInitialization(shares: plan.givenShares, recoveryShares: plan.givenRecoveryShares)
    }

    /// Unseals with the credential's key.
    /// - Parameter key: 32 bytes.
    /// - Throws: ``SealError`` `.notInitialized`, `.wrongType`, `.barrier`.
    package func unseal(credentialKey key: SharedSecret) throws(SealError) {
        guard let record = try record() else { throw .notInitialized }
        guard record.type == .credential else { throw .wrongType }
        try key.withSecret { key throws(SealError) in
            do throws(BarrierError) { try barrier.unseal(unsealKey: key) } catch { throw .barrier(error) }
        }
    }

    /// Takes one share: of the unseal key, or with a credential seal of the recovery key. The share that makes the number
    /// full unseals.
    ///
    /// - Returns: the status afterwards.
    /// - Throws: ``SealError`` `.notInitialized`, `.invalidShare`, `.wrongShares` (the progress starts again), `.wrongType`
    ///   when nobody holds shares, `.barrier`.
    package func submit(_ share: SharedSecret) throws(SealError) -> SealStatus {
        guard let record = try record() else { throw .notInitialized }
        guard barrier.isSealed else { return try status }
        guard record.heldShares > 0 else { throw .wrongType }
        let key = try attempt.withLock { attempt throws(SealError) -> SharedSecret? in
            var progress = attempt ?? UnsealProgress(shares: record.heldShares, threshold: record.heldThreshold)
            defer { attempt = progress.count == 0 ? nil : progress }
            switch try progress.submit(share) {
            case .progress: return nil
            case .complete(let key): return SharedSecret(key)
            }
        }
        guard let key else { return try status }
        try key.withSecret { key throws(SealError) in
            do throws(BarrierError) {
                switch record.type {
                case .shamir: try barrier.unseal(unsealKey: key)
                case .credential: try barrier.unseal(recoveryKey: key)
                }
            } catch .wrongKey {
                throw .wrongShares
            } catch {
                throw .barrier(error)
            }
        }
        return try status
    }

    /// Forgets the shares given so far.
    package func resetProgress() { attempt.withLock { $0 = nil } }

    private func record() throws(SealError) -> SealRecord? {
        let cell: StorageCell?
        do { cell = try store.get(BarrierControl.seal) } catch { throw .barrier(.storage(error)) }
        guard let cell else { return nil }
        guard let record = SealRecord(decoding: cell.value) else {
            throw .barrier(.corrupt(address: BarrierControl.seal.hex))
        }
        return record
    }
}

extension SealRecord {
    fileprivate var heldShares: Int { type == .shamir ? shares : recoveryShares }
    fileprivate var heldThreshold: Int { type == .shamir ? threshold : recoveryThreshold }
}
