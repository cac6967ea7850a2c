internal import CoffreWire

/// What becomes of an OAuth grant: events in, actions out. No clock, no input or output, no secrets.
///
/// It is never deleted by itself: a grant that no longer works waits for a person, and says why.
struct OAuthLifecycle: Sendable, Equatable {
    enum State: String, Sendable {
        case healthy
        /// A refresh is under way, or was when the vault stopped.
        case refreshing
        /// Refreshes fail and are tried again.
        case degraded
        /// Only a person can help.
        case needsConsent = "needs-consent"
        case revoked
    }

    /// How a new access token is had.
    enum Renewal: String, Sendable {
        case refreshToken = "refresh_token"
        /// The client asks in its own name.
        case client
        /// Not at all: only a new consent helps.
        case none
    }

    /// What is known of the provider, in seconds; nil when unpublished or without end.
    struct Lives: Sendable, Equatable {
        /// Of an access token whose answer does not say.
        var access: Int64?
        /// Of a refresh token that is not used.
        var refreshIdle: Int64?
        /// Of the whole grant since the consent: no refresh moves it.
        var grant: Int64?
        /// Whether a refresh replaces the refresh token. What is not published counts as yes.
        var rotates = true
        /// Days after which a credential should have been replaced.
        var rotationDays: Int64 = 30
    }

    /// What an answer with tokens says.
    struct Answer: Sendable, Equatable {
        /// Seconds.
        var expiresIn: Int64?
        /// Seconds.
        var refreshExpiresIn: Int64?
        var renewal: Renewal
        /// Whether a refresh token came that is another one.
        var isReplaced = true
    }

    enum Event: Sendable, Equatable {
        case consented(Answer)
        /// The time of ``due`` has come.
        case due
        /// Somebody needs a token that lives for so many more seconds.
        case wanted(left: Int64)
        /// Somebody wants a new token now, whatever the plan says.
        case forced
        /// A token was handed out.
        case used
        case refreshed(Answer, generation: Int64)
        case failed(OAuthProblem, retryAfter: Int64?, generation: Int64)
        /// Nobody knows what became of a refresh: its answer is nowhere.
        case lost(generation: Int64)
        /// The broker is not there; an answer may still be with it.
        case unanswered(generation: Int64)
        /// The vault stopped before the request left.
        case interrupted(generation: Int64)
        /// What the grant was given to is not there any more: another client, another host.
        case voided(String)
        /// The key that signs for it is another one: what was had by the old one is not handed out any more.
        case rekeyed
        case revoked
    }

    enum Action: Sendable, Equatable {
        /// Ask the provider, for this generation.
        case refresh(generation: Int64)
        case alert(Alert)
    }

    /// Told once, at the transition.
    enum Alert: Sendable, Equatable {
        case degraded(String)
        case needsConsent(String)
        case recovered
        /// A new consent is needed within so many days; 0: it is overdue.
        case consentDue(days: Int64)
    }

    private(set) var state = State.healthy
    /// Counts the pairs of tokens: what was asked for with one counts for nothing once there is another.
    private(set) var generation: Int64 = 0
    private(set) var renewal = Renewal.none
    private(set) var consented: Timestamp
    /// When the newest tokens came.
    private(set) var renewed: Timestamp
    /// Since when the refresh token is the one that it is.
    private(set) var replaced: Timestamp
    /// Nil for a token without end.
    private(set) var accessEnds: Timestamp?
    /// Life of the access token, told or assumed; nil without end.
    private(set) var accessLife: Int64?
    /// Life of an unused refresh token, as the provider's answer said.
    private(set) var refreshLife: Int64?
    /// Failures in a row.
    private(set) var attempts: Int64 = 0
    /// Why it does not work; a sentence without secrets.
    private(set) var reason: String?
    /// Next refresh by itself.
    private(set) var next: Timestamp?
    /// Whether the newest access token was handed out.
    private(set) var isUsed = false
    /// Whether the provider may have replaced the refresh token without our knowing.
    private(set) var isUnsure = false
    /// Until then nobody asks the provider again, whoever wants it.
    private(set) var held: Timestamp?
    /// Whether an alert of failures stands that a recovery takes back.
    private(set) var isAlarmed = false
    /// The smallest number of days that was told of.
    private(set) var warned: Int64?
    var lives: Lives

