/// 16 bytes of a keyed hash: half of a row's address. Ordered bytewise.
package struct StorageHash: Hashable, Sendable, Comparable {
    private let words: (UInt64, UInt64)  // in memory order

    package static let zero = StorageHash(words: (0, 0))

    private init(words: (UInt64, UInt64)) { self.words = words }

    /// The first 16 bytes of `bytes`, which has at least as many.
    package init(prefixOf bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= 16, "a storage hash has 16 bytes")
        words = (
            bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        )
    }

    /// - Parameter bytes: exactly 16 bytes; nil otherwise.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self = bytes.withUnsafeBytes { StorageHash(prefixOf: $0) }
    }

    package func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try Swift.withUnsafeBytes(of: words) { bytes throws(E) in try body(bytes) }
    }

    /// The 16 bytes.
    package var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

    package static func == (left: Self, right: Self) -> Bool { left.words == right.words }

    package static func < (left: Self, right: Self) -> Bool {
        if left.words.0 != right.words.0 { return left.words.0.bigEndian < right.words.0.bigEndian }
        return left.words.1.bigEndian < right.words.1.bigEndian
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }
}

/// Where a row stands: rows of one namespace and parent lie together, ordered by name hash.
package struct StorageAddress: Hashable, Sendable, Comparable {
    package let namespace: UInt8
    package let parent: StorageHash
    package let name: StorageHash

    package init(namespace: UInt8, parent: StorageHash, name: StorageHash) {
        self.namespace = namespace
        self.parent = parent
        self.name = name
    }

    package static func < (left: Self, right: Self) -> Bool {
        if left.namespace != right.namespace { return left.namespace < right.namespace }
        if left.parent != right.parent { return left.parent < right.parent }
        return left.name < right.name
    }
}

/// The part of a row that a point read needs.
package struct StorageCell: Sendable, Equatable {
    /// Chosen by the writer; never repeats with another content at one address.
    package let version: UInt64
    package let value: [UInt8]

    package init(version: UInt64, value: [UInt8]) {
        self.version = version
        self.value = value
    }
}

/// One row. Both cells are opaque bytes here.
package struct StorageRow: Sendable, Equatable {
    package let address: StorageAddress
    package let version: UInt64
    /// The name, as the layer above wrote it.
    package let label: [UInt8]
    package let value: [UInt8]

    package init(address: StorageAddress, version: UInt64, label: [UInt8], value: [UInt8]) {
        self.address = address
        self.version = version
        self.label = label
        self.value = value
    }
}
