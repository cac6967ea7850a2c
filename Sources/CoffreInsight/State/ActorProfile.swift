internal import Glibc

/// What is remembered of one identity: a fixed frame and a few short lists, below 2 KB. Belongs to one ``Detector``.
final class ActorProfile {
    /// A secret that it has asked for: 12 bytes, where a key in one piece would make it 16.
    struct KnownSecret: Sendable, Equatable {
        /// What it has to do with it.
        enum Use: UInt16 {
            case read
            /// Only written, by itself.
            case written
            /// Refused before its habits were known, or not there.
            case refused
        }

        private let high: UInt32
        private let low: UInt32
        /// The day, and below it two bits for the use.
        private var dayAndUse: Int32

        var key: UInt64 { UInt64(high) << 32 | UInt64(low) }

        /// Local day of the last use, from 1970.
        var day: Int32 {
            get { dayAndUse >> 2 }
            set { dayAndUse = newValue << 2 | dayAndUse & 3 }
        }

        var use: Use {
            get { Use(rawValue: UInt16(dayAndUse & 3)) ?? .read }
            set { dayAndUse = dayAndUse & ~3 | Int32(newValue.rawValue) }
        }

        init(key: UInt64, day: Int32, use: Use) {
            high = UInt32(key >> 32)
            low = UInt32(truncatingIfNeeded: key)
            dayAndUse = day << 2 | Int32(use.rawValue)
        }
    }

    /// Something unfamiliar, with its weight.
    struct Novelty: Sendable, Equatable {
        var time: Int64
        var weight: Float
        var sequence: UInt64
    }

    static let mostSecrets = 40
    static let mostNovelties = 16
    static let longestName = 96
    /// Bytes of an identity that are kept; what is longer is another's.
    static let mostNameBytes = 512

    var name: String
    var kind: InsightEvent.ActorKind
    /// Bits of ``InsightState/teamNames``.
    var teams: UInt64 = 0
    var firstSeen: Int64
    var lastSeen: Int64
    /// Known from before the log began.
    var isOld = false
    /// An administrator took it out of service.
    var isRetired = false
    /// Registered by an administrator while the log was read, and when.
    var registered: Int64 = 0
    var activeDays: UInt16 = 0
    var day: Int32 = .min
    /// Longest time without a sign of it, in days.
    var longestAbsence: Float = 0

    var secrets: [KnownSecret] = []
    /// A Bloom filter of those that had to make room: 1024 bits, two for each.
    var formerSecrets: [UInt64] = []
    var novelties: [Novelty] = []
    /// Secrets that it read, or wanted to, for the first time since ``sweepStart``, before its habits were known: the newest records, and how many.
    var sweep: [UInt64] = []
    var sweepCount: UInt16 = 0
    var sweepStart: Int64 = 0
    /// Weights of novelties, halved every five days.
    var slow = Decayed()
    /// Different connectors in its first day: a bit for each, by hash.
    var connectorsOfFirstDay: UInt64 = 0
    var secretsOfFirstDay: UInt16 = 0

    /// For workdays and days off, how often it was active in each hour: halved every 20 such days.
    var hours = InlineArray<48, Float16>(repeating: 0)
    var daysCounted = InlineArray<2, Float>(repeating: 0)
    /// The hours of ``day`` in which it was active.
    var hoursToday: UInt32 = 0
    /// Days on which it was active at night, halved every 40 days; the same for days off.
    var nights = Decayed()
    var daysOff = Decayed()

    /// Uses in the last 18 spans of ten minutes, the newest last.
    var spans = InlineArray<18, UInt16>(repeating: 0)
    /// Number of the newest span, from 1970.
    var span: Int64 = 0
    /// Most uses seen in 10, 30, 60 and 120 minutes; 3 % less a day.
    var most = InlineArray<4, Float>(repeating: 0)
    /// Mean uses in each hour of a workday and of a day off.
    var pace = InlineArray<48, Float16>(repeating: 0)
    var usesThisHour: UInt16 = 0
    var hour: Int64 = 0

    var gaps = GapMemory()
    var rotations = GapMemory()

    /// When each kind of finding was told last, in minutes from 1970, by its place in ``Finding/Kind``; 0 for never.
    /// A place more than there are kinds.
    var told = InlineArray<20, Int32>(repeating: 0)
    /// Edits of policies and identities, halved every 60 days: who does it as a habit.
    var edits = Decayed()

    init(name: String, kind: InsightEvent.ActorKind, at time: Int64) {
        self.name = String(decoding: name.utf8.prefix(Self.mostNameBytes), as: UTF8.self)
        self.kind = kind
        firstSeen = time
        lastSeen = time
    }

