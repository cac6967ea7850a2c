internal import CoffreCrypto

/// What a `.seal` file says of its segment: a C2SP note whose first three lines are the checkpoint at the segment's
/// end and whose fourth is one line of JSON.
struct SegmentSeal: Sendable, Equatable {
    /// Largest seal file that is read, in bytes. Its table of connectors is bounded by the writer, which closes a segment
    /// with ``SegmentTally/mostConnectors`` of them.
    static let maximumBytes = 32 << 20

    /// Length of the segment file.
    var bytes: UInt64
    /// ``SegmentTally/connectorTable``.
    var connectors: [UInt8]
    /// Sequence numbers of the first and last record.
    var first: UInt64
    var last: UInt64
    /// The tree's frontier before the first record, and after the last.
    var start: Frontier
    var end: Frontier
    /// Highest storage generation of any outcome record from genesis to here.
    var generation: UInt64?
    /// Leaf hash of the last record.
    var leaf: Digest
    /// `_p` of the first record.
    var previous: Digest
    /// SHA-256 of the segment file.
    var raw: Digest
    /// `_t` of the first and last record.
    var firstTime: RecordTime
    var lastTime: RecordTime
    /// The totals by operation and outcome, as a JSON object.
    var totals: [UInt8]

    /// The text that is signed.
    func text(origin: String) -> [UInt8] {
        var buffer = ByteBuffer(capacity: 2048)
        buffer.append(Array("\(origin)\n\(end.size)\n".utf8))
        buffer.append(digest: end.root)
        buffer.append("\n{\"bytes\":")
        buffer.append(decimal: bytes)
        buffer.append(#","conn":"#)
        buffer.append(connectors)
        buffer.append(#","first":"#)
        buffer.append(decimal: first)
        buffer.append(#","front":"#)
        buffer.append(digests: start.hashes)
        if let generation {
            buffer.append(#","gen":"#)
            buffer.append(decimal: generation)
        }
        buffer.append(#","last":"#)
        buffer.append(decimal: last)
        buffer.append(#","leaf":""#)
        buffer.append(digest: leaf)
        buffer.append(#"","next":"#)
        buffer.append(digests: end.hashes)
        buffer.append(#","prev":""#)
        buffer.append(digest: previous)
        buffer.append(#"","raw":""#)
        buffer.append(digest: raw)
        buffer.append(#"","time":[""#)
        buffer.append(firstTime.utf8)
        buffer.append(#"",""#)
        buffer.append(lastTime.utf8)
        buffer.append(#""],"tot":"#)
        buffer.append(totals)
        buffer.append(",\"v\":1}\n")
        return Array(buffer.bytes)
    }

    /// The bytes of the `.seal` file.
    func note(_ signer: LogSigner) -> [UInt8] { signer.sign(text(origin: signer.origin)) }

    /// Opens a seal file: both signatures of its epoch, and exactly the form that ``text(origin:)`` writes.
    /// - Returns: nil when it is not a seal of this log.
    init?(note: [UInt8], epochs: EpochChain) {
        guard note.count <= Self.maximumBytes, let text = epochs.open(note),
            let seal = Self(text: text, origin: epochs.origin)
        else { return nil }
        self = seal
    }

    /// Reads a seal without asking who signed it; the caller checks what comes of it.
    init?(unverified note: [UInt8]) {
        let lines = note.split(separator: 0x0a, maxSplits: 5, omittingEmptySubsequences: false)
        guard note.count <= Self.maximumBytes, lines.count == 6, lines[4].isEmpty else { return nil }
        let text = lines[..<4].flatMap { $0 + [0x0a] }
        self.init(text: text, origin: String(decoding: lines[0], as: UTF8.self))
    }

    private init?(text: [UInt8], origin: String) {
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count == 5 else { return nil }
        let json = Array(lines[3])
        var parser = StrictJSON()
        guard json.withUnsafeBytes({ parser.parse($0) }) == nil else { return nil }
        var values: [String: (range: Range<Int>, elements: [Range<Int>])] = [:]
        for (index, member) in parser.members.enumerated() where member.depth == 2 {
            let elements = parser.members.filter { $0.parent == index }.map(\.value)
            values[String(decoding: json[member.key], as: UTF8.self)] = (member.value, elements)
        }
        func number(_ name: String) -> UInt64? {
            values[name].flatMap { UInt64(String(decoding: json[$0.range], as: UTF8.self)) }
        }
        func digest(_ range: Range<Int>) -> Digest? { Array(json[range]).withUnsafeBytes { StrictBase64.digest($0) } }
        func digests(_ name: String) -> [Digest] { values[name]?.elements.compactMap(digest) ?? [] }
        guard let bytes = number("bytes"), let first = number("first"), let last = number("last"), last >= first,
            last < UInt64.max, let connectors = values["conn"], let totals = values["tot"],
            let start = Frontier(size: first, hashes: digests("front")),
            let end = Frontier(size: last + 1, hashes: digests("next")),
            let leaf = values["leaf"].flatMap({ digest($0.range) }),
            let previous = values["prev"].flatMap({ digest($0.range) }),
            let raw = values["raw"].flatMap({ digest($0.range) }),
            let times = values["time"]?.elements, times.count == 2,
            let firstTime = RecordTime(json[times[0]]), let lastTime = RecordTime(json[times[1]])
        else { return nil }
        self.bytes = bytes
        self.connectors = Array(json[connectors.range])
        self.first = first
        self.last = last
        self.start = start
        self.end = end
        self.generation = number("gen")
        self.leaf = leaf
        self.previous = previous
        self.raw = raw
        self.firstTime = firstTime
        self.lastTime = lastTime
        self.totals = Array(json[totals.range])
        guard self.text(origin: origin) == text else { return nil }
    }

    init(
        bytes: UInt64,
        tally: SegmentTally,
        start: Frontier,
        end: Frontier,
        generation: UInt64?,
        leaf: Digest,
        previous: Digest,
        raw: Digest,
        firstTime: RecordTime,
        lastTime: RecordTime
    ) {
        self.bytes = bytes
        connectors = tally.connectorTable
        first = start.size
        last = end.size - 1
        self.start = start
        self.end = end
        self.generation = generation
        self.leaf = leaf
        self.previous = previous
        self.raw = raw
        self.firstTime = firstTime
        self.lastTime = lastTime
        var buffer = ByteBuffer(capacity: 512)
        _ = AuditValue.counts(tally.totals).append(to: &buffer, limit: ByteBuffer.valueLimitBytes, digest: nil)
        totals = Array(buffer.bytes)
    }
}

extension ByteBuffer {
    mutating func append(digests: [Digest]) {
        append(byte: 0x5b)
        for (index, digest) in digests.enumerated() {
            if index > 0 { append(byte: 0x2c) }
            append(byte: 0x22)
            append(digest: digest)
            append(byte: 0x22)
        }
        append(byte: 0x5d)
    }
}
