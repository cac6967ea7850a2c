internal import CoffreCrypto

/// Holds the records of one segment to the keys and epochs of the log: genesis names the first keys, every `key.rotate`
/// is the one that its epoch's seal proves, and the epoch ends with the segment.
struct EpochGuard {
    private let epochs: EpochChain
    private let identity: LogIdentity
    private var end: UInt64?

    init(_ epochs: EpochChain) {
        self.epochs = epochs
        identity = epochs.identity
    }

    mutating func defect(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) -> String? {
        if let end, form.sequence >= end { return "the epoch ended before it" }
        if let reason = form.genesisDefect(line, identity) { return reason }
        guard form.operation == .keyRotate else { return nil }
        if let reason = epochs.defect(ofRotation: line, at: form.sequence) { return reason }
        end = epochs.seals.first { $0.index == form.sequence }?.checkpoint.size
        return nil
    }

    /// - Parameter size: records of the log at the end of the segment.
    func defect(atEnd size: UInt64) -> String? {
        guard let end, end != size else { return nil }
        return "its epoch ends with record \(end - 1)"
    }
}
