/// Times in policies.
package enum RFC3339 {
    /// Seconds since 1970 of `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`, nil for anything else.
    package static func seconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 40, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] == 0x54,
            bytes[13] == 0x3a, bytes[16] == 0x3a
        else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            guard bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month),
            (1...31).contains(day),
            hour < 24, minute < 60, second < 61
        else { return nil }
        var position = 19
        if bytes[position] == 0x2e {
            position += 1
            while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        }
        var offset: Int64 = 0
        if position + 1 == bytes.count, bytes[position] == 0x5a {
        } else if position + 6 == bytes.count, bytes[position] == 0x2b || bytes[position] == 0x2d,
            bytes[position + 3] == 0x3a, let hours = number(position + 1..<position + 3),
            let minutes = number(position + 4..<position + 6)
        {
            offset = (hours * 60 + minutes) * 60 * (bytes[position] == 0x2b ? 1 : -1)
        } else {
            return nil
        }
        // Days from civil, years that begin in March.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3600 + minute * 60 + second - offset
    }
}
