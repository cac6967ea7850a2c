internal import CoffreStorage

/// Looks records up. The index says where they may stand; what is shown is read from the log, checked and filtered anew.
/// What the index does not cover is read from the log itself, and so is everything when there is none or it lies.
package struct AuditQuery: Sendable {
    /// Microseconds since 1970: from `since` to before `until`.
    package var since: Int64 = 0
    package var until: Int64 = .max
    package var filter = RecordFilter()
    /// Only records from this number on.
    package var from: UInt64 = 0
    /// Most records of a page.
    package var limit = 100
    /// A page ends before the record that would make it longer, unless it is the first. Default 4 MiB.
    package var limitBytes = 4 << 20
    /// Do not ask the index: read the log from its beginning, and verify it on the way.
    package var isScan = false

    package init() {}

    /// Some of the answer, in the order of the log.
    package struct Page: Sendable {
        /// Lines as they stand in the log, without line feed.
        package fileprivate(set) var lines: [[UInt8]] = []
        /// Where the next page begins; nil when this was the last.
        package fileprivate(set) var next: UInt64?
        /// Records up to which the index knew the log.
        package fileprivate(set) var indexed: UInt64 = 0
        /// Why the index was not believed; nil when it was, or when there is none.
        package fileprivate(set) var distrust: String?
        /// Records that are no longer in the log, though later ones are.
        package fileprivate(set) var gaps: [Range<UInt64>] = []
        fileprivate var bytes = 0
    }

    /// Blocks on the disk.
    /// - Parameters:
    ///   - isOver: asked now and then; true ends the page where it stands, with `next` set.
    ///   - progress: gets the number of the record that was read last, where the index is of no help.
    /// - Throws: ``AuditError``: `.damaged` when a record shown does not fit the one after it or, in a scan, when the log
    ///   does not verify; `.system`, `.unsafePath`.
    package func page(
        directory: String,
        isOver: () -> Bool = { false },
        progress: (UInt64) -> Void = { _ in }
    ) throws(AuditError) -> Page {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        return try page(files, directory, isOver, progress)
    }

    func page(
        _ files: any LogFileSystem,
        _ directory: String,
        _ isOver: () -> Bool,
        _ progress: (UInt64) -> Void
    ) throws(AuditError) -> Page {
        if isScan {
            var page = Page()
            try scan(files, progress) { line, sequence in keep(line, sequence, &page) }
            return page
        }
        do throws(AuditError) {
            return try page(try LogSegments(files), directory, isOver, progress)
        } catch {
            // ENOENT: a segment was compressed or pruned between two looks. With a new list of them, once.
            guard case .system(_, _, 2) = error else { throw error }
            return try self.page(try LogSegments(files), directory, isOver, progress)
        }
    }

    private func page(
        _ segments: LogSegments,
        _ directory: String,
        _ isOver: () -> Bool,
        _ progress: (UInt64) -> Void
    ) throws(AuditError) -> Page {
        var page = Page()
        let lines = LogLines(segments: segments)
        let begin = max(from, segments.first)
        do {
            guard let index = try OpenIndex(directory, segments) else {
                try read(lines, from: begin, to: .max, &page, isOver, progress)
                return page
            }
            page.indexed = index.records.upperBound
            let head = index.records.lowerBound
            if begin < head { try read(lines, from: begin, to: head, &page, isOver, progress) }
            if page.next == nil, begin < index.records.upperBound {
                try lookUp(index, from: max(begin, head), &page, isOver)
            }
            if page.next == nil {
                let isAtEnd = begin <= index.records.upperBound
                let (tail, place) = isAtEnd ? (index.records.upperBound, index.end) : (begin, nil)
                try read(lines, from: tail, at: place, to: .max, &page, isOver, progress)
            }
            return page
        } catch let error as AuditError {
            throw error
        } catch {
            page = Page()
            page.distrust = OpenIndex.reason(error)
            try read(lines, from: begin, to: .max, &page, isOver, progress)
            return page
        }
    }

    /// One record, held to the one after it; nil when there is none.
    static func line(
        of sequence: UInt64,
        _ files: any LogFileSystem,
        _ directory: String
    ) throws(AuditError) -> [UInt8]? {
        let segments = try LogSegments(files)
        do {
            if let index = try OpenIndex(directory, segments) { return try line(of: sequence, segments, index) }
        } catch let error as AuditError {
            throw error
        } catch {
            // An index that is no good costs time.
        }
        return try read(sequence, segments)
    }

    /// As ``line(of:directory:)``.
    static func line(of sequence: UInt64, _ segments: LogSegments, _ index: OpenIndex) throws -> [UInt8]? {
        if let hit = try index.place(of: sequence), let line = try index.reader.line(at: hit) { return line }
        return try read(sequence, segments)
    }

    private static func read(_ sequence: UInt64, _ segments: LogSegments) throws(AuditError) -> [UInt8]? {
        let lines = LogLines(segments: segments)
        guard sequence < .max, let start = lines.start(of: sequence), start.sequence <= sequence else { return nil }
        var hit: IndexSearch.Hit?
        _ = try lines.read(from: start, to: sequence + 1) { _, _, place in
            if place.sequence == sequence {
                hit = IndexSearch.Hit(sequence: sequence, segment: place.segment, offset: place.offset)
            }
            return true
        }
        return try hit.flatMap { hit throws(AuditError) in try RecordReader(segments).line(at: hit) }
    }

    /// One record of a log's folder, or of a copy; nil when there is none.
    package static func line(of sequence: UInt64, directory: String) throws(AuditError) -> [UInt8]? {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        return try line(of: sequence, files, directory)
    }

    /// Reads the log itself.
    /// - Parameter place: of a record at or before `begin`.
    private func read(
        _ lines: LogLines,
        from begin: UInt64,
        at place: LogLines.Place? = nil,
        to end: UInt64,
        _ page: inout Page,
        _ isOver: () -> Bool,
        _ progress: (UInt64) -> Void
    ) throws(AuditError) {
        guard var place = place ?? lines.start(of: begin) else { return }
        while place.sequence < end {
            place = try lines.read(from: place, to: end) { line, form, place in
                if place.sequence.isMultiple(of: 4096) {
                    if place.sequence > begin, isOver() {
                        page.next = place.sequence
                        return false
                    }
                    progress(place.sequence)
                }
                return take(line, form, &page)
            }
            guard page.next == nil, let gap = lines.gap(at: place), gap.upperBound < end,
                let next = lines.start(of: gap.upperBound)
            else { return }
            page.gaps.append(gap)
            place = next
        }
    }

    /// - Returns: whether there may be more.
    private func take(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm, _ page: inout Page) -> Bool {
        matches(line, form) ? keep(Array(line), form.sequence, &page) : true
    }

    private func keep(_ line: [UInt8], _ sequence: UInt64, _ page: inout Page) -> Bool {
        guard page.lines.count < limit, page.lines.isEmpty || page.bytes + line.count <= limitBytes else {
            page.next = sequence
            return false
        }
        page.lines.append(line)
        page.bytes += line.count
        return true
    }

    private func matches(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) -> Bool {
        form.sequence >= from && since <= form.time.microseconds && form.time.microseconds < until
            && filter.shows(line, form)
    }

    /// Verifies the whole log and shows each record that fits.
    /// - Parameter visit: returns false to stop, and with it the verification.
    /// - Throws: ``AuditError`` `.damaged` for the first thing that is wrong: records shown before it are good.
    package func scan(
        directory: String,
        progress: (UInt64) -> Void,
        visit: ([UInt8]) -> Bool
    ) throws(AuditError) {
        try scan(PosixFileSystem(root: directory, isReader: true), progress) { line, _ in visit(line) }
    }

    private func scan(
        _ files: any LogFileSystem,
        _ progress: (UInt64) -> Void,
        _ visit: ([UInt8], UInt64) -> Bool
    ) throws(AuditError) {
        var isStopped = false
        var next: UInt64 = 0
        // A record is shown once the one after it has named its hash.
        var held: (line: [UInt8], sequence: UInt64)?
        let visitor: LogVerifier.Visit = { line, form in
            // The end of a segment that is being written may be seen twice.
            guard form.sequence >= next else { return nil }
            next = form.sequence + 1
            if form.sequence.isMultiple(of: 50_000) { progress(form.sequence) }
            if let held { isStopped = !visit(held.line, held.sequence) }
            held = matches(line, form) ? (Array(line), form.sequence) : nil
            return isStopped ? "stopped" : nil
        }
        let report = try LogVerifier(files: files).verify(progress: nil, visit: visitor)
        if let finding = report.findings.first, !isStopped {
            throw .damaged(segment: finding.file, record: finding.record, reason: finding.reason)
        }
        if !isStopped, let held { _ = visit(held.line, held.sequence) }
    }

    // MARK: with the index

    /// The part of a page that lies within what is indexed.
    /// - Throws: ``AuditError``, and ``IndexLie`` or ``StorageError`` when the index cannot be believed.
    private func lookUp(
        _ index: OpenIndex,
        from begin: UInt64,
        _ page: inout Page,
        _ isOver: () -> Bool
    ) throws {
        var question = IndexSearch.Question()
        (question.since, question.until, question.filter, question.from) = (since, until, filter, begin)
        question.limit = limit
        var form = RecordForm()
        var end = index.records.upperBound
        // What fits no condition of the index is looked for among what it gave; then there may be more of that.
        while true {
            var search = try index.search(question)
            let hits = try search.hits()
            for (count, hit) in hits.enumerated() {
                if count > 0, count.isMultiple(of: 64), isOver() {
                    page.next = hit.sequence
                    break
                }
                guard let line = try index.reader.line(at: hit) else {
                    // Pruned in the meantime, or since.
                    if index.isGone(hit.sequence) { continue }
                    throw IndexLie("the index points to something else than the record")
                }
                let (isGood, mayGoOn) = line.withUnsafeBytes { line in
                    guard form.read(line) == nil, form.sequence == hit.sequence else { return (false, false) }
                    let isMatch = matches(line, form)
                    return (isMatch || search.isLoose, isMatch ? take(line, form, &page) : true)
                }
                guard isGood else { throw IndexLie("the index names a record that does not match") }
                if !mayGoOn { break }
            }
            if let next = page.next { end = next }
            guard page.next == nil, hits.count > question.limit, let last = hits.last else { break }
            question.from = last.sequence + 1
        }
        if begin < end { try index.compare(with: filter, begin..<end) }
    }
}
