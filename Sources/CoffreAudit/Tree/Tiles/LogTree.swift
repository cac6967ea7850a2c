package import CoffreCrypto

/// The tree of a log over its files: hashes come out of tiles where there are some, else of the records. Where records
/// were pruned, tiles and the first seal that is left still serve every proof among the trees that reach beyond them.
///
/// Memory does not grow with the log. Not for use by two threads at once.
package final class LogTree {
    private static let cachedTiles = 8

    private let files: any LogFileSystem
    private let leaves: LeafReader
    private var usesTiles: Bool
    private var cache: [(tile: Tile, hashes: [Digest]?)] = []
    private struct Pruned {
        var ranges: [Range<UInt64>] = []
        /// Perfect subtrees of them.
        var nodes: [NodeCollector.Place: Digest] = [:]

        mutating func add(_ hashes: [Digest], _ levels: [Int], from begin: UInt64) {
            var begin = begin
            for (hash, level) in zip(hashes, levels) {
                nodes[NodeCollector.Place(level: level, index: begin >> UInt64(level))] = hash
                begin += 1 << UInt64(level)
            }
        }
    }

    /// What was pruned; nil until looked for.
    private var pruned: Pruned?

    /// - Parameter directory: path of the log's folder, or of a copy.
    /// - Throws: ``AuditError`` `.unsafePath`, `.system`.
    package convenience init(directory: String) throws(AuditError) {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        self.init(files)
    }

    package convenience init(_ files: any LogFileSystem) { self.init(files, usesTiles: true) }

    init(_ files: any LogFileSystem, usesTiles: Bool) {
        self.files = files
        self.usesTiles = usesTiles
        leaves = LeafReader(files)
    }

    /// The RFC 6962 root over the first `size` records. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged` when the records that are needed are not there, `.system`.
    package func root(of size: UInt64) throws(AuditError) -> Digest {
        try TreeProof.root(of: 0..<size, node: node)
    }

    /// The audit path of record `index` in the tree of the first `size`. Blocks on the disk.
    /// - Throws: as ``root(of:)``.
    package func inclusion(of index: UInt64, in size: UInt64) throws(AuditError) -> [Digest] {
        try TreeProof.inclusion(of: index, in: size, node: node)
    }

    /// What shows that the first `new` records continue the first `old`. Blocks on the disk. What comes out of a damaged
    /// tile proves nothing: check it, or use ``consistency(from:_:to:_:)``.
    /// - Throws: as ``root(of:)``.
    package func consistency(from old: UInt64, to new: UInt64) throws(AuditError) -> [Digest] {
        try TreeProof.consistency(from: old, to: new, node: node)
    }

    /// A proof that holds between two signed heads. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged` when the log does not lead from one to the other; as ``root(of:)``.
    package func consistency(
        from old: UInt64,
        _ oldRoot: Digest,
        to new: UInt64,
        _ newRoot: Digest
    ) throws(AuditError) -> [Digest] {
        guard old <= new else {
            throw .damaged(segment: Checkpoint.path, record: new, reason: "\(old) records are not \(new) or fewer")
        }
        for isTiled in [true, false] {
            usesTiles = isTiled
            defer { usesTiles = true }
            let proof = try consistency(from: old, to: new)
            if TreeProof.isConsistent(old: old, oldRoot, new: new, newRoot, proof: proof) { return proof }
        }
        throw .damaged(
            segment: Checkpoint.path,
            record: old,
            reason: "the records do not lead from the head over \(old) to the one over \(new)"
        )
    }

    /// The hash of a perfect subtree: see ``TreeProof/Node``.
    package func node(_ level: Int, _ index: UInt64) throws(AuditError) -> Digest {
        if usesTiles, level >= Tile.height, let found = try tiled(level, index) { return found }
        let begin = index << UInt64(level)
        let end = begin + 1 << UInt64(level)
        let pruned = try prunedPart()
        if pruned.ranges.contains(where: { $0.lowerBound < end && begin < $0.upperBound }) {
            if let found = pruned.nodes[NodeCollector.Place(level: level, index: index)] { return found }
            guard level > 0 else {
                throw .damaged(segment: SegmentName.root, record: begin, reason: "record \(begin) was pruned")
            }
        } else if level <= Tile.height || !usesTiles {
            return try folded(level, begin)
        }
        return TreeHash.node(try node(level - 1, 2 * index), try node(level - 1, 2 * index + 1))
    }

    /// Out of a tile that lies on the disk.
    private func tiled(_ level: Int, _ index: UInt64) throws(AuditError) -> Digest? {
        // The top of a tile is also the content of the one above; whichever is there.
        for tileLevel in [level / Tile.height, level / Tile.height - 1]
        where (1...Tile.maximumLevel).contains(tileLevel) {
            let inside = UInt64(level - Tile.height * tileLevel)
            guard inside <= UInt64(Tile.height) else { continue }
            let tile = Tile(level: tileLevel, index: index >> (UInt64(Tile.height) - inside))
            guard let hashes = try read(tile) else { continue }
            let count = 1 << Int(inside)
            let first = Int(index << inside) % Tile.width
            return Tile.fold(hashes[first..<(first + count)])
        }
        return nil
    }

    private func read(_ tile: Tile) throws(AuditError) -> [Digest]? {
        if let found = cache.first(where: { $0.tile == tile }) { return found.hashes }
        do throws(FileFailure) {
            let hashes = try tile.read(files)
            if cache.count == Self.cachedTiles { cache.removeFirst() }
            cache.append((tile, hashes))
            return hashes
        } catch {
            throw error.asAuditError
        }
    }

    /// Out of 2^`level` records.
    private func folded(_ level: Int, _ begin: UInt64) throws(AuditError) -> Digest {
        var tree = Frontier()
        try leaves.read(begin..<begin + 1 << UInt64(level)) { tree.append(leaf: $0) }
        return tree.root
    }

    /// What the seal of the first segment says of the records before it, and the nodes of pruned ones.
    private func prunedPart() throws(AuditError) -> Pruned {
        if let pruned { return pruned }
        var found = Pruned()
        let listed = try SegmentName.list(files)
        do throws(FileFailure) {
            for (segment, next) in zip(listed, listed.dropFirst()) where segment.data == .none {
                found.ranges.append(segment.name.first..<next.name.first)
                let text = try files.contents(of: PruneCertificate.nodesPath(segment.name.first), limit: 16_384) ?? []
                let levels = PrunedNodes.levels(segment.name.first..<next.name.first)
                if let nodes = PrunedNodes(text) { found.add(nodes.hashes, levels, from: segment.name.first) }
            }
            if let first = listed.first?.name, first.first > 0 {
                found.ranges.append(0..<first.first)
                if let text = try files.contents(of: LogIdentity.path, limit: 2048), let identity = LogIdentity(text),
                    let note = try files.contents(of: first.sealPath, limit: SegmentSeal.maximumBytes),
                    let seal = SegmentSeal(note: note, epochs: try EpochChain.load(files, identity).chain)
                {
                    found.add(seal.start.hashes, seal.start.levels, from: 0)
                }
            }
        } catch {
            throw error.asAuditError
        }
        pruned = found
        return found
    }
}

@available(*, unavailable)
extension LogTree: Sendable {}
