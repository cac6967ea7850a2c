import CoffreCrypto
import CoffreVault
import Testing

struct ShamirTests {
    private func bytes(_ secret: SharedSecret) -> [UInt8] { secret.withBytes { Array($0) } }

    private func split(_ secret: [UInt8], _ shares: Int, _ threshold: Int) throws -> [SharedSecret] {
        try SharedSecret(copying: secret).withSecret { try Shamir.split($0, shares: shares, threshold: threshold) }
    }

    private func combine(_ shares: [SharedSecret]) throws -> [UInt8] { bytes(SharedSecret(try Shamir.combine(shares))) }

    /// FIPS 197 §4.2 and §4.2.1.
    @Test(arguments: [
        (0x57, 0x83, 0xc1), (0x57, 0x13, 0xfe), (0x57, 0x02, 0xae), (0x57, 0x10, 0x07), (0x53, 0xca, 0x01),
    ])
    func productsAreThoseOfAES(a: UInt8, b: UInt8, product: UInt8) {
        #expect(Shamir.multiply(a, b) == product)
        #expect(Shamir.multiply(b, a) == product)
    }

    @Test func everyElementButZeroHasItsInverse() {
        #expect((UInt8(1)...255).allSatisfy { Shamir.multiply($0, Shamir.inverse($0)) == 1 })
        #expect(Shamir.inverse(0) == 0)
    }

    @Test func multiplicationDistributesOverAddition() {
        for a in UInt8(0)...255 {
            for b in stride(from: UInt8(0), through: 250, by: 5) {
                #expect(Shamir.multiply(a, b ^ 0x1d) == Shamir.multiply(a, b) ^ Shamir.multiply(a, 0x1d))
            }
        }
    }

    /// Worked out apart from this code: secret "secret", linear coefficients 01 … 06, quadratic ff 80 11 22 53 ca.
    @Test(arguments: [(1, "8de7715433b801"), (2, "a05721f2387d02"), (255, "ffc341d3f911ff")])
    func aShareIsThePolynomialAtItsNumber(x: UInt8, expected: String) throws {
        let coefficients = SharedSecret(copying: [1, 2, 3, 4, 5, 6, 0xff, 0x80, 0x11, 0x22, 0x53, 0xca])
        let share = SharedSecret(copying: Array("secret".utf8)).withSecret { secret in
            coefficients.withSecret { SharedSecret(Shamir.share(of: secret, x: x, coefficients: $0, degree: 2)) }
        }
        #expect(Hex.encode(bytes(share)) == expected)
    }

    @Test func theWorkedSharesRestoreTheirSecret() throws {
        let shares = ["8de7715433b801", "a05721f2387d02", "ffc341d3f911ff"].map { text in
            SharedSecret(copying: Hex.decode(Array(text.utf8)) ?? [])
        }
        #expect(try combine(shares) == Array("secret".utf8))
        #expect(try combine(shares.reversed()) == Array("secret".utf8))
    }

    @Test(arguments: [(2, 2), (3, 2), (5, 3), (6, 6), (7, 4)])
    func everySubsetOfThresholdSizeRestores(shares: Int, threshold: Int) throws {
        let secret = Random.bytes(32)
        let all = try split(secret, shares, threshold)
        #expect(all.count == shares)
        for choice in 0..<(1 << shares) where choice.nonzeroBitCount == threshold {
            let subset = (0..<shares).filter { choice & (1 << $0) != 0 }.map { all[$0] }
            #expect(try combine(subset.shuffled()) == secret)
        }
        for choice in 0..<(1 << shares) where choice.nonzeroBitCount == threshold - 1 && threshold > 2 {
            let subset = (0..<shares).filter { choice & (1 << $0) != 0 }.map { all[$0] }
            #expect(try combine(subset) != secret)
        }
    }

    /// With one share too few, every secret is possible: some further share leads to it.
    @Test func oneShareTooFewExcludesNoSecret() throws {
        let share = try split([0x2a], 2, 2)[0]
        let x = bytes(share)[1]
        let other: UInt8 = x == 1 ? 2 : 1
        let reachable = try Set(
            (UInt8(0)...255).map { y in try combine([share, SharedSecret(copying: [y, other])])[0] }
        )
        #expect(reachable.count == 256)
    }

    @Test func theLargestNumberOfSharesWorks() throws {
        let secret = Random.bytes(32)
        let all = try split(secret, 255, 255)
        #expect(Set(all.map { bytes($0)[32] }) == Set(1...255))
        #expect(try combine(all) == secret)
    }

    @Test func oneShareIsTheSecretItself() throws {
        let secret = Random.bytes(32)
        let shares = try split(secret, 1, 1)
        #expect(shares.map(bytes) == [secret])
        #expect(try combine(shares) == secret)
    }

    @Test(arguments: [(0, 0), (1, 2), (2, 1), (2, 3), (256, 2), (5, 0), (-1, -1)])
    func impossibleNumbersAreRefused(shares: Int, threshold: Int) {
        #expect(throws: SealError.invalidParameters) { try split([1, 2, 3], shares, threshold) }
    }

    @Test(arguments: [[[1, 2, 3], [1, 2]], [[1, 0], [2, 1]], [[1, 7], [2, 7]], [[1], [2]], []])
    func sharesThatCannotBelongTogetherAreRefused(shares: [[UInt8]]) {
        #expect(throws: SealError.invalidShare) { try combine(shares.map { SharedSecret(copying: $0) }) }
    }
}
