import CoffreAudit
import CoffreCrypto
import CoffreWire

/// Writes a proof bundle: the members that `verify.py` expects, in its order.
struct BundleWriter {
    /// What was written.
    struct Written {
        let range: Range<UInt64>
        let shown: UInt64
        /// Records under the checkpoint.
        let size: UInt64
        /// Of the last record.
        let lastTime: String
        /// Whether nothing that is signed is later than the range.
        let endsAtHead: Bool
        /// Records of that time that no head covers yet.
        let unsigned: UInt64
        /// When the first of them was written, microseconds since 1970.
        let unsignedSince: Int64?
        /// SHA-256 of `SHA256SUMS`, hex.
        let sums: String
    }

    private let request: LogExtract.Request
    private let purpose: String
    private let isRecorded: Bool
    private let time: Int64

    /// - Parameter time: now, seconds since 1970.
    init(_ request: LogExtract.Request, purpose: String, isRecorded: Bool, time: Int64) {
        self.request = request
        self.purpose = purpose
        self.isRecorded = isRecorded
        self.time = time
    }

    /// - Throws: ``Failure``.
    func write(_ directory: String, to file: PartialFile, _ meter: ProgressLine) throws -> Written {
        defer { meter.clear() }
        do {
            let extract = try LogExtract.plan(directory: directory, request) { progress in
                let count = progress.records
                meter.show(Message("\(count) records verified", "\(count) enregistrements vérifiés"))
            }
            return try write(extract, to: file, meter)
        } catch let error as AuditError {
            let reason = escapedForTerminal(error.message)
            var status = ExitStatus.error
            if case .damaged = error { status = .auditFailed }
            throw Failure("nothing exported: \(reason)", "rien n'a été exporté : \(reason)", status)
        }
    }

    private func write(_ extract: LogExtract, to file: PartialFile, _ meter: ProgressLine) throws -> Written {
        let archive = BundleArchive(file, time: time)
        try archive.add("README.txt", PackageResources.README_txt)
        try archive.add("LISEZMOI.txt", PackageResources.LISEZMOI_txt)
        try archive.add("verify.py", PackageResources.verify_py)
        try archive.add("manifest.json", prettyJSON(manifest(extract)))
        try archive.add("log.vkey", extract.keys)
        for (number, seal) in extract.epochSeals.enumerated() {
            try archive.add("epochs/\(LogExtract.epochSealName(UInt64(number)))", seal)
        }
        try archive.add("checkpoint", extract.head.note)
        let start = extract.start
        try archive.add("range/frontier", Array("\(start.size)\n".utf8) + TlogProof.lines(start.hashes))
        let proofs = try addRecords(extract, archive, meter)
        try archive.add("consistency/range", TlogProof.lines(proofs.toCheckpoint))
        if !proofs.epochs.isEmpty {
            let lists = proofs.epochs.map { TlogProof.lines($0) }
            try archive.add("consistency/epochs", Array(lists.joined(separator: [0x0a])))
        }
        if let kept = request.previous, let path = proofs.fromPrevious {
            try archive.add("consistency/kept.checkpoint", kept)
            try archive.add("consistency/kept", TlogProof.lines(path))
        }
        for (evidence, path) in zip(extract.outside, proofs.fromOutside) {
            let name = "outside/\(evidence.kind.rawValue)"
            try archive.add("\(name).checkpoint", evidence.note)
            if !evidence.stamp.isEmpty { try archive.add("\(name).tsr", evidence.stamp) }
            try archive.add(name, TlogProof.lines(path))
        }
        for (index, path) in proofs.inclusion {
            let text = TlogProof.text(index: index, path: path, checkpoint: extract.head.note)
            try archive.add("proofs/\(index).tlog-proof", text)
        }
        let sums = try archive.finish()
        return Written(
            range: extract.range,
            shown: extract.shown,
            size: extract.head.size,
            lastTime: extract.lastTime,
            endsAtHead: extract.range.upperBound == extract.head.size,
            unsigned: extract.unsigned,
            unsignedSince: extract.unsignedSince,
            sums: sums
        )
    }

    private func addRecords(
        _ extract: LogExtract,
        _ archive: BundleArchive,
        _ meter: ProgressLine
    ) throws -> LogExtract.Proofs {
        var member = try archive.begin("range/records.jsonl", bytes: Int(clamping: extract.bytes))
        var failure: (any Error)?
        let all = extract.head.size
        let proofs = try extract.read(
            progress: { progress in
                let count = progress.records
                meter.show(Message("\(count) of \(all) records read", "\(count) enregistrements lus sur \(all)"))
            },
            line: { line in
                do {
                    try archive.write(line, to: &member)
                    try withUnsafeBytes(of: UInt8(0x0a)) { try archive.write($0, to: &member) }
                    return true
                } catch {
                    failure = error
                    return false
                }
            }
        )
        if let failure { throw failure }
        try archive.end(member)
        guard let proofs else { throw AuditError.failed(reason: "the log became shorter while it was read") }
        return proofs
    }

    /// What the bundle says of itself. Only what `verify.py` recomputes from it is proven.
    private func manifest(_ extract: LogExtract) -> JSONValue {
        let filter = request.filter
        let conditions = [
            ("actor", filter.actor), ("connector", filter.connector), ("operation", filter.operation?.rawValue),
            ("outcome", filter.outcome?.rawValue), ("path", filter.path),
        ].compactMap { name, value in value.map { JSONValue.Member(name, .string($0)) } }
        return .object([
            "v": .integer(1), "origin": .string(extract.head.origin), "first": .integer(extract.range.lowerBound),
            "end": .integer(extract.range.upperBound), "shown": .integer(extract.shown),
            "bytes": .integer(extract.bytes), "checkpoint_size": .integer(extract.head.size),
            "since": .string(UTCTime.text(request.since / 1_000_000)),
            "until": .string(UTCTime.text(request.until / 1_000_000)), "filter": .object(conditions),
            "purpose": .string(purpose), "recorded": .bool(isRecorded),
        ])
    }
}
