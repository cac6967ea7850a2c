internal import CoffreCrypto

/// One line read back: strict form, schema version 1, and the few facts that chain and totals need.
struct RecordForm: Sendable {
    private var parser = StrictJSON()
    private static let operations: [[UInt8]: AuditOperation] = Dictionary(
        uniqueKeysWithValues: AuditOperation.allCases.map { (Array($0.rawValue.utf8), $0) }
    )

    private(set) var sequence: UInt64 = 0
    private(set) var previous = Digest.zero
    private(set) var time = RecordTime(microseconds: 0)
    private(set) var operation = AuditOperation.genesis
    private(set) var outcome = AuditDraft.Outcome.granted
    private(set) var phase = AuditDraft.Phase.single
    private(set) var generation: UInt64?
    /// `what.conn` as it stands between its quotes, when it is text.
    private(set) var connector: Range<Int>?

    /// - Returns: why `line` (without its line feed) is not a record, nil when it is one.
    mutating func read(_ line: UnsafeRawBufferPointer) -> String? {
        guard line.count <= LineEncoder.maximumLineBytes else { return "the line is longer than 16384 bytes" }
        if let defect = parser.parse(line) { return defect }
        generation = nil
        connector = nil
        var found: UInt32 = 0
        var hasOperation = false
        var hasOutcome = false
        for (index, member) in parser.members.enumerated() where index > 0 {
            let key = line[member.key]
            if member.depth == 2 {
                guard let field = Self.field(key) else { return "an unknown field" }
                guard field.accepts(member.kind) else { return "a field of the wrong kind" }
                found |= 1 << field.bit
                if let defect = top(field, line, member) { return defect }
            } else if member.depth == 3 {
                guard let group = Self.field(line[parser.members[member.parent].key]) else { return "an unknown field" }
                switch group {
                case .out:
                    if Self.equals(key, "code") {
                        guard let code = Self.outcome(line[member.value]) else { return "an unknown outcome" }
                        outcome = code
                        hasOutcome = true
                    } else if Self.equals(key, "us") {
                        guard member.kind == .integer else { return "a field of the wrong kind" }
                    } else if !Self.equals(key, "err") {
                        return "an unknown field"
                    }
                case .what:
                    guard Self.isKnown(key, among: Self.whatKeys) else { return "an unknown field" }
                    if Self.equals(key, "op") {
                        guard let known = Self.operations[Array(line[member.value])] else {
                            return "an unknown operation"
                        }
                        operation = known
                        hasOperation = true
                    } else if Self.equals(key, "conn"), member.kind == .string {
                        connector = member.value
                    }
                case .who:
                    guard Self.isKnown(key, among: Self.whoKeys) else { return "an unknown field" }
                case .why:
                    guard Self.isKnown(key, among: Self.whyKeys) else { return "an unknown field" }
                case .references:
                    guard member.kind == .integer else { return "a field of the wrong kind" }
                case .correlation:
                    guard Self.equals(key, "h") || Self.equals(key, "n") else { return "an unknown field" }
                default: return "an unknown field"
                }
            }
        }
        guard found & Self.required == Self.required, hasOperation, hasOutcome else { return "a field is missing" }
        return nil
    }

    /// The text value of `what.det.<name>` of the line read last, nil when absent or not text.
    func detail(_ name: StaticString, in line: UnsafeRawBufferPointer) -> [UInt8]? {
        for member in parser.members where member.depth == 4 && member.kind == .string {
            let parent = parser.members[member.parent]
            guard Self.equals(line[member.key], name), Self.equals(line[parent.key], "det") else { continue }
            return Array(line[member.value])
        }
        return nil
    }

    /// Why a genesis record does not belong to `identity`; nil when it does, and for every other record.
    func genesisDefect(_ line: UnsafeRawBufferPointer, _ identity: LogIdentity) -> String? {
        guard operation == .genesis else { return nil }
        let isIts =
            detail("origin", in: line) == Array(identity.origin.utf8)
            && detail("key", in: line) == Array(identity.stable.text.utf8)
            && detail("epoch", in: line) == Array(identity.epoch.text.utf8)
        return isIts ? nil : "genesis does not name the keys of log.vkey"
    }

