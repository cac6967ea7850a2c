/// What others have said of an earlier head of the log, as it lies in `witness/`, with the proof that the log went on
/// from there.
package struct OutsideEvidence: Sendable {
    package enum Kind: String, Sendable {
        /// By witnesses (C2SP tlog-cosignature).
        case cosigned
        /// By a time-stamp authority (RFC 3161).
        case stamped
    }

    package let kind: Kind
    /// The signed note, for `.cosigned` with the cosignatures under it.
    package let note: [UInt8]
    /// The DER TimeStampResp for `.stamped`, empty otherwise.
    package let stamp: [UInt8]
    let size: UInt64

    /// Largest stamp that is handed on, in bytes.
    private static let maximumStampBytes = 65_536

    private init(_ kind: Kind, _ note: [UInt8], stamp: [UInt8] = [], size: UInt64 = 0) {
        self.kind = kind
        self.note = note
        self.stamp = stamp
        self.size = size
    }

    /// The newest of each kind. To be read before the newest head is.
    static func read(_ files: any LogFileSystem) throws(FileFailure) -> [OutsideEvidence] {
        guard try files.identity(of: WitnessState.folder) != nil else { return [] }
        var found: [OutsideEvidence] = []
        if let note = try files.contents(of: CosignedNote.path, limit: CosignedNote.maximumBytes) {
            found.append(OutsideEvidence(.cosigned, note))
        }
        let sizes = try files.names(in: WitnessState.folder).compactMap { name -> UInt64? in
            guard name.hasSuffix(".tsr"), let size = UInt64(name.dropLast(4)) else { return nil }
            return StampChannel.paths(size).stamp == "\(WitnessState.folder)/\(name)" ? size : nil
        }
        if let newest = sizes.max() {
            let paths = StampChannel.paths(newest)
            if let note = try files.contents(of: paths.note, limit: Checkpoint.maximumBytes),
                let stamp = try files.contents(of: paths.stamp, limit: maximumStampBytes)
            {
                found.append(OutsideEvidence(.stamped, note, stamp: stamp))
            }
        }
        return found
    }

    /// With its size, when the log has signed the note and has not become shorter since.
    func checked(_ epochs: EpochChain, upTo size: UInt64) -> OutsideEvidence? {
        guard let head = Checkpoint(note: note, epochs: epochs, others: true), head.size <= size else { return nil }
        return OutsideEvidence(kind, note, stamp: stamp, size: head.size)
    }
}
