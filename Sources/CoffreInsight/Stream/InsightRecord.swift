/// A record of the audit log as the detectors see it. The line was held to the log's strict form before; what is of no use here
/// is left out.
package struct InsightRecord: Sendable {
    /// Something that the daemon found itself, and that is a finding as it stands.
    package enum Notice: Sendable, Equatable {
        /// A wrapping token that was opened before.
        case reopenedToken
        /// A token without any limit was used.
        case rootToken
        /// A secret that is bait was asked for.
        case decoy
        /// A token was presented by another uid or unit than the one it is bound to, and refused.
        case stolenToken(Owner)
        /// `anomaly.raise`, with its kind.
        case raised(String)
        case clockJump
        /// A policy was edited that decides over the editor.
        case ownRights
    }

    /// Whose token it is; empty where the record does not say.
    package struct Owner: Sendable, Equatable {
        package var sid = ""
        package var unit = ""
    }

    package var event: InsightEvent
    package var notice: Notice?
    /// `what.det.finding` of an `anomaly.raise`: this finding is recorded already.
    package var finding: String?
    /// `anomaly.…`: it tells of findings, or of what people did about them.
    package var isHandling = false
    /// Somebody waits for what only a person can do: another's leave, or a new consent.
    package var asksForPerson = false

    /// - Returns: nil for what is no record.
    package static func parse(_ line: UnsafeRawBufferPointer) -> InsightRecord? {
        guard line.count <= InsightLine.maximumBytes else { return nil }
        var reader = JSONCursor(bytes: line)
        return reader.record()
    }
}

extension JSONCursor {
    /// The members of one object.
    mutating func members(_ body: (inout JSONCursor, Range<Int>) -> Bool) -> Bool {
        guard take(0x7b) else { return false }
        if take(0x7d) { return true }
        repeat {
            guard let (name, _) = string(), take(0x3a), body(&self, name) else { return false }
        } while take(0x2c)
        return take(0x7d)
    }

    /// What a record says besides what an event has.
    private struct Rest {
        var operation = ""
        var phase = ""
        var mount = ""
        var kind = ""
        var policy = ""
        var person: String?
        var kernelPerson: String?
        var finding: String?
        var error = ""
        var isDecoy = false
        var isOwn = false
        var owner = InsightRecord.Owner()
    }

