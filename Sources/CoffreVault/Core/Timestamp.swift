/// A moment of the wall clock: nanoseconds since 1970-01-01T00:00:00Z.
package struct Timestamp: Sendable, Hashable, Comparable {
    package let nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package init(seconds: Int64) { nanoseconds = seconds &* 1_000_000_000 }

    /// Whole seconds since 1970, rounded down.
    package var seconds: Int64 {
        nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : (nanoseconds - 999_999_999) / 1_000_000_000
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }

    package func adding(seconds: Int64) -> Timestamp {
        let (product, overflowA) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowB) = nanoseconds.addingReportingOverflow(product)
        return Timestamp(nanoseconds: overflowA || overflowB ? .max : sum)
    }

    /// RFC 3339 in UTC, with nanoseconds unless they are zero.
    package var rfc3339: String {
        let day = Int64((Double(seconds) / 86_400).rounded(.down))
        let rest = seconds - day * 86_400
        let date = Self.civil(fromDays: day)
        var text = Self.padded(date.year, 4) + "-" + Self.padded(date.month, 2) + "-" + Self.padded(date.day, 2)
        text +=
            "T" + Self.padded(rest / 3600, 2) + ":" + Self.padded(rest / 60 % 60, 2) + ":" + Self.padded(rest % 60, 2)
        let fraction = nanoseconds - seconds * 1_000_000_000
        if fraction != 0 { text += "." + Self.padded(fraction, 9) }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    // Days to civil date in the proleptic Gregorian calendar: eras of 400 years, years that begin in March.
    private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

/// Where the vault reads time; injected, so that tests own it.
package struct VaultClock: Sendable {
    /// The wall clock.
    package let now: @Sendable () -> Timestamp
    /// `CLOCK_MONOTONIC` in nanoseconds.
    package let monotonic: @Sendable () -> UInt64

    package init(now: @escaping @Sendable () -> Timestamp, monotonic: @escaping @Sendable () -> UInt64) {
        self.now = now
        self.monotonic = monotonic
    }
}
