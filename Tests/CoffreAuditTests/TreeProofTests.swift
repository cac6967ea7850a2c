import CoffreAudit
import CoffreCrypto
import Testing

private struct Tree {
    let leaves: [Digest]

    init(_ count: Int) { leaves = (0..<count).map { FrontierTests.leafHash(Array("leaf \($0)".utf8)) } }
    init(leaves: [Digest]) { self.leaves = leaves }

    func node(_ level: Int, _ index: UInt64) -> Digest {
        let width = 1 << level
        return FrontierTests.referenceRoot(leaves[(Int(index) * width)..<((Int(index) + 1) * width)])
    }

    func root(_ size: Int) -> Digest { FrontierTests.referenceRoot(leaves[..<size]) }
}

private func hex(_ digest: Digest) -> String { Hex.encode(digest.bytes) }

@Suite struct TreeProofTests {
    private let reference = Tree(
        leaves: FrontierTests.leaves.map { FrontierTests.leafHash(Hex.decode(Array($0.utf8)) ?? []) }
    )

    @Test func thePublishedProofsAreMade() {
        #expect(
            TreeProof.inclusion(of: 0, in: 8, node: reference.node).map(hex) == [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        )
        #expect(
            TreeProof.inclusion(of: 5, in: 8, node: reference.node).map(hex) == [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        )
        #expect(
            TreeProof.consistency(from: 6, to: 8, node: reference.node).map(hex) == [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        )
    }

    @Test func everyLeafOfEveryTreeUpTo70LeavesIsProvenAndNothingElse() {
        let tree = Tree(70)
        for size in 1...70 {
            let root = tree.root(size)
            for index in 0..<size {
                let path = TreeProof.inclusion(of: UInt64(index), in: UInt64(size), node: tree.node)
                func holds(_ leaf: Digest, _ index: Int, _ path: [Digest], _ size: Int, _ root: Digest) -> Bool {
                    TreeProof.isIncluded(leaf, at: UInt64(index), path: path, size: UInt64(size), root: root)
                }
                #expect(holds(tree.leaves[index], index, path, size, root))
                #expect(!holds(tree.leaves[(index + 1) % 70], index, path, size, root))
                #expect(!holds(tree.leaves[index], index, path + [root], size, root))
                #expect(!holds(tree.leaves[index], size, path, size, root))
                if size > 1 {
                    #expect(!holds(tree.leaves[index], (index + 1) % size, path, size, root))
                    #expect(!holds(tree.leaves[index], index, path.dropLast(), size, root))
                    var swapped = path
                    swapped[path.count - 1] = FrontierTests.leafHash([1])
                    #expect(!holds(tree.leaves[index], index, swapped, size, root))
                }
            }
        }
    }

    @Test func everyPairOfTreesUpTo70LeavesIsOneHistoryAndNoForkedPair() {
        let tree = Tree(70)
        var leaves = tree.leaves
        leaves[0] = FrontierTests.leafHash([9])
        let forked = Tree(leaves: leaves)
        for new in 0...70 {
            for old in 0...new {
                let proof = TreeProof.consistency(from: UInt64(old), to: UInt64(new), node: tree.node)
                func holds(_ oldRoot: Digest, _ newRoot: Digest, _ proof: [Digest]) -> Bool {
                    TreeProof.isConsistent(old: UInt64(old), oldRoot, new: UInt64(new), newRoot, proof: proof)
                }
                #expect(holds(tree.root(old), tree.root(new), proof))
                #expect(!holds(tree.root(old), tree.root(new), proof + [FrontierTests.leafHash([])]))
                guard old > 0 else { continue }
                #expect(!holds(forked.root(old), tree.root(new), proof))
                #expect(!holds(tree.root(old), forked.root(new), proof))
                if !proof.isEmpty {
                    #expect(!holds(tree.root(old), tree.root(new), proof.dropLast()))
                    #expect(!holds(tree.root(old), tree.root(new), proof.reversed() + [FrontierTests.leafHash([])]))
                }
            }
        }
    }

    @Test func twoHashesAreNotANodeAndARepeatedLastLeafChangesTheRoot() {
        let tree = Tree(4)
        let node = tree.node(1, 0)
        let posing = FrontierTests.leafHash(tree.leaves[0].bytes + tree.leaves[1].bytes)
        #expect(posing != node)
        let three = Tree(leaves: Array(tree.leaves.prefix(3)))
        let repeated = Tree(leaves: tree.leaves.prefix(3) + [tree.leaves[2]])
        #expect(three.root(3) != repeated.root(4))
        var roots = Set<String>()
        let wide = Tree(33)
        for size in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33] { roots.insert(hex(wide.root(size))) }
        #expect(roots.count == 15)
    }

    @Test func proofsClaimedForAbsurdSizesAreRefused() {
        let leaf = FrontierTests.leafHash([])
        let long = [Digest](repeating: leaf, count: 64)
        #expect(!TreeProof.isIncluded(leaf, at: .max, path: long, size: .max, root: leaf))
        #expect(!TreeProof.isIncluded(leaf, at: .max - 1, path: long, size: .max, root: leaf))
        #expect(!TreeProof.isConsistent(old: .max - 1, leaf, new: .max, leaf, proof: long))
        #expect(!TreeProof.isConsistent(old: 1 << 63, leaf, new: .max, leaf, proof: long))
    }
}
