package import CoffreCrypto

/// A contiguous range of a verified log, with what proves it against a signed checkpoint.
///
/// Made in two passes over the whole log, so that memory does not grow with it: ``plan(_:_:progress:)`` verifies and
/// finds the range, ``read(progress:line:)`` verifies again, hands out the lines and returns the proofs.
package struct LogExtract: Sendable {
    /// What is asked for.
    package struct Request: Sendable {
        /// Microseconds since 1970: the range reaches from the first record at or after `since` to the last before
        /// `until`. Records between them stay in it whatever the clock said.
        package var since: Int64
        package var until: Int64
        package var filter = RecordFilter()
        /// A checkpoint note that the reader of the bundle has kept: the log is shown to continue it.
        package var previous: [UInt8]?
        /// The content of `log.vkey` as known from elsewhere; nil trusts the one in the folder.
        package var trustedKeys: [UInt8]?

        package init(since: Int64, until: Int64) {
            self.since = since
            self.until = until
        }
    }

    /// What proves the range.
    package struct Proofs: Sendable {
        /// From the end of the range to the checkpoint.
        package let toCheckpoint: [Digest]
        /// From the checkpoint that was kept to this one; nil when none was given.
        package let fromPrevious: [Digest]?
        /// From the end of each epoch to the end of the next one, and from the last to the checkpoint: what earlier keys
        /// have signed is the beginning of what today's sign.
        package let epochs: [[Digest]]
        /// Audit paths of the records in ``LogExtract/single``.
        package let inclusion: [(index: UInt64, path: [Digest])]
        /// From each of ``LogExtract/outside`` to the checkpoint.
        package let fromOutside: [[Digest]]
    }

    /// At most so many records of a filtered range get a proof of their own; the range proves them all anyway.
    package static let maximumSingleProofs = 256

    /// Of a leaf hash in base64.
    private static let hashBytes = 44

    /// The checkpoint that everything is proved against.
    package let head: SignedHead
    /// The content of `log.vkey`.
    package let keys: [UInt8]
    /// The seals of the epochs before the checkpoint's, oldest first: C2SP tlog-proofs.
    package let epochSeals: [[UInt8]]
    /// Records at the end of each of them.
    private let epochEnds: [UInt64]
    /// `epoch-000012.tlog-proof`.
    package static func epochSealName(_ number: UInt64) -> String { EpochSeal.fileName(number) }

    package let range: Range<UInt64>
    /// The tree before the first record.
    package let start: Frontier
    /// `_t` of the first and the last record of the range.
    package let firstTime: String
    package let lastTime: String
    /// Records of the time asked for that stand behind the checkpoint: nothing proves them yet, so they are left out.
    package let unsigned: UInt64
    /// When the first of them was written, microseconds since 1970; nil when there is none.
    package let unsignedSince: Int64?
    /// Lines that are shown whole.
    package let shown: UInt64
    /// Size of all lines of the range as they are handed out, line feeds included.
    package let bytes: UInt64
    /// Records with a proof of their own: the first that a filter shows.
    package let single: [UInt64]
    /// Records that the checkpoint which was kept covers.
    package let previousSize: UInt64?
    /// What others have said of earlier heads.
    package let outside: [OutsideEvidence]

    private let files: any LogFileSystem
    private let request: Request

    /// Verifies the log and finds the range. Blocks on the disk.
    /// - Throws: ``AuditError``: `.damaged` when the log does not verify, `.invalidConfiguration` when there is no
    ///   checkpoint or no record in the range, `.unsafePath`, `.system`.
    package static func plan(
        directory: String,
        _ request: Request,
        progress: ((VerifyProgress) -> Void)? = nil
    ) throws(AuditError) -> LogExtract {
        try plan(PosixFileSystem(root: directory, isReader: true), request, progress: progress)
    }

    package static func plan(
        _ files: any LogFileSystem,
        _ request: Request,
        progress: ((VerifyProgress) -> Void)? = nil
    ) throws(AuditError) -> LogExtract {
        try files.prepareRoot(create: false)
        let said: [OutsideEvidence]
        do throws(FileFailure) { said = try OutsideEvidence.read(files) } catch { throw error.asAuditError }
        let head = try SignedHead.newest(files, trustedKeys: request.trustedKeys)
        let text: [UInt8]?
        do throws(FileFailure) {
            text = try files.contents(of: LogIdentity.path, limit: 2048)
        } catch {
            throw error.asAuditError
        }
        guard let keys = text, let identity = LogIdentity(keys), identity.origin == head.origin else {
            throw .damaged(segment: LogIdentity.path, record: nil, reason: "it changed while it was read")
        }
        let epochs: EpochChain
        do throws(FileFailure) { epochs = try EpochChain.load(files, identity).chain } catch {
            throw error.asAuditError
        }
        let kept = request.previous.flatMap { Checkpoint(note: $0, epochs: epochs, others: true) }
        if let kept, kept.size > head.size {
            throw .damaged(segment: Checkpoint.path, record: nil, reason: kept.shortfall(head.size))
        }
        var count: UInt64 = 0  // lines and bytes from the first record of the range on
        var (bytes, shown, single): (UInt64, UInt64, [UInt64]) = (0, 0, [])
        var start = Frontier()
        var found: (range: Range<UInt64>, first: RecordTime, last: RecordTime, bytes: UInt64, shown: UInt64)?
        var gap: Range<UInt64>?
        var isSplit = false
        var (unsigned, unsignedSince): (UInt64, Int64?) = (0, nil)
        try walk(
            files,
            keys,
            request,
            head.size,
            progress,
            { line, form in
                let time = form.time.microseconds
                let isWithin = request.since <= time && time < request.until
                guard found != nil || isWithin else {
                    start.append(leaf: TreeHash.leaf(line))
                    return true
                }
                isSplit = isWithin && gap != nil
                if isSplit { return false }
                count += 1
                let isShown = request.filter.shows(line, form)
                bytes += UInt64(isShown ? line.count : hashBytes) + 1
                if isShown {
                    shown += 1
                    if !request.filter.isEmpty, single.count < maximumSingleProofs { single.append(form.sequence) }
                }
                guard isWithin else { return true }
                let begin = found?.range.lowerBound ?? form.sequence
                found = (begin..<form.sequence + 1, found?.first ?? form.time, form.time, bytes, shown)
                return true
            },
            pruned: { pruned in
                guard found == nil else { return gap = gap ?? pruned.records }
                for (hash, level) in pruned.subtrees { start.append(subtree: hash, level: level) }
            },
            unsigned: { time in
                guard request.since <= time && time < request.until else { return }
                unsigned += 1
                unsignedSince = unsignedSince ?? time
            }
        )
        if isSplit, let gap {
            let reason =
                "records \(gap.lowerBound) to \(gap.upperBound - 1) of that time were pruned: export up to them"
            throw .invalidConfiguration(reason: reason + ", or from behind them on")
        }
        guard let found else {
            throw .invalidConfiguration(reason: "none of the \(head.size) records that are signed is of that time")
        }
        return LogExtract(
            head: head,
            keys: keys,
            epochSeals: epochs.seals.filter { $0.checkpoint.size < head.size }.map(\.text),
            epochEnds: epochs.seals.map(\.checkpoint.size).filter { $0 < head.size },
            range: found.range,
            start: start,
            firstTime: String(decoding: found.first.utf8, as: UTF8.self),
            lastTime: String(decoding: found.last.utf8, as: UTF8.self),
            unsigned: unsigned,
            unsignedSince: unsignedSince,
            shown: found.shown,
            bytes: found.bytes,
            single: single.filter { found.range.contains($0) },
            previousSize: kept?.size,
            outside: said.compactMap { $0.checked(epochs, upTo: head.size) },
            files: files,
            request: request
        )
    }

    /// Verifies the log again and hands out the lines of the range: whole where the filter shows them, else the base64
    /// of the leaf hash. Blocks on the disk.
    /// - Parameter line: without line feed; returns false to stop.
    /// - Returns: nil when `line` has stopped it.
    /// - Throws: as ``plan(directory:_:progress:)``; `.failed` when the log changed in between.
    package func read(
        progress: ((VerifyProgress) -> Void)? = nil,
        line hand: (UnsafeRawBufferPointer) -> Bool
    ) throws(AuditError) -> Proofs? {
        let (end, size) = (range.upperBound, head.size)
        var wanted = NodeCollector.places { _ = TreeProof.consistency(from: end, to: size, node: $0) }
        if let previousSize {
            wanted.formUnion(NodeCollector.places { _ = TreeProof.consistency(from: previousSize, to: size, node: $0) })
        }
        for evidence in outside {
            wanted.formUnion(
                NodeCollector.places { _ = TreeProof.consistency(from: evidence.size, to: size, node: $0) }
            )
        }
        let steps = Array(zip(epochEnds, epochEnds.dropFirst() + [size]))
        for (old, new) in steps {
            wanted.formUnion(NodeCollector.places { _ = TreeProof.consistency(from: old, to: new, node: $0) })
        }
        for index in single {
            wanted.formUnion(NodeCollector.places { _ = TreeProof.inclusion(of: index, in: size, node: $0) })
        }
        var nodes = NodeCollector(wanted)
        var isStopped = false
        let (range, filter) = (range, request.filter)
        try Self.walk(
            files,
            keys,
            request,
            size,
            progress,
            { line, form in
                let leaf = TreeHash.leaf(line)
                nodes.append(leaf)
                guard range.contains(form.sequence) else { return true }
                let isOn =
                    filter.shows(line, form)
                    ? hand(line) : Array(Base64.encode(leaf.bytes).utf8).withUnsafeBytes { hand($0) }
                isStopped = !isOn
                return isOn
            },
            pruned: { gap in for (hash, level) in gap.subtrees { nodes.append(hash, level: level) } }
        )
        if isStopped { return nil }
        guard nodes.size == size, Base64.encode(nodes.frontier.root.bytes) == head.rootHash else {
            throw .damaged(segment: Checkpoint.path, record: nil, reason: "its root is not that of the records")
        }
        let inclusion = try single.map { index throws(AuditError) in
            (index: index, path: try TreeProof.inclusion(of: index, in: size, node: nodes.node))
        }
        return Proofs(
            toCheckpoint: try TreeProof.consistency(from: end, to: size, node: nodes.node),
            fromPrevious: try previousSize.map { size throws(AuditError) in
                try TreeProof.consistency(from: size, to: head.size, node: nodes.node)
            },
            epochs: try steps.map { step throws(AuditError) in
                try TreeProof.consistency(from: step.0, to: step.1, node: nodes.node)
            },
            inclusion: inclusion,
            fromOutside: try outside.map { evidence throws(AuditError) in
                try TreeProof.consistency(from: evidence.size, to: size, node: nodes.node)
            }
        )
    }

    /// Verifies the whole log and shows each of its first `size` records once, and the time (microseconds since 1970) of
    /// each that follows.
    private static func walk(
        _ files: any LogFileSystem,
        _ keys: [UInt8],
        _ request: Request,
        _ size: UInt64,
        _ progress: ((VerifyProgress) -> Void)?,
        _ visit: (UnsafeRawBufferPointer, borrowing RecordForm) -> Bool,
        pruned: (PrunedRange) -> Void,
        unsigned: (Int64) -> Void = { _ in }
    ) throws(AuditError) {
        let verifier = LogVerifier(files: files, trustedKeys: keys, checkpoint: request.previous)
        var next: UInt64 = 0
        var behind = size
        var isStopped = false
        let report = try verifier.verify(
            progress: progress,
            visit: { line, form in
                // The end of a segment that is being written may be read twice.
                if form.sequence == behind {
                    behind += 1
                    unsigned(form.time.microseconds)
                }
                guard form.sequence == next, next < size else { return nil }
                next += 1
                isStopped = !visit(line, form)
                return isStopped ? "stopped" : nil
            },
            pruned: { gap in
                guard gap.records.lowerBound == next, next < size else { return }
                next = gap.records.upperBound
                pruned(gap)
            }
        )
        if isStopped { return }
        if let finding = report.findings.first {
            throw .damaged(segment: finding.file, record: finding.record, reason: finding.reason)
        }
        guard next == size else {
            throw .damaged(
                segment: Checkpoint.path,
                record: next,
                reason: "it covers \(size) records, \(next) are there"
            )
        }
    }
}
