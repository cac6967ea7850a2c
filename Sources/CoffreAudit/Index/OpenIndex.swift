internal import CoffreStorage

/// An index that is of this very log, beside the log's segments.
struct OpenIndex {
    private let index: RecordIndex
    private let mark: RecordIndex.Mark
    private let segments: LogSegments
    let reader: RecordReader
    /// The records that it knows.
    let records: Range<UInt64>

    /// - Returns: nil when there is none, or it is empty.
    /// - Throws: ``AuditError`` when the log cannot be read, ``StorageError`` or ``IndexLie`` when the index is no good.
    init?(_ directory: String, _ segments: LogSegments) throws {
        do throws(FileFailure) {
            guard try segments.files.identity(of: LogIndexer.fileName) != nil else { return nil }
        } catch {
            throw error.asAuditError
        }
        let index = try RecordIndex(path: directory + "/" + LogIndexer.fileName, isReader: true)
        do throws(AuditError) {
            guard let found = try LogIndexer.mark(of: index, segments) else { return nil }
            mark = found
        } catch {
            guard case .invalidConfiguration(let reason) = error else { throw error }
            throw IndexLie(reason)
        }
        let first = UInt64(clamping: try index.firstBlock() ?? .max).multipliedReportingOverflow(
            by: UInt64(mark.blockRecords)
        )
        guard !first.overflow, first.partialValue < mark.sequence else {
            throw IndexLie("the index says nothing sensible of its size")
        }
        self.index = index
        self.segments = segments
        reader = RecordReader(segments)
        records = first.partialValue..<mark.sequence
    }

    /// The place after the last record that it knows.
    var end: LogLines.Place {
        LogLines.Place(sequence: mark.sequence, segment: mark.segment, offset: mark.offset)
    }

    func search(_ question: IndexSearch.Question) throws -> IndexSearch {
        try IndexSearch(index, mark, question)
    }

    /// Whether a record lies before all that is still in the log, or in a gap of it.
    func isGone(_ sequence: UInt64) -> Bool {
        guard sequence >= segments.first, let place = segments.index(holding: sequence) else { return true }
        let seal = segments.seal(place)
        return seal.map { $0.last < sequence } ?? false
    }

    /// Holds what the index counts to what the seals count, in every closed segment that `range` touches, for each
    /// condition that the seals know of: a record that the index hides is missed there.
    /// - Throws: ``IndexLie``, ``StorageError``.
    func compare(with filter: RecordFilter, _ range: Range<UInt64>) throws {
        guard filter.operation != nil || filter.outcome != nil || filter.connector != nil,
            let first = segments.index(holding: range.lowerBound)
        else { return }
        let search = try search(IndexSearch.Question())
        for place in first..<segments.all.count where segments.all[place].isSealed {
            let begin = segments.all[place].name.first
            guard begin < range.upperBound else { return }
            guard begin >= records.lowerBound, let seal = segments.seal(place), let rest = try tail(of: seal, filter)
            else { continue }
            // The closing record of a segment is not in the totals that it carries.
            let isCounted = filter.operation ?? .segmentSeal == .segmentSeal && filter.outcome ?? .granted == .granted
            let closing: UInt64 = try isCounted && isClosed(seal) ? 1 : 0
            let asked: [(IndexKind, String?, total: UInt64?)] = [
                (.operation, filter.operation?.rawValue, filter.operation.map { seal.count(of: $0) }),
                (.outcome, filter.outcome?.rawValue, filter.outcome.map { seal.count(of: $0) }),
                (.connector, filter.connector, filter.connector.flatMap { seal.count(ofConnector: $0) }),
            ]
            for case (let kind, let text?, let total?) in asked {
                let isClosing =
                    kind == .operation && filter.operation == .segmentSeal
                    || kind == .outcome && filter.outcome == .granted
                let due = total + (isClosing ? closing : 0)
                let count = try search.count(kind, text, in: begin...seal.last) + (rest[kind] ?? 0)
                guard count == due else {
                    let path = segments.all[place].name.path
                    throw IndexLie("the index counts \(count) of \"\(text)\" in \(path), and its seal \(due)")
                }
            }
        }
    }