    /// A grant that was not given yet.
    init(lives: Lives, at now: Timestamp) {
        self.lives = lives
        (consented, renewed, replaced) = (now, now, now)
        state = .needsConsent
    }

    private static let day: Int64 = 86_400
    private static let warnings: [Int64] = [7, 3, 1, 0]
    /// Where neither the answer nor the catalogue says how long an access token lives: an hour is what most give.
    private static let assumedLife: Int64 = 3600
    /// Failures in a row after which it is told.
    private static let patience: Int64 = 2

    /// Whether tokens are handed out.
    var isUsable: Bool { state != .revoked && generation > 0 }

    /// Whether the tokens of `former` were voided since.
    func isVoided(since former: OAuthLifecycle) -> Bool {
        state == .needsConsent && former.state != .needsConsent && generation != former.generation
    }

    /// Seconds that the access token has left; nil without end.
    func left(at now: Timestamp) -> Int64? { accessEnds.map { $0.seconds - now.seconds } }

    /// What a caller gets at least, unless the provider is away.
    var leastLeft: Int64 { min(60, (accessLife ?? 240) / 4) }

    /// Longest time without a refresh: a third of the refresh token's known life, seven days at most for short or unknown
    /// ones, and in any case so that five of the thirty days are left for a provider that is away.
    var keepAlive: Int64 {
        guard let known = refreshLife ?? lives.refreshIdle else { return 7 * Self.day }
        return max(60, min(known / 3, known <= 31 * Self.day ? 7 * Self.day : 25 * Self.day))
    }

    /// When only a new consent helps: the provider's absolute limit, or the age of a token that no refresh replaces.
    var consentDue: Timestamp? {
        guard state != .revoked, generation > 0, renewal != .client else { return nil }
        var ends = lives.grant.map { [consented.adding(seconds: $0)] } ?? []
        if renewal == .none || !lives.rotates {
            ends.append(replaced.adding(seconds: lives.rotationDays * Self.day))
        }
        if renewal == .none, let accessEnds { ends.append(accessEnds) }
        return ends.min()
    }

    /// When something has to be done: a refresh, or a warning.
    var due: Timestamp? {
        let warning = consentDue.flatMap { end in
            Self.warnings.first { $0 < warned ?? .max }.map { end.adding(seconds: -$0 * Self.day) }
        }
        return [state == .refreshing ? nil : next, warning].compactMap(\.self).min()
    }

    mutating func handle(
        _ event: Event,
        at now: Timestamp,
        using random: inout some RandomNumberGenerator
    ) -> [Action] {
        switch event {
        case .consented(let answer):
            take(answer, at: now)
            let isRecovery = isAlarmed || warned != nil
            (consented, replaced, warned, isAlarmed) = (now, now, nil, false)
            plan(isFirst: true, at: now, &random)
            return isRecovery ? [.alert(.recovered)] : []
        case .due:
            // A clock that was set back must not put a refresh off for longer than its interval.
            if let next, next > now.adding(seconds: keepAlive), attempts == 0 {
                self.next = now.adding(seconds: Self.share(keepAlive, 0.85...1, &random))
            }
            let warnings = warning(at: now)
            guard let next, next <= now else { return warnings }
            return warnings + begin()
        case .wanted(let least):
            guard let left = left(at: now), left < least, held ?? now <= now else { return [] }
            return begin()
        case .forced: return begin()
        case .used:
            guard !isUsed, generation > 0 else { return [] }
            isUsed = true
            if state == .healthy, attempts == 0, renewal != .none, let accessLife {
                let ahead = renewed.adding(seconds: Self.share(accessLife, 0.7...0.85, &random))
                next = min(next ?? ahead, max(ahead, now))
            }
            return []
        case .refreshed(let answer, let generation):
            guard isCurrent(generation) else { return [] }
            take(answer, at: now)
            if answer.isReplaced { replaced = now }
            plan(isFirst: false, at: now, &random)
            return recovery()
        case .failed(let problem, let retryAfter, let generation):
            guard isCurrent(generation) else { return [] }
            return fail(problem, retryAfter, at: now, &random)
        case .lost(let generation):
            guard isCurrent(generation) else { return [] }
            isUnsure = renewal == .refreshToken && lives.rotates
            return retry("the answer to a refresh was lost", isTemporary: true, nil, at: now, &random)
        case .unanswered(let generation):
            guard isCurrent(generation) else { return [] }
            return retry("the broker is not available", isTemporary: true, nil, at: now, &random)
        case .interrupted(let generation):
            guard isCurrent(generation) else { return [] }
            return retry("a refresh was interrupted", isTemporary: true, nil, at: now, &random)
        case .voided(let reason):
            generation += 1
            (renewal, accessEnds, next) = (.none, now, nil)
            return needConsent(reason)
        case .rekeyed:
            guard isUsable, state != .needsConsent else { return [] }
            generation += 1
            (state, attempts, reason, held, accessEnds, next) = (.healthy, 0, nil, nil, now, now)
            return recovery()
        case .revoked:
            generation += 1
            (state, next, reason) = (.revoked, nil, nil)
            return []
        }
    }

