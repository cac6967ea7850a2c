/// What a write expects of the row it replaces.
package enum RowExpectation: Sendable, Equatable {
    case any
    case absent
    case version(UInt64)
}

/// One change of a batch.
package enum RowChange: Sendable {
    /// Makes the ciphertexts once the row's new version is known. Runs on the storage's thread.
    package typealias Seal = @Sendable (_ version: UInt64) throws -> (label: [UInt8], value: [UInt8])

    case put(RowAddress, expect: RowExpectation, Seal)
    /// Does nothing when the row exists.
    case insertIfAbsent(RowAddress, Seal)
    case delete(RowAddress, expect: RowExpectation)
    /// Deletes the row when no other row has this parent.
    case deleteIfChildless(RowAddress, namespace: UInt8, parent: RowHash)
}

/// What a transaction did to one row, for the set hash.
package struct RowEffect: Sendable {
    package let address: RowAddress
    package let old: StoredRow?
    package let new: StoredRow?
}

/// Makes the meta row of a transaction. Called on the storage's thread, one call at a time.
package protocol TransactionSealer: Sendable {
    /// The encrypted meta row after `effects`, and the generation it holds.
    func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64)
    /// Whether the transaction of the last `prepare` is durable.
    func finish(isDurable: Bool)
}

/// Durable transactions over rows: all that the barrier asks of a storage. No SQL notion appears in it, so that
/// another engine can stand below.
package protocol KeyValueStore: Sendable {
    /// The row at `address`, nil when there is none. Sees every commit that has completed.
    func get(_ address: RowAddress) throws(StorageError) -> StoredRow?

    /// Rows of one parent in the order of their name hashes, at most `limit`, after `after`.
    /// - Parameter includesValues: without, `value` is empty, and large values are not read.
    func range(
        namespace: UInt8,
        parent: RowHash,
        after: RowHash?,
        limit: Int,
        includesValues: Bool
    ) throws(StorageError) -> [(name: RowHash, row: StoredRow)]

    /// All rows in the order of their addresses, at most `limit`, after `after`.
    func scan(after: RowAddress?, limit: Int) throws(StorageError) -> [(address: RowAddress, row: StoredRow)]

    /// Reads every row of one moment, writes notwithstanding, on a connection of its own. Blocks for as long as it takes.
    /// - Returns: the meta row of the same moment.
    func readSnapshot(_ visit: (RowAddress, StoredRow) -> Void) throws(StorageError) -> [UInt8]?

    /// The bytes kept beside the rows under `key`.
    func meta(_ key: MetaKey) throws(StorageError) -> [UInt8]?

    /// Carries out `changes` in one transaction, all or none. Concurrent calls share one transaction and one sync; a call
    /// whose expectation fails is left out alone.
    /// - Parameters:
    ///   - meta: other meta cells to write in the same transaction.
    ///   - completion: receives the generation, on the storage's delivery.
    func commit(
        _ changes: [RowChange],
        meta: [MetaKey: [UInt8]],
        completion: @escaping @Sendable (Result<UInt64, StorageError>) -> Void
    )

    /// Who seals transactions; nil refuses every commit.
    func setSealer(_ sealer: (any TransactionSealer)?)
}

/// Cells beside the rows.
package enum MetaKey: Int64, Sendable, CaseIterable {
    /// Generation and set hash, encrypted.
    case transaction = 1
    /// The seal record: public facts and wrapped keys.
    case seal = 2
    /// The keyring, wrapped by the root key.
    case keyring = 3
    /// The manifest of the snapshot that was restored, until an operator has confirmed it; empty otherwise.
    case restored = 4
}
