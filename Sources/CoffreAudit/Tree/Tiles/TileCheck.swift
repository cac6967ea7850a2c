internal import CoffreCrypto

/// Holds the tiles of a log to the tree of its records. A missing tile is no finding: it can be made anew.
struct TileCheck {
    private let files: any LogFileSystem
    private let tiles: [Tile]
    private let foreign: String?

    /// Looks what is there: before the records are read, since the log may grow meanwhile.
    init(_ files: any LogFileSystem) throws(FileFailure) {
        self.files = files
        (tiles, foreign) = try Tile.list(files)
    }

    /// - Parameters:
    ///   - roots: what the records fold to, of each tile whose last record was read.
    ///   - size: records of the log.
    /// - Returns: the first thing that is wrong.
    func finding(
        _ roots: [Tile: Digest],
        size: UInt64
    ) throws(FileFailure) -> VerificationReport.Finding? {
        if let foreign { return .init(file: foreign, record: nil, reason: "it is not a full tile of the log") }
        // From the top: what an upper tile says of a lower one holds once it was found right itself.
        for tile in tiles.reversed() {
            guard let records = tile.records, records.upperBound <= size else {
                return .init(file: tile.path, record: size, reason: "it covers more records than there are")
            }
            let hashes = try tile.read(files)
            let root = roots[tile] ?? prunedRoot(of: tile)
            guard let hashes, root.map({ $0 == Tile.fold(hashes[...]) }) ?? true else {
                return .init(file: tile.path, record: records.lowerBound, reason: "it does not fold to the records")
            }
        }
        return nil
    }

    /// What a tile of pruned records must fold to; nil when too little is left to say. A false one spoils proofs that
    /// need it, and those are checked against signed heads.
    private func prunedRoot(of tile: Tile) -> Digest? {
        do throws(AuditError) {
            return try LogTree(files, usesTiles: false).node(tile.rootLevel, tile.index)
        } catch {
            return nil
        }
    }
}
