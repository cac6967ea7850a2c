internal import CoffreCrypto

/// What stays of an erased card: `erased/<sid>.tlog-proof`, its `erasure.done` record proven under a signed checkpoint.
///
/// While an erasure is under way, `erased/<sid>.asked` holds the `erasure.request` record in the same form; a start that
/// finds one goes on with it.
struct ErasureProof: Sendable {
    enum Stage: String, CaseIterable {
        case asked
        case done = "tlog-proof"

        var operation: AuditOperation { self == .asked ? .erasureRequest : .erasureDone }
    }

    /// What a file of the folder is named after.
    struct Name: Sendable, Hashable {
        let sid: String
        let stage: Stage

        var path: String { "\(ErasureProof.folder)/\(sid).\(stage.rawValue)" }
    }

    static let folder = "erased"

    let name: Name
    let reason: ErasureReason
    let record: UInt64
    let checkpoint: Checkpoint

    /// Strict: nil when `text` does not prove such a record of this log about that pseudonym.
    init?(_ text: [UInt8], _ name: Name, epochs: EpochChain) {
        guard let proof = RecordProof(text, epochs: epochs), proof.operation == name.stage.operation,
            let sid = proof.detail("sid"), sid.utf8.elementsEqual(name.sid.utf8),
            let reason = proof.detail("reason").flatMap({ ErasureReason(rawValue: $0) })
        else { return nil }
        self.name = name
        self.reason = reason
        record = proof.index
        checkpoint = proof.checkpoint
    }

    /// What both records say.
    static func details(_ sid: String, _ reason: ErasureReason) -> [AuditWhat.Detail] {
        [("reason", .text(reason.rawValue)), ("sid", .text(sid))]
    }

    /// `s-` and 22 characters, as the log makes them.
    static func isValidSid(_ sid: some StringProtocol) -> Bool {
        sid.utf8.count == 24 && sid.hasPrefix("s-")
            && sid.utf8.dropFirst(2).allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
            }
    }

    /// The names in the folder; a file that has no such name is a defect.
    static func list(
        _ files: any LogFileSystem
    ) throws(FileFailure) -> (names: [Name], defect: (file: String, reason: String)?) {
        guard try files.identity(of: folder) != nil else { return ([], nil) }
        var names: [Name] = []
        for file in try files.names(in: folder).sorted() where !file.hasSuffix(".new") {
            let parts = file.split(separator: ".", maxSplits: 1)
            guard parts.count == 2, isValidSid(parts[0]), let stage = Stage(rawValue: String(parts[1])) else {
                return (names, ("\(folder)/\(file)", "it is not named after a pseudonym that was erased"))
            }
            names.append(Name(sid: String(parts[0]), stage: stage))
        }
        return (names, nil)
    }

    /// Nil when there is no such file any more, as when an erasure has just been finished.
    static func read(
        _ name: Name,
        _ files: any LogFileSystem,
        _ epochs: EpochChain
    ) throws(FileFailure) -> (proof: ErasureProof?, defect: (file: String, reason: String)?) {
        let text: [UInt8]
        do throws(FileFailure) {
            guard let found = try files.contents(of: name.path, limit: RecordProof.maximumBytes) else {
                return (nil, nil)
            }
            text = found
        } catch {
            guard error.errno == 2 else { throw error }
            return (nil, nil)
        }
        guard let proof = ErasureProof(text, name, epochs: epochs) else {
            return (nil, (name.path, "it does not prove this erasure under this log's keys"))
        }
        return (proof, nil)
    }

    /// All of them, for verifiers. The log may turn to another epoch meanwhile.
    static func load(
        _ files: any LogFileSystem,
        _ epochs: EpochChain
    ) throws(FileFailure) -> (proofs: [ErasureProof], defect: (file: String, reason: String)?) {
        let (names, defect) = try list(files)
        if let defect { return ([], defect) }
        var proofs: [ErasureProof] = []
        var epochs = epochs
        for name in names {
            var (proof, defect) = try read(name, files, epochs)
            if defect != nil {
                epochs = try EpochChain.load(files, epochs.identity).chain
                (proof, defect) = try read(name, files, epochs)
            }
            if let defect { return (proofs, defect) }
            if let proof { proofs.append(proof) }
        }
        return (proofs, nil)
    }
}
