internal import CoffreCrypto
internal import CoffreWire

/// How the stored passwords of a connection are doing: when they are due, and what the last attempt came to.
struct ConnectionRotation: Sendable, Equatable {
    /// Failed attempts in a row.
    var attempts: Int64 = 0
    /// Next attempt; nil while nothing is stored that could be rotated.
    var due: Timestamp?
    var last: Timestamp?
    /// Why the last attempt failed; nil when it did not.
    var failure: String?
    /// Secrets of which it is not known whether the stored or the new value is in force.
    var unsure: [String] = []
    /// Times of the last 30 days in which a secret was older than its limit: seconds since 1970, by secret.
    var overdue: [String: [ClosedRange<Int64>]] = [:]

    /// Which secrets can be rotated, with the field that names their account.
    static let accounts = ["admin_password": "admin_username", "password": "username"]

    private static let day: Int64 = 86_400
    /// What compliance is counted over.
    private static let window: Int64 = 30 * day

    /// Spread over the last tenth of the time, so that what was entered together is not due together.
    static func due(after set: Timestamp, days: Int64) -> Timestamp {
        let span = days * day
        return set.adding(seconds: span - Int64(Random.number(below: UInt32(clamping: max(1, span / 10)))))
    }

    /// A secret is replaced: remembers for how long it was too old.
    mutating func replaced(_ secret: String, set: Timestamp, days: Int64, at now: Timestamp) {
        let limit = set.seconds + days * Self.day
        if limit < now.seconds { overdue[secret, default: []].append(limit...now.seconds) }
        for (name, times) in overdue { overdue[name] = times.filter { $0.upperBound > now.seconds - Self.window } }
    }

    /// Seconds of the last 30 days in which a secret was there, and in which it was within its limit.
    func compliance(_ secret: String, set: Timestamp, days: Int64, since: Timestamp, at now: Timestamp) -> (
        within: Int64, all: Int64
    ) {
        let start = max(since.seconds, now.seconds - Self.window)
        let all = max(0, now.seconds - start)
        var late = max(0, now.seconds - max(start, set.seconds + days * Self.day))
        for time in overdue[secret] ?? [] { late += max(0, time.upperBound - max(start, time.lowerBound)) }
        return (all - min(all, late), all)
    }

    // MARK: storage form

    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("attempts", .integer(attempts)), .init("unsure", .strings(unsure)),
            .init(
                "overdue",
                .object(
                    overdue.sorted { $0.key < $1.key }.map { name, times in
                        .init(
                            name,
                            .array(times.map { .array([.integer($0.lowerBound), .integer($0.upperBound)]) })
                        )
                    }
                )
            ),
        ]
        if let due { members.append(.init("due", .integer(due.nanoseconds))) }
        if let last { members.append(.init("last", .integer(last.nanoseconds))) }
        if let failure { members.append(.init("failure", .string(failure))) }
        return .object(members)
    }

    init() {}

    init(json value: JSONValue) {
        attempts = value["attempts"]?.integer ?? 0
        unsure = value["unsure"]?.array?.compactMap(\.string) ?? []
        due = value["due"]?.integer.map { Timestamp(nanoseconds: $0) }
        last = value["last"]?.integer.map { Timestamp(nanoseconds: $0) }
        failure = value["failure"]?.string
        for member in value["overdue"]?.members ?? [] {
            overdue[member.key] = member.value.array?.compactMap { pair in
                guard let ends = pair.array?.compactMap(\.integer), ends.count == 2, ends[0] <= ends[1] else {
                    return nil
                }
                return ends[0]...ends[1]
            }
        }
    }
}
