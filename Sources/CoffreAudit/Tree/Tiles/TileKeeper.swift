internal import CoffreCrypto
internal import Synchronization

/// Keeps the tiles of a running log, behind its durable records: writes each once it is full, and at the first look
/// makes those anew that are missing or do not fold to the tree.
final class TileKeeper: Sendable {
    struct State: Sendable {
        /// Tiles of level 1 that are there and right; nil before the first look.
        var count: UInt64?
        /// Roots of the newest tiles of each level that fill the next ones: level 1 first.
        var pending: [[Digest]] = []
        /// Why a tile could not be written; nil when all were.
        var failure: AuditError?
    }

    private let files: any LogFileSystem
    private let state = Mutex(State())
    private let isStopping = Atomic(false)

    init(_ files: any LogFileSystem) { self.files = files }

    var failure: AuditError? { state.withLock(\.failure) }

    /// Writes what `frontier`, all of whose records are durable, has filled. Called by one thread; blocks on the disk.
    func catchUp(to frontier: Frontier) {
        let full = frontier.size >> 16
        var now = state.withLock { $0 }
        guard full > now.count ?? 0 else { return }
        now.failure = nil
        do throws(AuditError) {
            if now.count == nil {
                try look(frontier, &now)
            } else {
                let leaves = LeafReader(files)
                while let next = now.count, next < full, !isStopping.load(ordering: .relaxed) {
                    try add(try write(next, leaves), &now)
                }
            }
        } catch {
            now.failure = error
        }
        state.withLock { $0 = now }
    }

    func stop() { isStopping.store(true, ordering: .relaxed) }

    /// Holds what lies on the disk to the tree, one perfect subtree after the other.
    private func look(_ frontier: Frontier, _ now: inout State) throws(AuditError) {
        let leaves = LeafReader(files)
        var done = State(count: 0)
        for (hash, level) in zip(frontier.hashes, frontier.levels) where level >= 16 {
            let begin = done.count ?? 0
            let end = begin + 1 << UInt64(level - 16)
            var roots = try roots(begin..<end, leaves, trusts: true)
            if let found = roots, Tile.fold(found[...]) != hash {
                roots = try self.roots(begin..<end, leaves, trusts: false)
                if let found = roots, Tile.fold(found[...]) != hash {
                    let reason = "the records up to \(end << 16) do not fold to the tree"
                    throw .damaged(segment: SegmentName.root, record: begin << 16, reason: reason)
                }
            }
            guard let roots else { return }
            for root in roots { try add(root, &done) }
        }
        now = done
    }

    /// - Returns: nil when it was stopped.
    private func roots(
        _ range: Range<UInt64>,
        _ leaves: LeafReader,
        trusts: Bool
    ) throws(AuditError) -> [Digest]? {
        var roots: [Digest] = []
        for index in range {
            if isStopping.load(ordering: .relaxed) { return nil }
            if trusts, let hashes = try read(Tile(level: 1, index: index)) {
                roots.append(Tile.fold(hashes[...]))
            } else {
                roots.append(try write(index, leaves))
            }
        }
        return roots
    }

    /// Makes a tile of level 1 out of the records.
    private func write(_ index: UInt64, _ leaves: LeafReader) throws(AuditError) -> Digest {
        var hashes: [Digest] = []
        var tree = Frontier()
        try leaves.read(index << 16..<(index + 1) << 16) { leaf in
            tree.append(leaf: leaf)
            guard tree.size == UInt64(Tile.width) else { return }
            hashes.append(tree.root)
            tree = Frontier()
        }
        try put(Tile(level: 1, index: index), hashes)
        return Tile.fold(hashes[...])
    }

    /// Counts a tile of level 1, and writes those above that its root fills.
    private func add(_ root: Digest, _ now: inout State) throws(AuditError) {
        var next = now
        var (level, root, index) = (1, root, now.count ?? 0)
        next.count = index + 1
        while true {
            if next.pending.count < level { next.pending.append([]) }
            next.pending[level - 1].append(root)
            guard next.pending[level - 1].count == Tile.width else { break }
            let hashes = next.pending[level - 1]
            (level, index) = (level + 1, index / UInt64(Tile.width))
            try put(Tile(level: level, index: index), hashes)
            next.pending[level - 2] = []
            root = Tile.fold(hashes[...])
        }
        now = next
    }

    private func read(_ tile: Tile) throws(AuditError) -> [Digest]? {
        do throws(FileFailure) { return try tile.read(files) } catch { throw error.asAuditError }
    }

    private func put(_ tile: Tile, _ hashes: [Digest]) throws(AuditError) {
        do throws(FileFailure) {
            if try tile.read(files) != hashes { try tile.write(hashes, files) }
        } catch {
            throw error.asAuditError
        }
    }
}
