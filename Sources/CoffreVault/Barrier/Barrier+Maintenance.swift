internal import CoffreStorage
internal import Synchronization

extension Barrier {
    /// Adds a key term, which encrypts from now on. Older rows are re-encrypted by ``reencryptStep(limit:)``.
    /// - Returns: the number of the new term.
    /// - Throws: ``BarrierError`` `.sealed`, `.tooManyTerms`, `.storage`.
    @discardableResult
    package func rotate() async throws(BarrierError) -> UInt32 {
        let now = core.now
        return try await run { group, _ throws(StorageError) in
            guard try group.rotate(at: now()) else { return .failure(.tooManyTerms) }
            return .success(group.state.keyring.active.number)
        }
    }

    /// The terms in the keyring, ascending: number and Unix time of creation; nil while sealed.
    package var terms: [(number: UInt32, createdAt: UInt64)]? {
        core.current?.keyring.terms.map { ($0.number, $0.createdAt) }
    }

    /// Looks at up to `limit` rows and brings those of older terms under the active one; erases terms that no row uses.
    ///
    /// - Returns: how many rows of older terms remain.
    /// - Throws: ``BarrierError`` `.corrupt` at the end of a pass that met a row which does not open (it stays as it is),
    ///   `.sealed`, `.storage`.
    @discardableResult
    package func reencryptStep(limit: Int) async throws(BarrierError) -> Int {
        let (remaining, erased) = try await run { group, transaction throws(StorageError) in
            try group.reencrypt(limit: max(1, limit), in: transaction)
        }
        if erased > 0 { store.requestCompaction() }
        return remaining
    }

    /// Reads up to `limit` rows and adds them to the scrub's sum, which is compared at the end of a pass. Writes may go on.
    /// - Throws: ``BarrierError`` `.setHashMismatch` at the end of a pass, `.sealed`, `.storage`.
    @discardableResult
    package func verifySetHash(limit: Int) async throws(BarrierError) -> BarrierScrubProgress {
        try await run { group, transaction throws(StorageError) in
            try group.scrub(limit: max(1, limit), in: transaction)
        }
    }

    /// Runs `body` on the storage thread as part of a group; its failure does not take back what it has written.
    func run<R: Sendable>(
        _ body:
            @escaping @Sendable (inout BarrierGroup, any StorageTransaction) throws(StorageError)
            -> Result<R, BarrierError>
    ) async throws(BarrierError) -> R {
        guard let session = core.current else { throw .sealed }
        let box = BarrierResultBox<R>()
        let work: BarrierWork.Body = { group, transaction throws(StorageError) in
            box.set(try body(&group, transaction))
            return .accepted
        }
        let result = await withCheckedContinuation { continuation in
            store.submit(BarrierWork(core, session, body: work) { continuation.resume(returning: $0) })
        }
        _ = try result.get()
        guard let answer = box.get() else { throw .sealed }
        return try answer.get()
    }
}

private final class BarrierResultBox<R: Sendable>: Sendable {
    private let value = Mutex<Result<R, BarrierError>?>(nil)

    func set(_ new: Result<R, BarrierError>) { value.withLock { $0 = new } }
    func get() -> Result<R, BarrierError>? { value.withLock { $0 } }
}

extension BarrierGroup {
    fileprivate mutating func reencrypt(
        limit: Int,
        in transaction: any StorageTransaction
    ) throws(StorageError) -> Result<(Int, Int), BarrierError> {
        let active = state.keyring.active.number
        var damaged: StorageAddress?
        if state.meta.rows(except: active) > 0 {
            let rows = try transaction.scan(after: state.pass.cursor, limit: limit)
            for row in rows where row.address.namespace != BarrierControl.namespace {
                if BarrierCell.term(ofCell: row.value) == active, BarrierCell.term(ofCell: row.label) == active {
                    continue
                }
                if try !reencrypt(row, in: transaction) { state.pass.damaged = state.pass.damaged ?? row.address }
            }
            state.pass.cursor = rows.last?.address
            if rows.count < limit {
                damaged = state.pass.damaged
                state.pass = BarrierReencryption()
            }
        }
        let remaining = Int(clamping: state.meta.rows(except: active))
        let erased = eraseUnusedTerms()
        if let damaged { return .failure(.corrupt(address: damaged.hex)) }
        return .success((remaining, erased))
    }

    fileprivate mutating func scrub(
        limit: Int,
        in transaction: any StorageTransaction
    ) throws(StorageError) -> Result<BarrierScrubProgress, BarrierError> {
        var scrub = state.scrub ?? BarrierScrub()
        let rows = try transaction.scan(after: scrub.cursor, limit: limit)
        for row in rows {
            if row.address.namespace == BarrierControl.namespace {
                scrub.pass(row)
            } else {
                scrub.meet(row, BarrierSetHash.element(of: row, key: state.keyring.setKey))
            }
        }
        if rows.count == limit {
            state.scrub = scrub
            return .success(.running(rows: scrub.rows))
        }
        state.scrub = nil
        guard scrub.sum == state.meta.setHash, scrub.rows == state.meta.rows else { return .failure(.setHashMismatch) }
        return .success(.verified(rows: scrub.rows, generation: state.meta.generation))
    }
}
