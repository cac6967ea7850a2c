internal import CoffreCrypto

/// Deletes segments whose records are all older than the retention, each under a `prune` record that proves it, and
/// keeps what the tree needs: the seal, the hashes of the gap, the certificate.
struct SegmentPruner {
    /// When a segment is old enough.
    struct Rule {
        /// Records before this moment (wall clock, microseconds since 1970) are too old to be kept.
        let before: Int64
        /// Time that must have passed since by the log's own count, in microseconds: the second clock.
        let age: UInt64
        /// What the log's own count is now.
        let uptime: UInt64
        /// Who vouches for the wall clock, so that the second is not asked; nil when nobody does.
        let approver: String?
        let months: Int

        /// - Parameter now: of the wall clock.
        init(months: Int, now: RecordTime, uptime: UInt64, approver: String?) {
            let cut = now.subtracting(months: months)
            before = cut.microseconds
            age = UInt64(max(0, now.microseconds - cut.microseconds))
            self.uptime = uptime
            self.approver = approver
            self.months = months
        }
    }

    /// The newest segments are never pruned: a start reads them.
    private static let segmentsToKeep = 2

    let files: any LogFileSystem
    let epochs: EpochChain
    let rule: Rule
    /// In force.
    let holds: [HeldScope]
    /// What the log says of them.
    let history: HoldHistory
    /// Makes a record durable and proves it.
    let append: (AuditDraft) throws(AuditError) -> ProvenRecord
    /// What goes into each `prune` record: who asked, and why he might.
    let makeDraft: ([AuditWhat.Detail]) -> AuditDraft

    /// Blocks on the disk.
    /// - Parameters:
    ///   - isDry: only say what would be done.
    ///   - limit: segments that are deleted at most.
    ///   - shouldStop: asked before each segment.
    /// - Throws: ``AuditError``: `.damaged` when a segment is not what was sealed (it is kept), `.noSpace`, `.failed`,
    ///   `.system`.
    func run(
        isDry: Bool,
        limit: Int? = nil,
        shouldStop: () -> Bool = { false }
    ) throws(AuditError) -> PruneReport {
        var report = PruneReport()
        var history = history
        report.holds = holds.count
        let segments = try SegmentName.list(files).filter(\.isSealed)
        let cutDay = RecordTime(microseconds: rule.before + RecordTime.microsecondsPerDay).folder
        for segment in segments.dropLast(Self.segmentsToKeep) where segment.data != .none {
            if shouldStop() { break }
            if let limit, report.pruned.count >= limit {
                report.isLimited = true
                break
            }
            // Begun on a later day than that: too young, and no reason to open it. The clock may have jumped, so go on.
            if segment.name.day.utf8.lexicographicallyPrecedes(cutDay.utf8) == false {
                report.next = report.next ?? PruneReport.Segment(segment.name)
                continue
            }
            do throws(FileFailure) { try visit(segment, isDry, &report, &history) } catch {
                let failure = Self.audit(error)
                // What is damaged stays, and does not keep what lies behind it.
                guard case .damaged = failure else { throw failure }
                report.failure = report.failure ?? failure
            }
        }
        return report
    }

    // Errors of other kinds travel as a FileFailure through the blocks that read files.
    private static func fail<R>(_ path: String, _ reason: String) throws(FileFailure) -> R {
        throw FileFailure(call: "damaged \(reason)", path: path, errno: 0)
    }

    private static func audit(_ failure: FileFailure) -> AuditError {
        if failure.call.hasPrefix("damaged ") {
            return .damaged(segment: failure.path, record: nil, reason: String(failure.call.dropFirst(8)))
        }
        if failure.call == "append" { return .failed(reason: "the prune record could not be written") }
        if CompressedFile.isDamage(failure) {
            return .damaged(segment: failure.path, record: nil, reason: "the compressed file is damaged")
        }
        return LogWriter.isTransient(failure.errno) ? .noSpace(path: failure.path) : failure.asAuditError
    }

