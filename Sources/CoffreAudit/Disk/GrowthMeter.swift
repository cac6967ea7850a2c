/// How fast the log grows: bytes by hour, over the last seven days.
struct GrowthMeter {
    private static let hoursKept: Int64 = 7 * 24
    /// So much is taken to have passed at least: a burst just after the start is no forecast.
    private static let leastHours: Int64 = 6

    private var hours: [Int64: Int] = [:]
    /// The first hour that is known of.
    private var first: Int64?

    /// - Parameter hour: of a clock that nobody sets; negative before the boot.
    mutating func add(_ bytes: Int, at hour: Int64) {
        first = min(first ?? hour, hour)
        guard bytes > 0 else { return }
        hours[hour, default: 0] += bytes
        if hours.count > Int(Self.hoursKept) + 24 {
            hours = hours.filter { $0.key > hour - Self.hoursKept }
        }
    }

    /// The faster of two speeds, that of the last day and that of the last seven, in bytes; nil before the first hour.
    func perDay(at hour: Int64) -> Int? {
        guard let first else { return nil }
        return max(speed(over: 24, at: hour, first), speed(over: Self.hoursKept, at: hour, first))
    }

    private func speed(over span: Int64, at hour: Int64, _ first: Int64) -> Int {
        let bytes = hours.reduce(0) { $1.key > hour - span && $1.key <= hour ? $0 + $1.value : $0 }
        let passed = max(Self.leastHours, min(span, hour - first + 1))
        return Int(clamping: Int64(bytes) / passed * 24)
    }
}
