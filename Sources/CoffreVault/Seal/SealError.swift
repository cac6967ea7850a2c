/// What can go wrong with seal, shares and unsealing. Messages hold no share and no key.
package enum SealError: Error, Sendable, Equatable {
    case alreadyInitialized
    case notInitialized
    /// Numbers of shares outside 1–255, a threshold outside 2–shares, or a combination that the type does not have.
    case invalidParameters
    /// Not a share of this vault by its form: length, or a number that was given before with other content.
    case invalidShare
    /// The shares were enough, but their key does not open the vault; the progress starts again.
    case wrongShares
    /// The seal type has no such shares.
    case wrongType
    case barrier(BarrierError)

    /// Safe to log and to show; says what to do.
    package var message: String {
        switch self {
        case .alreadyInitialized: "the vault is already initialised"
        case .notInitialized: "the vault is not initialised: run coffre init"
        case .invalidParameters:
            "shares must be 1 to 255 and the threshold 2 to the number of shares (1 for one share)"
        case .invalidShare:
            "this is not a share of the vault, or another one with its number was given before: check it, or reset"
        case .wrongShares: "the shares do not open this vault: start again with shares that belong to it"
        case .wrongType: "this seal type has no such shares: see the seal status"
        case .barrier(let error): error.message
        }
    }
}
