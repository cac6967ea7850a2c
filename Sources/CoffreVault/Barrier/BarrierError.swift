package import CoffreStorage

/// What can go wrong at the barrier. No message names a path, a name or a value.
package enum BarrierError: Error, Sendable, Equatable {
    /// No keys: never unsealed, or sealed before the call could finish.
    case sealed
    /// An expectation of the batch did not hold; nothing was written.
    case conflict
    /// The row at this address (hex of namespace, parent hash and name hash) is damaged, moved or foreign.
    case corrupt(address: String)
    /// The rows do not add up to the set hash: one was added, removed, changed or brought back.
    case setHashMismatch
    /// The unseal key does not fit this vault.
    case wrongKey
    case notInitialized
    case alreadyInitialized
    /// A value exceeds ``Barrier/maximumValueBytes``, or a name ``Barrier/maximumNameBytes``.
    case tooLarge
    /// Old terms are still in use by too many rows; re-encryption must catch up first.
    case tooManyTerms
    case storage(StorageError)

    /// Safe to log and to show; says what to do.
    package var message: String {
        switch self {
        case .sealed: "the vault is sealed: unseal it first"
        case .conflict: "the row has changed meanwhile: read it again"
        case .corrupt(let address):
            "row \(address) is damaged or does not belong where it lies: stop the daemon and restore a backup"
        case .setHashMismatch:
            "the rows do not add up: the database was changed from outside; stop the daemon and restore a backup"
        case .wrongKey: "the key does not open this vault: check that it belongs to it"
        case .notInitialized: "the vault is not initialised: run coffre init"
        case .alreadyInitialized: "the vault is already initialised"
        case .tooLarge: "the value is larger than the vault stores"
        case .tooManyTerms: "too many key terms are in use: wait for the re-encryption of old rows"
        case .storage(let error): error.message
        }
    }
}
