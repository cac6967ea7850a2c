internal import CoffreCrypto
internal import Synchronization

/// Verifies the segments of a plan, several at a time, and names the first that is bad.
///
/// A segment behind a bad one may be read too, but never decides: the verdict is that of the bad one with the lowest
/// place, and all before it are read.
final class VerificationRun: Sendable {
    private struct State {
        var plan: VerificationPlan
        var isPlanned = false
        /// Lowest place with a finding or a failure, and what it was.
        var bad: (index: Int, outcome: SegmentCheck.Outcome?, failure: FileFailure?)?
        /// What the segment with the highest place has led to.
        var last: (index: Int, outcome: SegmentCheck.Outcome)?
        var first: (index: Int, time: RecordTime)?
        var pruned: [(index: Int, records: UInt64)] = []
        var records: UInt64 = 0
        var segments = 0
        var tileRoots: [Tile: Digest] = [:]
    }

    private let state: Mutex<State>
    private let files: any LogFileSystem
    private let segments: [SegmentName.Listed]
    private let expected: ExpectedRoots

    init(_ plan: VerificationPlan, _ files: any LogFileSystem) {
        segments = plan.segments
        expected = plan.expected
        self.files = files
        state = Mutex(State(plan: plan))
    }

    /// Reads everything and completes `report`.
    func finish(
        _ report: VerificationReport,
        jobs: Int,
        _ progress: ((VerifyProgress) -> Void)?,
        _ visit: LogVerifier.Visit,
        _ pruned: LogVerifier.VisitPruned
    ) throws(FileFailure) -> VerificationReport {
        let helpers = (1..<max(1, min(jobs, segments.count))).compactMap { _ in
            WorkerThread { self.work(nil, { _, _ in nil }, { _ in }) }
        }
        work(progress, visit, pruned)
        for helper in helpers { helper.join() }
        return try state.withLock { state throws(FileFailure) in try complete(report, state) }
    }

    /// What the tiles fold to, of those whose last record was read.
    var tileRoots: [Tile: Digest] { state.withLock(\.tileRoots) }

    private func work(
        _ progress: ((VerifyProgress) -> Void)?,
        _ visit: LogVerifier.Visit,
        _ pruned: LogVerifier.VisitPruned
    ) {
        let check = SegmentCheck(files: files, expected: expected)
        while let step = nextStep() {
            switch step {
            case .end: return
            case .finding(let index, let finding):
                let end = state.withLock { $0.plan.chain.frontier }
                note(index, SegmentCheck.Outcome(end: end, finding: finding))
            case .pruned(let index, let seal, let nodes):
                pruned(PrunedRange(seal.start.size..<seal.end.size, nodes))
                let records = seal.end.size - seal.start.size
                state.withLock { $0.pruned.append((index, records)) }
                note(
                    index,
                    SegmentCheck.Outcome(
                        end: seal.end,
                        firstTime: seal.firstTime,
                        lastTime: seal.lastTime,
                        records: records
                    )
                )
            case .read(let task):
                do throws(FileFailure) { note(task.index, try check.run(task, visit)) } catch {
                    state.withLock { state in
                        if state.bad.map({ $0.index > task.index }) ?? true { state.bad = (task.index, nil, error) }
                    }
                }
            }
            if let progress {
                let now = state.withLock { ($0.records, $0.segments) }
                progress(VerifyProgress(records: now.0, segments: now.1, allSegments: segments.count))
            }
        }
    }

    private func nextStep() -> VerificationPlan.Step? {
        state.withLock { state in
            guard state.bad == nil, !state.isPlanned else { return nil }
            do throws(FileFailure) {
                let step = try state.plan.next()
                switch step {
                case .end, .finding: state.isPlanned = true
                case .read, .pruned: break
                }
                return step
            } catch {
                state.isPlanned = true
                state.bad = (.max, nil, error)
                return nil
            }
        }
    }

    private func note(_ index: Int, _ outcome: SegmentCheck.Outcome) {
        state.withLock { state in
            state.records += outcome.records
            state.segments += 1
            state.tileRoots.merge(outcome.tileRoots) { $1 }
            if let time = outcome.firstTime, state.first.map({ $0.index > index }) ?? true {
                state.first = (index, time)
            }
            if outcome.finding != nil {
                if state.bad.map({ $0.index > index }) ?? true { state.bad = (index, outcome, nil) }
            } else if state.last.map({ $0.index < index }) ?? true {
                state.last = (index, outcome)
            }
        }
    }

    private func complete(_ report: VerificationReport, _ state: State) throws(FileFailure) -> VerificationReport {
        var report = report
        if let failure = state.bad?.failure { throw failure }
        let end = state.bad?.index ?? segments.count
        let outcome = state.bad?.outcome ?? state.last?.outcome ?? SegmentCheck.Outcome()
        report.records = outcome.end.size
        report.rootHash = Base64.encode(outcome.end.root.bytes)
        // What was read behind the first bad segment does not count.
        let first = state.first.flatMap { $0.index <= end ? $0.time : nil }
        report.firstTime = first.map { String(decoding: $0.utf8, as: UTF8.self) } ?? ""
        report.lastTime = outcome.lastTime.map { String(decoding: $0.utf8, as: UTF8.self) } ?? report.lastTime
        report.sealedSegments = segments[..<min(end, segments.count)].count { $0.isSealed }
        report.segments = report.sealedSegments
        let pruned = state.pruned.filter { $0.index < end }
        report.prunedSegments = pruned.count
        report.prunedRecords = pruned.reduce(0) { $0 + $1.records }
        if let finding = state.bad?.outcome?.finding {
            report.findings.append(finding)
            return report
        }
        if let open = segments.last, !open.isSealed {
            report.openSegment = open.name.path
            report.unsealedRecords = outcome.records
            if outcome.records > 0 { report.segments += 1 }
        }
        if let (file, size) = expected.beyond(report.records) {
            let reason =
                "it covers \(size) records and only \(report.records) are there: the end of the log was cut off"
            report.add(file, report.records, reason)
        }
        return report
    }
}
