/// UTC in the proleptic Gregorian calendar, microseconds, RFC 3339 with `Z`: `2026-11-22T16:40:11.482913Z`.
struct RecordTime: Sendable, Equatable {
    static let textBytes = 27
    static let microsecondsPerDay: Int64 = 86_400_000_000

    /// Since 1970, in microseconds; clamped to the years 1970 to 9999.
    let microseconds: Int64

    init(microseconds: Int64) {
        self.microseconds = min(max(microseconds, 0), 253_402_300_799_999_999)
    }

    /// Days since 1970.
    var day: Int64 { microseconds / Self.microsecondsPerDay }

    /// `2026/11/22`.
    var folder: String {
        let (year, month, day) = civil
        var text: [UInt8] = []
        Self.append(year, digits: 4, to: &text)
        text.append(0x2f)
        Self.append(month, digits: 2, to: &text)
        text.append(0x2f)
        Self.append(day, digits: 2, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The 27 bytes of the text form.
    var utf8: [UInt8] {
        let (year, month, day) = civil
        let inDay = microseconds % Self.microsecondsPerDay
        let seconds = inDay / 1_000_000
        var text: [UInt8] = []
        text.reserveCapacity(Self.textBytes)
        Self.append(year, digits: 4, to: &text)
        text.append(0x2d)
        Self.append(month, digits: 2, to: &text)
        text.append(0x2d)
        Self.append(day, digits: 2, to: &text)
        text.append(0x54)
        Self.append(seconds / 3600, digits: 2, to: &text)
        text.append(0x3a)
        Self.append(seconds / 60 % 60, digits: 2, to: &text)
        text.append(0x3a)
        Self.append(seconds % 60, digits: 2, to: &text)
        text.append(0x2e)
        Self.append(inDay % 1_000_000, digits: 6, to: &text)
        text.append(0x5a)
        return text
    }

    /// Strict: exactly the text form of an existing time; nil otherwise.
    init?(_ text: some RandomAccessCollection<UInt8>) {
        let text = Array(text)
        guard text.count == Self.textBytes else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in text[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            let fraction = number(20..<26), year >= 1970, (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        let seconds = Self.daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        microseconds = seconds * 1_000_000 + fraction
        guard utf8 == text else { return nil }
    }

    // Days and dates: the usual shift of the year's start to 1 March, in 400-year eras.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private var civil: (year: Int64, month: Int64, day: Int64) {
        let days = day + 719_468
        let era = days / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func append(_ value: Int64, digits: Int, to text: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            text.append(0x30 + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
}
