/// Why a card goes. A closed list, so that no name can stand in the log for ever.
package enum ErasureReason: String, Sendable, CaseIterable {
    /// The person asked for it.
    case request
    /// It should never have been made, or says what is not so.
    case error
    /// It says more than is needed.
    case excessive
    /// An authority or a court has ordered it.
    case order
    /// Nothing that is kept mentions the person any more.
    case expired
    /// It had been erased, and came back with an old backup.
    case restored

    /// Those that somebody may give; the others are the log's own.
    package static let ofPeople: [ErasureReason] = [.request, .error, .excessive, .order]
}
