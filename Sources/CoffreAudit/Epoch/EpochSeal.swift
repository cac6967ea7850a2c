internal import CoffreCrypto

/// What ends an epoch: the `key.rotate` record that introduces the next key, proven under a checkpoint that the stable
/// key and the keys of both epochs have signed. A C2SP tlog-proof whose `extra` is the record's line.
struct EpochSeal: Sendable {
    static let folder = "epochs"
    /// Largest file that is read, in bytes.
    static let maximumBytes = 65_536

    /// The epoch that ends.
    let number: UInt64
    /// Number of the `key.rotate` record.
    let index: UInt64
    /// The records up to the end of the epoch.
    let checkpoint: Checkpoint
    let nextKey: NoteVerifierKey
    /// The exact bytes of the file.
    let text: [UInt8]

    /// `epochs/epoch-000012.tlog-proof`.
    static func path(_ number: UInt64) -> String { "\(folder)/\(fileName(number))" }

    static func fileName(_ number: UInt64) -> String { "\(LogIdentity.epochWord(number)).tlog-proof" }

    /// Opens one: all three rules of an epoch's end, and exactly the form that
    /// ``RecordProof/text(line:before:next:origin:signers:)`` writes.
    /// - Parameters:
    ///   - number: the epoch that it must end.
    ///   - signers: the stable key and the key of that epoch.
    /// - Returns: nil when it is not that.
    init?(_ text: [UInt8], number: UInt64, origin: String, signers: [NoteVerifierKey]) {
        guard text.count <= Self.maximumBytes, let parts = TlogProof.parts(text) else { return nil }
        var form = RecordForm()
        let line = parts.extra
        let rotation = line.withUnsafeBytes { line in
            form.read(line) == nil && form.operation == .keyRotate && form.sequence == parts.index
                ? form.rotation(in: line) : nil
        }
        guard let rotation, rotation.epoch == number + 1,
            rotation.key.name == LogIdentity.epochName(origin, number + 1),
            let signed = SignedNote.open(parts.checkpoint, keys: signers + [rotation.key]),
            let checkpoint = Checkpoint(text: signed, origin: origin),
            checkpoint.size == parts.index + 1 || checkpoint.size == parts.index + 2,
            TreeProof.isIncluded(
                line.withUnsafeBytes { TreeHash.leaf($0) },
                at: parts.index,
                path: parts.path,
                size: checkpoint.size,
                root: checkpoint.root
            )
        else { return nil }
        self.number = number
        index = parts.index
        self.checkpoint = checkpoint
        nextKey = rotation.key
        self.text = text
    }
}

extension RecordForm {
    /// What a `key.rotate` record that was read last introduces.
    func rotation(in line: UnsafeRawBufferPointer) -> (epoch: UInt64, key: NoteVerifierKey)? {
        guard operation == .keyRotate, let epoch = detailNumber("epoch", in: line), epoch > 0,
            let text = detail("key", in: line), let key = NoteVerifierKey(String(decoding: text, as: UTF8.self))
        else { return nil }
        return (epoch, key)
    }
}
