package import CoffreCrypto
internal import CoffreStorage

extension Barrier {
    /// Takes the keys away. Calls under way fail with `.sealed`; the keys are wiped when the last of them lets go.
    package func seal() { core.seal() }

    /// Opens the vault with its unseal key and verifies keyring and meta row. Does nothing when unsealed already.
    ///
    /// Blocks for the storage thread; never call it from a completion.
    /// - Parameter unsealKey: 32 bytes, from the shares or the credential.
    /// - Throws: ``BarrierError`` `.notInitialized`, `.wrongKey`, `.corrupt`, `.storage`; the barrier stays sealed then.
    package func unseal(unsealKey: borrowing SecretBytes) throws(BarrierError) {
        try open(key: unsealKey, as: .unseal)
    }

    /// Opens the vault with its recovery key, for a `credential` seal whose credential is lost.
    /// - Parameter recoveryKey: 32 bytes, from the recovery shares.
    /// - Throws: as ``unseal(unsealKey:)``.
    package func unseal(recoveryKey: borrowing SecretBytes) throws(BarrierError) {
        try open(key: recoveryKey, as: .recovery)
    }

    private func open(key: borrowing SecretBytes, as purpose: SealRecord.Purpose) throws(BarrierError) {
        guard isSealed else { return }
        // A group of the session before may still be on its way: what it writes must be seen.
        store.drain()
        guard let sealed = try control(BarrierControl.seal) else { throw .notInitialized }
        guard let record = SealRecord(decoding: sealed.value) else {
            throw .corrupt(address: BarrierControl.seal.hex)
        }
        guard let root = record.unwrap(key, as: purpose) else { throw .wrongKey }
        let rootKey = SharedSecret(root)
        let (keyring, keyringCell) = try loadKeyring(record.vaultID, rootKey)
        let meta = try loadMeta(record.vaultID, keyring)
        guard meta.controlDigest == BarrierMeta.controlDigest(sealCell: sealed.value, keyringCell: keyringCell) else {
            throw .corrupt(address: BarrierControl.meta.hex)
        }
        let state = BarrierSession.State(
            keyring: keyring,
            meta: meta,
            sealCell: sealed.value,
            keyringCell: keyringCell
        )
        core.installIfSealed(BarrierSession(vaultID: record.vaultID, rootKey: rootKey, state: state))
    }

    private func control(_ address: StorageAddress) throws(BarrierError) -> StorageCell? {
        do { return try store.get(address) } catch { throw .storage(error) }
    }

    private func loadKeyring(
        _ vaultID: [UInt8],
        _ rootKey: SharedSecret
    ) throws(BarrierError) -> (BarrierKeyring, [UInt8]) {
        let address = BarrierControl.keyring
        guard let stored = try control(address) else { throw .corrupt(address: address.hex) }
        let place = BarrierPlace(vaultID: vaultID, address: address, field: .value, version: stored.version)
        let cipher = rootKey.withSecret { try? BarrierControl.keyringCipher($0) }
        guard BarrierCell.term(ofCell: stored.value) == 0, let cipher,
            let plain = BarrierCell.decrypt(stored.value, at: place, cipher: cipher),
            let keyring = plain.withBytes({ BarrierKeyring(decoding: $0) })
        else { throw .corrupt(address: address.hex) }
        return (keyring, stored.value)
    }

    private func loadMeta(_ vaultID: [UInt8], _ keyring: BarrierKeyring) throws(BarrierError) -> BarrierMeta {
        let address = BarrierControl.meta
        guard let stored = try control(address) else { throw .corrupt(address: address.hex) }
        let place = BarrierPlace(vaultID: vaultID, address: address, field: .value, version: stored.version)
        guard let term = BarrierCell.term(ofCell: stored.value), term == keyring.active.number,
            let plain = BarrierCell.decrypt(stored.value, at: place, cipher: keyring.active.cipher),
            let meta = plain.withBytes({ BarrierMeta(decoding: Array($0)) }), meta.generation == stored.version
        else { throw .corrupt(address: address.hex) }
        return meta
    }
}
