internal import CoffreCrypto
internal import Glibc

/// Verifies one segment, from where the chain stands before it.
struct SegmentCheck {
    /// What was found.
    struct Outcome: Sendable {
        /// The tree after the last good record.
        var end = Frontier()
        var firstTime: RecordTime?
        var lastTime: RecordTime?
        /// Records of the segment that are good.
        var records: UInt64 = 0
        /// What the tiles fold to whose last record it holds.
        var tileRoots: [Tile: Digest] = [:]
        var finding: VerificationReport.Finding?
    }

    private static let looksAtUnfinishedLine = 3

    let files: any LogFileSystem
    let expected: ExpectedRoots

    func run(_ task: VerificationPlan.Task, _ visit: LogVerifier.Visit) throws(FileFailure) -> Outcome {
        let name = task.segment.name
        var outcome = Outcome(end: task.start.frontier)
        do throws(FileFailure) {
            outcome = try read(task, visit)
        } catch {
            guard CompressedFile.isDamage(error) else {
                // What the listing saw is gone: pruned at this very moment, or taken away.
                guard error.errno == 2, let seal = task.seal else { throw error }
                let plan = VerificationPlan.Gap(files, name, task.epochs)
                if case .success = try plan.nodes(seal) {
                    outcome.end = seal.end
                    outcome.records = seal.end.size - seal.start.size
                    (outcome.firstTime, outcome.lastTime) = (seal.firstTime, seal.lastTime)
                    return outcome
                }
                outcome.finding = .init(file: name.path, record: name.first, reason: "it went away while it was read")
                return outcome
            }
            let reason = "the compressed file is damaged: it is not the one that was written"
            outcome.finding = .init(file: name.packedPath, record: name.first, reason: reason)
        }
        return outcome
    }

    private func read(_ task: VerificationPlan.Task, _ visit: LogVerifier.Visit) throws(FileFailure) -> Outcome {
        let (name, segment) = (task.segment.name, task.segment)
        let file = try files.openSegment(name)
        var epochs = task.epochs
        var scanner = makeScanner(task.start)
        var guardian = EpochGuard(epochs)
        var defect = try scanner.scan(file) { line, form in guardian.defect(line, form) ?? visit(line, form) }
        // A line without its end may be one that is being written at this moment, and so may an epoch's: look again.
        for _ in 0..<Self.looksAtUnfinishedLine where isFresh(defect, segment) {
            usleep(20_000)
            let (newer, bad) = try EpochChain.load(files, epochs.identity)
            if bad == nil { epochs = newer }
            scanner = makeScanner(task.start)
            guardian = EpochGuard(epochs)
            defect = try scanner.scan(file) { line, form in guardian.defect(line, form) ?? visit(line, form) }
        }
        var outcome = Outcome(
            end: scanner.frontier,
            firstTime: scanner.firstTime,
            lastTime: scanner.firstTime == nil ? nil : scanner.lastTime,
            records: scanner.frontier.size - task.start.frontier.size,
            tileRoots: scanner.tileRoots
        )
        func found(_ file: String, _ record: UInt64?, _ reason: String) -> Outcome {
            outcome.finding = .init(file: file, record: record, reason: reason)
            return outcome
        }
        if let defect { return found(name.path, defect.record, defect.reason) }
        if let reason = guardian.defect(atEnd: scanner.frontier.size) {
            return found(name.path, scanner.frontier.size, reason)
        }
        guard let signed = task.seal else {
            let isPacked = segment.data == .both || segment.data == .packed
            return isPacked ? found(name.packedPath, name.first, "an open segment is never compressed") : outcome
        }
        guard let seal = scanner.makeSeal() else { return found(name.path, nil, "it is empty") }
        guard signed == seal else {
            return found(name.sealPath, name.first, "the records of the segment are not the ones that were sealed")
        }
        if segment.data == .both, file as? CompressedFile == nil, try files.identity(of: name.packedPath) != nil {
            let packed = try CompressedFile(try files.open(name.packedPath, writable: false), path: name.packedPath)
            guard try SegmentPacker.hash(of: packed) == signed.raw else {
                return found(name.packedPath, name.first, "the compressed file is not the segment beside it")
            }
        }
        if let packed = file as? CompressedFile, try !packed.isWhole() {
            return found(name.packedPath, name.first, "a byte of the compressed file is not the one that was written")
        }
        return outcome
    }

    private func makeScanner(_ start: ChainState) -> SegmentScanner {
        SegmentScanner(
            start: start.frontier,
            previous: start.leaf,
            generation: start.generation,
            expected: expected
        )
    }

    /// Whether a defect may be gone when one looks again.
    private func isFresh(_ defect: SegmentScanner.Defect?, _ segment: SegmentName.Listed) -> Bool {
        guard let defect else { return false }
        return defect.reason == EpochChain.unsealed || defect.isUnfinished && !segment.isSealed
    }
}