    /// A name as sentences have it: whoever chose it does not choose how long they get, nor what else a terminal does.
    static func shown(_ name: String, _ longest: Int = longestName) -> String {
        let kept = String(decoding: name.utf8.prefix(longest), as: UTF8.self).unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
                || scalar.properties.generalCategory == .lineSeparator
                || scalar.properties.generalCategory == .paragraphSeparator ? "\u{fffd}" : String(scalar)
        }
        return kept.joined()
    }

    var shownName: String { Self.shown(name) }

    /// Whether a secret was used once, as far as is still known: now and then it says so of one that was not.
    func isFormer(_ secret: UInt64) -> Bool {
        guard !formerSecrets.isEmpty else { return false }
        return Self.bits(secret).allSatisfy { formerSecrets[$0 >> 6] & (1 << UInt64($0 & 63)) != 0 }
    }

    /// - Parameter isSettled: whether its habits are known. Before that, what it only wrote and what it was refused are forgotten
    ///   when they make room: reading it is news.
    func remember(_ secret: KnownSecret, isSettled: Bool) {
        makeRoomForSecret(isSettled)
        // Arrays grow by doubling, and leave holes behind. Two steps, no more than is needed, and the filter fits into the hole.
        if secrets.count == secrets.capacity {
            secrets.reserveCapacity(secrets.count < 12 ? 12 : Self.mostSecrets)
        }
        secrets.append(secret)
    }

    func remember(_ novelty: Novelty) {
        if novelties.capacity < Self.mostNovelties { novelties.reserveCapacity(Self.mostNovelties) }
        if novelties.count >= Self.mostNovelties { novelties.removeFirst() }
        novelties.append(novelty)
    }

    private func makeRoomForSecret(_ isSettled: Bool) {
        guard secrets.count >= Self.mostSecrets,
            let oldest = secrets.indices.min(by: { secrets[$0].day < secrets[$1].day })
        else { return }
        let former = secrets.remove(at: oldest)
        guard former.use == .read || former.use == .written && isSettled else { return }
        // A filter that says yes to most is none: it begins anew.
        if formerSecrets.reduce(0, { $0 + $1.nonzeroBitCount }) > 512 { formerSecrets = [] }
        if formerSecrets.isEmpty { formerSecrets = [UInt64](repeating: 0, count: 16) }
        for bit in Self.bits(former.key) { formerSecrets[bit >> 6] |= 1 << UInt64(bit & 63) }
    }

    private static func bits(_ secret: UInt64) -> [Int] { [Int(secret & 1023), Int(secret >> 20 & 1023)] }
}

/// A sum that fades.
struct Decayed: Sendable, Equatable {
    var value: Float = 0
    var time: Int64 = 0

    /// - Parameter halfLife: in days.
    mutating func add(_ amount: Float, at now: Int64, halfLife: Float) {
        value = read(at: now, halfLife: halfLife) + amount
        time = now < time - Span.hour ? now : max(time, now)
    }

    func read(at now: Int64, halfLife: Float) -> Float {
        guard now > time, value != 0 else { return value }
        return value * exp2f(-Float(Double(now - time) / Span.day) / halfLife)
    }
}

/// How far apart something regular is.
struct GapMemory: Sendable, Equatable {
    var first: Int64 = 0
    var last: Int64 = 0
    /// The longest gap, in seconds; fades by 2 % a day.
    var longest: Float = 0
    var count: UInt32 = 0
    /// It was told that it has stopped.
    var isTold = false

    mutating func note(_ time: Int64) {
        defer {
            last = max(last, time)
            isTold = false
        }
        // The clock was ahead.
        if time < last - Span.hour { (first, last) = (min(first, time), time) }
        if first == 0 { first = time }
        guard last != 0, time > last else { return }
        let gap = Float(Double(time - last) / 1e9)
        // What was told of is taken for a habit slowly.
        let learnt = isTold ? min(gap, longest * 1.5 + 600) : gap
        longest = max(longest * exp2f(-gap / 86_400 * 0.029), learnt)
        count &+= 1
    }

    /// - Returns: seconds of silence when they are more than was ever usual, else nil.
    func silence(at now: Int64, least: UInt32, factor: Float, slack: Float) -> Float? {
        guard !isTold, count >= least, now > last, last - first > 5 * Span.dayLength / 2, longest > 60 else {
            return nil
        }
        let gap = Float(Double(now - last) / 1e9)
        // What comes once in several days comes less exactly.
        let factor = longest > 48 * 3600 ? max(factor, 1.6) : factor
        return gap > longest * factor + slack ? gap : nil
    }
}

/// Lengths in nanoseconds.
enum Span {
    static let second: Int64 = 1_000_000_000
    static let minute: Int64 = 60_000_000_000
    static let hour: Int64 = 3_600_000_000_000
    static let day: Double = 86_400e9
    static let dayLength: Int64 = 86_400_000_000_000
}
