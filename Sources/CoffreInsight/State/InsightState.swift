/// Everything that the detectors remember. Bounded: who was not seen for long makes room.
struct InsightState {
    struct TokenBinding: Sendable, Equatable {
        var kernel: UInt64
        var unit: UInt64
        var pid: Int64
        var actor: UInt64
        /// Since when that process has used it, and how often.
        var since: Int64 = 0
        var uses: UInt16 = 0
        /// Another process of the same unit that has it as well, when and in which record it came; 0 when there is none.
        var otherPid: Int64 = 0
        var otherTime: Int64 = 0
        var otherRecord: UInt64 = 0
        /// Several processes share it, from the beginning or after this was told.
        var isShared = false
    }

    struct SecretMemory: Sendable, Equatable {
        /// Teams that may use it, by the context.
        var allowed: UInt64 = 0
        /// Teams whose members have used it.
        var used: UInt64 = 0
        var isSensitive = false
        /// The context knows it.
        var isListed = false
    }

    /// Refused log-ins of one source.
    struct Source: Sendable, Equatable {
        struct Refusal: Sendable, Equatable {
            var time: Int64
            var actor: UInt64
            var sequence: UInt64
        }
        var name: String
        var refusals: [Refusal] = []
        /// Different identities refused, a day: halved every 10 days.
        var habit = Decayed()
        var told: Int64 = .min

        /// Within the last hour, and not in a future that the clock came back from.
        func wasTold(at now: Int64) -> Bool { told != .min && (0..<Span.hour).contains(now - told) }
        var since: Int64
    }

    /// An edit of a policy whose consequences are watched.
    struct Edit: Sendable, Equatable {
        var time: Int64
        var author: UInt64
        var object: UInt64
        /// The team's bit, when the object is a team's policy.
        var team: UInt64
        var sequence: UInt64
        var isUsed = false
    }

    struct Rotation: Sendable, Equatable {
        var gaps = GapMemory()
        var actor: UInt64
        var name: String
    }

    static let mostActors = 8_000
    static let mostTokens = 50_000
    static let mostSecrets = 20_000
    static let mostSources = 1_000
    static let mostRefusals = 160
    static let mostEdits = 256
    static let mostRotations = 4_000
    static let mostTouches = 2_000

    var hash: SipHash
    var teamNames: [String] = []
    var actors: [UInt64: ActorProfile] = [:]
    var tokens: [UInt64: TokenBinding] = [:]
    /// Those before the last time that ``tokens`` was full.
    var olderTokens: [UInt64: TokenBinding] = [:]
    var secrets: [UInt64: SecretMemory] = [:]
    var sources: [UInt64: Source] = [:]
    var edits: [Edit] = []
    var rotations: [UInt64: Rotation] = [:]
    /// By identity and decoy.
    var touches: [UInt64: Touch] = [:]
    var begin: Int64 = 0
    var now: Int64 = 0
    /// Time of the newest event, which may be before ``now``.
    var lastTime: Int64 = 0
    var nextSequence: UInt64?
    var nextCheck: Int64 = 0
    /// When it was told last that records are out of order.
    var disorderTold: Int64 = 0
    /// Identities of people active in this hour and the one before.
    var peopleNow: [UInt64] = []
    var peopleBefore: [UInt64] = []
    var peopleHour: Int64 = 0
    /// Teams with somebody who edits rights.
    var nightTeams: UInt64 = 0

    init(hash: SipHash) { self.hash = hash }

    /// The bit of a team; 0 when there are more than 64.
    mutating func bit(ofTeam name: String) -> UInt64 {
        if let index = teamNames.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) { return 1 << UInt64(index) }
        guard teamNames.count < 64, name.utf8.count <= 256 else { return 0 }
        teamNames.append(name)
        return 1 << UInt64(teamNames.count - 1)
    }

    /// When it was told last that an identity touched a decoy.
    struct Touch: Sendable {
        var actor: UInt64
        var time: Int64
    }

    /// Whether it was not told within an hour that the identity touched the decoy; it counts as told then.
    mutating func touchesAnew(_ actor: UInt64, _ decoy: UInt64, at now: Int64) -> Bool {
        let key = actor ^ (decoy &* 0x9e37_79b9_7f4a_7c15)
        if let touch = touches[key], (0..<Span.hour).contains(now - touch.time) { return false }
        if touches[key] == nil, touches.count >= Self.mostTouches,
            let oldest = touches.min(by: { ($0.value.time, $0.key) < ($1.value.time, $1.key) })
        {
            touches[oldest.key] = nil
        }
        touches[key] = Touch(actor: actor, time: now)
        return true
    }

    /// Who was not seen for the longest time makes room for new ones, an eighth at once.
    mutating func makeRoomForActors() {
        guard actors.count >= Self.mostActors else { return }
        // Those with a history stay longer than those seen once.
        let ranked = actors.map { key, actor in
            (key: key, rank: actor.lastSeen &+ Int64(actor.activeDays) &* 4 &* Span.dayLength)
        }.sorted { ($0.rank, $0.key) < ($1.rank, $1.key) }
        for entry in ranked.prefix(Self.mostActors / 8) { actors[entry.key] = nil }
    }
}