    private mutating func top(_ field: Field, _ line: UnsafeRawBufferPointer, _ member: StrictJSON.Member) -> String? {
        let value = line[member.value]
        switch field {
        case .previous:
            guard let digest = StrictBase64.digest(value) else {
                return "_p is not a hash"
            }
            previous = digest
        case .sequence:
            guard let number = Self.number(value) else { return "_s is not a number" }
            sequence = number
        case .time:
            guard let read = RecordTime(value) else { return "_t is not a time" }
            time = read
        case .boot:
            let isHex = value.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            guard value.count == 32, isHex else { return "boot is not a boot id" }
        case .generation:
            guard let number = Self.number(value) else { return "gen is not a number" }
            generation = number
        case .mono:
            guard Self.number(value) != nil else { return "mono is not a number" }
        case .phase:
            guard let read = Self.phase(value) else { return "an unknown phase" }
            phase = read
        case .version:
            guard Self.equals(value, "1") else { return "an unknown schema version" }
        case .correlation, .out, .references, .what, .who, .why:
            break
        }
        return nil
    }

    private enum Field: CaseIterable {
        case previous, sequence, time, boot, correlation, generation, mono, out, phase, references, version, what, who
        case why

        var bit: UInt32 {
            switch self {
            case .previous: 0
            case .sequence: 1
            case .time: 2
            case .boot: 3
            case .correlation: 4
            case .mono: 5
            case .out: 6
            case .phase: 7
            case .version: 8
            case .what: 9
            case .who: 10
            case .generation: 11
            case .references: 12
            case .why: 13
            }
        }

        func accepts(_ kind: StrictJSON.Kind) -> Bool {
            switch self {
            case .previous, .time, .boot, .phase: kind == .string
            case .correlation: kind == .string || kind == .object  // digest and length when it was too long
            case .sequence, .generation, .mono, .version: kind == .integer
            case .out, .what, .who, .why: kind == .object
            case .references: kind == .array
            }
        }
    }

    /// Bits of the fields that every record has.
    private static let required: UInt32 = 0x7ff

    private static let fields: [(name: StaticString, field: Field)] = [
        ("_p", .previous), ("_s", .sequence), ("_t", .time), ("boot", .boot), ("cid", .correlation),
        ("gen", .generation), ("mono", .mono), ("out", .out), ("ph", .phase), ("ref", .references),
        ("v", .version), ("what", .what), ("who", .who), ("why", .why),
    ]

    private static func field(_ key: Slice<UnsafeRawBufferPointer>) -> Field? {
        fields.first { equals(key, $0.name) }?.field
    }

    private static let whatKeys: [StaticString] = [
        "conn", "det", "fields", "lease", "mount", "op", "path", "pd", "pn", "to", "ver",
    ]
    private static let whoKeys: [StaticString] = [
        "for", "gid", "jti", "kind", "ksid", "pid", "sid", "team", "tok", "uid", "unit",
    ]
    private static let whyKeys: [StaticString] = [
        "appr", "bg", "pol", "polv", "purpose", "rule", "set", "sub", "ticket",
    ]

    private static func isKnown(_ key: Slice<UnsafeRawBufferPointer>, among names: [StaticString]) -> Bool {
        names.contains { equals(key, $0) }
    }

    private static func equals(_ bytes: Slice<UnsafeRawBufferPointer>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        var position = 0
        for byte in bytes {
            if byte != text.utf8Start[position] { return false }
            position += 1
        }
        return true
    }

    private static func outcome(_ value: Slice<UnsafeRawBufferPointer>) -> AuditDraft.Outcome? {
        AuditDraft.Outcome.allCases.first { value.elementsEqual($0.rawValue.utf8) }
    }

    private static func phase(_ value: Slice<UnsafeRawBufferPointer>) -> AuditDraft.Phase? {
        AuditDraft.Phase.allCases.first { value.elementsEqual($0.rawValue.utf8) }
    }

    private static func number(_ value: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var number: UInt64 = 0
        for byte in value {
            guard (0x30...0x39).contains(byte) else { return nil }
            number = number * 10 + UInt64(byte - 0x30)  // at most 16 digits: the parser has seen to that
        }
        return value.isEmpty ? nil : number
    }
}
