internal import CoffreCrypto
internal import CoffreWire

/// New shares for old ones, step by step. Only in memory: a seal or a restart forgets it.
struct RekeyAttempt: Sendable {
    let nonce = RequestContext.newUUID()
    let shares: Int
    let threshold: Int
    let requiresVerification: Bool
    /// Collects the present shares.
    var progress: UnsealProgress
    /// What the present shares have made, when it counts only once the new ones have been seen.
    var pending: SealRecord?
    /// The key that the new shares must give.
    var verification: UnsealProgress?
    var verificationNonce = ""

    init(shares: Int, threshold: Int, requiresVerification: Bool, present: Int) {
        self.shares = shares
        self.threshold = threshold
        self.requiresVerification = requiresVerification
        progress = UnsealProgress(threshold: present)
    }
}

/// A root token by the holders of enough shares. Only in memory.
struct RootAttempt: Sendable {
    let nonce = RequestContext.newUUID()
    /// What the new token is combined with, so that only who began can read it.
    let oneTimePassword: SharedSecret
    var progress: UnsealProgress
}
