internal import CoffreCrypto

/// One line read back: strict form, schema version 1, and the few facts that chain and totals need.
struct RecordForm: Sendable {
    private var parser = StrictJSON()
    private var lastTimeText: [UInt8] = []

    private(set) var sequence: UInt64 = 0
    private(set) var previous = Digest.zero
    private(set) var time = RecordTime(microseconds: 0)
    private(set) var operation = AuditOperation.genesis
    private(set) var outcome = AuditDraft.Outcome.granted
    private(set) var phase = AuditDraft.Phase.single
    private(set) var generation: UInt64?
    /// `what.conn` as it stands between its quotes, when it is text.
    private(set) var connector: Range<Int>?
    /// `CLOCK_BOOTTIME`, microseconds.
    private(set) var mono: UInt64 = 0
    private var bootPlace = 0..<0

    /// - Returns: why `line` (without its line feed) is not a record, nil when it is one.
    mutating func read(_ line: UnsafeRawBufferPointer) -> String? {
        guard line.count <= LineEncoder.maximumLineBytes else { return "the line is longer than 16384 bytes" }
        if let defect = parser.parse(line) { return defect }
        generation = nil
        connector = nil
        var found: UInt32 = 0
        var hasOperation = false
        var hasOutcome = false
        var group = Field.version
        var index = 1
        while index < parser.members.count {
            let member = parser.members[index]
            index += 1
            if member.depth == 2 {
                guard let field = Self.field(line, member.key) else { return "an unknown field" }
                guard field.accepts(member.kind) else { return "a field of the wrong kind" }
                found |= 1 << field.bit
                group = field
                if let defect = top(field, line, member) { return defect }
            } else if member.depth == 3 {
                if let defect = inner(group, line, member, &hasOperation, &hasOutcome) { return defect }
            }
        }
        guard found & Self.required == Self.required, hasOperation, hasOutcome else { return "a field is missing" }
        return nil
    }

    /// A member of one of the objects, or an element of `ref`.
    private mutating func inner(
        _ group: Field,
        _ line: UnsafeRawBufferPointer,
        _ member: StrictJSON.Member,
        _ hasOperation: inout Bool,
        _ hasOutcome: inout Bool
    ) -> String? {
        let key = member.key
        switch group {
        case .out:
            if Self.equals(line, key, "code") {
                guard let code = Self.outcome(line, member.value) else { return "an unknown outcome" }
                outcome = code
                hasOutcome = true
            } else if Self.equals(line, key, "us") {
                guard member.kind == .integer else { return "a field of the wrong kind" }
            } else if !Self.equals(line, key, "err") {
                return "an unknown field"
            }
        case .what:
            guard Self.isKnown(line, key, among: Self.whatKeys) else { return "an unknown field" }
            if Self.equals(line, key, "op") {
                guard let known = Self.operation(line, member.value) else { return "an unknown operation" }
                operation = known
                hasOperation = true
            } else if member.kind == .string, Self.equals(line, key, "conn") {
                connector = member.value
            }
        case .who:
            guard Self.isKnown(line, key, among: Self.whoKeys) else { return "an unknown field" }
        case .why:
            guard Self.isKnown(line, key, among: Self.whyKeys) else { return "an unknown field" }
        case .references:
            guard member.kind == .integer else { return "a field of the wrong kind" }
        case .correlation:
            guard Self.equals(line, key, "h") || Self.equals(line, key, "n") else { return "an unknown field" }
        default:
            return "an unknown field"
        }
        return nil
    }

    /// The boot id of the line read last.
    func boot(in line: UnsafeRawBufferPointer) -> String { String(decoding: line[bootPlace], as: UTF8.self) }

    /// The text value of `what.det.<name>` of the line read last, nil when absent or not text.
    func detail(_ name: StaticString, in line: UnsafeRawBufferPointer) -> [UInt8]? {
        for member in parser.members where member.depth == 4 && member.kind == .string {
            let parent = parser.members[member.parent]
            guard Self.equals(line, member.key, name), Self.equals(line, parent.key, "det") else { continue }
            return Array(line[member.value])
        }
        return nil
    }

    /// A number in `what.det`, nil when absent or not one.
    func detailNumber(_ name: StaticString, in line: UnsafeRawBufferPointer) -> UInt64? {
        for member in parser.members where member.depth == 4 && member.kind == .integer {
            let parent = parser.members[member.parent]
            guard Self.equals(line, member.key, name), Self.equals(line, parent.key, "det") else { continue }
            return Self.number(line, member.value)
        }
        return nil
    }

    /// The text `<group>.<name>` of the line read last, nil when absent or not text.
    func text(_ group: StaticString, _ name: StaticString, in line: UnsafeRawBufferPointer) -> String? {
        for member in parser.members where member.depth == 3 && member.kind == .string {
            let parent = parser.members[member.parent]
            guard Self.equals(line, member.key, name), Self.equals(line, parent.key, group) else { continue }
            return ExactName(unescaping: UnsafeRawBufferPointer(rebasing: line[member.value])).text
        }
        return nil
    }

