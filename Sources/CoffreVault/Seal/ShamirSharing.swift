package import CoffreCrypto

/// Shamir's secret sharing over GF(2^8) with the polynomial of AES, byte by byte.
///
/// Shares are `y bytes ‖ x`, as Vault's. No tables and no branches on secret bytes: multiplication is eight masked
/// steps, inversion a fixed chain of them.
package enum ShamirSharing {
    /// Splits `secret` into `shares` parts of which any `threshold` restore it.
    /// - Parameters:
    ///   - shares: 1–255.
    ///   - threshold: 2–`shares`, or 1 of 1.
    package static func split(_ secret: borrowing SecretBytes, shares: Int, threshold: Int) -> [SharedSecret] {
        precondition((1...255).contains(shares) && (1...shares).contains(threshold))
        // coefficients[0] is the secret; the others are uniform.
        let random = SecretBytes.randomKey(count: max(1, secret.count * (threshold - 1)))
        return (1...shares).map { x in
            secret.withBytes { secret in
                random.withBytes { random in
                    SharedSecret(
                        SecretBytes.key(count: secret.count + 1) { target in
                            for position in 0..<secret.count {
                                var value: UInt8 = 0
                                for degree in stride(from: threshold - 2, through: 0, by: -1) {
                                    value = multiply(value ^ random[position * (threshold - 1) + degree], UInt8(x))
                                }
                                target[position] = value ^ secret[position]
                            }
                            target[secret.count] = UInt8(x)
                        }
                    )
                }
            }
        }
    }

    /// The secret that these shares give; with too few or wrong shares, other bytes.
    /// - Returns: nil unless there are shares of one length with distinct, non-zero x.
    package static func combine(_ shares: [SharedSecret]) -> SharedSecret? {
        guard let count = shares.first?.count, count >= 2, shares.allSatisfy({ $0.count == count }) else { return nil }
        let xs = shares.map { share in share.withBytes { $0[count - 1] } }
        guard Set(xs).count == xs.count, !xs.contains(0) else { return nil }
        // Lagrange basis at 0; the x are public.
        let weights = xs.indices.map { i in
            xs.indices.filter { $0 != i }.reduce(UInt8(1)) { product, j in
                multiply(product, multiply(xs[j], invert(xs[i] ^ xs[j])))
            }
        }
        return SharedSecret(
            SecretBytes.key(count: count - 1) { target in
                for (index, share) in shares.enumerated() {
                    share.withBytes { share in
                        for position in 0..<count - 1 { target[position] ^= multiply(share[position], weights[index]) }
                    }
                }
            }
        )
    }

    /// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 §4.2).
    package static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
        var (a, b, product) = (a, b, UInt8(0))
        for _ in 0..<8 {
            product ^= a & (0 &- (b & 1))
            a = a << 1 ^ 0x1b & (0 &- (a >> 7))
            b >>= 1
        }
        return product
    }

    /// a^254, the inverse; 0 for 0.
    package static func invert(_ a: UInt8) -> UInt8 {
        var result: UInt8 = 1
        var power = a
        for _ in 0..<7 {
            power = multiply(power, power)
            result = multiply(result, power)
        }
        return result
    }
}
