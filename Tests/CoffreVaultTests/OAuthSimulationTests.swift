import CoffreCatalogue
import CoffreWire
import Testing

@testable import CoffreVault

/// Ninety days of ten thousand grants of every provider of the catalogue, with what goes wrong in ninety days.
@Suite struct OAuthSimulationTests {
    private static let grants = 10_000
    private static let days: Int64 = 90

    private struct Provider {
        let lives: OAuthLifecycle.Lives
        let isRenewable: Bool
        let answers: Bool
        /// When it was away, in seconds from the start.
        var outage: Range<Int64> = 0..<0
    }

    private static func providers(_ dice: inout SeededGenerator) -> [Provider] {
        Catalogue.shared.connectors.compactMap { connector in
            guard let oauth = connector.oauth, connector.auth.contains(.authorizationCode) else { return nil }
            var provider = Provider(
                lives: OAuthGrant.lives(oauth, rotationDays: 30),
                isRenewable: !oauth.quirks.contains("no_refresh_token"),
                answers: !oauth.quirks.contains("no_expires_in")
            )
            let begin = Int64.random(in: 30 * 86_400..<60 * 86_400, using: &dice)
            // Each is away for some time; some of them for three days.
            let length: Int64 = [3600, 6 * 3600, 3 * 86_400].randomElement(using: &dice) ?? 3600
            provider.outage = begin..<begin + length
            return provider
        }
    }

    @Test func afterNinetyDaysEverythingThatCanBeRenewedIsYoungAndTheLoadWasFlat() {
        var dice = SeededGenerator(90)
        let providers = Self.providers(&dice)
        #expect(providers.count >= 25)
        let start = Timestamp(seconds: 1_800_000_000)
        let end = start.seconds + Self.days * 86_400
        var lives: [OAuthLifecycle] = []
        let heap = LeaseSchedule()
        for index in 0..<Self.grants {
            let provider = providers[index % providers.count]
            var life = OAuthLifecycle(lives: provider.lives, at: start)
            // All on one morning: the worst that can happen to the load.
            let now = start.adding(seconds: Int64.random(in: 0..<7200, using: &dice))
            _ = life.handle(.consented(Self.answer(provider)), at: now, using: &dice)
            lives.append(life)
            if let due = life.due { heap.push(.grant("\(index)"), at: due) }
        }
        var hours = [Int](repeating: 0, count: Int(Self.days * 24))
        var oldest: Int64 = 0
        var alerts = (degraded: 0, recovered: 0, lost: 0)
        for minute in 1...(Self.days * 24 * 60) {
            let now = start.adding(seconds: minute * 60)
            while case .grant(let name)? = heap.popDue(at: now), let index = Int(name) {
                let provider = providers[index % providers.count]
                for action in lives[index].handle(.due, at: now, using: &dice) {
                    guard case .refresh(let generation) = action else { continue }
                    hours[Int((now.seconds - start.seconds - 1) / 3600)] += 1
                    oldest = max(oldest, now.seconds - lives[index].renewed.seconds)
                    let event = Self.outcome(provider, now.seconds - start.seconds, generation, &dice)
                    for case .alert(let alert) in lives[index].handle(event, at: now, using: &dice) {
                        switch alert {
                        case .degraded: alerts.degraded += 1
                        case .recovered: alerts.recovered += 1
                        case .needsConsent: alerts.lost += 1
                        case .consentDue: break
                        }
                    }
                }
                if let due = lives[index].due { heap.push(.grant(name), at: max(due, now.adding(seconds: 1))) }
            }
        }
        let renewable = lives.indices.filter { providers[$0 % providers.count].isRenewable }
        let young = renewable.filter {
            lives[$0].state != .needsConsent && end - lives[$0].renewed.seconds <= 30 * 86_400
        }
        #expect(renewable.count > 9000 && young.count == renewable.count)
        #expect(alerts.lost == 0 && oldest <= 30 * 86_400)
        // A token lapses when its provider is asked later than the token's own life: none is.
        for index in renewable {
            guard let idle = lives[index].lives.refreshIdle else { continue }
            #expect(end - lives[index].renewed.seconds < idle)
        }
        // What was degraded has recovered, and was told of as often.
        #expect(alerts.degraded > 0 && alerts.recovered >= alerts.degraded)
        let mean = Double(hours.reduce(0, +)) / Double(hours.count)
        let most = Double(hours.max() ?? 0)
        #expect(most / mean < 4, "at most \(most) an hour, \(mean) on average")
    }

    private static func answer(_ provider: Provider) -> OAuthLifecycle.Answer {
        OAuthLifecycle.Answer(
            expiresIn: provider.answers ? provider.lives.access ?? 3600 : nil,
            renewal: provider.isRenewable ? .refreshToken : .none,
            isReplaced: provider.lives.rotates
        )
    }

    private static func outcome(
        _ provider: Provider,
        _ second: Int64,
        _ generation: Int64,
        _ dice: inout SeededGenerator
    ) -> OAuthLifecycle.Event {
        if provider.outage.contains(second) {
            return .failed(
                [.unreachable, .temporary].randomElement(using: &dice) ?? .temporary,
                retryAfter: nil,
                generation: generation
            )
        }
        switch Int.random(in: 0..<100, using: &dice) {
        case 0: return .failed(.temporary, retryAfter: 1800, generation: generation)
        case 1: return .failed(.busy, retryAfter: nil, generation: generation)
        case 2: return .unanswered(generation: generation)
        case 3: return .interrupted(generation: generation)
        default: return .refreshed(answer(provider), generation: generation)
        }
    }
}
