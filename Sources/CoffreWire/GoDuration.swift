/// Durations as Vault clients write them: whole seconds, or Go's `1h30m`, plus `d` for days.
package enum GoDuration {
    /// Seconds in `text`, nil when it is not a duration, negative, or beyond a century.
    package static func seconds(_ text: String) -> Int64? {
        let text = Array(text.utf8)
        guard !text.isEmpty, text.count <= 32 else { return nil }
        if let plain = Int64(String(decoding: text, as: UTF8.self)) { return inRange(plain) }
        var total: Double = 0
        var position = 0
        while position < text.count {
            let start = position
            while position < text.count, text[position] == 0x2e || (0x30...0x39).contains(text[position]) {
                position += 1
            }
            guard let number = Double(String(decoding: text[start..<position], as: UTF8.self)) else { return nil }
            let unitStart = position
            while position < text.count, !(text[position] == 0x2e || (0x30...0x39).contains(text[position])) {
                position += 1
            }
            switch String(decoding: text[unitStart..<position], as: UTF8.self) {
            case "ns": total += number / 1e9
            case "us", "µs": total += number / 1e6
            case "ms": total += number / 1e3
            case "s": total += number
            case "m": total += number * 60
            case "h": total += number * 3600
            case "d": total += number * 86_400
            default: return nil
            }
        }
        guard total >= 0, total < 4e9 else { return nil }
        return Int64(total)
    }

    /// A duration from a number or a string; an empty string counts as 0.
    package static func seconds(_ value: JSONView) -> Int64? {
        if let number = value.integer { return inRange(number) }
        guard let text = value.string else { return nil }
        return text.isEmpty ? 0 : seconds(text)
    }

    /// Go's `Duration.String()` for whole seconds: `3h25m19s`, `0s`.
    package static func text(_ seconds: Int64) -> String {
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60)
        if hours > 0 { return "\(hours)h\(minutes)m\(rest)s" }
        return minutes > 0 ? "\(minutes)m\(rest)s" : "\(rest)s"
    }

    private static func inRange(_ seconds: Int64) -> Int64? {
        (0..<4_000_000_000).contains(seconds) ? seconds : nil
    }
}

extension JSONView {
    /// A truth value as Go's weak decoding accepts it: `true`, `"true"`, `1`.
    package var weakBool: Bool? {
        if let bool { return bool }
        if let integer { return integer != 0 }
        return string.flatMap { GoBool.parse($0) }
    }

    /// An integer, also when it arrives as a string.
    package var weakInteger: Int64? { integer ?? string.flatMap { Int64($0) } }

    /// A list of strings: an array of strings, or one comma-separated text. Nil for anything else.
    package var stringList: [String]? {
        if isArray {
            let texts = elements.map { $0.string }
            return texts.contains { $0 == nil } ? nil : texts.compactMap { $0 }
        }
        guard let text = string else { return nil }
        return text.split(separator: ",").map { $0.trimmingSpaces }.filter { !$0.isEmpty }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var view = self
        while view.first == " " { view.removeFirst() }
        while view.last == " " { view.removeLast() }
        return String(view)
    }
}

/// Booleans in query strings, as Go's `strconv.ParseBool` reads them.
package enum GoBool {
    package static func parse(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "TRUE", "true", "True": true
        case "0", "f", "F", "FALSE", "false", "False": false
        default: nil
        }
    }
}
