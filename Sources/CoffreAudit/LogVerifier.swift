internal import CoffreCrypto
internal import Glibc

/// How far a verification is.
package struct VerifyProgress: Sendable, Equatable {
    /// Records and segments verified so far.
    package let records: UInt64
    package let segments: Int
    /// All segments of the log.
    package let allSegments: Int
}

/// The outcome of a verification.
package struct VerificationReport: Sendable, Equatable {
    /// Something that is wrong.
    package struct Finding: Sendable, Equatable {
        /// Path of the segment or file, relative to the log's folder.
        package let file: String
        /// Sequence number of the first bad record, when one is to blame.
        package let record: UInt64?
        package let reason: String

        package init(file: String, record: UInt64?, reason: String) {
            self.file = file
            self.record = record
            self.reason = reason
        }
    }

    /// The log's name, from `log.vkey`.
    package var origin = ""
    /// Records that hang together, from genesis to the first finding.
    package var records: UInt64 = 0
    package var segments = 0
    package var sealedSegments = 0
    /// Path of the last segment when it is open: the records since the last seal are chained but not signed yet.
    package var openSegment: String?
    /// Records of the open segment.
    package var unsealedRecords: UInt64 = 0
    /// `_t` of the first and last record; empty in an empty log.
    package var firstTime = ""
    package var lastTime = ""
    /// RFC 6962 root of the records counted in `records`, base64.
    package var rootHash = ""
    /// Records that the log's own `checkpoint` file covers; nil when there is none yet.
    package var checkpointSize: UInt64?
    /// Epochs, the open one included.
    package var epochs: UInt64 = 0
    /// The first thing that is wrong, if any: verification stops there.
    package var findings: [Finding] = []

    package var isValid: Bool { findings.isEmpty }

    package init() {}
}

