internal import CoffreCrypto

/// What the log itself says of its holds: the `hold.set` records that no `hold.clear` has ended. A hold's file can be
/// taken away while nobody looks, or miss a crash by a moment; its record cannot.
///
/// Sealed segments do not change, so each is read once, and only where its seal counts such records.
struct HoldHistory: Sendable {
    /// An order as its record gives it.
    struct Order: Sendable {
        let id: String
        let scope: LegalHold.Scope
        let reason: String
        let review: String
        /// Number of the record.
        let record: UInt64
    }

    /// What became of one hold, in numbers of records that are still there.
    private struct Life {
        var sets: [UInt64] = []
        var clears: [UInt64] = []
        /// Nil when it has been ended.
        var order: Order?
    }

    private var lives: [String: Life] = [:]
    /// The records before this one have been read.
    private var next: UInt64 = 0
    /// Where reading goes on in the open segment.
    private var place: LogLines.Place?

    /// By their records.
    var inForce: [Order] { lives.values.compactMap(\.order).sorted { $0.record < $1.record } }

    /// Whether the log says that a hold was ended, and not ordered again.
    func isEnded(_ id: String) -> Bool { lives[id].map { $0.order == nil && !$0.clears.isEmpty } ?? false }

    /// The holds on whose account a segment stays whatever its age: it orders one in force, or ends one whose order is
    /// still to be read elsewhere, which would come to life again.
    func needing(_ records: Range<UInt64>) -> [String] {
        lives.filter { _, life in
            if let order = life.order { return records.contains(order.record) }
            return life.clears.contains { records.contains($0) } && life.sets.contains { !records.contains($0) }
        }.map(\.key).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// A segment was pruned.
    mutating func forget(_ records: Range<UInt64>) {
        for id in Array(lives.keys) {
            lives[id]?.sets.removeAll { records.contains($0) }
            lives[id]?.clears.removeAll { records.contains($0) }
            if let life = lives[id], life.order == nil, life.sets.isEmpty, life.clears.isEmpty { lives[id] = nil }
        }
    }

    /// Reads what has come since the last time. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged` when a segment or its seal is not what was written, `.system`.
    mutating func read(_ files: any LogFileSystem, _ epochs: EpochChain) throws(AuditError) {
        let lines = try LogLines(files: files)
        for segment in lines.segments.all {
            let first = segment.name.first
            guard segment.isSealed else {
                try read(lines, first, .max)
                continue
            }
            let seal = try seal(of: segment.name, files, epochs)
            guard seal.last >= next else { continue }
            if seal.count(of: .holdSet) + seal.count(of: .holdClear) > 0 { try read(lines, first, seal.last + 1) }
            next = seal.last + 1
        }
    }

    private func seal(
        of name: SegmentName,
        _ files: any LogFileSystem,
        _ epochs: EpochChain
    ) throws(AuditError) -> SegmentSeal {
        do throws(FileFailure) {
            if let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes),
                let seal = SegmentSeal(note: note, epochs: epochs), seal.first == name.first
            {
                return seal
            }
        } catch { throw error.asAuditError }
        throw .damaged(
            segment: name.sealPath,
            record: nil,
            reason: "it is not a seal of this log for this segment"
        )
    }

    private mutating func read(_ lines: LogLines, _ first: UInt64, _ end: UInt64) throws(AuditError) {
        let start = place.flatMap { $0.segment == first ? $0 : nil }
        var lives = lives
        place = try Self.read(lines, start ?? LogLines.Place(sequence: first, segment: first, offset: 0), end, &lives)
        self.lives = lives
    }

    private static func read(
        _ lines: LogLines,
        _ place: LogLines.Place,
        _ end: UInt64,
        _ lives: inout [String: Life]
    ) throws(AuditError) -> LogLines.Place {
        try lines.read(from: place, to: end) { line, form, _ in
            guard form.outcome == .granted else { return true }
            if let order = Order(line, form) {
                lives[order.id, default: Life()].order = order
                lives[order.id]?.sets.append(order.record)
            } else if form.operation == .holdClear, let id = form.detail("id", in: line) {
                let id = String(decoding: id, as: UTF8.self)
                lives[id, default: Life()].order = nil
                lives[id]?.clears.append(form.sequence)
            }
            return true
        }
    }
}

extension HoldHistory.Order {
    /// Nil when the line is not a record that sets a hold.
    init?(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) {
        func text(_ name: StaticString) -> String? {
            form.detail(name, in: line).map { $0.withUnsafeBytes { ExactName(unescaping: $0).text } }
        }
        guard form.operation == .holdSet, form.outcome == .granted, let id = text("id"), LegalHold.isValidID(id),
            let reason = text("reason"), let review = text("review")
        else { return nil }
        switch text("scope") {
        case "range":
            guard let since = form.detailNumber("since", in: line), let until = form.detailNumber("until", in: line),
                since < until
            else { return nil }
            scope = .range(since: Int64(clamping: since), until: Int64(clamping: until))
        case "connector":
            guard let name = text("connector") else { return nil }
            scope = .connector(name)
        case "subject":
            guard let sid = text("subject") else { return nil }
            scope = .subject(sid)
        default: return nil
        }
        self.id = id
        self.reason = reason
        self.review = review
        record = form.sequence
    }
}