    /// Whether a segment ends with the record that closes it.
    private func isClosed(_ seal: SegmentSeal) throws -> Bool {
        guard let line = try AuditQuery.line(of: seal.last, segments, self) else { return false }
        var form = RecordForm()
        return line.withUnsafeBytes { form.read($0) } == nil && form.operation == .segmentSeal
    }

    /// What the end of a segment, beyond the index, holds of each condition; nil when that is more than a block: the
    /// index is behind then.
    private func tail(of seal: SegmentSeal, _ filter: RecordFilter) throws -> [IndexKind: UInt64]? {
        var counts: [IndexKind: UInt64] = [:]
        guard seal.last >= records.upperBound else { return counts }
        guard seal.last - records.upperBound < UInt64(mark.blockRecords) else { return nil }
        _ = try LogLines(segments: segments).read(from: end, to: seal.last + 1) { line, form, _ in
            if form.operation == filter.operation { counts[.operation, default: 0] += 1 }
            if form.outcome == filter.outcome { counts[.outcome, default: 0] += 1 }
            var only = RecordFilter()
            only.connector = filter.connector
            if only.connector != nil, only.shows(line, form) { counts[.connector, default: 0] += 1 }
            return true
        }
        return counts
    }

    /// Where a record stands.
    func place(of sequence: UInt64) throws -> IndexSearch.Hit? {
        guard records.contains(sequence) else { return nil }
        return try search(IndexSearch.Question()).place(of: sequence)
    }

    /// In words, for people.
    static func reason(_ error: any Error) -> String {
        switch error {
        case let lie as IndexLie: lie.reason
        case let error as StorageError: error.message
        default: "\(error)"
        }
    }
}

extension LogSegments {
    /// What a segment's seal says, its signatures not looked at: whoever wants them verifies the log.
    func seal(_ index: Int) -> SegmentSeal? {
        guard all[index].isSealed else { return nil }
        do throws(FileFailure) {
            return try files.contents(of: all[index].name.sealPath, limit: 1 << 24).flatMap {
                SegmentSeal(unverified: $0)
            }
        } catch {
            return nil
        }
    }
}

extension SegmentSeal {
    /// Records of an operation.
    func count(of operation: AuditOperation) -> UInt64 { sum { $0.hasPrefix(operation.rawValue + "/") } }

    /// Records with an outcome.
    func count(of outcome: AuditDraft.Outcome) -> UInt64 { sum { $0.hasSuffix("/" + outcome.rawValue) } }

    private func sum(_ isMeant: (String) -> Bool) -> UInt64 {
        var parser = StrictJSON()
        guard totals.withUnsafeBytes({ parser.parse($0) }) == nil else { return 0 }
        var sum: UInt64 = 0
        for member in parser.members where member.depth == 2 {
            guard isMeant(String(decoding: totals[member.key], as: UTF8.self)) else { continue }
            let number = String(decoding: totals[member.value].filter { $0 != 0x22 }, as: UTF8.self)
            sum &+= UInt64(number) ?? 0
        }
        return sum
    }

    /// Records of a connector; nil when the table cannot be read.
    func count(ofConnector name: String) -> UInt64? {
        var wanted: [UInt8] = Array(#"[""#.utf8)
        wanted += IndexBlock.word(name)
        wanted += Array(#"","#.utf8)
        // A quote inside a name is escaped, so this can only be the beginning of a row.
        guard let place = connectors.firstRange(of: wanted) else { return connectors.first == 0x5b ? 0 : nil }
        let digits = connectors[place.upperBound...].drop { $0 == 0x22 }.prefix { (0x30...0x39).contains($0) }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }
}
