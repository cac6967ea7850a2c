internal import CoffreStorage

/// Looks records up. The index says where they may stand; what is shown is read from the log, checked and filtered anew.
/// What is newer than the index is read from the log itself, and so is everything when there is no index.
package struct AuditQuery: Sendable {
    /// Microseconds since 1970: from `since` to before `until`.
    package var since: Int64 = 0
    package var until: Int64 = .max
    package var filter = RecordFilter()
    /// Only records from this number on.
    package var from: UInt64 = 0
    package var limit = 100
    /// Do not ask the index: read the log from its beginning, and verify it on the way.
    package var isScan = false

    package init() {}

    /// Some of the answer, in the order of the log.
    package struct Page: Sendable {
        /// Lines as they stand in the log, without line feed.
        package fileprivate(set) var lines: [[UInt8]] = []
        /// Where the next page begins; nil when this was the last.
        package fileprivate(set) var next: UInt64?
        /// Records that the index knew.
        package fileprivate(set) var indexed: UInt64 = 0
    }

    /// Blocks on the disk.
    /// - Parameter progress: gets the number of the record that was read last, where the index is of no help.
    /// - Throws: ``AuditError``: `.damaged` when a record shown does not fit the one after it or, in a scan, when the log
    ///   does not verify; `.system`, `.unsafePath`.
    package func page(directory: String, progress: (UInt64) -> Void = { _ in }) throws(AuditError) -> Page {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        return try page(files, directory, progress)
    }

    func page(
        _ files: any LogFileSystem,
        _ directory: String,
        _ progress: (UInt64) -> Void
    ) throws(AuditError) -> Page {
        var page = Page()
        if isScan { return try scan(files, progress) }
        var rest: LogLines.Place?
        do throws(AuditError) {
            rest = try lookUp(files, directory, &page)
        } catch {
            guard case .invalidConfiguration = error else { throw error }
            page = Page()
        }
        if page.next != nil { return page }
        _ = try LogLines(files: files).read(from: rest, to: .max) { line, form, place in
            if place.sequence.isMultiple(of: 50_000) { progress(place.sequence) }
            return take(line, form, &page)
        }
        return page
    }

    /// - Returns: whether there may be more.
    private func take(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm, _ page: inout Page) -> Bool {
        guard matches(line, form) else { return true }
        guard page.lines.count < limit else {
            page.next = form.sequence
            return false
        }
        page.lines.append(Array(line))
        return true
    }

    private func matches(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) -> Bool {
        form.sequence >= from && since <= form.time.microseconds && form.time.microseconds < until
            && filter.shows(line, form)
    }

    private func scan(_ files: any LogFileSystem, _ progress: (UInt64) -> Void) throws(AuditError) -> Page {
        var page = Page()
        var isStopped = false
        let report = try LogVerifier(files: files).verify(
            progress: nil,
            visit: { line, form in
                if form.sequence.isMultiple(of: 50_000) { progress(form.sequence) }
                isStopped = !take(line, form, &page)
                return isStopped ? "stopped" : nil
            }
        )
        if let finding = report.findings.first, !isStopped {
            throw .damaged(segment: finding.file, record: finding.record, reason: finding.reason)
        }
        return page
    }

    /// - Returns: the place after the last indexed record; nil without an index.
    private func lookUp(
        _ files: any LogFileSystem,
        _ directory: String,
        _ page: inout Page
    ) throws(AuditError) -> LogLines.Place? {
        let lie = AuditError.invalidConfiguration(reason: "the index lies")
        do throws(FileFailure) {
            guard try files.identity(of: LogIndexer.fileName) != nil else { return nil }
        } catch {
            throw error.asAuditError
        }
        let hits: [RecordIndex.Hit]
        let mark: RecordIndex.Mark
        do throws(StorageError) {
            let index = try RecordIndex(path: directory + "/" + LogIndexer.fileName, isReader: true)
            do throws(AuditError) {
                guard let found = try LogIndexer.mark(of: index, files) else { return nil }
                mark = found
            } catch {
                throw StorageError(.corrupt, error.message)
            }
            hits = try index.find(question)
        } catch {
            throw lie
        }
        page.indexed = mark.sequence
        let reader = RecordReader(files)
        var form = RecordForm()
        for hit in hits {
            guard let line = try reader.line(at: hit) else { throw lie }
            let isGood = line.withUnsafeBytes { line in form.read(line) == nil && matches(line, form) }
            guard isGood else { throw lie }
            guard line.withUnsafeBytes({ take($0, form, &page) }) else { break }
        }
        return LogLines.Place(sequence: mark.sequence, segment: mark.segment, offset: mark.offset)
    }

    private var question: RecordIndex.Question {
        var question = RecordIndex.Question()
        (question.since, question.until, question.from) = (since, until, from)
        question.actor = filter.actor.map { Array($0.utf8) }
        question.connector = filter.connector.map { Array($0.utf8) }
        question.isPrefix = filter.path?.hasSuffix("*") ?? false
        question.path = filter.path.map { Array(question.isPrefix ? $0.utf8.dropLast() : $0.utf8[...]) }
        question.operation = filter.operation?.rawValue
        question.outcome = filter.outcome?.rawValue
        question.limit = limit + 1
        return question
    }
}
