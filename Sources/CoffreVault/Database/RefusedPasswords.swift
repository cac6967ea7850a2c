internal import CoffreCrypto
internal import CoffreWire

/// Passwords that their servers refused, and until when they are not sent there again.
///
/// A server that refuses a password (SQLSTATE `28P01`) refuses it for every database; one that lets the account in to some
/// databases and not to others (`28000`), or is reached in another way, may take it elsewhere.
struct RefusedPasswords {
    /// One password of one account, as digests; see ``Vault``.
    struct Keys: Equatable {
        /// At its server.
        let anywhere: Digest
        /// In one database, over one kind of connection.
        let here: Digest
        /// Who is guessing passwords of the account; nil for a password that is stored.
        var guesser: Digest?
    }

    /// What became of a password that was sent.
    enum Finding: Equatable {
        case accepted
        case refused(anywhere: Bool)
        /// Nobody has judged it.
        case unknown

        /// - Parameter failure: of the job that carried it; nil when the job was done.
        init(_ failure: BrokerFailure?) {
            guard let failure else {
                self = .accepted
                return
            }
            switch failure.code {
            case .authentication: self = .refused(anywhere: failure.sqlState == "28P01")
            // What only somebody who was let in is told.
            case .rights, .statement: self = failure.sqlState == BrokerFailure.neverConnected ? .unknown : .accepted
            default: self = .unknown
            }
        }
    }

    /// A password under way.
    struct Attempt {
        fileprivate let keys: Keys
        fileprivate let owner: String
        fileprivate let number: UInt64
        /// What was known of it before.
        fileprivate var before: [Digest: Entry] = [:]
    }

    fileprivate struct Entry {
        /// Refusals in a row.
        var attempts: Int64
        /// It is not sent there before.
        var until: Timestamp
        /// The attempt that wrote this.
        var number: UInt64
        let owner: String
    }

    /// Wrong passwords of an account that are entered before the next one waits.
    static let freeGuesses: Int64 = 5

    private let limit: Int
    private let limitOfOwner: Int
    private var entries: [Digest: Entry] = [:]
    private var ofOwner: [String: Int] = [:]
    private var numbers: UInt64 = 0

    /// - Parameters:
    ///   - limit: passwords and accounts that are remembered.
    ///   - limitOfOwner: of these, of one owner: whoever has servers that refuse everything forgets what is one's own.
    init(limit: Int = 10_000, limitOfOwner: Int = 1000) {
        self.limit = limit
        self.limitOfOwner = limitOfOwner
    }

    var count: Int { entries.count }

    /// Seconds after that many refusals: 10, 20, 40 … 600.
    static func pause(after attempts: Int64) -> Int64 { min(600, Int64(10) << min(max(attempts, 1) - 1, 6)) }

    /// A password is about to be sent.
    /// - Parameter insists: whoever may mend the account asks, and is not held off.
    /// - Returns: nil when it is not to be sent now.
    mutating func begin(_ keys: Keys, of owner: String, insists: Bool, at now: Timestamp) -> Attempt? {
        guard insists || pause([keys.anywhere, keys.here], at: now) == nil, guessPause(keys, at: now) == nil else {
            return nil
        }
        numbers += 1
        var attempt = Attempt(keys: keys, owner: owner, number: numbers)
        // One tries; the others wait for what it finds.
        for key in [keys.anywhere, keys.here] {
            guard var entry = entries[key] else { continue }
            attempt.before[key] = entry
            entry.until = now.adding(seconds: Self.pause(after: entry.attempts + 1))
            entry.number = numbers
            entries[key] = entry
        }
        if let guesser = keys.guesser {
            let attempts = (entries[guesser]?.attempts ?? 0) + 1
            let seconds = attempts < Self.freeGuesses ? 0 : Self.pause(after: attempts - Self.freeGuesses + 1)
            store(
                Entry(attempts: attempts, until: now.adding(seconds: seconds), number: numbers, owner: owner),
                at: guesser
            )
        }
        return attempt
    }

