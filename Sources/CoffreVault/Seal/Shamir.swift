package import CoffreCrypto

/// Shamir's secret sharing over GF(2^8), byte by byte (A. Shamir, "How to Share a Secret", CACM 1979).
///
/// The field is that of AES (FIPS 197 §4: x^8 + x^4 + x^3 + x + 1). Products and inverses are computed without tables and
/// without branches on their operands, so that no access pattern depends on a secret. A share is the values of the
/// polynomials ‖ x (1 byte), as Vault's are; with one share there is no polynomial and the share is the secret itself.
package enum Shamir {
    /// Splits `secret` into `shares` shares of which any `threshold` restore it.
    ///
    /// - Parameters:
    ///   - secret: 1 byte or more.
    ///   - shares: 1–255.
    ///   - threshold: 2–`shares`, or 1 when `shares` is 1.
    /// - Returns: shares of `secret.count + 1` bytes with distinct, randomly ordered x from 1 to 255; for one share, a copy.
    /// - Throws: ``SealError`` `.invalidParameters`.
    package static func split(
        _ secret: borrowing SecretBytes,
        shares: Int,
        threshold: Int
    ) throws(SealError) -> [SharedSecret] {
        guard secret.count > 0, isValid(shares: shares, threshold: threshold) else { throw .invalidParameters }
        if shares == 1 { return [secret.withBytes { SharedSecret(SecretBytes.key(copying: $0)) }] }
        let degree = threshold - 1
        // Coefficient k of byte b lies at (k - 1) · count + b.
        let coefficients = SecretBytes.randomKey(count: degree * secret.count)
        return numbers(shares).map { x in
            SharedSecret(share(of: secret, x: x, coefficients: coefficients, degree: degree))
        }
    }

    /// The share at `x` of the polynomials with the given coefficients.
    /// - Parameter coefficients: `degree` runs of `secret.count` bytes, the linear ones first.
    package static func share(
        of secret: borrowing SecretBytes,
        x: UInt8,
        coefficients: borrowing SecretBytes,
        degree: Int
    ) -> SecretBytes {
        precondition(coefficients.count == degree * secret.count, "one coefficient for each byte and power")
        let count = secret.count
        return secret.withBytes { secret in
            coefficients.withBytes { coefficients in
                SecretBytes.key(count: count + 1) { target in
                    for byte in 0..<count {
                        var y: UInt8 = 0  // Horner's rule, from the highest power down
                        for power in stride(from: degree, to: 0, by: -1) {
                            y = multiply(y ^ coefficients[(power - 1) * count + byte], x)
                        }
                        target[byte] = y ^ secret[byte]
                    }
                    target[count] = x
                }
            }
        }
    }

    /// Restores a secret: Lagrange interpolation at 0. Wrong shares give a wrong secret, not an error.
    ///
    /// - Parameter shares: as many as the threshold; for a vault of one share, that share in a list of one.
    /// - Throws: ``SealError`` `.invalidShare` for lengths that differ, x of 0 or an x that occurs twice.
    package static func combine(_ shares: [SharedSecret]) throws(SealError) -> SecretBytes {
        guard let first = shares.first else { throw .invalidShare }
        if shares.count == 1 { return first.withBytes { SecretBytes.key(copying: $0) } }
        guard first.count > 1, shares.allSatisfy({ $0.count == first.count }) else { throw .invalidShare }
        let xs = shares.map { $0.withBytes { $0[$0.count - 1] } }
        guard !xs.contains(0), Set(xs).count == xs.count else { throw .invalidShare }
        return SecretBytes.key(count: first.count - 1) { target in
            for (index, share) in shares.enumerated() {
                var weight: UInt8 = 1
                for (other, x) in xs.enumerated() where other != index {
                    weight = multiply(weight, multiply(x, inverse(x ^ xs[index])))
                }
                share.withBytes { share in
                    for byte in target.indices { target[byte] ^= multiply(share[byte], weight) }
                }
            }
        }
    }

    package static func isValid(shares: Int, threshold: Int) -> Bool {
        guard (1...255).contains(shares) else { return false }
        return shares == 1 ? threshold == 1 : (2...shares).contains(threshold)
    }

    /// Distinct numbers from 1 to 255 in random order (Fisher and Yates).
    private static func numbers(_ count: Int) -> [UInt8] {
        var all = Array(UInt8(1)...255)
        for index in 0..<count { all.swapAt(index, index + Int(Random.number(below: UInt32(all.count - index)))) }
        return Array(all[..<count])
    }

    /// The product in GF(2^8), in constant time.
    package static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
        var (a, b, product) = (a, b, UInt8(0))
        for _ in 0..<8 {
            product ^= a & (0 &- (b & 1))
            a = (a << 1) ^ (0x1b & (0 &- (a >> 7)))
            b >>= 1
        }
        return product
    }

    /// The inverse in GF(2^8), a^254, in constant time; 0 for 0.
    package static func inverse(_ a: UInt8) -> UInt8 {
        // 254 = 0b11111110: square and multiply seven times, then square.
        var power: UInt8 = 1
        for _ in 0..<7 { power = multiply(multiply(power, power), a) }
        return multiply(power, power)
    }
}
