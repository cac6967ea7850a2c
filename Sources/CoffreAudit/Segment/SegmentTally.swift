internal import CoffreCrypto

/// What a segment holds in numbers: by operation and outcome, and by connector.
struct SegmentTally: Sendable {
    private static let outcomes = AuditDraft.Outcome.allCases
    private static let operations = Dictionary(
        uniqueKeysWithValues: AuditOperation.allCases.enumerated().map { ($1, $0) }
    )

    private var counts = [UInt64](repeating: 0, count: AuditOperation.allCases.count * 4)
    /// By the connector's name as its JSON string shows it, so that writer and readers agree byte for byte.
    private var connectors: [ExactName: UInt64] = [:]

    /// Connectors of one segment: their table, at most 1.5 KB a row, stays below the largest seal file.
    static let mostConnectors = 20_000

    var isFull: Bool { connectors.count >= Self.mostConnectors }

    mutating func add(_ operation: AuditOperation, _ outcome: AuditDraft.Outcome) {
        counts[Self.index(operation, outcome)] += 1
    }

    mutating func add(connector: ExactName) { connectors[connector, default: 0] += 1 }

    /// The tally does not count the `segment.seal` record that carries it.
    mutating func removeClosingRecord() { counts[Self.index(.segmentSeal, .granted)] -= 1 }

    private static func index(_ operation: AuditOperation, _ outcome: AuditDraft.Outcome) -> Int {
        let place: Int
        switch outcome {
        case .granted: place = 0
        case .denied: place = 1
        case .error: place = 2
        case .rateLimited: place = 3
        }
        return (operations[operation] ?? 0) * 4 + place
    }

    /// `operation/outcome`, those that occurred.
    var totals: [AuditValue.Count] {
        AuditOperation.allCases.flatMap { operation in
            Self.outcomes.compactMap { outcome in
                let count = counts[Self.index(operation, outcome)]
                return count == 0
                    ? nil : AuditValue.Count(key: "\(operation.rawValue)/\(outcome.rawValue)", count: count)
            }
        }
    }

    /// ``totals`` for a record; their SHA-256 when they are so many that the line would get too long.
    var totalsForRecord: AuditValue {
        let totals = totals
        if totals.count <= Self.maximumTotals { return .counts(totals) }
        var buffer = ByteBuffer(capacity: 16_384)
        _ = AuditValue.counts(totals).append(to: &buffer, limit: ByteBuffer.valueLimitBytes, digest: nil)
        return .text(Base64.encode(SHA256.hash(buffer.bytes).bytes))
    }

    private static let maximumTotals = 250

    /// `[["connector",count],…]`, sorted by the bytes of the JSON strings.
    var connectorTable: [UInt8] {
        var rows: [(name: [UInt8], count: UInt64)] = []
        for (name, count) in connectors {
            var buffer = ByteBuffer(capacity: 64)
            buffer.append(text: name.text)
            rows.append((Array(buffer.bytes), count))
        }
        rows.sort { $0.name.lexicographicallyPrecedes($1.name) }
        var table = ByteBuffer(capacity: 64 * rows.count)
        table.append(byte: 0x5b)
        for (index, row) in rows.enumerated() {
            if index > 0 { table.append(byte: 0x2c) }
            table.append(byte: 0x5b)
            table.append(row.name)
            table.append(byte: 0x2c)
            table.append(unsigned: row.count)
            table.append(byte: 0x5d)
        }
        table.append(byte: 0x5d)
        return Array(table.bytes)
    }

    /// SHA-256 of ``connectorTable``, which `segment.seal` carries.
    var connectorDigest: Digest { SHA256.hash(connectorTable) }
}

extension ExactName {
    /// Reads a name back from between the quotes of its JSON string.
    init(unescaping bytes: UnsafeRawBufferPointer) {
        guard bytes.contains(0x5c) else {
            self.init(text: String(decoding: bytes, as: UTF8.self))
            return
        }
        var text: [UInt8] = []
        var rest = Array(bytes)[...]
        while let byte = rest.popFirst() {
            guard byte == 0x5c else {
                text.append(byte)
                continue
            }
            guard rest.popFirst() == 0x5c else {  // \"
                text.append(0x22)
                continue
            }
            if rest.first == 0x5c {  // a doubled backslash, itself escaped by JSON
                rest = rest.dropFirst(2)
                text.append(0x5c)
            } else if let close = rest.firstIndex(of: 0x7d) {  // \u{HEX}
                let digits = String(decoding: rest[..<close].dropFirst(2), as: UTF8.self)
                if let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) {
                    text += Array(String(Character(scalar)).utf8)
                }
                rest = rest[(close + 1)...]
            }
        }
        self.init(text: String(decoding: text, as: UTF8.self))
    }
}
