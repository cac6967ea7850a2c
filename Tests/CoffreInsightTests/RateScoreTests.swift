import Testing

@testable import CoffreInsight

struct RateScoreTests {
    /// A day of 288 values that repeats, with noise that is always the same.
    private struct Days {
        var random: UInt64 = 7

        mutating func value(_ index: Int) -> Double {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let noise = Double(random >> 40) / Double(1 << 24) - 0.5
            return (index % 288 / 12 >= 8 && index % 288 / 12 < 18 ? 60 : 20) + 4 * noise
        }
    }

    private func scores(_ count: Int, _ change: (Int, Double) -> Double = { $1 }) -> [Double] {
        var (days, score) = (Days(), RateScore())
        return (0..<count).map { score.score(change($0, days.value($0)), at: 1_700_006_400 + Int64($0) * 300) }
    }

    @Test func aDayThatRepeatsIsUsual() {
        let scores = scores(288 * 14)
        #expect(scores.prefix(RateScore.probation).allSatisfy { $0 == 0 })
        #expect(
            scores.dropFirst(288 * 7).allSatisfy { (0...0.5).contains($0) },
            "\(scores.dropFirst(288 * 7).max() ?? 0)"
        )
    }

    @Test func aSpikeAHoleAndAShiftAreNot() throws {
        let place = 288 * 10 + 150
        let usual = try #require(scores(place + 300).dropFirst(288 * 7).max())
        let changes: [(Int, Double) -> Double] = [
            { $0 == place ? $1 + 30 : $1 }, { (place..<place + 100).contains($0) ? 20 : $1 },
            { $0 >= place ? $1 + 15 : $1 },
        ]
        for change in changes {
            let scores = scores(place + 300, change)
            let told = try #require(scores[place..<place + 20].max())
            #expect(told > 0.4 && told > usual + 0.3, "\(told), usually \(usual)")
            // The same once, not for as long as it lasts.
            #expect(scores[place...].count { $0 > 0.4 } < 6)
        }
    }

    @Test func theScoreOfARowDependsOnNothingLater() {
        #expect(scores(1000) == Array(scores(2000, { $0 < 1000 ? $1 : -$1 }).prefix(1000)))
    }

    @Test func noNumberLeavesTheRange() {
        var (score, random) = (RateScore(), SystemRandomNumberGenerator())
        var time: Int64 = -86_400
        for index in 0..<20_000 {
            let hostile: [Double] = [0, -0.0, 9e29, -9e29, .leastNonzeroMagnitude, 1, -1, .random(in: -1...1)]
            let value = index < 5000 ? 3 : hostile[Int.random(in: 0..<hostile.count, using: &random)]
            time += [0, 1, 300, 86_400, 7_258_118_400 / 20_000].randomElement() ?? 0
            let result = score.score(value, at: time)
            #expect((0...1).contains(result), "\(result) at \(index)")
            guard (0...1).contains(result) else { return }
        }
    }

    @Test(arguments: [
        ("2026-01-07 08:12:03,14.5", 1_767_773_523_000_000_000),
        ("2026-01-07T08:12:03Z,14.5", 1_767_773_523_000_000_000),
        ("2026-01-07t10:12:03.25+02:00,14.5", 1_767_773_523_250_000_000),
        ("2026-01-07 02:42:03-05:30,14.5", 1_767_773_523_000_000_000),
    ])
    func timesAreReadAsTheyAreWritten(_ text: String, _ time: Int64) {
        #expect(Array(text.utf8).withUnsafeBytes { SeriesRow.parse($0) } == SeriesRow(time: time, value: 14.5))
    }
}
