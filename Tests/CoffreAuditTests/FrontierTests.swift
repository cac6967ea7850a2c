import CoffreAudit
import CoffreCrypto
import Testing

@Suite struct FrontierTests {
    /// The leaves and roots that Certificate Transparency implementations share.
    static let leaves = GoldenFile.lines("rfc6962/leaves.hex")
    static let roots = GoldenFile.lines("rfc6962/roots.hex")

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
