internal import CoffreCrypto
internal import Glibc

/// Verifies a log offline: strict form, numbers, chain, tree, seals and their signatures, and what was pruned.
///
/// What it cannot see: whether the end of the log was cut off, and whether the keys in `log.vkey` are the right ones,
/// unless the verifier brings his own copy.
package struct LogVerifier: Sendable {
    /// Shows a good line of the log, in its order, to somebody who may object; the last ones of a segment that is being
    /// written perhaps twice.
    typealias Visit = (UnsafeRawBufferPointer, borrowing RecordForm) -> String?
    /// Shows what stays of a segment that was pruned.
    typealias VisitPruned = (PrunedRange) -> Void

    /// All processors of this machine.
    package static var allJobs: Int { max(1, min(64, sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    private let files: any LogFileSystem
    private let trusted: [UInt8]?
    private let remembered: [UInt8]?
    private let jobs: Int

    /// - Parameters:
    ///   - directory: path of the log's folder, or of a copy.
    ///   - trustedKeys: the content of the log's `log.vkey` as known from elsewhere; nil trusts the one in the folder.
    ///   - checkpoint: a checkpoint of the log that was kept elsewhere: the log must still hold what it covers.
    ///   - jobs: segments that are verified at the same time. The verdict does not depend on it.
    package init(directory: String, trustedKeys: [UInt8]? = nil, checkpoint: [UInt8]? = nil, jobs: Int = 1) {
        self.init(
            files: PosixFileSystem(root: directory, isReader: true),
            trustedKeys: trustedKeys,
            checkpoint: checkpoint,
            jobs: jobs
        )
    }

    package init(
        files: any LogFileSystem,
        trustedKeys: [UInt8]? = nil,
        checkpoint: [UInt8]? = nil,
        jobs: Int = 1
    ) {
        remembered = checkpoint
        self.files = files
        trusted = trustedKeys
        self.jobs = jobs
    }

    /// Reads the whole log. Blocks on the disk.
    /// - Parameter progress: called now and then, on this thread.
    /// - Throws: ``AuditError`` when a file cannot be read; what is wrong with the log itself is a finding.
    package func verify(progress: ((VerifyProgress) -> Void)? = nil) throws(AuditError) -> VerificationReport {
        try verify(progress: progress, jobs: jobs, visit: { _, _ in nil }, pruned: { _ in })
    }

    /// As ``verify(progress:)``, segment by segment, and shows everything.
    func verify(
        progress: ((VerifyProgress) -> Void)?,
        visit: Visit,
        pruned: VisitPruned = { _ in }
    ) throws(AuditError) -> VerificationReport {
        try verify(progress: progress, jobs: 1, visit: visit, pruned: pruned)
    }

    private func verify(
        progress: ((VerifyProgress) -> Void)?,
        jobs: Int,
        visit: Visit,
        pruned: VisitPruned
    ) throws(AuditError) -> VerificationReport {
        try files.prepareRoot(create: false)
        var report = VerificationReport()
        do throws(FileFailure) {
            // Before the records: what tiles cover is there by then, however fast the log grows.
            let tiles = try TileCheck(files)
            guard let plan = try plan(&report) else { return report }
            let run = VerificationRun(plan, files)
            report = try run.finish(report, jobs: jobs, progress, visit, pruned)
            if report.isValid, let finding = try tiles.finding(run.tileRoots, size: report.records) {
                report.findings.append(finding)
            }
        } catch {
            throw error.asAuditError
        }
        return report
    }

    /// Reads everything that is signed but the segments' seals. - Returns: nil after a finding.
    private func plan(_ report: inout VerificationReport) throws(FileFailure) -> VerificationPlan? {
        guard let text = try files.contents(of: LogIdentity.path, limit: 2048), let identity = LogIdentity(text) else {
            report.add(LogIdentity.path, nil, "it is missing or not two keys in C2SP form")
            return nil
        }
        if let trusted, trusted != text {
            report.add(LogIdentity.path, nil, "unknown log: its keys are not the ones you trust")
            return nil
        }
        report.origin = identity.origin
        // Before the records: what it covers is there by then, however fast the log grows.
        let note = try files.contents(of: Checkpoint.path, limit: Checkpoint.maximumBytes)
        let (epochs, defect) = try EpochChain.load(files, identity)
        if let defect {
            report.add(defect.file, nil, defect.reason)
            return nil
        }
        report.epochs = epochs.number + 1
        let (certificates, pruneDefect) = try PruneCertificate.load(files, epochs)
        if let pruneDefect {
            report.add(pruneDefect.file, nil, pruneDefect.reason)
            return nil
        }
        let (holds, holdDefect) = try LegalHold.load(files, epochs)
        if let holdDefect {
            report.add(holdDefect.file, nil, holdDefect.reason)
            return nil
        }
        let (erasures, erasureDefect) = try ErasureProof.load(files, epochs)
        if let erasureDefect {
            report.add(erasureDefect.file, nil, erasureDefect.reason)
            return nil
        }
        guard var heads = try signedHeads(epochs, note, &report) else { return nil }
        heads += holds.map { ($0.head, LegalHold.path($0.id)) }
        heads += certificates.values.map { ($0.proof.checkpoint, PruneCertificate.path($0.range.lowerBound)) }
        heads += erasures.map { ($0.checkpoint, $0.name.path) }
        guard let segments = try segments(&report) else { return nil }
        let expected = ExpectedRoots(heads)
        if let file = expected.contradicted {
            report.add(file, nil, "it signs another history: a head of the same size has another root")
            return nil
        }
        var roots = expected
        if let reason = roots.defect(at: Frontier()) {
            report.add(Checkpoint.path, nil, reason)
            return nil
        }
        return VerificationPlan(files, segments, epochs, certificates, expected)
    }

    private func segments(_ report: inout VerificationReport) throws(FileFailure) -> [SegmentName.Listed]? {
        var segments: [SegmentName.Listed]
        do throws(AuditError) {
            segments = try SegmentName.list(files)
        } catch {
            guard case .damaged(let segment, let record, let reason) = error else {
                throw FileFailure(call: "read", path: SegmentName.root, errno: 5)
            }
            report.add(segment, record, reason)
            return nil
        }
        // While it is being written, the log may seal a segment and begin another between two looks.
        if segments.dropLast().contains(where: { !$0.isSealed }) {
            for index in segments.indices where !segments[index].isSealed {
                segments[index].isSealed = try files.identity(of: segments[index].name.sealPath) != nil
            }
        }
        if segments.isEmpty {
            report.add(SegmentName.root, 0, "there is no segment")
            return nil
        }
        return segments
    }

    /// The checkpoint in the folder, the ends of the epochs, and the one that the verifier brings.
    /// - Returns: nil after a finding.
    private func signedHeads(
        _ epochs: EpochChain,
        _ note: [UInt8]?,
        _ report: inout VerificationReport
    ) throws(FileFailure) -> [(checkpoint: Checkpoint, file: String)]? {
        var heads = epochs.seals.map { (checkpoint: $0.checkpoint, file: EpochSeal.path($0.number)) }
        if let note {
            guard let checkpoint = Checkpoint(note: note, epochs: epochs) else {
                report.add(Checkpoint.path, nil, "it is not a checkpoint signed with both keys of this log")
                return nil
            }
            heads.append((checkpoint, Checkpoint.path))
            report.checkpointSize = checkpoint.size
        } else if epochs.number > 0 {
            report.add(Checkpoint.path, nil, "it is missing: one is written long before an epoch ends")
            return nil
        }
        if let remembered {
            guard let checkpoint = Checkpoint(note: remembered, epochs: epochs, others: true) else {
                report.add(Self.remembered, nil, "it is not a checkpoint signed with both keys of this log")
                return nil
            }
            heads.append((checkpoint, Self.remembered))
        }
        return heads
    }

    /// What findings call the checkpoint that the verifier brings.
    static let remembered = "your checkpoint"
}
