import CoffreAudit
import CoffreCrypto
import Testing

@Suite struct FrontierTests {
    /// The leaves and roots that Certificate Transparency implementations share.
    static let leaves = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]
    static let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]

    static func leafHash(_ bytes: [UInt8]) -> Digest { SHA256.hash([0] + bytes) }

    @Test(arguments: 0...8)
    func theRootIsTheOneOfRFC6962(size: Int) throws {
        var frontier = Frontier()
        for leaf in Self.leaves.prefix(size) {
            frontier.append(leaf: Self.leafHash(try #require(Hex.decode(Array(leaf.utf8)))))
        }
        #expect(frontier.root.description == Self.roots[size])
    }

    /// The definition of RFC 6962 §2.1, written as it stands there.
    static func referenceRoot(_ leaves: ArraySlice<Digest>) -> Digest {
        if leaves.isEmpty { return SHA256.hash([]) }
        if leaves.count == 1 { return leaves[leaves.startIndex] }
        var split = 1
        while split * 2 < leaves.count { split *= 2 }
        let middle = leaves.startIndex + split
        return SHA256.hash([1] + referenceRoot(leaves[..<middle]).bytes + referenceRoot(leaves[middle...]).bytes)
    }

    @Test func everySizeUpTo130AgreesWithTheDefinitionAndAllRootsDiffer() {
        var frontier = Frontier()
        var leaves: [Digest] = []
        var roots: Set<Digest> = [frontier.root]
        for index in 0..<130 {
            let leaf = Self.leafHash([UInt8(index)])
            leaves.append(leaf)
            frontier.append(leaf: leaf)
            #expect(frontier.root == Self.referenceRoot(leaves[...]))
            roots.insert(frontier.root)
        }
        #expect(roots.count == 131)
    }

    @Test func aLeafThatIsTwoHashesIsNotANode() {
        let left = Self.leafHash([1])
        let right = Self.leafHash([2])
        var two = Frontier()
        two.append(leaf: left)
        two.append(leaf: right)
        var one = Frontier()
        one.append(leaf: Self.leafHash(left.bytes + right.bytes))
        #expect(one.root != two.root)
    }

    @Test func threeLeavesAreNotFourWithTheLastRepeated() {
        var three = Frontier()
        for index in 0..<3 as Range<UInt8> { three.append(leaf: Self.leafHash([index])) }
        var four = three
        four.append(leaf: Self.leafHash([2]))
        #expect(three.root != four.root)
    }

    /// The worked example of the format page.
    @Test func theWorkedExampleIsRight() throws {
        let lines = try GoldenLineTests.lines()
        var frontier = Frontier()
        for line in lines.prefix(2) { frontier.append(leaf: AuditLine.leafHash(of: line)) }
        #expect(Base64.encode(AuditLine.leafHash(of: lines[0]).bytes) == "YKCqV2eaXLXopQC2tvtQK4YxW+HzmjlepuzcWU0XDjc=")
        #expect(Base64.encode(frontier.root.bytes) == "1zaEcnEfhhoh6gmznZ/PnKWncyM6m1skbIW8iGIRjzk=")
        frontier.append(leaf: AuditLine.leafHash(of: lines[2]))
        #expect(Base64.encode(frontier.root.bytes) == "2oX1akv0Hv3tKnK4H4d/y69scnFmsTuPPGDs6kh/x1o=")
    }

    @Test func aFrontierWithTheWrongNumberOfHashesIsRefused() {
        #expect(Frontier(size: 3, hashes: [Digest.zero]) == nil)
        #expect(Frontier(size: 4, hashes: [Digest.zero]) != nil)
    }
}
