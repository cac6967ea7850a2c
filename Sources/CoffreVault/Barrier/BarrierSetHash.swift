package import CoffreCrypto
package import CoffreStorage

/// A keyed multiset hash: the sum modulo 2^256 of one HMAC per row, so that it is kept up to date row by row.
///
/// Clarke et al., "Incremental Multiset Hash Functions" (ASIACRYPT 2003), MSet-Add-Hash with a secret key.
package struct BarrierSetHash: Sendable, Equatable {
    private var limbs: (UInt64, UInt64, UInt64, UInt64)  // most significant first

    package static let zero = BarrierSetHash(limbs: (0, 0, 0, 0))

    private init(limbs: (UInt64, UInt64, UInt64, UInt64)) { self.limbs = limbs }

    /// - Parameter digest: a big-endian number of 256 bits.
    package init(_ digest: Digest) {
        limbs = digest.withUnsafeBytes { bytes in
            func limb(_ index: Int) -> UInt64 {
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
            }
            return (limb(0), limb(1), limb(2), limb(3))
        }
    }

    /// 32 bytes, big-endian.
    package var digest: Digest {
        Digest { target in
            for (index, limb) in [limbs.0, limbs.1, limbs.2, limbs.3].enumerated() {
                target.storeBytes(of: limb.bigEndian, toByteOffset: 8 * index, as: UInt64.self)
            }
        }
    }

    package static func == (left: Self, right: Self) -> Bool { left.limbs == right.limbs }

    package static func += (left: inout Self, right: Self) {
        var carry = false
        func add(_ a: UInt64, _ b: UInt64) -> UInt64 {
            let (partial, first) = a.addingReportingOverflow(b)
            let (sum, second) = partial.addingReportingOverflow(carry ? 1 : 0)
            carry = first || second
            return sum
        }
        left.limbs.3 = add(left.limbs.3, right.limbs.3)
        left.limbs.2 = add(left.limbs.2, right.limbs.2)
        left.limbs.1 = add(left.limbs.1, right.limbs.1)
        left.limbs.0 = add(left.limbs.0, right.limbs.0)
    }

    package static func -= (left: inout Self, right: Self) {
        // Two's complement: minus x is not(x) + 1.
        left += BarrierSetHash(limbs: (~right.limbs.0, ~right.limbs.1, ~right.limbs.2, ~right.limbs.3))
        left += BarrierSetHash(limbs: (0, 0, 0, 1))
    }

    /// One row's share: HMAC-SHA-256(key, namespace(1) ‖ parent(16) ‖ name(16) ‖ row version(8, BE) ‖ SHA-256(row)), where
    /// row = length of the label cell(4, BE) ‖ label cell ‖ value cell.
    package static func element(of row: StorageRow, key: HMACKey) -> BarrierSetHash {
        var content = SHA256()
        withUnsafeBytes(of: UInt32(row.label.count).bigEndian) { content.update($0) }
        content.update(row.label)
        content.update(row.value)
        let digest = content.finish()
        return BarrierSetHash(
            key.authenticate { update in
                withUnsafeBytes(of: row.address.namespace) { update($0) }
                row.address.parent.withUnsafeBytes { update($0) }
                row.address.name.withUnsafeBytes { update($0) }
                withUnsafeBytes(of: row.version.bigEndian) { update($0) }
                digest.withUnsafeBytes { update($0) }
            }
        )
    }
}
