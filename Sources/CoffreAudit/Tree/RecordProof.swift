internal import CoffreCrypto

/// A record's line proven under a signed checkpoint, in one file that outlives the segment: a C2SP tlog-proof whose
/// `extra` is the line.
struct RecordProof: Sendable {
    /// Largest file that is read, in bytes.
    static let maximumBytes = 65_536

    /// Number of the record.
    let index: UInt64
    let line: [UInt8]
    let operation: AuditOperation
    let checkpoint: Checkpoint

    /// Makes the text for a record with which a tree ends, or after which it has one leaf more.
    /// - Parameters:
    ///   - before: the tree before `line`.
    ///   - next: the leaf hash of the record after it, when the tree ends with that one.
    static func text(
        line: [UInt8],
        before: Frontier,
        next: Digest? = nil,
        origin: String,
        signers: [(name: String, key: SigningKey)]
    ) -> [UInt8] {
        var end = before
        end.append(leaf: line.withUnsafeBytes { TreeHash.leaf($0) })
        if let next { end.append(leaf: next) }
        // The siblings on the left are the perfect subtrees before it, smallest first; the one on the right stands
        // above those that the record completes.
        var path = Array(before.hashes.reversed())
        if let next { path.insert(next, at: (~before.size).trailingZeroBitCount) }
        let note = SignedNote.sign(Checkpoint(end).text(origin: origin), with: signers)
        return TlogProof.text(extra: line, index: before.size, path: path, checkpoint: note)
    }

    /// Strict: nil when `text` does not prove a whole record of this log, signed with both keys of its size.
    init?(_ text: [UInt8], epochs: EpochChain) {
        guard text.count <= Self.maximumBytes, let parts = TlogProof.parts(text) else { return nil }
        var form = RecordForm()
        guard parts.extra.withUnsafeBytes({ form.read($0) }) == nil, form.sequence == parts.index,
            let checkpoint = Checkpoint(note: parts.checkpoint, epochs: epochs),
            TreeProof.isIncluded(
                parts.extra.withUnsafeBytes { TreeHash.leaf($0) },
                at: parts.index,
                path: parts.path,
                size: checkpoint.size,
                root: checkpoint.root
            )
        else { return nil }
        index = parts.index
        line = parts.extra
        operation = form.operation
        self.checkpoint = checkpoint
    }

    /// A text in `what.det` of the record.
    func detail(_ name: StaticString) -> String? {
        var form = RecordForm()
        return line.withUnsafeBytes { line in
            guard form.read(line) == nil else { return nil }
            return form.detail(name, in: line).map {
                $0.withUnsafeBytes { ExactName(unescaping: $0).text }
            }
        }
    }

    /// A number in `what.det` of the record.
    func number(_ name: StaticString) -> UInt64? {
        var form = RecordForm()
        return line.withUnsafeBytes { form.read($0) == nil ? form.detailNumber(name, in: $0) : nil }
    }
}
