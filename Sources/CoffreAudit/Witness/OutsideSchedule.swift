/// When to turn to something outside the host again. Seconds of `CLOCK_BOOTTIME`; no clock inside.
struct OutsideSchedule: Sendable, Equatable {
    /// Seconds after the first failure; doubled at each further one, to an hour at most.
    private static let firstPause: UInt64 = 5
    private static let longestPause: UInt64 = 3600

    /// Seconds between two successes.
    let period: UInt64
    private(set) var failures = 0
    private var next: UInt64 = 0

    init(period: UInt64) { self.period = period }

    func isDue(at now: UInt64) -> Bool { now >= next }

    mutating func succeeded(at now: UInt64) {
        failures = 0
        next = now + period
    }

    mutating func failed(at now: UInt64) {
        failures += 1
        next = now + min(Self.firstPause << UInt64(min(failures - 1, 20)), Self.longestPause)
    }

    /// Due at once.
    mutating func hurry() { next = 0 }
}
