package import CoffreCrypto

/// Everything the vault is told from outside, checked.
package struct VaultConfiguration: Sendable {
    package enum Seal: Sendable {
        /// Shares of operators open the vault.
        case shamir
        /// A 32-byte key that arrives as a systemd credential opens it at start.
        case credential(SharedSecret)
    }

    /// How the vault opens.
    package let seal: Seal
    /// Uids besides 0 that may init, unseal and rekey.
    package let operators: Set<UInt32>
    /// Version shown to clients, such as `0.1.0`.
    package let version: String
    /// Default life of a secret's lease, in seconds: 3600.
    package let defaultLeaseTTL: Int64
    /// Longest life of a secret's lease, in seconds: 86,400.
    package let maximumLeaseTTL: Int64
    /// Default and longest life of a token, in seconds: 768 h as in Vault.
    package let maximumTokenTTL: Int64
    /// Refused requests that one uid may cause in a second before it is answered 429: 500.
    package let refusalsPerSecond: Int

    /// Leases that one caller may hold at a time: 10,000.
    package let leasesPerOwner: Int

    /// The watch over the log; nil when nobody watches.
    package let anomalies: (any AnomalyDesk)?

    /// The gid of a group by name, for `bound_groups`.
    package let groupID: @Sendable (String) -> UInt32?

    package init(
        seal: Seal,
        operators: Set<UInt32>,
        version: String,
        defaultLeaseTTL: Int64 = 3600,
        maximumLeaseTTL: Int64 = 86_400,
        maximumTokenTTL: Int64 = 2_764_800,
        refusalsPerSecond: Int = 500,
        leasesPerOwner: Int = 10_000,
        anomalies: (any AnomalyDesk)? = nil,
        groupID: @escaping @Sendable (String) -> UInt32? = { _ in nil }
    ) {
        self.seal = seal
        self.operators = operators
        self.version = version
        self.defaultLeaseTTL = defaultLeaseTTL
        self.maximumLeaseTTL = maximumLeaseTTL
        self.maximumTokenTTL = maximumTokenTTL
        self.refusalsPerSecond = refusalsPerSecond
        self.leasesPerOwner = leasesPerOwner
        self.anomalies = anomalies
        self.groupID = groupID
    }
}
