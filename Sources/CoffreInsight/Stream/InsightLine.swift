/// A line of a stream in the schema of `coffre anomaly replay`: one JSON object (RFC 8259), members in any order.
///
/// Refused: lines above 64 KiB, values nested more than 8 deep, a member twice, a member that is missing or of another type,
/// anything behind the object. Members that are not known are read and left out.
package enum InsightLine {
    package static let maximumBytes = 65_536

    /// - Returns: nil for what is no event.
    package static func parse(_ line: UnsafeRawBufferPointer) -> InsightEvent? {
        guard line.count <= maximumBytes else { return nil }
        var reader = Reader(bytes: line)
        guard let event = reader.event() else { return nil }
        reader.skipSpace()
        return reader.isAtEnd ? event : nil
    }

    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var place = 0

        var isAtEnd: Bool { place == bytes.count }

        mutating func skipSpace() {
            while place < bytes.count, bytes[place] == 0x20 || bytes[place] == 0x09 || bytes[place] == 0x0d {
                place += 1
            }
        }

        mutating func take(_ byte: UInt8) -> Bool {
            skipSpace()
            guard place < bytes.count, bytes[place] == byte else { return false }
            place += 1
            return true
        }

        /// The range of a string without its quotes, and whether it has escapes.
        mutating func string() -> (range: Range<Int>, isPlain: Bool)? {
            guard take(0x22) else { return nil }
            let start = place
            var isPlain = true
            while place < bytes.count {
                let byte = bytes[place]
                if byte == 0x22 {
                    place += 1
                    return (start..<place - 1, isPlain)
                }
                guard byte >= 0x20 else { return nil }
                if byte == 0x5c {
                    isPlain = false
                    place += 1
                }
                place += 1
            }
            return nil
        }

        mutating func text() -> String? {
            guard let (range, isPlain) = string() else { return nil }
            let slice = UnsafeRawBufferPointer(rebasing: bytes[range])
            return isPlain ? String(validating: slice, as: UTF8.self) : Self.unescaped(slice)
        }

        static func unescaped(_ slice: UnsafeRawBufferPointer) -> String? {
            var result: [UInt8] = []
            result.reserveCapacity(slice.count)
            var index = 0
            func unit() -> UInt16? {
                guard index + 4 <= slice.count else { return nil }
                var value: UInt16 = 0
                for byte in slice[index..<index + 4] {
                    guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { return nil }
                    value = value << 4 | UInt16(digit)
                }
                index += 4
                return value
            }
            while index < slice.count {
                let byte = slice[index]
                index += 1
                guard byte == 0x5c else {
                    result.append(byte)
                    continue
                }
                guard index < slice.count else { return nil }
                let kind = slice[index]
                index += 1
                switch kind {
                case 0x22, 0x5c, 0x2f: result.append(kind)
                case 0x62: result.append(0x08)
                case 0x66: result.append(0x0c)
                case 0x6e: result.append(0x0a)
                case 0x72: result.append(0x0d)
                case 0x74: result.append(0x09)
                case 0x75:
                    guard let first = unit() else { return nil }
                    var scalar = UInt32(first)
                    if (0xd800...0xdbff).contains(first) {
                        guard index + 2 <= slice.count, slice[index] == 0x5c, slice[index + 1] == 0x75 else {
                            return nil
                        }
                        index += 2
                        guard let second = unit(), (0xdc00...0xdfff).contains(second) else { return nil }
                        scalar = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
                    }
                    guard let scalar = Unicode.Scalar(scalar) else { return nil }
                    result.append(contentsOf: Array(String(Character(scalar)).utf8))
                default: return nil
                }
            }
            return String(validating: result, as: UTF8.self)
        }

        mutating func integer() -> Int64? {
            skipSpace()
            let isNegative = place < bytes.count && bytes[place] == 0x2d
            if isNegative { place += 1 }
            let start = place
            var value: Int64 = 0
            while place < bytes.count, (0x30...0x39).contains(bytes[place]) {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, more) = product.addingReportingOverflow(Int64(bytes[place] - 0x30))
                guard !overflow, !more else { return nil }
                value = sum
                place += 1
            }
            guard place > start, place - start == 1 || bytes[start] != 0x30 else { return nil }
            if place < bytes.count, bytes[place] == 0x2e || bytes[place] | 0x20 == 0x65 { return nil }
            return isNegative ? -value : value
        }

        /// Reads past any value.
        mutating func skip(depth: Int = 0) -> Bool {
            skipSpace()
            guard depth < 8, place < bytes.count else { return false }
            switch bytes[place] {
            case 0x22: return string() != nil
            case 0x7b, 0x5b:
                let isObject = bytes[place] == 0x7b
                let end: UInt8 = isObject ? 0x7d : 0x5d
                place += 1
                if take(end) { return true }
                repeat {
                    if isObject { guard string() != nil, take(0x3a) else { return false } }
                    guard skip(depth: depth + 1) else { return false }
                } while take(0x2c)
                return take(end)
            default:
                let start = place
                while place < bytes.count, ![0x2c, 0x7d, 0x5d, 0x20, 0x09, 0x0d].contains(bytes[place]) { place += 1 }
                let word = bytes[start..<place]
                if word.elementsEqual("true".utf8) || word.elementsEqual("false".utf8)
                    || word.elementsEqual("null".utf8)
                {
                    return true
                }
                return !word.isEmpty
                    && word.allSatisfy { (0x30...0x39).contains($0) || [0x2b, 0x2d, 0x2e, 0x65, 0x45].contains($0) }
            }
        }

        func isName(_ range: Range<Int>, _ name: StaticString) -> Bool {
            range.count == name.utf8CodeUnitCount
                && memoryEqual(
                    bytes[range],
                    UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
                )
        }

        private func memoryEqual(_ left: Slice<UnsafeRawBufferPointer>, _ right: UnsafeRawBufferPointer) -> Bool {
            var index = left.startIndex
            for byte in right {
                guard left.base[index] == byte else { return false }
                index += 1
            }
            return true
        }

        mutating func event() -> InsightEvent? {
            guard take(0x7b) else { return nil }
            var event = InsightEvent(
                time: 0,
                sequence: 0,
                kind: .user,
                actor: "",
                uid: -1,
                unit: "",
                teams: [],
                operation: .other,
                connector: "",
                path: "",
                outcome: .ok,
                token: "",
                pid: -1
            )
            var seen: UInt16 = 0
            repeat {
                guard let (name, isPlain) = string(), isPlain, take(0x3a) else { return nil }
                var bit: UInt16 = 0
                if isName(name, "time") {
                    bit = 1
                    guard let time = time() else { return nil }
                    event.time = time
                } else if isName(name, "seq") {
                    bit = 2
                    guard let number = integer(), number >= 0 else { return nil }
                    event.sequence = UInt64(number)
                } else if isName(name, "actor") {
                    bit = 4
                    guard actor(&event) else { return nil }
                } else if isName(name, "operation") {
                    bit = 8
                    guard let (range, _) = string() else { return nil }
                    event.operation = operation(range)
                } else if isName(name, "connector") {
                    bit = 16
                    guard let text = text() else { return nil }
                    event.connector = text
                } else if isName(name, "path") {
                    bit = 32
                    guard let text = text() else { return nil }
                    event.path = text
                } else if isName(name, "outcome") {
                    bit = 64
                    guard let (range, _) = string() else { return nil }
                    if isName(range, "ok") {
                        event.outcome = .ok
                    } else if isName(range, "denied") {
                        event.outcome = .denied
                    } else if isName(range, "error") {
                        event.outcome = .error
                    } else {
                        return nil
                    }
                } else if isName(name, "token_accessor") {
                    bit = 128
                    guard let text = text() else { return nil }
                    event.token = text
                } else if isName(name, "client_pid") {
                    bit = 256
                    guard let number = integer() else { return nil }
                    event.pid = number
                } else {
                    guard skip() else { return nil }
                }
                guard bit == 0 || seen & bit == 0 else { return nil }
                seen |= bit
            } while take(0x2c)
            return take(0x7d) && seen & 0x7f == 0x7f ? event : nil
        }

        private func operation(_ range: Range<Int>) -> InsightEvent.Operation {
            if isName(range, "read") { return .read }
            if isName(range, "heartbeat") { return .heartbeat }
            for operation in InsightEvent.Operation.allCases where range.count == operation.name.utf8.count {
                if bytes[range].elementsEqual(operation.name.utf8) { return operation }
            }
            return .other
        }

        private mutating func actor(_ event: inout InsightEvent) -> Bool {
            guard take(0x7b) else { return false }
            var seen: UInt8 = 0
            repeat {
                guard let (name, isPlain) = string(), isPlain, take(0x3a) else { return false }
                var bit: UInt8 = 0
                if isName(name, "kind") {
                    bit = 1
                    guard let (range, _) = string() else { return false }
                    if isName(range, "user") {
                        event.kind = .user
                    } else if isName(range, "service") {
                        event.kind = .service
                    } else if isName(range, "system") {
                        event.kind = .system
                    } else {
                        return false
                    }
                } else if isName(name, "id") {
                    bit = 2
                    guard let text = text() else { return false }
                    event.actor = text
                } else if isName(name, "uid") {
                    bit = 4
                    guard let number = integer() else { return false }
                    event.uid = number
                } else if isName(name, "unit") {
                    bit = 8
                    guard let text = text() else { return false }
                    event.unit = text
                } else if isName(name, "teams") {
                    bit = 16
                    guard teams(&event) else { return false }
                } else {
                    guard skip() else { return false }
                }
                guard bit == 0 || seen & bit == 0 else { return false }
                seen |= bit
            } while take(0x2c)
            return take(0x7d) && seen & 3 == 3
        }

        private mutating func teams(_ event: inout InsightEvent) -> Bool {
            guard take(0x5b) else { return false }
            if take(0x5d) { return true }
            repeat {
                guard event.teams.count < 64, let text = text() else { return false }
                event.teams.append(text)
            } while take(0x2c)
            return take(0x5d)
        }

        /// RFC 3339 in UTC: `2026-01-07T08:12:03.512345678Z`.
        private mutating func time() -> Int64? {
            guard let (range, _) = string(), range.count >= 20, range.count <= 30 else { return nil }
            let text = UnsafeRawBufferPointer(rebasing: bytes[range])
            return InsightTime.parse(text)
        }
    }
}

/// Times as text.
package enum InsightTime {
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
