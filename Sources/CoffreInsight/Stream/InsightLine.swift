/// A line of a stream in the schema of `coffre anomaly replay`: one JSON object (RFC 8259), members in any order.
///
/// Refused: lines above 64 KiB, values nested more than 8 deep, a member twice, a member that is missing or of another type,
/// anything behind the object. Members that are not known are read and left out.
package enum InsightLine {
    package static let maximumBytes = 65_536

    /// - Returns: nil for what is no event.
    package static func parse(_ line: UnsafeRawBufferPointer) -> InsightEvent? {
        guard line.count <= maximumBytes else { return nil }
        var reader = JSONCursor(bytes: line)
        guard let event = reader.event() else { return nil }
        reader.skipSpace()
        return reader.isAtEnd ? event : nil
    }
}

extension JSONCursor {
    mutating func event() -> InsightEvent? {
        guard take(0x7b) else { return nil }
        var event = InsightEvent(
            time: 0,
            sequence: 0,
            kind: .user,
            actor: "",
            kernel: "",
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
                skipSpace()
                let start = place
                guard integer() != nil else { return false }
                event.kernel = String(decoding: bytes[start..<place], as: UTF8.self)
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