    // MARK: steps

    private func isCurrent(_ generation: Int64) -> Bool {
        generation == self.generation && state != .revoked && state != .needsConsent
    }

    private mutating func begin() -> [Action] {
        guard state == .healthy || state == .degraded, renewal != .none else { return [] }
        state = .refreshing
        return [.refresh(generation: generation)]
    }

    private mutating func take(_ answer: Answer, at now: Timestamp) {
        generation += 1
        (state, attempts, reason, isUsed, isUnsure, held) = (.healthy, 0, nil, false, false, nil)
        (renewal, renewed) = (answer.renewal, now)
        // Some write 0 for a token without end, or when they do not know.
        func told(_ seconds: Int64?) -> Int64? { seconds.flatMap { $0 > 0 ? $0 : nil } }
        accessLife = told(answer.expiresIn) ?? lives.access ?? (answer.renewal == .none ? nil : Self.assumedLife)
        accessEnds = accessLife.map { now.adding(seconds: $0) }
        refreshLife = told(answer.refreshExpiresIn)
    }

    /// What is not used waits for its keep-alive; a client needs none.
    private mutating func plan(isFirst: Bool, at now: Timestamp, _ random: inout some RandomNumberGenerator) {
        // The first one anywhere in the interval, so that what was connected together does not stay together.
        next =
            renewal == .refreshToken
            ? now.adding(seconds: Self.share(keepAlive, (isFirst ? 0.1 : 0.85)...1, &random)) : nil
    }

    private mutating func recovery() -> [Action] {
        guard isAlarmed else { return [] }
        isAlarmed = false
        return [.alert(.recovered)]
    }

    private mutating func needConsent(_ text: String) -> [Action] {
        (state, reason, next, isAlarmed) = (.needsConsent, text, nil, true)
        return [.alert(.needsConsent(text))]
    }

    private mutating func fail(
        _ problem: OAuthProblem,
        _ retryAfter: Int64?,
        at now: Timestamp,
        _ random: inout some RandomNumberGenerator
    ) -> [Action] {
        switch problem {
        case .invalidGrant where renewal == .refreshToken && isUnsure:
            attempts += 1
            return needConsent(
                "the answer to a refresh was lost, and the provider no longer accepts the token from before: connect again"
            )
        case .invalidGrant where renewal == .refreshToken, .accessDenied where renewal == .refreshToken,
            .expiredToken where renewal == .refreshToken:
            attempts += 1
            return needConsent(problem.sentence)
        default:
            if problem.mayHaveHappened, problem != .temporary { isUnsure = renewal == .refreshToken && lives.rotates }
            return retry(problem.sentence, isTemporary: problem.isTemporary, retryAfter, at: now, &random)
        }
    }

