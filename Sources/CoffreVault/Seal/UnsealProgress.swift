package import CoffreCrypto

/// Collects shares until there are enough. A value: events in, steps out.
package struct UnsealProgress: Sendable {
    package enum Step: Sendable {
        case progress
        /// Enough shares; whether they are the right ones shows when the root key unwraps.
        case complete(SharedSecret)
        case invalid(String)
    }

    /// Length of a share of a 32-byte key.
    static let shareBytes = 33

    private let threshold: Int
    private var shares: [SharedSecret] = []
    /// Tells one attempt from the next.
    let nonce = Hex.encode(Random.bytes(16))

    /// Distinct shares so far.
    package var count: Int { shares.count }

    package init(threshold: Int) { self.threshold = threshold }

    /// Takes a share: 33 bytes, or 32 when one alone opens.
    package mutating func submit(_ share: SharedSecret) -> Step {
        if threshold == 1, share.count == Self.shareBytes - 1 || share.count == Self.shareBytes {
            return share.count == Self.shareBytes
                ? ShamirSharing.combine([share]).map { .complete($0) } ?? .invalid("the share is not valid")
                : .complete(share)
        }
        guard share.count == Self.shareBytes else { return .invalid("a share of this vault has 33 bytes") }
        let x = share.withBytes { $0[Self.shareBytes - 1] }
        guard x != 0 else { return .invalid("the share is not valid") }
        for known in shares where known.withBytes({ $0[Self.shareBytes - 1] }) == x {
            // As in Vault: a share that is given twice counts once, and is no error.
            let isSame = known.withBytes { known in share.withBytes { Memory.isEqual(known, $0) } }
            return isSame ? .progress : .invalid("another share with this number was given: one is wrong, start again")
        }
        shares.append(share)
        guard shares.count >= threshold else { return .progress }
        return ShamirSharing.combine(shares).map { .complete($0) } ?? .invalid("the shares do not fit together")
    }
}
