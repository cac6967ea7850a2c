internal import Glibc

/// Scores one series of numbers, in order, once: how unlike what came before each of them is. Below 4 KB, whatever the length.
///
/// What is expected is a slow level and, where days and weeks repeat, the profile of the time of day or the hour of the week, or
/// else the last values: whichever has been nearest of late. What is left over is looked at alone, over about eight values and
/// over about fifty, each against the long tail of its own past (a likelihood, after Ahmad et al. 2017, "Unsupervised real-time
/// anomaly detection for streaming data"), and the most unlikely counts.
package struct RateScore: Sendable {
    /// Values that are only learnt from.
    static let probation = 100

    private var count = 0
    private var time: Int64 = 0
    /// The mean of about a day, and of the last values.
    private var level = 0.0
    private var latest = 0.0
    private var day = Profile(slots: 96, period: 86_400)
    private var week = Profile(slots: 168, period: 7 * 86_400)
    private var ofLevel = Spread()
    private var ofLatest = Spread()
    private var alone = Tail()
    private var few = ShortMean(length: 8)
    private var many = ShortMean(length: 50)
    /// What was said last and fades: the same is not said again.
    private var held = 0.0

    package init() {}

    /// Takes the next value.
    /// - Parameters:
    ///   - value: finite; below 1e30 either way.
    ///   - time: seconds since 1970, not before the last.
    /// - Returns: 0 (as ever) to 1.
    package mutating func score(_ value: Double, at time: Int64) -> Double {
        if count == 0 { (level, latest, self.time) = (value, value, time) }
        count += 1
        let deviation = value - level
        let sudden = value - latest
        // Nearest of late: the slow level alone or with a profile; for a value by itself also the last values.
        var (rest, spread) = (deviation, ofLevel)
        if day.knows(time), day.spread.isNarrower(than: spread) {
            (rest, spread) = (day.rest(deviation, time), day.spread)
        }
        if week.knows(time), week.spread.isNarrower(than: spread) {
            (rest, spread) = (week.rest(deviation, time), week.spread)
        }
        let units = spread.units(rest)
        let byItself = ofLatest.isNarrower(than: spread) ? ofLatest.units(sudden) : units
        let most = max(alone.surprise(of: byItself), few.surprise(of: units), many.surprise(of: units))
        learn(value, deviation, sudden, time)
        guard count > Self.probation else { return 0 }
        held *= 0.996
        guard most > held else { return 0 }
        held = most
        return most / (most + 5)
    }

    private mutating func learn(_ value: Double, _ deviation: Double, _ sudden: Double, _ time: Int64) {
        ofLevel.learn(deviation)
        ofLatest.learn(sudden)
        day.learn(deviation, at: time)
        week.learn(deviation, at: time)
        let elapsed = Double(min(max(time - self.time, 0), 86_400)) / 86_400
        let rate = max(min(max(1 - exp(-elapsed), 0.002), 0.05), 1 / Double(min(count, 1_000)))
        level += rate * ofLevel.clipped(deviation)
        latest += 0.4 * sudden
        self.time = time
    }
}

/// The usual size of something that is around zero.
private struct Spread: Sendable {
    private var size = 0.0
    private var count = 0

    mutating func learn(_ value: Double) {
        count = min(count + 1, 300)
        size += (abs(clipped(value)) - size) / Double(count)
    }

    /// What is far out teaches no more than five times the usual.
    func clipped(_ value: Double) -> Double {
        let most = count < 30 ? Double.infinity : 5 * size
        return max(-most, min(most, value))
    }

    func units(_ value: Double) -> Double {
        guard size > 0 else { return value == 0 ? 0 : 100 }
        return max(-100, min(100, value / size))
    }

    func isNarrower(than other: Spread) -> Bool { count >= 100 && size < 0.8 * other.size }
}

/// What a time of the day or of the week adds to the level.
private struct Profile: Sendable {
    private var values: [Float]
    private var visits: [UInt8]
    private let period: Int64
    /// Where the last value fell: a visit may have several values.
    private var last = -1
    private(set) var spread = Spread()

    init(slots: Int, period: Int64) {
        values = Array(repeating: 0, count: slots)
        visits = Array(repeating: 0, count: slots)
        self.period = period
    }

    private func slot(at time: Int64) -> Int {
        Int((time % period + period) % period * Int64(values.count) / period)
    }

    func knows(_ time: Int64) -> Bool { visits[slot(at: time)] > 1 }

    /// What is left of a deviation from the level; a slot early or late is as good.
    func rest(_ deviation: Double, _ time: Int64) -> Double {
        let place = slot(at: time)
        var least = deviation - Double(values[place])
        for other in [place + 1, place + values.count - 1].map({ $0 % values.count }) where visits[other] > 1 {
            let rest = deviation - Double(values[other])
            if abs(rest) < abs(least) { least = rest }
        }
        return least
    }

    mutating func learn(_ deviation: Double, at time: Int64) {
        let place = slot(at: time)
        if visits[place] > 1 { spread.learn(rest(deviation, time)) }
        if place != last, visits[place] < 8 { visits[place] += 1 }
        last = place
        values[place] += Float(spread.clipped(deviation - Double(values[place])) / Double(visits[place] + 1))
    }
}

/// How rare a size is, by an exponential tail beyond the 98th percentile of its square root.
private struct Tail: Sendable {
    private var count = 0
    private var edge = 0.0
    private var excess = 0.2

    /// Judges a size, then learns it.
    /// - Returns: the negative logarithm of how often what is beyond the edge was as large; 0 within.
    mutating func surprise(of units: Double) -> Double {
        count = min(count + 1, 100)
        let beyond = abs(units).squareRoot() - edge
        let usual = excess
        edge += (beyond > 0 ? 0.98 : -0.02) / Double(count)
        guard beyond > 0 else { return 0 }
        excess += max(0.02, 1 / Double(count)) * (min(beyond, 4 * excess) - excess)
        return beyond / max(usual, 0.02)
    }
}

/// The mean of the last values, judged by its own past.
private struct ShortMean: Sendable {
    private let length: Double
    private var mean = 0.0
    private var tail = Tail()

    init(length: Double) { self.length = length }

    mutating func surprise(of units: Double) -> Double {
        mean += (max(-8, min(8, units)) - mean) / length
        return tail.surprise(of: mean * length.squareRoot())
    }
}