    /// Tried again after 30 s, 1, 2, 4 … 60 minutes, of which nobody in need of it waits for more than one; after up to 6 hours
    /// where nobody uses it, or somebody has to put something right.
    private mutating func retry(
        _ text: String,
        isTemporary: Bool,
        _ retryAfter: Int64?,
        at now: Timestamp,
        _ random: inout some RandomNumberGenerator
    ) -> [Action] {
        attempts += 1
        reason = text
        let (first, most): (Int64, Int64) = isTemporary ? (30, isUsed ? 3600 : 21_600) : (600, 21_600)
        let delay = min(most, first << min(attempts - 1, 10))
        var wait = Self.share(delay, 0.5...1, &random)
        if let retryAfter {
            // Nobody is told to stay away for longer than a day.
            let asked = max(0, min(retryAfter, Self.day))
            wait = max(wait, asked + Self.share(min(asked, 3600), 0...0.25, &random))
        }
        next = now.adding(seconds: wait)
        held = now.adding(seconds: retryAfter == nil ? min(wait, 60) : wait)
        let isLate = left(at: now).map { $0 <= 0 } ?? false
        state = attempts >= Self.patience || isLate || isAlarmed ? .degraded : .healthy
        guard state == .degraded, !isAlarmed else { return [] }
        isAlarmed = true
        return [.alert(.degraded(text))]
    }

    private mutating func warning(at now: Timestamp) -> [Action] {
        guard let end = consentDue else { return [] }
        let left = end.seconds - now.seconds
        let told = Self.warnings.last { left <= $0 * Self.day }
        guard let told, told < warned ?? .max else { return [] }
        warned = told
        return [.alert(.consentDue(days: told))]
    }

    private static func share(
        _ seconds: Int64,
        _ range: ClosedRange<Double>,
        _ random: inout some RandomNumberGenerator
    ) -> Int64 {
        Int64(Double(seconds) * Double.random(in: range, using: &random))
    }
}

// MARK: storage form

extension OAuthLifecycle {
    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("state", .string(state.rawValue)), .init("generation", .integer(generation)),
            .init("renewal", .string(renewal.rawValue)), .init("consented", .integer(consented.nanoseconds)),
            .init("renewed", .integer(renewed.nanoseconds)), .init("replaced", .integer(replaced.nanoseconds)),
            .init("attempts", .integer(attempts)), .init("used", .bool(isUsed)), .init("unsure", .bool(isUnsure)),
            .init("alarmed", .bool(isAlarmed)),
        ]
        for (name, number) in [
            ("ends", accessEnds?.nanoseconds), ("life", accessLife), ("refresh_life", refreshLife),
            ("next", next?.nanoseconds), ("held", held?.nanoseconds), ("warned", warned),
        ] {
            if let number { members.append(.init(name, .integer(number))) }
        }
        if let reason { members.append(.init("reason", .string(reason))) }
        return .object(members)
    }

    init?(json value: JSONValue, lives: Lives) {
        guard let state = value["state"]?.string.flatMap({ State(rawValue: $0) }),
            let renewal = value["renewal"]?.string.flatMap({ Renewal(rawValue: $0) }),
            let generation = value["generation"]?.integer, let consented = value["consented"]?.integer,
            let renewed = value["renewed"]?.integer, let replaced = value["replaced"]?.integer
        else { return nil }
        self.init(lives: lives, at: Timestamp(nanoseconds: consented))
        (self.state, self.renewal, self.generation) = (state, renewal, generation)
        (self.renewed, self.replaced) = (Timestamp(nanoseconds: renewed), Timestamp(nanoseconds: replaced))
        attempts = value["attempts"]?.integer ?? 0
        isUsed = value["used"]?.bool ?? false
        isUnsure = value["unsure"]?.bool ?? false
        isAlarmed = value["alarmed"]?.bool ?? false
        accessEnds = value["ends"]?.integer.map { Timestamp(nanoseconds: $0) }
        accessLife = value["life"]?.integer
        refreshLife = value["refresh_life"]?.integer
        next = value["next"]?.integer.map { Timestamp(nanoseconds: $0) }
        held = value["held"]?.integer.map { Timestamp(nanoseconds: $0) }
        warned = value["warned"]?.integer
        reason = value["reason"]?.string
    }
}
