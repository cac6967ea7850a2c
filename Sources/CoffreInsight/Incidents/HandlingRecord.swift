/// A record that people are told of: a finding, what was done about one (`anomaly.raise`, `.ack`, `.close`, `.mute`), or that a
/// person is waited for (`approval.request`, `oauth.needs_consent`).
enum HandlingRecord: Equatable {
    case raised(RaisedFinding)
    case acknowledged(incident: UInt64, by: String, reason: String)
    case closed(incident: UInt64, by: String, reason: String)
    case muted(Mute)
    case unmuted(UInt64)
    case consentNeeded(record: UInt64, path: String, reason: String)
    case approvalAsked(record: UInt64, approval: String, path: String, by: String)

    /// - Returns: nil for any other record, and for one that takes no effect: an intent, or what was refused.
    static func parse(_ line: UnsafeRawBufferPointer) -> HandlingRecord? {
        guard line.count <= InsightLine.maximumBytes else { return nil }
        var reader = JSONCursor(bytes: line)
        return reader.handling()
    }
}

extension JSONCursor {
    private struct Said {
        var operation = ""
        var phase = ""
        var outcome = ""
        var sequence: UInt64 = 0
        var time: Int64 = 0
        var records: [UInt64] = []
        var by = ""
        var places: [String] = []
        var actor = ""
        var kind = ""
        var finding = ""
        var french = ""
        var english = ""
        var reason = ""
        var approval = ""
        var path = ""
        var score: Int64 = 0
        var until: Int64 = 0
        var isSystem = false
        var incident: UInt64?
        var mute: UInt64?
    }

    fileprivate mutating func handling() -> HandlingRecord? {
        var said = Said()
        let isWhole = members { reader, name in
            switch true {
            case reader.isName(name, "_s"): return reader.number { said.sequence = $0 }
            case reader.isName(name, "_t"):
                guard let text = reader.string(), text.isPlain,
                    let time = InsightTime.parse(UnsafeRawBufferPointer(rebasing: reader.bytes[text.range]))
                else { return false }
                said.time = time
                return true
            case reader.isName(name, "ph"): return reader.text().map { said.phase = $0 } != nil
            case reader.isName(name, "ref"): return reader.numbers(&said.records)
            case reader.isName(name, "out"):
                return reader.members { reader, name in
                    guard reader.isName(name, "code") else { return reader.skip() }
                    return reader.text().map { said.outcome = $0 } != nil
                }
            case reader.isName(name, "who"):
                return reader.members { reader, name in
                    if reader.isName(name, "kind") {
                        guard let kind = reader.string() else { return false }
                        said.isSystem = reader.isName(kind.range, "system")
                        return true
                    }
                    if reader.isName(name, "uid") { return reader.number { said.places.append("uid:\($0)") } }
                    if reader.isName(name, "unit") { return reader.textOrSkip { said.places.append("unit:\($0)") } }
                    if reader.isName(name, "for") { return reader.text().map { said.by = $0 } != nil }
                    guard reader.isName(name, "sid"), let sid = reader.text() else { return reader.skip() }
                    if said.by.isEmpty { said.by = sid }
                    return true
                }
            case reader.isName(name, "what"): return reader.what(&said)
            default: return reader.skip()
            }
        }
        guard isWhole else { return nil }
        return Self.meaning(of: said)
    }

    private mutating func what(_ said: inout Said) -> Bool {
        members { reader, name in
            if reader.isName(name, "op") { return reader.text().map { said.operation = $0 } != nil }
            if reader.isName(name, "path") { return reader.textOrSkip { said.path = $0 } }
            guard reader.isName(name, "det") else { return reader.skip() }
            return reader.members { reader, name in
                switch true {
                case reader.isName(name, "approval"): return reader.textOrSkip { said.approval = $0 }
                case reader.isName(name, "actor"): return reader.textOrSkip { said.actor = $0 }
                case reader.isName(name, "finding"): return reader.textOrSkip { said.finding = $0 }
                case reader.isName(name, "kind"): return reader.textOrSkip { said.kind = $0 }
                case reader.isName(name, "reason"): return reader.textOrSkip { said.reason = $0 }
                case reader.isName(name, "reason_fr"): return reader.textOrSkip { said.french = $0 }
                case reader.isName(name, "reason_en"): return reader.textOrSkip { said.english = $0 }
                case reader.isName(name, "score"): return reader.number { said.score = Int64(clamping: $0) }
                case reader.isName(name, "until"): return reader.number { said.until = Int64(clamping: $0) }
                case reader.isName(name, "incident"): return reader.number { said.incident = $0 }
                case reader.isName(name, "mute"): return reader.number { said.mute = $0 }
                default: return reader.skip()
                }
            }
        }
    }

    /// A text that was too long stands as its digest: it is as good as none.
    private mutating func textOrSkip(_ take: (String) -> Void) -> Bool {
        skipSpace()
        guard place < bytes.count, bytes[place] == 0x22 else { return skip() }
        return text().map(take) != nil
    }

    private mutating func number(_ take: (UInt64) -> Void) -> Bool {
        skipSpace()
        guard place < bytes.count, (0x30...0x39).contains(bytes[place]) else { return skip() }
        return integer().map { take(UInt64(clamping: $0)) } != nil
    }

    private mutating func numbers(_ list: inout [UInt64]) -> Bool {
        guard take(0x5b) else { return skip() }
        if take(0x5d) { return true }
        repeat {
            guard let number = integer(), number >= 0 else { return false }
            if list.count < 32 { list.append(UInt64(number)) }
        } while take(0x2c)
        return take(0x5d)
    }

    private static func meaning(of said: Said) -> HandlingRecord? {
        guard !said.phase.utf8.elementsEqual("intent".utf8) else { return nil }
        switch said.operation {
        case "anomaly.raise":
            guard said.isSystem, !said.finding.isEmpty, let kind = Finding.Kind(rawValue: said.kind) else { return nil }
            return .raised(
                RaisedFinding(
                    record: said.sequence,
                    time: said.time,
                    kind: kind,
                    actor: said.actor,
                    score: min(said.score, 1000),
                    french: said.french,
                    english: said.english,
                    records: said.records
                )
            )
        case "oauth.needs_consent":
            guard said.isSystem else { return nil }
            return .consentNeeded(record: said.sequence, path: said.path, reason: said.reason)
        case _ where !said.outcome.utf8.elementsEqual("granted".utf8): return nil
        case "anomaly.ack":
            return said.incident.map { .acknowledged(incident: $0, by: said.by, reason: said.reason) }
        case "anomaly.close": return said.incident.map { .closed(incident: $0, by: said.by, reason: said.reason) }
        case "anomaly.mute":
            if let mute = said.mute { return .unmuted(mute) }
            guard (1...InsightTime.end / 1_000_000_000).contains(said.until),
                said.kind.isEmpty || Finding.Kind(rawValue: said.kind) != nil,
                !said.kind.isEmpty || !said.actor.isEmpty
            else { return nil }
            return .muted(
                Mute(
                    id: said.sequence,
                    actor: said.actor.isEmpty ? nil : said.actor,
                    kind: Finding.Kind(rawValue: said.kind),
                    until: said.until * 1_000_000_000,
                    reason: said.reason,
                    by: said.by,
                    places: said.places
                )
            )
        case "approval.request":
            guard !said.approval.isEmpty else { return nil }
            return .approvalAsked(record: said.sequence, approval: said.approval, path: said.path, by: said.by)
        default: return nil
        }
    }
}
