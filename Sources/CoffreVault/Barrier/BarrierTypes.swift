package import CoffreCrypto

/// What a row belongs to. The numbers are on disk: they never change.
package enum StorageNamespace: UInt8, Sendable, CaseIterable {
    case system = 1
    case policy = 2
    case token = 3
    case lease = 4
    case expiry = 5
    case kvMetadata = 6
    case kvData = 7
    case database = 8
    case peerRole = 9
    case identity = 10
    case mount = 11
    case other = 12
    case transit = 13
    case connection = 14
}

/// A place in clear, known above the barrier only.
package struct BarrierKey: Sendable, Hashable {
    package let namespace: StorageNamespace
    package let parent: [UInt8]
    package let name: [UInt8]

    package init(namespace: StorageNamespace, parent: [UInt8], name: [UInt8]) {
        self.namespace = namespace
        self.parent = parent
        self.name = name
    }
}

package struct BarrierEntry: Sendable {
    /// Counts the writes of this row, from 1.
    package let version: UInt64
    package let value: SharedSecret
}

/// One change of a transaction.
package enum BarrierMutation: Sendable {
    package enum Expectation: Sendable, Equatable {
        case any
        case absent
        case version(UInt64)
    }

    case put(BarrierKey, SharedSecret, expect: Expectation)
    case delete(BarrierKey, expect: Expectation)
    case insertIfAbsent(BarrierKey, SharedSecret)
    /// Deletes the row when nothing lies below `parent`.
    case deleteIfChildless(BarrierKey, namespace: StorageNamespace, parent: [UInt8])
}
