internal import CoffreCrypto
package import CoffreStorage
internal import Synchronization

extension Barrier {
    /// Whether the current term has been used enough.
    package var needsRotation: Bool { opened.withLock { ($0?.state.encryptions ?? 0) >= Self.encryptionsPerTerm } }

    /// The current term and how often it has encrypted; nil while sealed.
    package var termUse: (term: UInt32, encryptions: UInt64)? {
        opened.withLock { opened in
            guard let opened, let keyring = try? opened.vault.keyring() else { return nil }
            return (keyring.currentTerm, opened.state.encryptions)
        }
    }

    /// Whether rows may lie under older terms.
    package var hasOldTerms: Bool { opened.withLock { ((try? $0?.vault.keyring().terms.count) ?? 0) > 1 } }

    /// Adds a term: what is written from now on goes under a new key.
    package func rotate() async throws(BarrierError) {
        try await replaceKeyring { keyring throws(CryptoError) in try keyring.addingTerm() }
    }

    private func replaceKeyring(_ make: (Keyring) throws(CryptoError) -> Keyring) async throws(BarrierError) {
        let (old, vault) = try keys()
        // Two at once would each write a keyring without the other's term.
        let root = opened.withLock { opened -> WrappingKey? in
            guard opened?.vault === vault, opened?.isReplacingKeyring == false else { return nil }
            opened?.isReplacingKeyring = true
            return opened?.root
        }
        guard let root else { throw BarrierError(.conflict, "the keys are being changed already: try again") }
        defer {
            opened.withLock { opened in if opened?.vault === vault { opened?.isReplacingKeyring = false } }
        }
        let (new, wrapped): (Keyring, [UInt8])
        do throws(CryptoError) {
            new = try make(old)
            wrapped = try new.wrapped(by: root)
        } catch {
            throw BarrierError(.corrupt, "the keyring cannot be changed: \(error.message)")
        }
        // The keyring is on disk before anything is written under its new term.
        _ = try await commit([], meta: [.keyring: wrapped])
        opened.withLock { opened in
            guard opened?.vault === vault else { return }
            if old.currentTerm != new.currentTerm { opened?.state.encryptions = 0 }
            vault.replace(new)
        }
    }

    /// Looks at up to `limit` rows and writes those of older terms anew; the end of a pass erases the terms that were old
    /// when it began.
    ///
    /// Rows written meanwhile, also behind the pass, are under the term with which it began or a newer one.
    /// - Parameter start: what the step before returned; nil begins a pass.
    /// - Returns: where the pass goes on; nil at its end. ``hasOldTerms`` says whether another one is needed.
    /// - Throws: ``BarrierError`` `.corrupt` for a row that does not open (no term is erased then), `.sealed`, `.storage`.
    package func reencryptStep(after start: RowAddress?, limit: Int) async throws(BarrierError) -> RowAddress? {
        let (keyring, vault) = try keys()
        guard keyring.terms.count > 1 else { return nil }
        // The first term that the pass leaves alone; without one, the pass before this process is not known: begin anew.
        let isGoingOn = start != nil && opened.withLock { $0?.passTerm != nil }
        if !isGoingOn { opened.withLock { $0?.passTerm = keyring.currentTerm } }
        let start = isGoingOn ? start : nil
        let page: [(address: RowAddress, row: StoredRow)]
        do throws(StorageError) { page = try store.scan(after: start, limit: limit) } catch {
            throw BarrierError(error)
        }
        var changes: [RowChange] = []
        for (address, row) in page where try BarrierRow.term(of: row.value) != keyring.currentTerm {
            let label = try decrypt(row.label, .label, address, row.version, keyring, vault).withBytes { Array($0) }
            let value = try decrypt(row.value, .value, address, row.version, keyring, vault)
            changes.append(
                .put(address, expect: .version(row.version)) { version in
                    try Self.encrypt(label, value, address, version, vault)
                }
            )
        }
        // A row that changed meanwhile is under a newer term already: each goes alone.
        for change in changes {
            let result: Result<UInt64, StorageError> = await withCheckedContinuation { continuation in
                store.commit([change], meta: [:]) { continuation.resume(returning: $0) }
            }
            if case .failure(let error) = result, error.code != .conflict { throw BarrierError(error) }
        }
        if let last = page.last, page.count == limit { return last.address }
        let first = opened.withLock { opened in
            let first = opened?.passTerm
            opened?.passTerm = nil
            return first
        }
        guard let first else { throw .sealed }
        try await replaceKeyring { keyring throws(CryptoError) in
            try keyring.keepingTerms(Set(keyring.terms.filter { $0 >= first }))
        }
        return nil
    }

    /// Recomputes the hash over all rows and compares it with the one that every transaction keeps.
    ///
    /// Reads the whole database at one moment and blocks meanwhile: call it on a thread of its own.
    /// - Throws: ``BarrierError`` `.corrupt` when rows were changed behind the vault's back.
    package func scrub() throws(BarrierError) {
        let (keyring, vault) = try keys()
        var sum = SetHash()
        let meta: [UInt8]?
        do throws(StorageError) {
            meta = try store.readSnapshot { sum.add(SetHash.element($0, $1, key: keyring.setKey)) }
        } catch { throw BarrierError(error) }
        let latest = try vault.keyring()
        let state: TransactionState
        do throws(CryptoError) {
            // The transaction may be younger than the keyring at hand.
            let current = keyring.opensTransaction(meta ?? []) ? keyring : latest
            state = try TransactionState(unwrapping: meta ?? [], by: current, vault: vault.id)
        } catch {
            throw BarrierError(.corrupt, "the database's own account of its rows does not open: restore a backup")
        }
        guard sum == state.setHash else {
            throw BarrierError(.corrupt, "rows of the database were changed, added or removed from outside")
        }
    }
}

extension Barrier: TransactionSealer {
    package func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
        turn.wait()
        do {
            return try propose(effects)
        } catch {
            turn.signal()
            throw error
        }
    }

    private func propose(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
        guard let current = opened.withLock({ $0 }) else { throw BarrierError.sealed }
        let keyring = try current.vault.keyring()
        var state = current.state
        state.generation += 1
        state.encryptions += 1
        for effect in effects {
            if let old = effect.old {
                state.setHash.remove(SetHash.element(effect.address, old, key: keyring.setKey))
            }
            if let new = effect.new {
                state.setHash.add(SetHash.element(effect.address, new, key: keyring.setKey))
                state.encryptions += 2
            }
        }
        let proposed = state
        let meta = try proposed.wrapped(by: keyring, vault: current.vault.id)
        opened.withLock { $0?.proposed = proposed }
        return (meta, proposed.generation)
    }

    package func finish(isDurable: Bool) {
        opened.withLock { opened in
            if isDurable, let proposed = opened?.proposed { opened?.state = proposed }
            opened?.proposed = nil
        }
        turn.signal()
    }
}
