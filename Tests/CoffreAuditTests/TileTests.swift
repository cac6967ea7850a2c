import CoffreCrypto
import Testing

@testable import CoffreAudit

/// Tiles of the tree: derived from the records, right or made anew, and what proofs come from once records are gone.
@Suite struct TileTests {
    /// Leaves of three tiles and some; lines that are no records, since the tree is over bytes.
    private static let count = 3 * 65_536 + 700
    private static let leaves: [Digest] = (0..<count).map { FrontierTests.leafHash(Array("line \($0)".utf8)) }

    /// The same lines on a disk, in segments that end anywhere.
    private static func disk() throws -> MemoryDisk {
        let disk = MemoryDisk()
        try disk.makeFolder("seg/2026/11/23", isPrivate: false)
        var first = 0
        for end in [1, 300, 65_536, 70_001, 196_600, count] {
            var bytes: [UInt8] = []
            for number in first..<end { bytes += Array("line \(number)\n".utf8) }
            let digits = String(first)
            disk["seg/2026/11/23/\(String(repeating: "0", count: 12 - digits.count))\(digits).jsonl"] = bytes
            first = end
        }
        return disk
    }

    private static func frontier(_ count: Int) -> Frontier {
        var tree = Frontier()
        for leaf in leaves[..<count] { tree.append(leaf: leaf) }
        return tree
    }

    private static func reference(_ level: Int, _ index: UInt64) -> Digest {
        Tile.fold(leaves[(Int(index) << level)..<(Int(index + 1) << level)])
    }

    private static let names = ["tree/1/000", "tree/1/001", "tree/1/002"]

    /// C2SP tlog-tiles writes 1234067 as x001/x234/067.
    @Test(arguments: [
        (1, 0, "tree/1/000"), (1, 67, "tree/1/067"), (1, 999, "tree/1/999"), (1, 1000, "tree/1/x001/000"),
        (2, 1_234_067, "tree/2/x001/x234/067"), (6, 1000, "tree/6/x001/000"), (3, 123_456_789, "tree/3/x123/x456/789"),
    ])
    func pathsAreThoseOfTheSpecification(level: Int, index: UInt64, path: String) {
        let tile = Tile(level: level, index: index)
        #expect(tile.path == path)
        #expect(Tile(path: path) == (tile.records == nil ? nil : tile))
    }

