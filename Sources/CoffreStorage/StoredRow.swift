/// 16 bytes of a keyed hash: all that the storage knows of a name.
package struct RowHash: Sendable, Hashable, Comparable {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameter bytes: at least 16 bytes; the first 16 count, big-endian.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 16 else { return nil }
        high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    package var bytes: [UInt8] {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Array($0) }
    }

    package static func < (left: RowHash, right: RowHash) -> Bool { (left.high, left.low) < (right.high, right.low) }
}

/// Where a row lies: a namespace, and keyed hashes of its parent and of its name.
package struct RowAddress: Sendable, Hashable {
    package let namespace: UInt8
    package let parent: RowHash
    package let name: RowHash

    package init(namespace: UInt8, parent: RowHash, name: RowHash) {
        self.namespace = namespace
        self.parent = parent
        self.name = name
    }

    /// 33 bytes: namespace ‖ parent ‖ name.
    package var bytes: [UInt8] { [namespace] + parent.bytes + name.bytes }
}

/// One row as it lies on disk: two ciphertexts.
package struct StoredRow: Sendable, Equatable {
    /// Counts the writes of this row, from 1.
    package let version: UInt64
    /// The encrypted name.
    package let label: [UInt8]
    /// The encrypted value.
    package let value: [UInt8]

    package init(version: UInt64, label: [UInt8], value: [UInt8]) {
        self.version = version
        self.label = label
        self.value = value
    }
}
