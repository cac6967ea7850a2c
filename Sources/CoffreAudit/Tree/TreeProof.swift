package import CoffreCrypto

/// Inclusion and consistency proofs of RFC 6962 §2.1, checked as RFC 9162 §2.1.3.2 and §2.1.4.2 say.
package enum TreeProof {
    /// The hash of a perfect subtree: 2^`level` leaves from leaf `index` · 2^`level` on. Level 0 is a leaf hash.
    package typealias Node<Failure: Error> = (_ level: Int, _ index: UInt64) throws(Failure) -> Digest

    /// The audit path of leaf `index` in the tree of the first `size` leaves, from the leaf upwards.
    /// - Parameters:
    ///   - index: less than `size`.
    ///   - node: asked for at most two hashes per level.
    package static func inclusion<Failure: Error>(
        of index: UInt64,
        in size: UInt64,
        node: Node<Failure>
    ) throws(Failure) -> [Digest] {
        precondition(index < size, "the leaf is in the tree")
        var path: [Digest] = []
        var (low, high) = (UInt64(0), size)
        var siblings: [(low: UInt64, high: UInt64)] = []
        while high - low > 1 {
            let middle = low + split(high - low)
            if index < middle {
                siblings.append((middle, high))
                high = middle
            } else {
                siblings.append((low, middle))
                low = middle
            }
        }
        for sibling in siblings.reversed() { path.append(try root(of: sibling.low..<sibling.high, node: node)) }
        return path
    }

    /// What shows that the tree of `old` leaves is the beginning of the tree of `new` leaves.
    /// - Parameter old: 0 to `new`; the proof from nothing, and from a tree to itself, is empty.
    package static func consistency<Failure: Error>(
        from old: UInt64,
        to new: UInt64,
        node: Node<Failure>
    ) throws(Failure) -> [Digest] {
        precondition(old <= new, "a tree only grows")
        guard old > 0, old < new else { return [] }
        var (low, high) = (UInt64(0), new)
        var siblings: [(low: UInt64, high: UInt64)] = []
        // Down to the subtree whose right edge is that of the old tree.
        while high != old {
            let middle = low + split(high - low)
            if old <= middle {
                siblings.append((middle, high))
                high = middle
            } else {
                siblings.append((low, middle))
                low = middle
            }
        }
        var proof: [Digest] = []
        if low > 0 { proof.append(try root(of: low..<high, node: node)) }
        for sibling in siblings.reversed() { proof.append(try root(of: sibling.low..<sibling.high, node: node)) }
        return proof
    }

    /// The RFC 6962 root over the leaves of `range`, which must begin where a subtree of a larger tree begins.
    package static func root<Failure: Error>(
        of range: Range<UInt64>,
        node: Node<Failure>
    ) throws(Failure) -> Digest {
        let count = range.upperBound - range.lowerBound
        if count.nonzeroBitCount == 1 {
            let level = count.trailingZeroBitCount
            return try node(level, range.lowerBound >> UInt64(level))
        }
        guard count > 0 else { return SHA256.hash([]) }
        // Perfect subtrees from left to right, bagged from the right.
        var parts: [Digest] = []
        var low = range.lowerBound
        while low < range.upperBound {
            let part = largestPower(range.upperBound - low)
            let level = part.trailingZeroBitCount
            parts.append(try node(level, low >> UInt64(level)))
            low += part
        }
        guard var merged = parts.popLast() else { return SHA256.hash([]) }
        for left in parts.reversed() { merged = TreeHash.node(left, merged) }
        return merged
    }

    /// Whether `path` proves that `leaf` is leaf `index` of the tree with `size` leaves and root `root`.
    package static func isIncluded(
        _ leaf: Digest,
        at index: UInt64,
        path: [Digest],
        size: UInt64,
        root: Digest
    ) -> Bool {
        guard index < size else { return false }
        var (place, last) = (index, size - 1)
        var hash = leaf
        for sibling in path {
            guard last > 0 else { return false }
            if place & 1 == 1 || place == last {
                hash = TreeHash.node(sibling, hash)
                if place & 1 == 0 { skipLeftEdges(&place, &last) }
            } else {
                hash = TreeHash.node(hash, sibling)
            }
            place >>= 1
            last >>= 1
        }
        return last == 0 && hash == root
    }

    /// Whether `proof` shows that the tree (`old`, `oldRoot`) is the beginning of the tree (`new`, `newRoot`).
    package static func isConsistent(
        old: UInt64,
        _ oldRoot: Digest,
        new: UInt64,
        _ newRoot: Digest,
        proof: [Digest]
    ) -> Bool {
        guard old <= new else { return false }
        if old == new { return proof.isEmpty && oldRoot == newRoot }
        if old == 0 { return proof.isEmpty && oldRoot == SHA256.hash([]) }
        var rest = proof[...]
        if old.nonzeroBitCount == 1 { rest = [oldRoot] + rest }
        guard let first = rest.popFirst() else { return false }
        var (place, last) = (old - 1, new - 1)
        while place & 1 == 1 {
            place >>= 1
            last >>= 1
        }
        var (oldHash, newHash) = (first, first)
        for sibling in rest {
            guard last > 0 else { return false }
            if place & 1 == 1 || place == last {
                oldHash = TreeHash.node(sibling, oldHash)
                newHash = TreeHash.node(sibling, newHash)
                if place & 1 == 0 { skipLeftEdges(&place, &last) }
            } else {
                newHash = TreeHash.node(newHash, sibling)
            }
            place >>= 1
            last >>= 1
        }
        return last == 0 && oldHash == oldRoot && newHash == newRoot
    }

    /// Levels on which a subtree at the right edge has no sibling.
    private static func skipLeftEdges(_ place: inout UInt64, _ last: inout UInt64) {
        while place & 1 == 0, place != 0 {
            place >>= 1
            last >>= 1
        }
    }

    /// The largest power of two less than `count`, which is at least 2.
    private static func split(_ count: UInt64) -> UInt64 { largestPower(count - 1) }

    /// The largest power of two up to `count`, which is at least 1.
    private static func largestPower(_ count: UInt64) -> UInt64 { 1 << UInt64(63 - count.leadingZeroBitCount) }
}
