package import CoffreCrypto

/// What a submitted share led to.
package enum UnsealOutcome: ~Copyable {
    /// So many distinct shares of so many needed; the nonce names this attempt.
    case progress(count: Int, threshold: Int, nonce: String)
    /// The key that the shares give. Only its use shows whether it is the right one. The progress has started again.
    case complete(SecretBytes)
}

/// Collects shares until there are enough. A value: it opens nothing itself.
package struct UnsealProgress: Sendable {
    /// Shares in existence, and how many are needed.
    package let shares: Int
    package let threshold: Int
    /// Names the attempt under way; empty before its first share.
    package private(set) var nonce = ""
    private var collected: [SharedSecret] = []

    package init(shares: Int, threshold: Int) {
        self.shares = shares
        self.threshold = threshold
    }

    /// Distinct shares so far.
    package var count: Int { collected.count }

    /// Takes a share. One that was given before is not counted again.
    /// - Parameter share: 33 bytes; 32 when the vault has one share.
    /// - Throws: ``SealError`` `.invalidShare`; the shares given before stay.
    package mutating func submit(_ share: SharedSecret) throws(SealError) -> UnsealOutcome {
        let isPlain = shares == 1
        guard share.count == SealRecord.keyBytes + (isPlain ? 0 : 1), isPlain || share.number != 0 else {
            throw .invalidShare
        }
        var isNew = true
        for known in collected {
            let isSame = known.withBytes { known in share.withBytes { Memory.isEqual(known, $0) } }
            if isSame { isNew = false } else if known.number == share.number { throw .invalidShare }
        }
        if isNew {
            if collected.isEmpty { nonce = Self.makeNonce() }
            collected.append(share)
        }
        guard count >= threshold else { return .progress(count: count, threshold: threshold, nonce: nonce) }
        defer { reset() }
        return .complete(try Shamir.combine(collected))
    }

    /// Forgets all shares.
    package mutating func reset() {
        collected = []
        nonce = ""
    }

    /// A random UUID, version 4 (RFC 9562 §5.4).
    private static func makeNonce() -> String {
        var bytes = Random.bytes(16)
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let hex = Array(Hex.encode(bytes).utf8)
        let parts = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]]
        return parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }
}

extension SharedSecret {
    /// The x of a share, its last byte. Not secret.
    fileprivate var number: UInt8 { withBytes { $0.last ?? 0 } }
}
