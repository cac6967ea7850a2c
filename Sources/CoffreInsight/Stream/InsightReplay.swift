/// Findings as lines, and times as text.
extension Finding {
    /// One line of JSON (RFC 8259) without its line feed: the fields of the schema in the order of their names.
    package var line: [UInt8] {
        var line = Array("{".utf8)
        func member(_ name: String, _ value: [UInt8]) {
            line += Array((line.count > 1 ? ",\"" : "\"").utf8) + Array(name.utf8) + Array("\":".utf8) + value
        }
        member("actor", Self.quoted(actor))
        member("kind", Self.quoted(kind.rawValue))
        member("reason", Self.quoted(french))
        member("reason_en", Self.quoted(english))
        member("records", Array("[\(records.map(String.init).joined(separator: ","))]".utf8))
        let thousandths = Int((score * 1000).rounded())
        let fraction = String(thousandths % 1000 + 1000).dropFirst()
        member("score", Array("\(thousandths / 1000).\(fraction)".utf8))
        member("severity", Self.quoted(severity.rawValue))
        member("time", Self.quoted(InsightTime.text(time)))
        return line + [0x7d]
    }

    /// A JSON string in which nothing moves a cursor or changes the direction of a line.
    private static func quoted(_ text: String) -> [UInt8] {
        var result: [UInt8] = [0x22]
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    result += Array("\\u".utf8) + Array(String(repeating: "0", count: 4 - digits.utf8.count).utf8)
                    result += Array(digits.utf8)
                }
            default:
                if scalar == "\"" || scalar == "\\" { result.append(0x5c) }
                result += Array(String(scalar).utf8)
            }
        }
        return result + [0x22]
    }
}

extension InsightTime {
    /// RFC 3339 in UTC with nine digits. - Parameter time: nanoseconds since 1970.
    package static func text(_ time: Int64) -> String {
        let (seconds, nanoseconds) = time.quotientAndRemainder(dividingBy: 1_000_000_000)
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        // The civil date of a day, after Howard Hinnant's description of the proleptic Gregorian calendar.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let ofEra = shifted - era * 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        func digits(_ value: Int64, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let day = ofYear - (153 * month + 2) / 5 + 1
        let number = month < 10 ? month + 3 : month - 9
        let date = "\(digits(year + era * 400 + (number <= 2 ? 1 : 0), 4))-\(digits(number, 2))-\(digits(day, 2))"
        let clock = "\(digits(second / 3600, 2)):\(digits(second / 60 % 60, 2)):\(digits(second % 60, 2))"
        return "\(date)T\(clock).\(digits(nanoseconds, 9))Z"
    }
}
