internal import CoffreCrypto
internal import CoffreStorage

/// What one group is about to change; becomes the session's state when the group is durable.
struct BarrierGroup: Sendable {
    let session: BarrierSession
    /// When the group began, for a group that fails.
    let base: BarrierSession.State
    var state: BarrierSession.State
    /// Whether the keyring or the seal record must be written again.
    var hasNewKeyring = false
    var hasNewSeal = false

    init(_ session: BarrierSession) {
        self.session = session
        base = session.current
        state = base
    }

    // MARK: Rows

    /// Writes a row under the active term, with a fresh version.
    mutating func put(
        _ address: StorageAddress,
        name: [UInt8],
        value: SharedSecret,
        in transaction: any StorageTransaction
    ) throws(StorageError) {
        state.meta.lastVersion += 1
        let version = state.meta.lastVersion
        let old = try transaction.row(address)
        let row = try name.withOctets { name throws(StorageError) in
            try value.withBytes { value throws(StorageError) in
                try encrypt(address, version: version, name: name, value: value)
            }
        }
        try replace(old, by: row, at: address, in: transaction)
    }

    mutating func delete(_ address: StorageAddress, in transaction: any StorageTransaction) throws(StorageError) {
        guard let old = try transaction.row(address) else { return }
        try replace(old, by: nil, at: address, in: transaction)
    }

    /// Encrypts a row again under the active term; its version stays, because its content does.
    /// - Returns: false when the row does not open.
    mutating func reencrypt(_ old: StorageRow, in transaction: any StorageTransaction) throws(StorageError) -> Bool {
        guard let (name, value) = session.decrypt(old, with: state.keyring) else { return false }
        let row = try name.withBytes { name throws(StorageError) in
            try value.withBytes { value throws(StorageError) in
                try encrypt(old.address, version: old.version, name: name, value: value)
            }
        }
        try replace(old, by: row, at: old.address, in: transaction)
        return true
    }

    private mutating func encrypt(
        _ address: StorageAddress,
        version: UInt64,
        name: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer
    ) throws(StorageError) -> StorageRow {
        let term = state.keyring.active
        func cell(
            _ plain: UnsafeRawBufferPointer,
            _ field: BarrierPlace.Field
        ) throws(CryptoError) -> [UInt8] {
            let place = BarrierPlace(vaultID: session.vaultID, address: address, field: field, version: version)
            return try BarrierCell.encrypt(plain, for: place, term: term.number, cipher: term.cipher)
        }
        state.meta.encryptions += 2
        do {
            return StorageRow(
                address: address,
                version: version,
                label: try cell(name, .label),
                value: try cell(value, .value)
            )
        } catch {
            throw .encryptionFailed
        }
    }

    private mutating func replace(
        _ old: StorageRow?,
        by new: StorageRow?,
        at address: StorageAddress,
        in transaction: any StorageTransaction
    ) throws(StorageError) {
        let key = state.keyring.setKey
        if let old {
            let element = BarrierSetHash.element(of: old, key: key)
            state.meta.setHash -= element
            state.scrub?.subtract(element, at: address)
            if let term = BarrierCell.term(ofCell: old.value) { state.meta.countRow(term, added: false) }
        }
        guard let new else { return try transaction.delete(address) }
        let element = BarrierSetHash.element(of: new, key: key)
        state.meta.setHash += element
        state.scrub?.add(element, at: address)
        state.meta.countRow(state.keyring.active.number, added: true)
        try transaction.put(new)
    }

    // MARK: Terms

    /// Adds a term, which encrypts from here on.
    /// - Returns: false when too many terms are in use.
    mutating func rotate(at time: UInt64) throws(StorageError) -> Bool {
        guard state.keyring.terms.count < BarrierKeyring.maximumTerms else { return false }
        do {
            state.keyring = try state.keyring.addingTerm(createdAt: time)
        } catch {
            throw .encryptionFailed
        }
        state.meta.encryptions = 0
        state.pass = BarrierReencryption()
        hasNewKeyring = true
        // Readers may meet rows of the new term before the commit has returned.
        let keyring = state.keyring
        session.update { $0.keyring = keyring }
        return true
    }

    /// Erases the terms that no row uses.
    /// - Returns: how many.
    mutating func eraseUnusedTerms() -> Int {
        let before = state.keyring.terms.count
        let meta = state.meta
        let kept = state.keyring.removingTerms { meta.isUnused($0) }
        guard kept.terms.count < before else { return 0 }
        state.keyring = kept
        hasNewKeyring = true
        return before - kept.terms.count
    }

    // MARK: The end

    /// Writes the control rows of a group that has changed something.
    /// - Returns: its generation.
    mutating func finish(in transaction: any StorageTransaction) throws(StorageError) -> UInt64 {
        state.meta.generation += 1
        let generation = state.meta.generation
        let meta: StorageRow
        do {
            if hasNewKeyring {
                let keyring = state.keyring
                state.keyringCell = try session.rootKey.withSecret { root throws(CryptoError) in
                    try BarrierControl.wrap(keyring, rootKey: root, vaultID: session.vaultID, version: generation)
                }
            }
            if hasNewKeyring || hasNewSeal {
                state.meta.controlDigest = BarrierMeta.controlDigest(
                    sealCell: state.sealCell,
                    keyringCell: state.keyringCell
                )
            }
            state.meta.encryptions += 1
            meta = try BarrierControl.metaRow(state.meta, keyring: state.keyring, vaultID: session.vaultID)
        } catch {
            throw .encryptionFailed
        }
        try transaction.put(meta)
        if hasNewKeyring {
            let row = BarrierControl.row(BarrierControl.keyring, version: generation, value: state.keyringCell)
            try transaction.put(row)
        }
        if hasNewSeal {
            let row = BarrierControl.row(BarrierControl.seal, version: generation, value: state.sealCell)
            try transaction.put(row)
        }
        return generation
    }

    /// Gives the session its state after the group.
    func end(_ end: StorageGroupEnd) {
        let (base, state) = (base, state)
        session.update { current in
            guard end == .failed else {
                current = state
                return
            }
            current = base
            // The nonces have been used, whether or not their ciphertexts are kept.
            if state.keyring.active.number == base.keyring.active.number {
                current.meta.encryptions = state.meta.encryptions
            }
        }
    }
}

extension StorageError {
    /// libcrypto refused to encrypt, which correct calls never see.
    static let encryptionFailed = StorageError(.unexpected, "the vault could not encrypt: restart the daemon")
}
