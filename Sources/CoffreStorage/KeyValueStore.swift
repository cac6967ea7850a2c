/// The transactional key/value protocol between the barrier and whatever stores rows. It knows no SQL, so that another
/// engine can take the place of the embedded one: reads, one ordered scan, and work that runs in a group's transaction.
package protocol KeyValueStore: Sendable {
    /// The row's version and value; nil when absent. Sees every commit that has completed. Blocks for microseconds.
    func get(_ address: StorageAddress) throws(StorageError) -> StorageCell?

    /// Rows of one folder in order of name hash, at most `limit`, from one snapshot.
    func range(namespace: UInt8, parent: StorageHash, limit: Int) throws(StorageError) -> [StorageRow]

    /// Names the one party that takes part in each group. At most once, before the first `submit`.
    func attach(_ hook: any StorageGroupHook)

    /// Queues `work` for the next group. Its `complete` is always called, once.
    func submit(_ work: any StorageWork)

    /// Returns when all work submitted before has ended. Blocks; never call it from a completion.
    func drain()

    /// Empties the write-ahead log soon, so that overwritten rows do not linger in it.
    func requestCompaction()

    /// Ends all queued work, then closes the files. Blocks. Later calls fail with `.closed`.
    func close()
}

/// A transaction of the group being committed: reads see what earlier work of the group has written.
package protocol StorageTransaction: AnyObject {
    func row(_ address: StorageAddress) throws(StorageError) -> StorageRow?

    /// Whether the folder holds a row.
    func hasRows(namespace: UInt8, parent: StorageHash) throws(StorageError) -> Bool

    /// Rows after `address` (from the first one for nil) in address order over all namespaces, at most `limit`.
    func scan(after address: StorageAddress?, limit: Int) throws(StorageError) -> [StorageRow]

    /// Writes or overwrites a row.
    func put(_ row: StorageRow) throws(StorageError)

    /// Deletes the row if it is there.
    func delete(_ address: StorageAddress) throws(StorageError)
}

/// One caller's part of a group: all of it happens, or nothing.
package protocol StorageWork: AnyObject, Sendable {
    /// Runs on the storage thread. Checks every expectation before the first write, so that a rejection leaves no trace.
    /// - Throws: what the transaction throws, and nothing else; the whole group is then taken back.
    func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict

    /// Called once on the storage thread as soon as the group has ended, before `drain()` returns.
    func ended(_ outcome: StorageOutcome)

    /// Called once, by way of ``StorageGroupHook/deliver(_:)``.
    func complete(_ outcome: StorageOutcome)
}

extension StorageWork {
    package func ended(_ outcome: StorageOutcome) {}
}

extension KeyValueStore {
    /// Commits `mutations` as one batch and waits for it. Never call it from a completion.
    /// - Throws: ``StorageBatch/Conflict`` when an expectation does not hold, ``StorageError`` otherwise.
    package func commitAndWait(_ mutations: [StorageBatch.Mutation]) throws {
        let batch = StorageBatch(mutations) { _ in }
        submit(batch)
        drain()
        switch batch.outcome {
        case .committed: return
        case .rejected(let error): throw error
        case .failed(let error): throw error
        case nil: throw StorageError.closed
        }
    }
}

package enum StorageVerdict: Sendable {
    case accepted
    /// Nothing was written; the error goes to this work alone.
    case rejected(any Error)
}

package enum StorageOutcome: Sendable {
    /// Durable. The number is the one that the hook gave to the group.
    case committed(UInt64)
    case rejected(any Error)
    /// The group was taken back. After a failed sync it may still turn up after a crash of the machine.
    case failed(StorageError)
}

package enum StorageGroupEnd: Sendable {
    /// Durable.
    case committed
    /// Nothing had been written.
    case unchanged
    /// Everything was taken back.
    case failed
}

/// The party that adds its own rows to each group (generation, set hash) without showing keys to this layer.
package protocol StorageGroupHook: AnyObject, Sendable {
    func groupWillBegin()

    /// Called after all work, before the commit.
    /// - Parameter changed: whether the group has written anything; when not, nothing will be committed.
    /// - Returns: the group's number.
    func groupWillCommit(in transaction: any StorageTransaction, changed: Bool) throws(StorageError) -> UInt64

    func groupDidEnd(_ end: StorageGroupEnd)

    /// Runs `completions` once, on a thread of the hook's choice.
    func deliver(_ completions: @escaping @Sendable () -> Void)
}
