import CoffreWire
import Testing

@testable import CoffreVault

/// The life of a grant: what follows from what happens to it.
@Suite struct OAuthLifecycleTests {
    static let day: Int64 = 86_400
    static let start = Timestamp(seconds: 1_800_000_000)

    /// A grant, its clock and its dice.
    struct Grant {
        var life: OAuthLifecycle
        var now = OAuthLifecycleTests.start
        var random = SeededGenerator(7)

        init(_ lives: OAuthLifecycle.Lives = OAuthLifecycle.Lives()) {
            life = OAuthLifecycle(lives: lives, at: OAuthLifecycleTests.start)
        }

        mutating func tell(_ event: OAuthLifecycle.Event) -> [OAuthLifecycle.Action] {
            life.handle(event, at: now, using: &random)
        }

        mutating func pass(_ seconds: Int64) { now = now.adding(seconds: seconds) }

        /// Until something is due.
        mutating func wait() { if let due = life.due, due > now { now = due } }

        mutating func fail(_ problem: OAuthProblem, retryAfter: Int64? = nil) -> [OAuthLifecycle.Action] {
            tell(.failed(problem, retryAfter: retryAfter, generation: life.generation))
        }
    }

    static func answer(_ expires: Int64? = 3600, _ renewal: OAuthLifecycle.Renewal = .refreshToken)
        -> OAuthLifecycle.Answer
    { OAuthLifecycle.Answer(expiresIn: expires, renewal: renewal) }

    static func connected(
        _ lives: OAuthLifecycle.Lives = OAuthLifecycle.Lives(),
        _ answer: OAuthLifecycle.Answer = answer()
    ) -> Grant {
        var grant = Grant(lives)
        _ = grant.tell(.consented(answer))
        return grant
    }

