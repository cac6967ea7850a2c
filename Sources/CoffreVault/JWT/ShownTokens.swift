internal import CoffreCrypto

/// Tokens that services have shown for people, and by whom each was shown first: nobody else may show it.
///
/// Lives in memory alone. What a seal or a restart forgets is at most as old as a shown token may be
/// (``JWTCheck/maximumAge``), so that for ten minutes such a token could come from another service once.
struct ShownTokens {
    /// The service that shows a token: its unit, or where it has none its uid.
    struct Presenter: Hashable, Sendable {
        let unit: String?
        let uid: UInt32?

        init(_ principal: Principal) {
            // A unit that is not pinned could be another's by now.
            unit = principal.unit
            uid = principal.unit == nil || !principal.isUnitPinned ? principal.uid : nil
        }
    }

    private struct Entry {
        let first: Presenter
        let endsAt: Int64
        /// Others who were refused and told of.
        var others: Set<Presenter> = []
    }

    enum Verdict: Equatable {
        case first, again
        /// Shown by another service before; `isNew` when that has not been told of yet.
        case replayed(isNew: Bool)
        /// No room, for all or for this service, and nothing in it has ended: nothing is forgotten for what is new.
        case full
    }

    private let limit: Int
    private let limitOfPresenter: Int
    private var entries: [Digest: Entry] = [:]
    private var counts: [Presenter: Int] = [:]
    /// When the next entry ends, as far as is known.
    private var nextEnd = Int64.max

    /// - Parameters:
    ///   - limit: entries; some 150 bytes each.
    ///   - limitOfPresenter: entries of one service, so that none of them takes the room of all.
    init(limit: Int = 50_000, limitOfPresenter: Int = 10_000) {
        self.limit = limit
        self.limitOfPresenter = limitOfPresenter
    }

    /// Whether a service has shown this token.
    func contains(_ token: Digest, now: Int64) -> Bool { entries[token].map { $0.endsAt > now } ?? false }

    /// - Parameters:
    ///   - token: a keyed hash of what tells it from others.
    ///   - endsAt: seconds since 1970 from which on it is refused anyway.
    mutating func show(_ token: Digest, by presenter: Presenter, endsAt: Int64, now: Int64) -> Verdict {
        if let entry = entries[token], entry.endsAt > now {
            if entry.first == presenter { return .again }
            guard !entry.others.contains(presenter), entry.others.count < 16 else { return .replayed(isNew: false) }
            entries[token]?.others.insert(presenter)
            return .replayed(isNew: true)
        }
        if nextEnd <= now, entries.count >= limit || counts[presenter] ?? 0 >= limitOfPresenter {
            entries = entries.filter { $0.value.endsAt > now }
            nextEnd = entries.values.map(\.endsAt).min() ?? .max
            counts = entries.values.reduce(into: [:]) { $0[$1.first, default: 0] += 1 }
        }
        // One that has ended and is shown anew counts as new.
        if let old = entries.removeValue(forKey: token) {
            counts[old.first] = counts[old.first].flatMap { $0 > 1 ? $0 - 1 : nil }
        }
        guard entries.count < limit, counts[presenter] ?? 0 < limitOfPresenter else { return .full }
        entries[token] = Entry(first: presenter, endsAt: endsAt)
        counts[presenter, default: 0] += 1
        nextEnd = min(nextEnd, endsAt)
        return .first
    }
}
