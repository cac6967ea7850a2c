internal import CoffreCrypto

/// What stays of the tree where a segment was pruned: the hashes of the largest perfect subtrees that lie wholly in it,
/// from left to right. With them every other record can still be proven, and the tree goes on behind the gap.
///
/// In the file `pruned/000000092000.nodes`: a line per hash, base64. Nothing signs it: together with the frontier that the
/// segment's seal names before it, it must give the one that the seal names behind it.
struct PrunedNodes: Sendable, Equatable {
    /// One for each of ``levels(_:)``.
    let hashes: [Digest]

    /// The levels of the subtrees that make up `range`.
    static func levels(_ range: Range<UInt64>) -> [Int] {
        var levels: [Int] = []
        var low = range.lowerBound
        while low < range.upperBound {
            let room = 63 - (range.upperBound - low).leadingZeroBitCount
            levels.append(low == 0 ? room : min(room, low.trailingZeroBitCount))
            low += 1 << UInt64(levels[levels.count - 1])
        }
        return levels
    }

    /// Collects the leaves of a segment, one after the other.
    struct Builder {
        private var rest: ArraySlice<Int>
        private var hashes: [Digest] = []
        private var part = Frontier()

        init(_ range: Range<UInt64>) { rest = PrunedNodes.levels(range)[...] }

        mutating func append(_ leaf: Digest) {
            guard let level = rest.first else { return }
            part.append(leaf: leaf)
            guard part.size == 1 << UInt64(level) else { return }
            hashes += part.hashes
            part = Frontier()
            rest = rest.dropFirst()
        }

        /// Nil while leaves are missing.
        var nodes: PrunedNodes? { rest.isEmpty ? PrunedNodes(hashes: hashes) : nil }
    }

    init(hashes: [Digest]) { self.hashes = hashes }

    /// Strict: nil when `text` is not what ``text`` writes.
    init?(_ text: [UInt8]) {
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count <= 129, let last = lines.last, last.isEmpty else { return nil }
        hashes = lines.dropLast().compactMap { StrictBase64.decode($0).flatMap { Digest($0) } }
        guard self.text == text else { return nil }
    }

    var text: [UInt8] { TlogProof.lines(hashes) }

    /// Whether the hashes lead from the tree before the segment to the one after it.
    func lead(from start: Frontier, to end: Frontier) -> Bool {
        let levels = Self.levels(start.size..<max(start.size, end.size))
        guard levels.count == hashes.count else { return false }
        var tree = start
        for (hash, level) in zip(hashes, levels) { tree.append(subtree: hash, level: level) }
        return tree == end
    }
}

/// What stays of a pruned segment in the tree.
struct PrunedRange: Sendable {
    let records: Range<UInt64>
    /// Perfect subtrees of 2^level leaves, from left to right.
    let subtrees: [(hash: Digest, level: Int)]

    init(_ records: Range<UInt64>, _ nodes: PrunedNodes) {
        self.records = records
        subtrees = Array(zip(nodes.hashes, PrunedNodes.levels(records)))
    }
}
