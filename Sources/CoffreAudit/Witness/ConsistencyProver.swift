internal import CoffreCrypto

/// Proves from the segments that a log only grew since it had fewer records.
struct ConsistencyProver {
    let files: any LogFileSystem

    /// Reads the segments from the one that holds record `old` on; memory does not grow with the log. Blocks.
    /// - Returns: the RFC 6962 §2.1.2 proof from the first `old` records to `head`.
    /// - Throws: ``AuditError`` `.damaged` when the records do not lead to `head`, or are not there any more.
    func proof(from old: UInt64, to head: Checkpoint) throws(AuditError) -> [Digest] {
        guard old > 0, old < head.size else { return [] }
        let segments = try SegmentName.list(files).map(\.name)
        guard let index = segments.lastIndex(where: { $0.first <= old }) else {
            throw .damaged(segment: SegmentName.root, record: old, reason: "its segment is not there any more")
        }
        let first = segments[index].first
        let start = first == 0 ? Frontier() : try frontier(at: first, after: segments[..<index].last)
        let wanted = NodeCollector.places { _ = TreeProof.consistency(from: old, to: head.size, node: $0) }
        var nodes = NodeCollector(wanted, after: start)
        _ = try LogLines(files: files).read(
            from: LogLines.Place(sequence: first, segment: first, offset: 0),
            to: head.size
        ) { line, _, _ in
            nodes.append(TreeHash.leaf(line))
            return true
        }
        guard nodes.size == head.size, nodes.frontier.root == head.root else {
            throw .damaged(segment: Checkpoint.path, record: nil, reason: "the records do not lead to its root")
        }
        return try TreeProof.consistency(from: old, to: head.size, node: nodes.node)
    }

    /// The tree before record `size`, from the seal of the segment before. Believed, as the root at the end is checked.
    private func frontier(at size: UInt64, after name: SegmentName?) throws(AuditError) -> Frontier {
        let seal: SegmentSeal?
        do throws(FileFailure) {
            seal = try name.flatMap { name throws(FileFailure) in
                try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes)
            }.flatMap { SegmentSeal(unverified: $0) }
        } catch {
            throw error.asAuditError
        }
        guard let seal, seal.end.size == size else {
            throw .damaged(segment: name?.sealPath ?? SegmentName.root, record: size, reason: "no seal leads to it")
        }
        return seal.end
    }
}