    @Test(arguments: [
        "tree/0/000", "tree/7/000", "tree/01/000", "tree/1/0", "tree/1/0000", "tree/1/x000/000", "tree/1/x001",
        "tree/1/001/",
        "tree/1/000.p/1", "tile/1/000", "tree/1", "tree/1/x001/x234", "tree/1/x1/000", "tree/1/-01", "tree/1/+01",
        "tree/6/x999/x999/999", "tree/1/x999/x999/x999/x999/x999/x999/999", "", "tree//000", "tree/1/٠٠٠",
    ])
    func nothingElseIsAPath(path: String) { #expect(Tile(path: path) == nil) }

    @Test func aFullTileIsWrittenAndHoldsTheHashesOfItsRecords() throws {
        let disk = try Self.disk()
        let keeper = TileKeeper(disk)
        for (records, tiles) in [(65_535, 0), (65_536, 1), (131_071, 1), (Self.count, 3)] {
            keeper.catchUp(to: Self.frontier(records))
            #expect(keeper.failure == nil)
            #expect(disk.paths(ending: "").filter { $0.hasPrefix("tree/") } == Array(Self.names[..<tiles]))
        }
        for (index, name) in Self.names.enumerated() {
            let hashes = (0..<256).map { Self.reference(8, UInt64(256 * index + $0)) }
            let isRight = disk[name] == hashes.flatMap(\.bytes)
            #expect(isRight, "\(name)")
        }
    }

    @Test(arguments: ["missing", "short", "long", "flipped", "another's", "all flipped"])
    func whatIsNotRightIsMadeAnewAtTheNextStart(damage: String) throws {
        let disk = try Self.disk()
        TileKeeper(disk).catchUp(to: Self.frontier(Self.count))
        let right = Self.names.map { disk[$0] }
        for name in damage == "all flipped" ? Self.names : [Self.names[1]] {
            switch damage {
            case "missing": disk[name] = nil
            case "short": disk[name]?.removeLast()
            case "long": disk[name]?.append(0)
            case "another's": disk[name] = disk[Self.names[0]]
            default: disk[name]?[4000] ^= 1
            }
        }
        let keeper = TileKeeper(disk)
        keeper.catchUp(to: Self.frontier(Self.count))
        #expect(keeper.failure == nil)
        let isRight = Self.names.map { disk[$0] } == right
        #expect(isRight)
    }

    @Test func recordsThatAreNotTheTreesAreNoTile() throws {
        let disk = try Self.disk()
        disk["seg/2026/11/23/000000000300.jsonl"]?[3000] ^= 1
        let keeper = TileKeeper(disk)
        keeper.catchUp(to: Self.frontier(Self.count))
        guard case .damaged? = keeper.failure else {
            return #expect(Bool(false), "\(String(describing: keeper.failure))")
        }
    }

    @Test(arguments: 1...12)
    func aTileThatCannotBeWrittenIsWrittenLater(call: Int) throws {
        let disk = try Self.disk()
        let frontier = Self.frontier(65_536)
        let count = disk.afterKill()
        TileKeeper(count).catchUp(to: frontier)
        let writes = count.trace.indices.filter { !count.trace[$0].hasPrefix("read ") }
        try #require(call <= writes.count)
        let keeper = TileKeeper(disk)
        disk.arrange(.fails(errno: 28), atCall: writes[writes.count - call] + 1)
        keeper.catchUp(to: frontier)
        #expect(keeper.failure != nil)
        keeper.catchUp(to: frontier)
        #expect(keeper.failure == nil)
        #expect(disk[Self.names[0]]?.count == 8192)
        #expect(disk.paths(ending: ".new") == [])
    }

    /// 257 tiles of a log that nobody has: what is above them follows from them alone.
    @Test func theTileAboveFollowsFromTheTilesBelow() throws {
        let disk = MemoryDisk()
        var top = Frontier()
        var roots: [Digest] = []
        for index in UInt64(0)..<257 {
            let hashes = (0..<256).map { SHA256.hash(Array("\(index)/\($0)".utf8)) }
            disk[Tile(level: 1, index: index).path] = Tile.bytes(hashes)
            roots.append(Tile.fold(hashes[...]))
            top.append(leaf: roots[Int(index)])
        }
        let frontier = try #require(Frontier(size: 257 << 16, hashes: top.hashes))
        for content in [nil, [UInt8](repeating: 1, count: 8192)] {
            disk["tree/2/000"] = content
            let keeper = TileKeeper(disk)
            keeper.catchUp(to: frontier)
            #expect(keeper.failure == nil)
            let isRight = disk["tree/2/000"] == Tile.bytes(Array(roots[..<256]))
            #expect(isRight)
        }
        for isUpperThere in [true, false] {
            if !isUpperThere { disk["tree/2/000"] = nil }
            let tree = LogTree(disk)
            #expect(try tree.node(16, 256) == roots[256])
            #expect(try tree.node(20, 3) == Tile.fold(roots[48..<64]))
            #expect(try tree.node(24, 0) == Tile.fold(roots[..<256]))
            #expect(try tree.root(of: 257 << 16) == frontier.root)
            let proof = try tree.consistency(from: 200 << 16, to: 257 << 16)
            let old = try tree.root(of: 200 << 16)
            #expect(TreeProof.isConsistent(old: 200 << 16, old, new: 257 << 16, frontier.root, proof: proof))
        }
    }

    @Test(arguments: [true, false])
    func theTreeIsTheSameWithAndWithoutTiles(hasTiles: Bool) throws {
        let disk = try Self.disk()
        if hasTiles { TileKeeper(disk).catchUp(to: Self.frontier(Self.count)) }
        let tree = LogTree(disk)
        for (level, index) in [(0, 0), (0, 196_607), (3, 8001), (8, 255), (9, 200), (15, 5), (16, 1), (17, 0)] {
            #expect(try tree.node(level, UInt64(index)) == Self.reference(level, UInt64(index)), "\(level) \(index)")
        }
        let sizes = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 131_072, 140_000, 196_608, Self.count]
        let roots = sizes.map { Self.frontier($0).root }
        for (new, root) in zip(sizes, roots) {
            #expect(try tree.root(of: UInt64(new)) == root)
            for (old, oldRoot) in zip(sizes, roots) where old <= new {
                let proof = try tree.consistency(from: UInt64(old), oldRoot, to: UInt64(new), root)
                #expect(TreeProof.isConsistent(old: UInt64(old), oldRoot, new: UInt64(new), root, proof: proof))
            }
            for index in [0, new / 2, new - 1] {
                let path = try tree.inclusion(of: UInt64(index), in: UInt64(new))
                let leaf = Self.leaves[index]
                #expect(TreeProof.isIncluded(leaf, at: UInt64(index), path: path, size: UInt64(new), root: root))
            }
        }
        #expect(throws: AuditError.self) { try tree.root(of: UInt64(Self.count) + 1) }
        #expect(throws: AuditError.self) {
            try tree.consistency(from: 255, roots[0], to: 65_536, roots[6])
        }
    }

    @Test func aDamagedTileDoesNotSpoilAProofThatTheRecordsStillGive() throws {
        let disk = try Self.disk()
        TileKeeper(disk).catchUp(to: Self.frontier(Self.count))
        disk[Self.names[0]]?[10] ^= 1
        let (old, new) = (Self.frontier(70_000), Self.frontier(Self.count))
        let tree = LogTree(disk)
        let bad = try tree.consistency(from: 70_000, to: UInt64(Self.count))
        #expect(!TreeProof.isConsistent(old: 70_000, old.root, new: new.size, new.root, proof: bad))
        let good = try tree.consistency(from: 70_000, old.root, to: new.size, new.root)
        #expect(TreeProof.isConsistent(old: 70_000, old.root, new: new.size, new.root, proof: good))
    }

    /// A log whose first segments are gone: the frontier in the first seal that is left stands for them.
    @Test func whatIsLeftAfterPruningProvesEverythingFromThereOn() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 2500)
        let collected = Collected()
        for number in 0..<40 {
            log.append(TestLog.read("paie/\(number)")) { collected.add($0) }
            while collected.all.count <= number { yieldThread() }
        }
        log.close()
        let leaves = TestLog.lines(disk).map { FrontierTests.leafHash(Array($0.utf8)) }
        let roots = (0...leaves.count).map { FrontierTests.referenceRoot(leaves[..<$0]) }
        let data = disk.paths(ending: ".jsonl")
        try #require(data.count > 5)
        for cut in 1..<data.count {
            let pruned = disk.afterKill()
            for path in data[..<cut] {
                pruned[path] = nil
                pruned[path.replacing(".jsonl", with: ".seal")] = nil
            }
            let name = data[cut].split(separator: "/").last?.split(separator: ".").first
            let first = try #require(name.flatMap { Int($0) })
            let tree = LogTree(pruned)
            for new in first...leaves.count {
                #expect(try tree.root(of: UInt64(new)) == roots[new])
                for old in first...new {
                    _ = try tree.consistency(from: UInt64(old), roots[old], to: UInt64(new), roots[new])
                }
                for index in first..<new {
                    let path = try tree.inclusion(of: UInt64(index), in: UInt64(new))
                    let (leaf, size) = (leaves[index], UInt64(new))
                    #expect(TreeProof.isIncluded(leaf, at: UInt64(index), path: path, size: size, root: roots[new]))
                }
            }
            #expect(throws: AuditError.self) { try tree.inclusion(of: UInt64(first - 1), in: UInt64(leaves.count)) }
        }
    }
}