    /// What others found meanwhile is left as it is, but for one who was let in after they were refused.
    mutating func end(_ attempt: Attempt, _ finding: Finding, at now: Timestamp) {
        switch finding {
        case .accepted:
            accepted(attempt.keys, by: attempt.number)
            if let guesser = attempt.keys.guesser { remove(guesser) }
        case .refused(let anywhere):
            let key = anywhere ? attempt.keys.anywhere : attempt.keys.here
            var attempts: Int64 = 1
            if let entry = entries[key] {
                // Who asked at the same time adds nothing to the delay.
                guard entry.number == attempt.number else { return }
                attempts = entry.attempts + 1
            }
            numbers += 1
            let until = now.adding(seconds: Self.pause(after: attempts))
            store(Entry(attempts: attempts, until: until, number: numbers, owner: attempt.owner), at: key)
        case .unknown:
            for (key, entry) in attempt.before where entries[key]?.number == attempt.number { entries[key] = entry }
            guard let guesser = attempt.keys.guesser, var entry = entries[guesser] else { return }
            entry.attempts -= 1
            if entry.number == attempt.number || entry.attempts < Self.freeGuesses { entry.until = now }
            if entry.attempts > 0 { entries[guesser] = entry } else { remove(guesser) }
        }
    }

    /// A password that has just been set at its server, and proven there.
    mutating func accepted(_ keys: Keys) { accepted(keys, by: .max) }

    private mutating func accepted(_ keys: Keys, by number: UInt64) {
        for key in [keys.anywhere, keys.here] where entries[key].map({ $0.number <= number }) ?? false { remove(key) }
    }

    /// Until when a password is not sent; nil when it may be.
    func pause(_ keys: Keys, at now: Timestamp) -> Timestamp? { pause([keys.anywhere, keys.here], at: now) }

    /// Until when no other password of the account may be tried by who is guessing; nil when it may be.
    func guessPause(_ keys: Keys, at now: Timestamp) -> Timestamp? { keys.guesser.flatMap { pause([$0], at: now) } }

    private func pause(_ keys: [Digest], at now: Timestamp) -> Timestamp? {
        keys.compactMap { entries[$0]?.until }.filter { $0 > now }.max()
    }

    private mutating func store(_ entry: Entry, at key: Digest) {
        if entries[key] == nil {
            if ofOwner[entry.owner] ?? 0 >= limitOfOwner { removeEarliest { $0.owner == entry.owner } }
            if entries.count >= limit { removeEarliest { _ in true } }
        } else {
            remove(key)
        }
        entries[key] = entry
        ofOwner[entry.owner, default: 0] += 1
    }

    /// What has ended, or ends first, is missed least.
    private mutating func removeEarliest(_ isCandidate: (Entry) -> Bool) {
        var first: (key: Digest, until: Timestamp)?
        for (key, entry) in entries where isCandidate(entry) {
            if first.map({ entry.until < $0.until }) ?? true { first = (key, entry.until) }
        }
        if let first { remove(first.key) }
    }

    private mutating func remove(_ key: Digest) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        ofOwner[entry.owner] = ofOwner[entry.owner].flatMap { $0 > 1 ? $0 - 1 : nil }
    }
}

/// Passwords that are sent for the first time: one goes, and who has the same waits for what became of it. Confined to the
/// vault's executor.
final class FirstAttempts {
    private var proven = BoundedCache<Digest, Bool>(limit: 10_000)
    private var waiting: [Digest: [CheckedContinuation<Void, Never>]] = [:]

    /// Waits while another tries the same password for the first time.
    /// - Returns: whether this is the first; then ``end(_:isProven:)`` must follow.
    func begin(_ key: Digest, isolation: isolated (any Actor)? = #isolation) async -> Bool {
        guard proven[key] == nil else { return false }
        guard waiting[key] != nil else {
            waiting[key] = []
            return true
        }
        await withCheckedContinuation { waiting[key]?.append($0) }
        return false
    }

    func end(_ key: Digest) { waiting.removeValue(forKey: key)?.forEach { $0.resume() } }

    /// - Parameter isProven: whether its server takes it; nil when nobody knows.
    func found(_ key: Digest, isProven: Bool?) {
        if let isProven { proven[key] = isProven ? true : nil }
    }
}