    private func visit(
        _ segment: SegmentName.Listed,
        _ isDry: Bool,
        _ report: inout PruneReport,
        _ history: inout HoldHistory
    ) throws(FileFailure) {
        let name = segment.name
        guard let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes),
            let seal = SegmentSeal(note: note, epochs: epochs), seal.first == name.first
        else { return try Self.fail(name.sealPath, "it is not a seal of this log for this segment") }
        guard seal.lastTime.microseconds < rule.before else {
            report.next = report.next ?? PruneReport.Segment(seal)
            return
        }
        let records = seal.first..<seal.last + 1
        let (nodes, uptime, concerned) = try read(name, seal, holds.filter { $0.scope.mayConcern(seal) })
        let held = concerned + history.needing(records).filter { !concerned.contains($0) }
        if !held.isEmpty {
            report.held.append((PruneReport.Segment(seal), held))
            return
        }
        if try isAnnounced(seal, note) {
            // A crash came before the end.
            if !isDry { try remove(name) }
            history.forget(records)
            report.pruned.append(PruneReport.Segment(seal))
            return
        }
        if rule.approver == nil, rule.uptime < uptime || rule.uptime - uptime < rule.age {
            guard report.next == nil else { return }
            report.next = PruneReport.Segment(seal)
            report.missingSeconds = (rule.age - min(rule.age, rule.uptime - min(rule.uptime, uptime))) / 1_000_000
            return
        }
        if !isDry { try prune(name, seal, note, nodes) }
        history.forget(records)
        report.pruned.append(PruneReport.Segment(seal))
    }

    /// Whether the segment's deletion is proven already, in this very log and not in another that was forked from it.
    private func isAnnounced(_ seal: SegmentSeal, _ note: [UInt8]) throws(FileFailure) -> Bool {
        let path = PruneCertificate.path(seal.first)
        guard let text = try files.contents(of: path, limit: RecordProof.maximumBytes) else { return false }
        guard let known = PruneCertificate(text, epochs: epochs), known.isOf(seal, note: note) else {
            return try Self.fail(path, "it is not the certificate of this segment")
        }
        let root: Digest
        do throws(AuditError) { root = try LogTree(files).root(of: known.proof.checkpoint.size) } catch {
            return try Self.fail(path, "its head is not one of this log")
        }
        guard root == known.proof.checkpoint.root else { return try Self.fail(path, "it signs another history") }
        return true
    }

    /// Reads a segment whole: it must be what was sealed.
    /// - Returns: what stays of it, the log's own count at its end, and the ids of the holds that concern it.
    private func read(
        _ name: SegmentName,
        _ seal: SegmentSeal,
        _ holds: [HeldScope]
    ) throws(FileFailure) -> (nodes: PrunedNodes, uptime: UInt64, held: [String]) {
        var builder = PrunedNodes.Builder(seal.first..<seal.last + 1)
        var uptime = LogUptime()
        var held = [Bool](repeating: false, count: holds.count)
        var scanner = SegmentScanner(start: seal.start, previous: seal.previous, generation: nil)
        let defect = try scanner.scan(try files.openSegment(name)) { line, form in
            builder.append(TreeHash.leaf(line))
            uptime.read(line, form)
            for (index, hold) in holds.enumerated() where !held[index] { held[index] = hold.scope.concerns(line, form) }
            return nil
        }
        guard defect == nil, scanner.frontier == seal.end, let nodes = builder.nodes else {
            return try Self.fail(name.path, "it is not what was sealed, so it is not pruned")
        }
        return (nodes, uptime.total, zip(holds, held).filter(\.1).map(\.0.id))
    }

    private func prune(
        _ name: SegmentName,
        _ seal: SegmentSeal,
        _ note: [UInt8],
        _ nodes: PrunedNodes
    ) throws(FileFailure) {
        try files.makeFolder(PruneCertificate.folder, isPrivate: false)
        try files.replace(PruneCertificate.nodesPath(seal.first), with: nodes.text)
        let details: [AuditWhat.Detail] = [
            ("first", .int(Int64(clamping: seal.first))), ("holds", .int(Int64(holds.count))),
            ("last", .int(Int64(clamping: seal.last))), ("months", .int(Int64(rule.months))),
            ("raw", .text(Base64.encode(seal.raw.bytes))), ("seal", .text(PruneCertificate.sealHash(note))),
            ("until", .text(String(decoding: seal.lastTime.utf8, as: UTF8.self))),
        ]
        let proven: ProvenRecord
        do throws(AuditError) { proven = try append(makeDraft(details)) } catch {
            throw FileFailure(call: "append", path: name.path, errno: 0)
        }
        // Before the records go it stands on the disk that they were to go.
        try files.replace(PruneCertificate.path(seal.first), with: proven.proof)
        try remove(name)
    }

    private func remove(_ name: SegmentName) throws(FileFailure) {
        for path in [name.path, name.packedPath] where try files.identity(of: path) != nil { try files.remove(path) }
        try files.syncFolder(name.folder)
    }
}

/// What a run of pruning did, or would do.
package struct PruneReport: Sendable {
    /// First and last record, and the time of the last (RFC 3339).
    package struct Segment: Sendable, Equatable {
        package let first: UInt64
        package let last: UInt64
        package let until: String

        /// One that was not opened: only where it begins is known.
        init(_ name: SegmentName) {
            first = name.first
            last = name.first
            until = name.day
        }

        init(_ seal: SegmentSeal) {
            first = seal.first
            last = seal.last
            until = String(decoding: seal.lastTime.utf8, as: UTF8.self)
        }
    }

    package var pruned: [Segment] = []
    /// Old enough, and kept by these holds.
    package var held: [(segment: Segment, holds: [String])] = []
    /// The oldest segment that is too young; nil when there is none.
    package var next: Segment?
    /// Seconds by which the log's own count of time lags behind the wall clock, for `next`; 0 when that is not why.
    package var missingSeconds: UInt64 = 0
    /// Holds in force.
    package var holds = 0
    /// The first segment that is not what was sealed; it stays.
    package var failure: AuditError?
    /// Whether there may be more to delete than the limit allowed.
    package var isLimited = false

    package init() {}
}

extension RecordTime {
    /// The same day and time some months before; the last day of a shorter month.
    func subtracting(months: Int) -> RecordTime {
        let text = Array(utf8)
        func number(_ range: Range<Int>) -> Int { text[range].reduce(0) { $0 * 10 + Int($1 - 0x30) } }
        let total = number(0..<4) * 12 + number(5..<7) - 1 - months
        let (year, month) = (max(1970, total / 12), total % 12 + 1)
        func pad(_ number: Int, _ width: Int) -> String {
            String(repeating: "0", count: max(0, width - String(number).count)) + String(number)
        }
        let rest = String(decoding: text[10...], as: UTF8.self)
        for day in stride(from: number(8..<10), through: 1, by: -1) {
            if let time = RecordTime(Array("\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))\(rest)".utf8)) {
                return time
            }
        }
        return RecordTime(microseconds: 0)
    }
}
