@testable import CoffreInsight

/// A small organisation whose days are alike: people at their hours, a service every five minutes, rotations at night.
struct Office {
    static let begin: Int64 = 1_767_571_200 * Span.second  // Monday, 2026-01-05 00:00 UTC
    var events: [InsightEvent] = []
    private var random = Generator(state: 42)

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        /// SplitMix64.
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    static var context: InsightContext {
        var context = InsightContext()
        context.utcOffset = 0
        let old = begin - 300 * Span.dayLength
        for (id, team) in [("amel", "finance"), ("badis", "finance"), ("chafik", "sales"), ("dalia", "sales")] {
            context.identities.append(
                .init(id: id, kind: .user, teams: [team], created: old, lastSeen: begin - Span.dayLength)
            )
        }
        context.identities.append(
            .init(id: "old", kind: .user, teams: ["sales"], created: old, lastSeen: begin - 200 * Span.dayLength)
        )
        let common = (0..<6).map { InsightContext.Secret(connector: "postgresql", path: "role/common-\($0)") }
        context.teams["finance"] = common + (0..<30).map { .init(connector: "kv", path: "finance/\($0)") }
        context.teams["sales"] = common + (0..<30).map { .init(connector: "salesforce", path: "sales/\($0)") }
        context.sensitive = [.init(connector: "kv", path: "finance/29")]
        return context
    }

    static func at(day: Int, hour: Int, minute: Int = 0, second: Int = 0) -> Int64 {
        begin + Int64(day) * Span.dayLength + Int64(hour) * Span.hour + Int64(minute) * Span.minute
            + Int64(second) * Span.second
    }

    static func event(
        _ time: Int64,
        _ actor: String,
        _ operation: InsightEvent.Operation = .read,
        _ connector: String = "postgresql",
        _ path: String = "role/common-0",
        kind: InsightEvent.ActorKind = .user,
        teams: [String] = [],
        uid: Int64 = 1000,
        unit: String = "session.scope",
        outcome: InsightEvent.Outcome = .ok,
        token: String = "",
        pid: Int64 = 100
    ) -> InsightEvent {
        InsightEvent(
            time: time,
            sequence: 0,
            kind: kind,
            actor: actor,
            kernel: String(uid),
            unit: unit,
            teams: teams,
            operation: operation,
            connector: connector,
            path: path,
            outcome: outcome,
            token: token,
            pid: pid
        )
    }

    /// - Parameters:
    ///   - days: from Monday on.
    ///   - extra: what else happens; sorted in.
    ///   - isSilent: service events that do not happen.
    init(days: Int, extra: [InsightEvent] = [], isSilent: (Int64) -> Bool = { _ in false }) {
        var all: [InsightEvent] = extra
        for day in 0..<days {
            for step in 0..<288 {
                let time = Self.at(day: day, hour: 0, minute: step * 5)
                all.append(
                    Self.event(time, "coffred", .heartbeat, "sys", "sys/health", kind: .system, unit: "coffred.service")
                )
                if !isSilent(time) {
                    all.append(
                        Self.event(
                            time + 20 * Span.second,
                            "s-probe",
                            .read,
                            "kv",
                            "tech/metrics",
                            kind: .service,
                            uid: 900,
                            unit: "probe.service"
                        )
                    )
                }
            }
            for secret in 0..<3 where !isSilent(Self.at(day: day, hour: 2)) {
                all.append(
                    Self.event(
                        Self.at(day: day, hour: 2, minute: secret),
                        "s-rotation",
                        .rotate,
                        "postgresql",
                        "role/common-\(secret)",
                        kind: .service,
                        uid: 901,
                        unit: "rotation.service"
                    )
                )
            }
            guard day % 7 != 4, day % 7 != 5 else { continue }
            for (place, (name, team)) in [
                ("amel", "finance"), ("badis", "finance"), ("chafik", "sales"), ("dalia", "sales"),
            ].enumerated() {
                for hour in 8..<17 where Int.random(in: 0..<10, using: &random) < 8 {
                    let minute = Int.random(in: 0..<60, using: &random)
                    let secret = Int.random(in: 0..<5, using: &random)
                    let own = team == "finance" ? ("kv", "finance/\(secret)") : ("salesforce", "sales/\(secret)")
                    let isCommon = Int.random(in: 0..<2, using: &random) == 0
                    all.append(
                        Self.event(
                            Self.at(day: day, hour: hour, minute: minute, second: place),
                            name,
                            .read,
                            isCommon ? "postgresql" : own.0,
                            isCommon ? "role/common-\(secret)" : own.1,
                            teams: [team],
                            uid: 1000 + Int64(place),
                            token: "t-\(name)-\(day)",
                            pid: Int64(5000 + day * 10 + place)
                        )
                    )
                }
            }
        }
        // Stable, so that a prefix stays one.
        let order = all.indices.sorted { (all[$0].time, $0) < (all[$1].time, $1) }
        events = order.map { all[$0] }
        for index in events.indices { events[index].sequence = UInt64(index) }
    }

    func findings(_ context: InsightContext = Self.context) -> [Finding] {
        let detector = Detector(context: context, key0: 7, key1: 8)
        return events.flatMap { detector.consume($0) }
    }
}
