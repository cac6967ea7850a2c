package import CoffreCrypto

/// Hashes of RFC 6962 §2.1.
enum TreeHash {
    /// `SHA-256(0x00 ‖ line)`.
    static func leaf(_ line: UnsafeRawBufferPointer) -> Digest {
        var hash = SHA256()
        hash.update(byte: 0x00)
        hash.update(line)
        return hash.finish()
    }

    /// `SHA-256(0x01 ‖ left ‖ right)`.
    static func node(_ left: Digest, _ right: Digest) -> Digest {
        var hash = SHA256()
        hash.update(byte: 0x01)
        hash.update(left)
        hash.update(right)
        return hash.finish()
    }
}

/// The hashes of the perfect subtrees of a tree (RFC 6962 §2.1), largest first: all that is needed to append and to
/// know the root.
package struct Frontier: Sendable, Equatable {
    /// Leaves.
    package private(set) var size: UInt64
    /// One for each set bit of `size`, most significant first.
    package private(set) var hashes: [Digest]

    package init() {
        size = 0
        hashes = []
    }

    /// - Returns: nil when `hashes` are not as many as `size` has set bits.
    package init?(size: UInt64, hashes: [Digest]) {
        guard size.nonzeroBitCount == hashes.count else { return nil }
        self.size = size
        self.hashes = hashes
    }

    package mutating func append(leaf: Digest) { append(subtree: leaf, level: 0) }

    /// Appends 2^`level` leaves by the hash of their perfect subtree, which must begin at a multiple of its size.
    mutating func append(subtree: Digest, level: Int) { append(subtree: subtree, level: level) { _, _ in } }

    /// As ``append(subtree:level:)``, and shows the hash of each perfect subtree that is complete now.
    @inline(__always)
    mutating func append(subtree: Digest, level: Int, completed: (_ level: Int, Digest) -> Void) {
        var merged = subtree
        var bits = size >> UInt64(level)
        var height = level
        while bits & 1 == 1, let left = hashes.popLast() {
            merged = TreeHash.node(left, merged)
            bits >>= 1
            height += 1
            completed(height, merged)
        }
        hashes.append(merged)
        size += 1 << UInt64(level)
    }

    /// Of ``hashes``: 2^level leaves each.
    var levels: [Int] { (0..<64).reversed().filter { size >> UInt64($0) & 1 == 1 } }

    /// The RFC 6962 root; of the empty tree, SHA-256 of nothing.
    package var root: Digest {
        guard var merged = hashes.last else { return SHA256.hash([]) }
        for left in hashes.dropLast().reversed() { merged = TreeHash.node(left, merged) }
        return merged
    }
}
