internal import CoffreCrypto

/// 256 neighbouring hashes of the tree, as C2SP tlog-tiles stores them: at level *l* the hashes of perfect subtrees of
/// 256^*l* leaves. Here only full tiles of level 1 and above lie on the disk.
struct Tile: Sendable, Hashable {
    static let folder = "tree"
    /// Levels of the tree in one tile.
    static let height = 8
    static let width = 256
    /// Of a full tile.
    static let byteCount = width * 32
    /// Higher ones would hold more than 2^56 records.
    static let maximumLevel = 6

    let level: Int
    let index: UInt64

    /// Level of the node that its hashes fold to; the node's index is ``index``.
    var rootLevel: Int { Self.height * (level + 1) }

    /// The records below it. - Returns: nil when no log holds so many.
    var records: Range<UInt64>? {
        guard index < 1 << UInt64(63 - rootLevel) else { return nil }
        return index << UInt64(rootLevel)..<(index + 1) << UInt64(rootLevel)
    }

    /// `tree/1/x001/067`: the path of C2SP tlog-tiles below `tree` instead of `tile`.
    var path: String {
        var parts = [Self.digits(index % 1000)]
        var rest = index / 1000
        while rest > 0 {
            parts.append("x" + Self.digits(rest % 1000))
            rest /= 1000
        }
        return "\(Self.folder)/\(level)/" + parts.reversed().joined(separator: "/")
    }

    private static func digits(_ number: UInt64) -> String {
        String(repeating: "0", count: number < 10 ? 2 : number < 100 ? 1 : 0) + String(number)
    }

    init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }

    /// Strict: nil when ``path`` would not write it, or for a partial tile.
    init?(path: String) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard (3...8).contains(parts.count), parts[0] == Self.folder[...], let level = Int(parts[1]),
            (1...Self.maximumLevel).contains(level)
        else { return nil }
        var index: UInt64 = 0
        for (place, part) in parts.dropFirst(2).enumerated() {
            let isLast = place == parts.count - 3
            guard let digits = isLast ? part : part.first == "x" ? part.dropFirst() : nil,
                let number = UInt64(digits), number < 1000
            else { return nil }
            index = index * 1000 + number
        }
        self.init(level: level, index: index)
        guard records != nil, self.path.utf8.elementsEqual(path.utf8) else { return nil }
    }

    /// The node that `hashes`, a power of two of them, fold to.
    static func fold(_ hashes: ArraySlice<Digest>) -> Digest {
        var row = Array(hashes)
        while row.count > 1 {
            row = stride(from: 0, to: row.count, by: 2).map { TreeHash.node(row[$0], row[$0 + 1]) }
        }
        return row.first ?? SHA256.hash([])
    }

    static func bytes(_ hashes: [Digest]) -> [UInt8] { hashes.flatMap(\.bytes) }

    /// - Returns: nil when `bytes` is not a full tile.
    static func hashes(_ bytes: [UInt8]) -> [Digest]? {
        guard bytes.count == byteCount else { return nil }
        return (0..<width).compactMap { Digest(Array(bytes[(32 * $0)..<(32 * $0 + 32)])) }
    }
}

extension Tile {
    /// The hashes that lie on the disk. - Returns: nil when there is no such file, or none of the right length.
    func read(_ files: any LogFileSystem) throws(FileFailure) -> [Digest]? {
        do throws(FileFailure) {
            return try files.contents(of: path, limit: Self.byteCount).flatMap { Self.hashes($0) }
        } catch {
            // EFBIG: longer than any tile.
            guard error.errno == 27 else { throw error }
            return nil
        }
    }

    /// Puts it on the disk, whole or not at all.
    func write(_ hashes: [Digest], _ files: any LogFileSystem) throws(FileFailure) {
        try files.makeFolder(parentFolder(of: path), isPrivate: false)
        try files.replace(path, with: Self.bytes(hashes))
    }

    /// The tiles in a log's folder, and the first file among them that is none.
    static func list(_ files: any LogFileSystem) throws(FileFailure) -> (tiles: [Tile], foreign: String?) {
        guard try files.identity(of: folder) != nil else { return ([], nil) }
        var tiles: [Tile] = []
        var foreign: [String] = []
        var folders = [folder]
        while let next = folders.popLast() {
            for name in try files.names(in: next) where !name.hasSuffix(".new") {
                let path = "\(next)/\(name)"
                if let tile = Tile(path: path) {
                    tiles.append(tile)
                } else if next == folder ? (Int(name) ?? 0) > 0 && name.utf8.count == 1 : isFolder(name, in: next) {
                    folders.append(path)
                } else {
                    foreign.append(path)
                }
            }
        }
        tiles.sort { ($0.level, $0.index) < ($1.level, $1.index) }
        return (tiles, foreign.min())
    }

    /// `x001`, not too deep.
    private static func isFolder(_ name: String, in parent: String) -> Bool {
        name.utf8.count == 4 && name.utf8.first == 0x78
            && name.utf8.dropFirst().allSatisfy { (0x30...0x39).contains($0) }
            && parent.utf8.count < 32
    }
}
