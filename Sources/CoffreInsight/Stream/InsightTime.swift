/// Times as text.
package enum InsightTime {
    /// The end of the last year there is here, 2200, in nanoseconds since 1970.
    static let end: Int64 = 7_289_654_400_000_000_000
    /// What may be subtracted from each other without leaving 64 bits: from 1933 to a day after the end.
    static let range = (-(1 << 60))...end + Span.dayLength

    /// - Returns: nanoseconds since 1970; nil for what is no time of the years 1970 to 2200 in UTC.
    package static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard text.count >= 20, text.count <= 30, text[text.count - 1] == 0x5a else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in text[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard text[4] == 0x2d, text[7] == 0x2d, text[10] == 0x54, text[13] == 0x3a, text[16] == 0x3a,
            let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1970...2200).contains(year),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if text.count > 20 {
            guard text[19] == 0x2e, text.count > 21, let digits = number(20..<text.count - 1) else { return nil }
            fraction = digits
            for _ in 0..<(9 - (text.count - 21)) { fraction *= 10 }
        }
        // Days from the civil date, after Howard Hinnant's description of the proleptic Gregorian calendar.
        let shifted = month > 2 ? year : year - 1
        let era = shifted / 400
        let ofEra = shifted - era * 400
        let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let days = era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
        return ((days * 24 + hour) * 60 + minute) * 60_000_000_000 + second * 1_000_000_000 + fraction
    }
}
