package import CoffreCrypto
internal import CoffreStorage

extension SealStore {
    /// Makes new shares; the old ones open nothing any more. The vault must be unsealed; its data is not re-encrypted.
    ///
    /// With `shamir` they are shares of a new unseal key, with `credential` of a new recovery key, and the credential may
    /// change at the same time.
    /// - Parameters:
    ///   - shares: 1–255.
    ///   - threshold: 2–`shares`, or 1 for one share.
    ///   - credentialKey: 32 bytes, for a credential seal only: the one that opens from now on.
    /// - Returns: the new shares, once.
    /// - Throws: ``SealError`` `.notInitialized`, `.invalidParameters`, `.barrier` (`.sealed`, `.storage`).
    package func rekey(
        shares: Int,
        threshold: Int,
        credentialKey: SharedSecret? = nil
    ) async throws(SealError) -> [SharedSecret] {
        guard let type = try status.type else { throw .notInitialized }
        let isShamir = type == .shamir
        let plan = try SealPlan(
            type: type,
            shares: isShamir ? shares : 1,
            threshold: isShamir ? threshold : 1,
            recoveryShares: isShamir ? 0 : shares,
            recoveryThreshold: isShamir ? 0 : threshold,
            credentialKey: credentialKey
        )
        do throws(BarrierError) {
            try await barrier.replaceSealRecord(plan)
        } catch {
            throw .barrier(error)
        }
        resetProgress()
        return isShamir ? plan.givenShares : plan.givenRecoveryShares
    }
}

extension Barrier {
    /// Wraps the root key anew, as `plan` says.
    fileprivate func replaceSealRecord(_ plan: SealPlan) async throws(BarrierError) {
        try await run { group, _ throws(StorageError) in
            let session = group.session
            do {
                let record = try session.rootKey.withSecret { root throws(CryptoError) in
                    try plan.record(vaultID: session.vaultID, rootKey: root)
                }
                group.state.sealCell = record.encoded
                group.hasNewSeal = true
                return .success(())
            } catch {
                throw .encryptionFailed
            }
        }
    }
}