    /// Shows the names by which the line read last is found: where they stand, without their quotes.
    func visitNames(in line: UnsafeRawBufferPointer, _ visit: (IndexKind, Range<Int>) -> Void) {
        for member in parser.members where member.depth == 3 && member.kind == .string {
            let group = parser.members[member.parent].key
            if Self.equals(line, group, "who") {
                for name in Self.actorKeys where Self.equals(line, member.key, name) { visit(.actor, member.value) }
            } else if Self.equals(line, group, "what") {
                if Self.equals(line, member.key, "path") { visit(.path, member.value) }
                if Self.equals(line, member.key, "conn") { visit(.connector, member.value) }
            }
        }
    }

    private static let actorKeys: [StaticString] = ["sid", "ksid", "for", "unit"]

    /// The first number of `ref` of the line read last.
    func firstReference(in line: UnsafeRawBufferPointer) -> UInt64? {
        for member in parser.members where member.depth == 3 && member.kind == .integer {
            if Self.equals(line, parser.members[member.parent].key, "ref") { return Self.number(line, member.value) }
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
        let value = member.value
        switch field {
        case .previous:
            guard let digest = StrictBase64.digest(UnsafeRawBufferPointer(rebasing: line[value])) else {
                return "_p is not a hash"
            }
            previous = digest
        case .sequence:
            guard let number = Self.number(line, value) else { return "_s is not a number" }
            sequence = number
        case .time:
            let text = UnsafeRawBufferPointer(rebasing: line[value])
            // Records of one batch share their time, so most often this is the one before.
            if lastTimeText.withUnsafeBytes({ !Memory.isEqual($0, text) }) {
                guard let read = RecordTime(text) else { return "_t is not a time" }
                time = read
                lastTimeText = Array(text)
            }
        case .boot:
            guard value.count == 32 else { return "boot is not a boot id" }
            for place in value where !Self.isLowerHex(line[place]) { return "boot is not a boot id" }
            bootPlace = value
        case .generation:
            guard let number = Self.number(line, value) else { return "gen is not a number" }
            generation = number
        case .mono:
            guard let number = Self.number(line, value) else { return "mono is not a number" }
            mono = number
        case .phase:
            if Self.equals(line, value, "single") {
                phase = .single
            } else if Self.equals(line, value, "intent") {
                phase = .intent
            } else if Self.equals(line, value, "outcome") {
                phase = .outcome
            } else {
                return "an unknown phase"
            }
        case .version:
            guard Self.equals(line, value, "1") else { return "an unknown schema version" }
        case .correlation, .out, .references, .what, .who, .why:
            break
        }
        return nil
    }

    private static func isLowerHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
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

    private static func field(_ line: UnsafeRawBufferPointer, _ key: Range<Int>) -> Field? {
        for entry in fields where equals(line, key, entry.name) { return entry.field }
        return nil
    }

    private static let whatKeys: [StaticString] = [
        "conn", "det", "fields", "lease", "mount", "op", "path", "pd", "pn", "to", "ver",
    ]
    private static let whoKeys: [StaticString] = [
        "for", "gid", "jti", "kind", "ksid", "pid", "sid", "team", "tok", "uid", "unit",
    ]
    private static let whyKeys: [StaticString] = [
        "appr", "bg", "cap", "pol", "polv", "purpose", "rule", "set", "sub", "ticket",
    ]

    private static func isKnown(
        _ line: UnsafeRawBufferPointer,
        _ key: Range<Int>,
        among names: [StaticString]
    ) -> Bool {
        for name in names where equals(line, key, name) { return true }
        return false
    }

    @inline(__always)
    private static func equals(_ line: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard range.upperBound - range.lowerBound == count else { return false }
        let start = text.utf8Start
        var position = 0
        while position < count {
            if line[range.lowerBound + position] != start[position] { return false }
            position += 1
        }
        return true
    }

    private static func outcome(_ line: UnsafeRawBufferPointer, _ range: Range<Int>) -> AuditDraft.Outcome? {
        if equals(line, range, "granted") { return .granted }
        if equals(line, range, "denied") { return .denied }
        if equals(line, range, "error") { return .error }
        return equals(line, range, "rate_limited") ? .rateLimited : nil
    }

    /// Operations by a hash of their names; the name is compared too.
    private static let operations: [UInt64: (name: [UInt8], operation: AuditOperation)] = {
        var table: [UInt64: (name: [UInt8], operation: AuditOperation)] = [:]
        for operation in AuditOperation.allCases {
            let name = Array(operation.rawValue.utf8)
            table[name.withUnsafeBytes { hash($0, 0..<name.count) }] = (name, operation)
        }
        precondition(table.count == AuditOperation.allCases.count, "two operations share a hash")
        return table
    }()

    /// FNV-1a, 64 bits.
    private static func hash(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var position = range.lowerBound
        while position < range.upperBound {
            hash = (hash ^ UInt64(bytes[position])) &* 0x100_0000_01b3
            position += 1
        }
        return hash
    }

    private static func operation(_ line: UnsafeRawBufferPointer, _ range: Range<Int>) -> AuditOperation? {
        guard let entry = operations[hash(line, range)], entry.name.count == range.count else { return nil }
        for position in 0..<range.count where line[range.lowerBound + position] != entry.name[position] { return nil }
        return entry.operation
    }

    private static func number(_ line: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64? {
        guard !range.isEmpty else { return nil }
        var number: UInt64 = 0
        for place in range {
            guard line[place] >= 0x30, line[place] <= 0x39 else { return nil }
            number = number * 10 + UInt64(line[place] - 0x30)  // at most 16 digits: the parser has seen to that
        }
        return number
    }
}
