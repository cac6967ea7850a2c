package import CoffreCrypto
package import CoffreStorage

/// Names as the storage sees them: keyed hashes under a key that never rotates.
package enum BarrierAddress {
    /// Where the row of `key` lies. One name in two folders has two hashes.
    package static func row(_ key: BarrierKey, _ addressKey: HMACKey) -> RowAddress {
        RowAddress(
            namespace: key.namespace.rawValue,
            parent: parent(key.namespace, key.parent, addressKey),
            name: hash(addressKey, 0x6e, key.namespace, key.parent, key.name)
        )
    }

    /// What the rows of a folder have in common.
    package static func parent(
        _ namespace: StorageNamespace,
        _ parent: [UInt8],
        _ addressKey: HMACKey
    ) -> RowHash {
        hash(addressKey, 0x70, namespace, parent, [])
    }

    /// First 16 bytes of `HMAC-SHA-256(K, kind ‖ namespace ‖ length of parent(4, BE) ‖ parent ‖ name)`.
    private static func hash(
        _ key: HMACKey,
        _ kind: UInt8,
        _ namespace: StorageNamespace,
        _ parent: [UInt8],
        _ name: [UInt8]
    ) -> RowHash {
        let digest = key.authenticate { update in
            withUnsafeBytes(of: (kind, namespace.rawValue)) { update($0) }
            withUnsafeBytes(of: UInt32(parent.count).bigEndian) { update($0) }
            parent.withUnsafeBytes { update($0) }
            name.withUnsafeBytes { update($0) }
        }
        return digest.withUnsafeBytes { RowHash($0) } ?? RowHash(high: 0, low: 0)
    }
}