    @Test func nothingHappensBeforeAConsent() {
        var grant = Grant()
        #expect(grant.life.state == .needsConsent && !grant.life.isUsable && grant.life.due == nil)
        for event in [OAuthLifecycle.Event.due, .wanted(left: 60), .forced, .used] { #expect(grant.tell(event) == []) }
        #expect(grant.tell(.consented(Self.answer())) == [])
        #expect(grant.life.state == .healthy && grant.life.generation == 1 && grant.life.left(at: grant.now) == 3600)
    }

    @Test func aRefreshBeginsOnceAndEndsInANewGeneration() {
        var grant = Self.connected()
        grant.wait()
        #expect(grant.tell(.due) == [.refresh(generation: 1)] && grant.life.state == .refreshing)
        // Whoever comes meanwhile gets none of their own.
        for event in [OAuthLifecycle.Event.due, .wanted(left: 9999), .forced] { #expect(grant.tell(event) == []) }
        #expect(grant.tell(.refreshed(Self.answer(), generation: 1)) == [])
        #expect(grant.life.state == .healthy && grant.life.generation == 2 && grant.life.renewed == grant.now)
    }

    @Test func anAnswerOfAnotherGenerationCountsForNothing() {
        var grant = Self.connected()
        _ = grant.tell(.forced)
        let before = grant.life
        for event in [
            OAuthLifecycle.Event.refreshed(Self.answer(), generation: 0), .lost(generation: 2),
            .unanswered(generation: 0),
            .failed(.invalidGrant, retryAfter: nil, generation: 0), .interrupted(generation: 5),
        ] {
            #expect(grant.tell(event) == [])
            #expect(grant.life == before)
        }
    }

    @Test func whatIsUsedIsRefreshedAheadAndWhatIsNotWaits() throws {
        var grant = Self.connected(OAuthLifecycle.Lives(refreshIdle: 90 * Self.day))
        let idle = try #require(grant.life.due)
        #expect(idle.seconds - grant.now.seconds > 2 * Self.day)
        #expect(grant.tell(.used) == [])
        let ahead = try #require(grant.life.due).seconds - grant.now.seconds
        #expect((2520...3060).contains(ahead))
        // Once used is enough.
        let before = grant.life
        _ = grant.tell(.used)
        #expect(grant.life == before)
    }

    private static let lives: [(Int64, Int64)] = [
        (604_800, 201_600), (30 * 86_400, 7 * 86_400), (31 * 86_400, 7 * 86_400), (60 * 86_400, 20 * 86_400),
        (90 * 86_400, 25 * 86_400), (365 * 86_400, 25 * 86_400), (600, 200),
    ]

    @Test(arguments: lives)
    func aRefreshTokenIsUsedAtAThirdOfItsLife(_ life: Int64, _ most: Int64) {
        #expect(Self.connected(OAuthLifecycle.Lives(refreshIdle: life)).life.keepAlive == most)
        // The answer wins over the catalogue.
        let told = OAuthLifecycle.Answer(expiresIn: 60, refreshExpiresIn: life, renewal: .refreshToken)
        #expect(Self.connected(OAuthLifecycle.Lives(refreshIdle: 1), told).life.keepAlive == most)
    }

    @Test func anUnknownLifeMeansSevenDaysAndNotNever() {
        #expect(Self.connected().life.keepAlive == 7 * Self.day)
        let silent = Self.connected(OAuthLifecycle.Lives(), Self.answer(nil))
        #expect(silent.life.left(at: silent.now) == 3600 && silent.life.due != nil)
        let catalogued = Self.connected(OAuthLifecycle.Lives(access: 300), Self.answer(nil))
        #expect(catalogued.life.left(at: catalogued.now) == 300)
        // Zero is how some say that they do not know, or that there is no end.
        let zero = OAuthLifecycle.Answer(expiresIn: 0, refreshExpiresIn: 0, renewal: .refreshToken)
        let vague = Self.connected(OAuthLifecycle.Lives(), zero)
        #expect(vague.life.left(at: vague.now) == 3600 && vague.life.keepAlive == 7 * Self.day)
        let endless = Self.connected(OAuthLifecycle.Lives(), Self.answer(nil, .none))
        #expect(endless.life.left(at: endless.now) == nil && endless.life.isUsable)
    }

    @Test func oneFailureIsQuietAndAlertsComeOncePerTransition() {
        var grant = Self.connected()
        _ = grant.tell(.forced)
        #expect(grant.fail(.unreachable) == [] && grant.life.state == .healthy && grant.life.attempts == 1)
        var alerts: [OAuthLifecycle.Action] = []
        var last: Int64 = 0
        for _ in 0..<40 {
            grant.wait()
            let begun = grant.tell(.due)
            #expect(begun == [.refresh(generation: 1)])
            alerts += grant.fail(.temporary)
            let wait = (grant.life.next?.seconds ?? 0) - grant.now.seconds
            #expect((0...21_600).contains(wait))
            last = wait
        }
        #expect(alerts == [.alert(.degraded(OAuthProblem.temporary.sentence))] && last >= 10_800)
        // Who needs it does not wait for as long, and does not ask all the time either.
        #expect(grant.tell(.wanted(left: 9999)) == [])
        grant.pass(60)
        #expect(grant.tell(.wanted(left: 9999)) == [.refresh(generation: 1)])
        _ = grant.fail(.temporary)
        grant.wait()
        _ = grant.tell(.due)
        #expect(grant.tell(.refreshed(Self.answer(), generation: 1)) == [.alert(.recovered)])
        #expect(grant.life.attempts == 0 && grant.life.reason == nil)
        grant.wait()
        _ = grant.tell(.due)
        #expect(grant.tell(.refreshed(Self.answer(), generation: 2)) == [])
    }

    @Test func retryAfterIsKeptAndNobodyWaitsForLongerThanADay() throws {
        var grant = Self.connected()
        for (asked, least, most) in [
            (Int64(7200), Int64(7200), Int64(8100)), (10_000_000, 86_400, 87_300), (-5, 0, 30),
        ] {
            _ = grant.tell(.consented(Self.answer()))
            _ = grant.tell(.forced)
            _ = grant.fail(.temporary, retryAfter: asked)
            let wait = try #require(grant.life.next).seconds - grant.now.seconds
            #expect((least...most).contains(wait), "\(asked): \(wait)")
            // Callers do not break it.
            grant.pass(3590)
            if asked > 3600 { #expect(grant.tell(.wanted(left: 60)) == []) }
        }
    }

    @Test(arguments: OAuthProblem.allCases)
    func everyProblemHasAnEnd(_ problem: OAuthProblem) {
        var grant = Self.connected()
        _ = grant.tell(.forced)
        let actions = grant.fail(problem)
        if [.invalidGrant, .accessDenied, .expiredToken].contains(problem) {
            #expect(grant.life.state == .needsConsent && actions == [.alert(.needsConsent(problem.sentence))])
            #expect(grant.tell(.due) == [] && grant.tell(.forced) == [] && grant.tell(.wanted(left: 9999)) == [])
            // Kept, and mended by a person alone.
            #expect(grant.life.isUsable && grant.life.reason == problem.sentence)
            #expect(grant.tell(.consented(Self.answer())) == [.alert(.recovered)] && grant.life.state == .healthy)
        } else {
            #expect(grant.life.state == .healthy && grant.life.next != nil && grant.life.reason == problem.sentence)
        }
    }

    @Test func aClientIsNeverOutOfConsent() {
        var grant = Self.connected(OAuthLifecycle.Lives(), Self.answer(60, .client))
        #expect(grant.life.due == nil && grant.life.consentDue == nil)
        grant.pass(70)
        #expect(grant.tell(.wanted(left: 15)) == [.refresh(generation: 1)])
        #expect(grant.fail(.invalidGrant).count == 1 && grant.life.state == .degraded && grant.life.next != nil)
    }

    @Test func aLostAnswerIsTriedAgainAndNamedWhenItWasTheEnd() {
        var grant = Self.connected()
        _ = grant.tell(.forced)
        _ = grant.tell(.lost(generation: 1))
        #expect(grant.life.isUnsure && grant.life.state == .healthy)
        grant.wait()
        #expect(grant.tell(.due) == [.refresh(generation: 1)])
        _ = grant.fail(.invalidGrant)
        #expect(grant.life.state == .needsConsent && grant.life.reason?.contains("was lost") == true)
        // Where nothing is replaced, nothing can be lost.
        var fixed = Self.connected(OAuthLifecycle.Lives(rotates: false))
        _ = fixed.tell(.forced)
        _ = fixed.tell(.lost(generation: 1))
        #expect(!fixed.life.isUnsure)
        // A request that never left is no lost answer.
        var early = Self.connected()
        _ = early.tell(.forced)
        _ = early.tell(.interrupted(generation: 1))
        #expect(!early.life.isUnsure && early.life.next != nil)
    }

    @Test func absoluteLimitsAreToldOfSevenThreeAndOneDaysAheadAndAfter() throws {
        var grant = Self.connected(OAuthLifecycle.Lives(refreshIdle: 90 * Self.day, grant: 365 * Self.day))
        var days: [Int64] = []
        var told: [Int64] = []
        while grant.now.seconds < Self.start.seconds + 370 * Self.day {
            guard let due = grant.life.due else { break }
            grant.now = max(grant.now, due)
            for action in grant.tell(.due) {
                switch action {
                case .refresh(let generation): _ = grant.tell(.refreshed(Self.answer(), generation: generation))
                case .alert(.consentDue(let left)):
                    told.append(left)
                    days.append((grant.now.seconds - Self.start.seconds) / Self.day)
                case .alert: break
                }
            }
        }
        #expect(told == [7, 3, 1, 0] && days == [358, 362, 364, 365])
        #expect(grant.tell(.consented(Self.answer())) == [.alert(.recovered)] && grant.life.warned == nil)
    }

    @Test func aTokenThatNoRefreshReplacesNeedsAConsentEveryThirtyDays() {
        var lives = OAuthLifecycle.Lives(refreshIdle: 180 * Self.day)
        lives.rotates = false
        var grant = Self.connected(lives)
        #expect(grant.life.consentDue == Self.start.adding(seconds: 30 * Self.day))
        grant.pass(24 * Self.day)
        let actions = grant.tell(.due)
        #expect(actions.contains(.alert(.consentDue(days: 7))) && actions.contains(.refresh(generation: 1)))
        // One that is replaced starts anew.
        let moving = Self.connected(OAuthLifecycle.Lives(refreshIdle: 180 * Self.day))
        #expect(moving.life.consentDue == nil)
    }

    @Test func clocksMayJump() throws {
        var grant = Self.connected(OAuthLifecycle.Lives(refreshIdle: 90 * Self.day))
        grant.pass(-400 * Self.day)
        #expect(grant.tell(.due) == [])
        #expect(try #require(grant.life.due).seconds - grant.now.seconds <= grant.life.keepAlive)
        grant.pass(4000 * Self.day)
        #expect(grant.tell(.due) == [.refresh(generation: 1)])
        _ = grant.tell(.refreshed(Self.answer(), generation: 1))
        #expect(grant.life.left(at: grant.now) == 3600)
    }

    @Test func whatIsVoidedOrRevokedTakesNoAnswer() {
        var voided = Self.connected()
        _ = voided.tell(.forced)
        #expect(voided.tell(.voided("other client")) == [.alert(.needsConsent("other client"))])
        #expect(voided.tell(.refreshed(Self.answer(), generation: 1)) == [] && voided.life.state == .needsConsent)
        #expect(voided.life.left(at: voided.now) == 0)
        var revoked = Self.connected()
        _ = revoked.tell(.forced)
        #expect(revoked.tell(.revoked) == [] && revoked.life.state == .revoked && !revoked.life.isUsable)
        #expect(revoked.tell(.refreshed(Self.answer(), generation: 1)) == [] && revoked.tell(.due) == [])
    }

    /// Any events in any order: no crash, generations only grow, an alert is never given twice, and the stored form holds all.
    @Test(arguments: 1...20)
    func nothingBreaksIt(_ seed: Int) throws {
        var dice = SeededGenerator(UInt64(seed))
        var lives = OAuthLifecycle.Lives(refreshIdle: seed.isMultiple(of: 2) ? nil : 20 * Self.day)
        lives.rotates = !seed.isMultiple(of: 3)
        var grant = Grant(lives)
        var last: OAuthLifecycle.Action?
        for _ in 0..<3000 {
            let generation = grant.life.generation - (Int.random(in: 0..<8, using: &dice) == 0 ? 1 : 0)
            let problem = OAuthProblem.allCases.randomElement(using: &dice) ?? .refused
            let renewal =
                [OAuthLifecycle.Renewal.refreshToken, .refreshToken, .client, .none]
                .randomElement(using: &dice) ?? .none
            let answer = OAuthLifecycle.Answer(
                expiresIn: [nil, 0, 60, 3600, 3_155_760_000].randomElement(using: &dice) ?? nil,
                refreshExpiresIn: [nil, nil, 0, 86_400, 3_155_760_000].randomElement(using: &dice) ?? nil,
                renewal: renewal,
                isReplaced: Bool.random(using: &dice)
            )
            let events: [OAuthLifecycle.Event] = [
                .due, .due, .due, .wanted(left: 60), .forced, .used, .refreshed(answer, generation: generation),
                .refreshed(answer, generation: generation), .lost(generation: generation),
                .interrupted(generation: generation),
                .unanswered(generation: generation), .failed(problem, retryAfter: nil, generation: generation),
                .consented(answer), .voided("v"), Int.random(in: 0..<20, using: &dice) == 0 ? .revoked : .due,
            ]
            let before = grant.life.generation
            let wasWarned = grant.life.warned != nil
            for case .alert(let alert) in grant.tell(events.randomElement(using: &dice) ?? .due) {
                switch alert {
                case .recovered: #expect(wasWarned || last != nil && last != .alert(.recovered))
                case .degraded: #expect(last == nil || last == .alert(.recovered))
                case .needsConsent: break
                case .consentDue(let days):
                    #expect([7, 3, 1, 0].contains(days))
                    continue
                }
                last = .alert(alert)
            }
            #expect(grant.life.generation >= before)
            #expect(grant.life.state != .revoked || grant.life.due == nil)
            #expect(OAuthLifecycle(json: grant.life.json, lives: lives) == grant.life)
            if Bool.random(using: &dice) { grant.wait() }
            grant.pass(Int64.random(in: -100...40_000, using: &dice))
        }
    }
}