    fileprivate mutating func record() -> InsightRecord? {
        var event = InsightEvent(
            time: 0,
            sequence: 0,
            kind: .system,
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
        var rest = Rest()
        let isWhole = members { reader, name in
            switch true {
            case reader.isName(name, "_t"):
                guard let text = reader.string(), text.isPlain,
                    let time = InsightTime.parse(UnsafeRawBufferPointer(rebasing: reader.bytes[text.range]))
                else { return false }
                event.time = time
                return true
            case reader.isName(name, "_s"):
                guard let number = reader.integer(), number >= 0 else { return false }
                event.sequence = UInt64(number)
                return true
            case reader.isName(name, "ph"): return reader.text().map { rest.phase = $0 } != nil
            case reader.isName(name, "out"): return reader.out(&event, &rest)
            case reader.isName(name, "who"): return reader.who(&event, &rest)
            case reader.isName(name, "what"): return reader.what(&event, &rest)
            case reader.isName(name, "why"):
                return reader.members { reader, name in
                    guard reader.isName(name, "pol") else { return reader.skip() }
                    return reader.shortText().map { rest.policy = $0 } != nil
                }
            default: return reader.skip()
            }
        }
        guard isWhole, !rest.operation.isEmpty else { return nil }
        return Self.record(event, rest)
    }

    private mutating func out(_ event: inout InsightEvent, _ rest: inout Rest) -> Bool {
        members { reader, name in
            if reader.isName(name, "err") { return reader.shortText().map { rest.error = $0 } != nil }
            guard reader.isName(name, "code") else { return reader.skip() }
            guard let (range, _) = reader.string() else { return false }
            let isDenied = reader.isName(range, "denied") || reader.isName(range, "rate_limited")
            event.outcome = reader.isName(range, "granted") ? .ok : isDenied ? .denied : .error
            return true
        }
    }

    private mutating func who(_ event: inout InsightEvent, _ rest: inout Rest) -> Bool {
        members { reader, name in
            switch true {
            case reader.isName(name, "kind"):
                guard let (range, _) = reader.string() else { return false }
                event.kind =
                    reader.isName(range, "service") ? .service : reader.isName(range, "system") ? .system : .user
                return true
            case reader.isName(name, "sid"): return reader.shortText().map { event.actor = $0 } != nil
            case reader.isName(name, "for"): return reader.shortText().map { rest.person = $0 } != nil
            case reader.isName(name, "ksid"): return reader.shortText().map { rest.kernelPerson = $0 } != nil
            case reader.isName(name, "unit"): return reader.shortText().map { event.unit = $0 } != nil
            case reader.isName(name, "team"): return reader.shortText().map { event.teams = [$0] } != nil
            case reader.isName(name, "tok"): return reader.shortText().map { event.token = $0 } != nil
            case reader.isName(name, "uid"):
                return reader.integer().map { event.kernel = String($0) } != nil
            case reader.isName(name, "pid"): return reader.integer().map { event.pid = $0 } != nil
            default: return reader.skip()
            }
        }
    }

    private mutating func what(_ event: inout InsightEvent, _ rest: inout Rest) -> Bool {
        members { reader, name in
            switch true {
            case reader.isName(name, "op"): return reader.text().map { rest.operation = $0 } != nil
            case reader.isName(name, "conn"): return reader.shortText().map { event.connector = $0 } != nil
            case reader.isName(name, "mount"): return reader.shortText().map { rest.mount = $0 } != nil
            case reader.isName(name, "path"): return reader.shortText().map { event.path = $0 } != nil
            case reader.isName(name, "det"):
                return reader.members { reader, name in
                    if reader.isName(name, "kind") { return reader.shortText().map { rest.kind = $0 } != nil }
                    if reader.isName(name, "finding") { return reader.shortText().map { rest.finding = $0 } != nil }
                    if reader.isName(name, "own") { return reader.flag().map { rest.isOwn = $0 } != nil }
                    if reader.isName(name, "decoy") { return reader.flag().map { rest.isDecoy = $0 } != nil }
                    if reader.isName(name, "of") { return reader.shortText().map { rest.owner.sid = $0 } != nil }
                    if reader.isName(name, "of_unit") { return reader.shortText().map { rest.owner.unit = $0 } != nil }
                    return reader.skip()
                }
            default: return reader.skip()
            }
        }
    }

    private static func record(_ read: InsightEvent, _ rest: Rest) -> InsightRecord {
        var event = read
        // A person is known by the person, whatever service asks for it.
        if let person = rest.person {
            event.actor = person
            event.kind = .user
        }
        if let kernelPerson = rest.kernelPerson { event.kernel = kernelPerson }
        if event.connector.isEmpty {
            event.connector = rest.mount.isEmpty ? String(event.path.prefix { $0 != "/" }) : rest.mount
        }
        // What is about to be done, and what it became, is one thing.
        event.operation = rest.phase.utf8.elementsEqual("intent".utf8) ? .other : operation(rest.operation, &event)
        let isFinding = event.kind == .system && rest.operation.utf8.elementsEqual("anomaly.raise".utf8)
        let finding = rest.finding.flatMap { isFinding && !$0.isEmpty ? $0 : nil }
        var record = InsightRecord(event: event, notice: nil, finding: finding)
        record.asksForPerson = ["approval.request", "oauth.needs_consent"].contains {
            rest.operation.utf8.elementsEqual($0.utf8)
        }
        record.isHandling = rest.operation.utf8.starts(with: "anomaly.".utf8)
        switch rest.operation {
        case "wrap.replay": record.notice = .reopenedToken
        case "clock.jump": record.notice = .clockJump
        case "anomaly.raise": record.notice = .raised(rest.kind)
        default:
            let isIntent = rest.phase.utf8.elementsEqual("intent".utf8)
            if !isIntent, rest.error.utf8.elementsEqual("token_bound".utf8) {
                record.notice = .stolenToken(rest.owner)
                break
            }
            if !isIntent, rest.isDecoy {
                record.notice = .decoy
                break
            }
            if !isIntent, rest.isOwn, event.outcome == .ok {
                record.notice = .ownRights
                break
            }
            let isRoot = rest.policy.utf8.elementsEqual("root".utf8) && event.kind != .system
            if isRoot, event.outcome == .ok { record.notice = .rootToken }
        }
        return record
    }

    /// Who turns a log on, off or elsewhere; what officers do with it by its own commands is no such thing.
    private static func isTampering(_ path: String) -> Bool {
        let words = path.split(separator: "/", maxSplits: 3)
        guard words.count >= 3, words[0] == "sys", words[1] == "audit" else { return false }
        return !["holds", "prune", "erase", "subject", "export", "verified"].contains(words[2])
    }

    private static func operation(_ name: String, _ event: inout InsightEvent) -> InsightEvent.Operation {
        switch name {
        case "secret.read", "lease.issue", "transit.use", "unwrap", "cubbyhole.read": return .read
        case "secret.list": return .list
        case "secret.write", "kv.metadata", "kv.undelete", "cubbyhole.write": return .write
        case "secret.delete", "kv.destroy": return .delete
        case "auth.ok": return .login
        case "auth.fail":
            if event.outcome == .ok { event.outcome = .denied }
            return .login
        case "token.renew", "lease.renew": return .renew
        case "token.revoke", "lease.revoke": return .revoke
        case "rotation.ok", "rotation.start", "oauth.refresh": return .rotate
        case "rotation.fail":
            event.outcome = .error
            return .rotate
        case "policy.change", "role.grant": return .policyWrite
        case "identity.change", "subject.register": return .identityWrite
        case "audit.read", "audit.export", "audit.verify": return .auditRead
        case "config.change": return event.path.utf8.starts(with: "sys/audit".utf8) ? .auditWrite : .other
        case "sys.write": return isTampering(event.path) ? .auditWrite : .other
        case "heartbeat": return .heartbeat
        default: return .other
        }
    }
}