/// Verifies a log offline: strict form, numbers, chain, tree, seals and their signatures.
///
/// What it cannot see: whether the end of the log was cut off, and whether the keys in `log.vkey` are the right ones,
/// unless the verifier brings his own copy.
package struct LogVerifier: Sendable {
    private static let looksAtUnfinishedLine = 3

    private let files: any LogFileSystem
    private let trusted: [UInt8]?
    private let remembered: [UInt8]?

    /// - Parameters:
    ///   - directory: path of the log's folder, or of a copy.
    ///   - trustedKeys: the content of the log's `log.vkey` as known from elsewhere; nil trusts the one in the folder.
    ///   - checkpoint: a checkpoint of the log that was kept elsewhere: the log must still hold what it covers.
    package init(directory: String, trustedKeys: [UInt8]? = nil, checkpoint: [UInt8]? = nil) {
        self.init(
            files: PosixFileSystem(root: directory, isReader: true),
            trustedKeys: trustedKeys,
            checkpoint: checkpoint
        )
    }

    package init(files: any LogFileSystem, trustedKeys: [UInt8]? = nil, checkpoint: [UInt8]? = nil) {
        remembered = checkpoint
        self.files = files
        trusted = trustedKeys
    }

    /// Reads the whole log. Blocks on the disk.
    /// - Parameter progress: called after each segment.
    /// - Throws: ``AuditError`` when a file cannot be read; what is wrong with the log itself is a finding.
    package func verify(progress: ((VerifyProgress) -> Void)? = nil) throws(AuditError) -> VerificationReport {
        try verify(progress: progress) { _, _ in nil }
    }

    /// Shows each line to somebody who may object.
    typealias Visit = (UnsafeRawBufferPointer, borrowing RecordForm) -> String?

    /// As ``verify(progress:)``.
    /// - Parameter visit: sees each good line; the last ones of a segment that is being written perhaps twice.
    func verify(progress: ((VerifyProgress) -> Void)?, visit: Visit) throws(AuditError) -> VerificationReport {
        try files.prepareRoot(create: false)
        var report = VerificationReport()
        do throws(FileFailure) {
            try verify(into: &report, progress, visit)
        } catch {
            throw error.asAuditError
        }
        return report
    }

    private func verify(
        into report: inout VerificationReport,
        _ progress: ((VerifyProgress) -> Void)?,
        _ visit: Visit
    ) throws(FileFailure) {
        guard let text = try files.contents(of: LogIdentity.path, limit: 2048), let identity = LogIdentity(text) else {
            return report.add(LogIdentity.path, nil, "it is missing or not two keys in C2SP form")
        }
        if let trusted, trusted != text {
            return report.add(LogIdentity.path, nil, "unknown log: its keys are not the ones you trust")
        }
        report.origin = identity.origin
        // Before the records: what it covers is there by then, however fast the log grows.
        let note = try files.contents(of: Checkpoint.path, limit: Checkpoint.maximumBytes)
        guard var epochs = try epochs(identity, &report),
            let expected = try signedHeads(epochs, note, &report)
        else { return }
        var segments: [SegmentName.Listed]
        do throws(AuditError) {
            segments = try SegmentName.list(files)
        } catch {
            guard case .damaged(let segment, let record, let reason) = error else {
                throw FileFailure(call: "read", path: SegmentName.root, errno: 5)
            }
            return report.add(segment, record, reason)
        }
        // While it is being written, the log may seal a segment and begin another between two looks.
        if segments.dropLast().contains(where: { !$0.isSealed }) {
            segments = segments.map {
                SegmentName.Listed(name: $0.name, isSealed: $0.isSealed || isThere($0.name.sealPath))
            }
        }
        guard !segments.isEmpty else { return report.add(SegmentName.root, 0, "there is no segment") }
        var chain = ChainState()
        var roots = expected
        if let reason = roots.defect(at: chain.frontier) { return report.add(Checkpoint.path, nil, reason) }
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            guard try verify(segment, isLast: isLast, &epochs, expected, &chain, &report, visit) else { return }
            progress?(VerifyProgress(records: chain.next, segments: index + 1, allSegments: segments.count))
        }
        if let (file, size) = expected.beyond(chain.next) {
            let reason = "it covers \(size) records and only \(chain.next) are there: the end of the log was cut off"
            report.add(file, chain.next, reason)
        }
    }

    /// The epochs that the folder proves. - Returns: nil after a finding.
    private func epochs(
        _ identity: LogIdentity,
        _ report: inout VerificationReport
    ) throws(FileFailure) -> EpochChain? {
        let (chain, defect) = try EpochChain.load(files, identity)
        if let defect {
            report.add(defect.file, nil, defect.reason)
            return nil
        }
        report.epochs = chain.number + 1
        return chain
    }

    /// The checkpoint in the folder, the ends of the epochs, and the one that the verifier brings.
    /// - Returns: nil after a finding.
    private func signedHeads(
        _ epochs: EpochChain,
        _ note: [UInt8]?,
        _ report: inout VerificationReport
    ) throws(FileFailure) -> ExpectedRoots? {
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
            guard let checkpoint = Checkpoint(note: remembered, epochs: epochs) else {
                report.add(Self.remembered, nil, "it is not a checkpoint signed with both keys of this log")
                return nil
            }
            heads.append((checkpoint, Self.remembered))
        }
        return ExpectedRoots(heads)
    }

    /// What findings call the checkpoint that the verifier brings.
    private static let remembered = "your checkpoint"

    /// Reads the epochs again: the log may have turned to another since.
    private func refresh(_ epochs: inout EpochChain) throws(FileFailure) {
        let (chain, defect) = try EpochChain.load(files, epochs.identity)
        if defect == nil { epochs = chain }
    }

    /// Whether a defect may be gone when one looks again.
    private func isFresh(_ defect: SegmentScanner.Defect?, _ segment: SegmentName.Listed) -> Bool {
        guard let defect else { return false }
        return defect.reason == EpochChain.unsealed || defect.isUnfinished && !segment.isSealed
    }

    private func isThere(_ path: String) -> Bool {
        do throws(FileFailure) { return try files.identity(of: path) != nil } catch { return false }
    }

    /// - Returns: false when there is a finding.
    private func verify(
        _ segment: SegmentName.Listed,
        isLast: Bool,
        _ epochs: inout EpochChain,
        _ expected: ExpectedRoots,
        _ chain: inout ChainState,
        _ report: inout VerificationReport,
        _ visit: Visit
    ) throws(FileFailure) -> Bool {
        let name = segment.name
        guard name.first == chain.next else {
            report.add(name.path, chain.next, "record \(chain.next) is missing; the segment begins with \(name.first)")
            return false
        }
        guard segment.isSealed || isLast else {
            report.add(name.sealPath, nil, "the seal of this segment is missing")
            return false
        }
        func makeScanner() -> SegmentScanner {
            SegmentScanner(
                start: chain.frontier,
                previous: chain.leaf,
                generation: chain.generation,
                expected: expected
            )
        }
        var scanner = makeScanner()
        let file = try files.open(name.path, writable: false)
        var guardian = EpochGuard(epochs)
        var defect = try scanner.scan(file) { line, form in guardian.defect(line, form) ?? visit(line, form) }
        // A line without its end may be one that is being written at this moment, and so may an epoch's: look again.
        for _ in 0..<Self.looksAtUnfinishedLine where isFresh(defect, segment) {
            usleep(20_000)
            try refresh(&epochs)
            guardian = EpochGuard(epochs)
            scanner = makeScanner()
            defect = try scanner.scan(file) { line, form in guardian.defect(line, form) ?? visit(line, form) }
        }
        report.advance(to: scanner)
        if defect == nil, let reason = guardian.defect(atEnd: scanner.frontier.size) {
            report.add(name.path, scanner.frontier.size, reason)
            return false
        }
        if let defect {
            report.add(name.path, defect.record, defect.reason)
            return false
        }
        guard let seal = scanner.makeSeal() else {
            // An open segment may be empty for a moment; a sealed one never is.
            if !segment.isSealed { report.openSegment = name.path } else { report.add(name.path, nil, "it is empty") }
            return !segment.isSealed
        }
        report.segments += 1
        if segment.isSealed {
            let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes) ?? []
            var opened = SegmentSeal(note: note, epochs: epochs)
            if opened == nil {
                try refresh(&epochs)
                opened = SegmentSeal(note: note, epochs: epochs)
            }
            guard let signed = opened else {
                report.add(name.sealPath, nil, "it is not a seal signed with both keys of this log")
                return false
            }
            guard signed == seal else {
                report.add(name.sealPath, chain.next, "the records of the segment are not the ones that were sealed")
                return false
            }
            report.sealedSegments += 1
        } else {
            report.openSegment = name.path
            report.unsealedRecords = scanner.frontier.size - chain.next
        }
        chain = ChainState(frontier: scanner.frontier, leaf: scanner.leaf, generation: scanner.generation)
        return true
    }
}

extension VerificationReport {
    fileprivate mutating func add(_ file: String, _ record: UInt64?, _ reason: String) {
        findings.append(Finding(file: file, record: record, reason: reason))
    }

    fileprivate mutating func advance(to scanner: borrowing SegmentScanner) {
        records = scanner.frontier.size
        rootHash = Base64.encode(scanner.frontier.root.bytes)
        if let first = scanner.firstTime {
            if firstTime.isEmpty { firstTime = String(decoding: first.utf8, as: UTF8.self) }
            lastTime = String(decoding: scanner.lastTime.utf8, as: UTF8.self)
        }
    }
}
