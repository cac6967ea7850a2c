internal import Synchronization

/// A compare-and-set batch over opaque cells. Expectations are about the state before the batch.
package final class StorageBatch: StorageWork {
    /// What must be true of a row for the batch to happen.
    package enum Expectation: Sendable, Equatable {
        case any
        case absent
        case version(UInt64)
    }

    package enum Mutation: Sendable {
        case put(StorageRow, expect: Expectation)
        case delete(StorageAddress, expect: Expectation)
    }

    /// Why a batch was rejected: one of its expectations did not hold.
    package struct Conflict: Error, Sendable, Equatable {
        package init() {}
    }

    private let mutations: [Mutation]
    private let completion: @Sendable (StorageOutcome) -> Void
    private let result = Mutex<StorageOutcome?>(nil)

    /// Nil until the group has ended.
    package var outcome: StorageOutcome? { result.withLock { $0 } }

    package init(_ mutations: [Mutation], completion: @escaping @Sendable (StorageOutcome) -> Void) {
        self.mutations = mutations
        self.completion = completion
    }

    package func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict {
        for mutation in mutations {
            let (address, expectation) =
                switch mutation {
                case .put(let row, let expect): (row.address, expect)
                case .delete(let address, let expect): (address, expect)
                }
            if expectation == .any { continue }
            guard expectation.holds(for: try transaction.row(address)?.version) else { return .rejected(Conflict()) }
        }
        for mutation in mutations {
            switch mutation {
            case .put(let row, _): try transaction.put(row)
            case .delete(let address, _): try transaction.delete(address)
            }
        }
        return .accepted
    }

    package func ended(_ outcome: StorageOutcome) { result.withLock { $0 = outcome } }

    package func complete(_ outcome: StorageOutcome) { completion(outcome) }
}

extension StorageBatch.Expectation {
    /// - Parameter version: of the row as it stands; nil when absent.
    package func holds(for version: UInt64?) -> Bool {
        switch self {
        case .any: true
        case .absent: version == nil
        case .version(let expected): version == expected
        }
    }
}
