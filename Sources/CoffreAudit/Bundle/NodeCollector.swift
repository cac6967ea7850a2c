internal import CoffreCrypto

/// Builds the tree leaf by leaf and keeps the nodes that somebody will ask for, and no others.
struct NodeCollector {
    struct Place: Hashable {
        let level: Int
        let index: UInt64
    }

    private let wanted: Set<Place>
    private var found: [Place: Digest] = [:]
    /// Perfect subtrees, largest first.
    private var stack: [Digest] = []
    private(set) var size: UInt64 = 0

    /// - Parameter frontier: the tree before the first leaf that is appended.
    init(_ wanted: Set<Place>, after frontier: Frontier = Frontier()) {
        self.wanted = wanted
        stack = frontier.hashes
        size = frontier.size
        var offset: UInt64 = 0
        for hash in frontier.hashes {
            let level = 63 - (frontier.size - offset).leadingZeroBitCount
            keep(hash, level, offset >> UInt64(level))
            offset += 1 << UInt64(level)
        }
    }

    /// The nodes that `proof` asks for.
    static func places(_ proof: (TreeProof.Node<Never>) -> Void) -> Set<Place> {
        var places: Set<Place> = []
        proof { level, index in
            places.insert(Place(level: level, index: index))
            return .zero
        }
        return places
    }

    mutating func append(_ leaf: Digest) { append(leaf, level: 0) }

    /// Appends a perfect subtree of 2^`level` leaves, whose nodes below are not known.
    mutating func append(_ subtree: Digest, level: Int) {
        let leaves = UInt64(1) << UInt64(level)
        var (level, index, hash) = (level, size >> UInt64(level), subtree)
        keep(hash, level, index)
        while index & 1 == 1, let left = stack.popLast() {
            hash = TreeHash.node(left, hash)
            level += 1
            index >>= 1
            keep(hash, level, index)
        }
        stack.append(hash)
        size += leaves
    }

    private mutating func keep(_ hash: Digest, _ level: Int, _ index: UInt64) {
        guard !wanted.isEmpty else { return }
        let place = Place(level: level, index: index)
        if wanted.contains(place) { found[place] = hash }
    }

    /// A node that was wanted and is complete.
    /// - Throws: ``AuditError`` `.failed` when it is neither.
    func node(_ level: Int, _ index: UInt64) throws(AuditError) -> Digest {
        guard let hash = found[Place(level: level, index: index)] else {
            throw .failed(reason: "the log became shorter while it was read")
        }
        return hash
    }

    var frontier: Frontier { Frontier(size: size, hashes: stack) ?? Frontier() }
}
