package import CoffreCrypto

/// The kinds of rows. The number is part of every address and of every AAD; it never changes meaning.
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
}

/// A row's place in clear: it exists above the barrier only.
package struct BarrierKey: Sendable, Hashable {
    package let namespace: StorageNamespace
    /// The folder; any bytes, also none. Rows of one folder are listed together.
    package let parent: [UInt8]
    /// The name in the folder; any bytes, also none.
    package let name: [UInt8]

    package init(namespace: StorageNamespace, parent: [UInt8], name: [UInt8]) {
        self.namespace = namespace
        self.parent = parent
        self.name = name
    }
}

/// A row's content.
package struct BarrierEntry: Sendable {
    /// Changes with every write of the row and never repeats in the life of the vault. Not consecutive.
    package let version: UInt64
    package let value: SharedSecret

    package init(version: UInt64, value: SharedSecret) {
        self.version = version
        self.value = value
    }
}

/// One change of a batch. Expectations are about the rows before the batch; changes happen in order.
package enum BarrierMutation: Sendable {
    /// What must be true of the row, or the whole batch fails with ``BarrierError/conflict``.
    package enum Expectation: Sendable, Equatable {
        case any
        case absent
        /// The row exists and has this version.
        case version(UInt64)
    }

    case put(BarrierKey, SharedSecret, expect: Expectation)
    /// Deletes the row if it is there; `.version` demands that it is.
    case delete(BarrierKey, expect: Expectation)
    /// Does nothing when the row exists.
    case insertIfAbsent(BarrierKey, SharedSecret)
    /// Deletes the row unless the folder `parent` of `namespace` holds rows by then.
    case deleteIfChildless(BarrierKey, namespace: StorageNamespace, parent: [UInt8])
}
