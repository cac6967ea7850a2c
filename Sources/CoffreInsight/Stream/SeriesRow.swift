internal import Glibc

/// A row of a series: `timestamp,value`. The time is `YYYY-MM-DD HH:MM:SS`, taken for UTC, or RFC 3339 in the years 1970 to 2200,
/// the value a decimal number below 1e30 either way, without quotes or spaces.
package struct SeriesRow: Sendable, Equatable {
    package static let header: StaticString = "timestamp,value"
    private static let mostBytes = 256

    /// Nanoseconds since 1970.
    package let time: Int64
    package let value: Double

    package static func isHeader(_ line: UnsafeRawBufferPointer) -> Bool {
        line.elementsEqual(UnsafeRawBufferPointer(start: header.utf8Start, count: header.utf8CodeUnitCount))
    }

    /// - Returns: nil for what is no row.
    package static func parse(_ line: UnsafeRawBufferPointer) -> SeriesRow? {
        guard line.count <= mostBytes, let comma = line.firstIndex(of: 0x2c),
            let time = time(UnsafeRawBufferPointer(rebasing: line[..<comma])),
            let value = number(UnsafeRawBufferPointer(rebasing: line[(comma + 1)...]))
        else { return nil }
        return SeriesRow(time: time, value: value)
    }

    private static func time(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard text.count >= 19, text[10] == 0x20 || text[10] | 0x20 == 0x74 else { return nil }
        var end = text.count
        var offset: Int64 = 0
        if text[end - 1] | 0x20 == 0x7a {
            end -= 1
        } else if end >= 25, text[end - 6] == 0x2b || text[end - 6] == 0x2d {
            let digits = [text[end - 5], text[end - 4], text[end - 2], text[end - 1]].map { Int64($0) - 0x30 }
            guard text[end - 3] == 0x3a, digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
            let (hours, minutes) = (digits[0] * 10 + digits[1], digits[2] * 10 + digits[3])
            guard hours < 24, minutes < 60 else { return nil }
            offset = (hours * 60 + minutes) * 60_000_000_000 * (text[end - 6] == 0x2d ? -1 : 1)
            end -= 6
        } else if text[10] != 0x20 {
            return nil
        }
        var plain = Array(text[..<end]) + [0x5a]
        plain[10] = 0x54
        guard let time = plain.withUnsafeBytes({ InsightTime.parse($0) }),
            // No day that its month does not have.
            InsightTime.text(time).utf8.prefix(10).elementsEqual(plain.prefix(10))
        else { return nil }
        return time - offset
    }

    /// Digits, with a sign, a point and an exponent where there are any: no hexadecimal, no infinity, nothing in words.
    private static func number(_ text: UnsafeRawBufferPointer) -> Double? {
        guard !text.isEmpty, text.count < 128,
            text.allSatisfy({ (0x30...0x39).contains($0) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains($0) })
        else { return nil }
        guard let value = Double(String(decoding: text, as: UTF8.self)), abs(value) < 1e30 else { return nil }
        return value
    }
}
