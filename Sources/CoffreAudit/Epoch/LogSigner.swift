internal import CoffreCrypto

/// Signs for a log: with its stable key and the key of the epoch that is open.
struct LogSigner: Sendable {
    let origin: String
    let keys: LogKeys
    let epochs: EpochKeys

    private var signers: [(name: String, key: SigningKey)] {
        [(origin, keys.stable), (LogIdentity.epochName(origin, epochs.number), epochs.live)]
    }

    /// - Returns: the C2SP signed note of `text`.
    func sign(_ text: [UInt8]) -> [UInt8] { SignedNote.sign(text, with: signers) }

    /// Proves the record with which the log ends. See ``RecordProof``.
    func prove(line: [UInt8], before: Frontier) -> [UInt8] {
        RecordProof.text(line: line, before: before, origin: origin, signers: signers)
    }

    /// The seal of the open epoch, also signed by the next one's key. See ``RecordProof``.
    func sealEpoch(line: [UInt8], before: Frontier, next: Digest?, nextKey: SigningKey) -> [UInt8] {
        let name = LogIdentity.epochName(origin, epochs.number + 1)
        let all = signers + [(name, nextKey)]
        return RecordProof.text(line: line, before: before, next: next, origin: origin, signers: all)
    }
}
