internal import CoffreCrypto

/// The keys and shares of a seal, made before anything is written.
struct SealPlan: Sendable {
    let type: SealType
    let shares: Int
    let threshold: Int
    let recoveryShares: Int
    let recoveryThreshold: Int
    let unsealKey: SharedSecret
    private let recoveryKey: SharedSecret?
    let givenShares: [SharedSecret]
    let givenRecoveryShares: [SharedSecret]

    /// - Throws: ``SealError`` `.invalidParameters`.
    init(
        type: SealType,
        shares: Int,
        threshold: Int,
        recoveryShares: Int,
        recoveryThreshold: Int,
        credentialKey: SharedSecret?
    ) throws(SealError) {
        self.type = type
        self.shares = shares
        self.threshold = threshold
        self.recoveryShares = recoveryShares
        self.recoveryThreshold = recoveryThreshold
        switch type {
        case .shamir:
            guard recoveryShares == 0, recoveryThreshold == 0, credentialKey == nil else { throw .invalidParameters }
            unsealKey = SharedSecret(SecretBytes.randomKey(count: SealRecord.keyBytes))
            recoveryKey = nil
            givenShares = try Self.split(unsealKey, shares, threshold)
            givenRecoveryShares = []
        case .credential:
            // Never a single way in: a credential seal always has recovery shares.
            guard let credentialKey, credentialKey.count == SealRecord.keyBytes, shares == 1, threshold == 1 else {
                throw .invalidParameters
            }
            let recovery = SharedSecret(SecretBytes.randomKey(count: SealRecord.keyBytes))
            unsealKey = credentialKey
            recoveryKey = recovery
            givenShares = []
            givenRecoveryShares = try Self.split(recovery, recoveryShares, recoveryThreshold)
        }
    }

    private static func split(_ key: SharedSecret, _ shares: Int, _ threshold: Int) throws(SealError) -> [SharedSecret]
    {
        try key.withSecret { key throws(SealError) in
            try Shamir.split(key, shares: shares, threshold: threshold)
        }
    }

    /// The record that protects `rootKey` this way.
    func record(vaultID: [UInt8], rootKey: borrowing SecretBytes) throws(CryptoError) -> SealRecord {
        let key = unsealKey
        return try key.withSecret { key throws(CryptoError) in
            try SealRecord(
                vaultID: vaultID,
                type: type,
                shares: shares,
                threshold: threshold,
                recoveryShares: recoveryShares,
                recoveryThreshold: recoveryThreshold,
                rootKey: rootKey,
                unsealKey: key,
                recoveryKey: recoveryKey
            )
        }
    }
}
