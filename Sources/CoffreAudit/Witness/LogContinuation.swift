internal import CoffreCrypto

/// The last signed heads of a log that a new one takes the place of: its own, and the one that its witness knows when that
/// is another. Cited in the new log's first record.
package struct LogContinuation: Sendable {
    let origin: String
    private let heads: [(size: UInt64, root: Digest, note: [UInt8])]

    /// - Parameter notes: one or two checkpoint notes of one log. Their signatures are evidence, and not checked here.
    /// - Throws: ``AuditError`` `.invalidConfiguration`.
    package init(notes: [[UInt8]]) throws(AuditError) {
        var heads: [(size: UInt64, root: Digest, note: [UInt8])] = []
        var origins: Set<[UInt8]> = []
        for note in notes {
            let lines = note.prefix(1024).split(separator: 0x0a, maxSplits: 4, omittingEmptySubsequences: false)
            guard note.count <= Checkpoint.maximumBytes, lines.count == 5, lines[3].isEmpty,
                let name = String(validating: lines[0], as: UTF8.self), LogIdentity.isValidOrigin(name),
                let head = Checkpoint(text: lines[..<3].flatMap { $0 + [0x0a] }, origin: name)
            else { throw .invalidConfiguration(reason: "a file of [audit] continues is no checkpoint note") }
            origins.insert(Array(lines[0]))
            heads.append((head.size, head.root, note))
        }
        guard (1...2).contains(heads.count), origins.count == 1, let origin = origins.first else {
            throw .invalidConfiguration(reason: "[audit] continues takes one or two checkpoint notes of one log")
        }
        self.origin = String(decoding: origin, as: UTF8.self)
        self.heads = heads
    }

    /// For the genesis record.
    var details: [AuditWhat.Detail] {
        var details: [AuditWhat.Detail] = [("continues/origin", .text(origin))]
        for (head, name) in zip(heads, ["continues", "continues/witness"]) {
            details += [
                ("\(name)/note", .text(Base64.encode(SHA256.hash(head.note).bytes))),
                ("\(name)/root", .text(Base64.encode(head.root.bytes))),
                ("\(name)/size", .int(Int64(clamping: head.size))),
            ]
        }
        return details
    }
}
