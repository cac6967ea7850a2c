internal import CoffreStorage

/// What the files of a log, or of a copy, say of it. Nothing of it is proven: that is ``LogVerifier``.
package struct LogSummary: Sendable {
    /// The log's name.
    package let origin: String
    /// The number of the first record that is still there, and that of the record after the last.
    package let first: UInt64
    package let size: UInt64
    package let segments: Int
    /// Of the segments.
    package let bytes: UInt64
    /// The epoch that is open.
    package let epoch: UInt64
    /// Records that the checkpoint covers, and when it was written (microseconds since 1970); nil when there is none.
    package let checkpointSize: UInt64?
    package let checkpointTime: Int64?
    /// Records up to which the index knows the log, and why it cannot be used.
    package let indexSize: UInt64
    package let indexError: String?
    /// As genesis names it; nil when genesis was pruned.
    package let retentionMonths: Int?

    /// Blocks on the disk; reads the last segment.
    /// - Throws: ``AuditError``.
    package init(directory: String) throws(AuditError) {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        let segments = try LogSegments(files)
        self.segments = segments.all.count
        first = segments.first
        var (end, bytes): (UInt64, UInt64) = (0, 0)
        let head: SignedHead?
        do throws(FileFailure) {
            let text = try files.contents(of: LogIdentity.path, limit: 2048)
            guard let identity = text.flatMap({ LogIdentity($0) }) else {
                throw FileFailure(call: "keys", path: LogIdentity.path, errno: 0)
            }
            origin = identity.origin
            epoch = try EpochChain.load(files, identity).chain.number
            for index in segments.all.indices { bytes += UInt64(clamping: try segments.open(index).size()) }
        } catch {
            guard error.call != "keys" else {
                throw .damaged(segment: error.path, record: nil, reason: "it is missing or not two keys")
            }
            throw error.asAuditError
        }
        do throws(AuditError) {
            head = try SignedHead.newest(files)
        } catch {
            guard case .invalidConfiguration = error else { throw error }
            head = nil
        }
        self.bytes = bytes
        checkpointSize = head?.size
        checkpointTime = SignedHead.time(directory: directory)
        if let last = segments.all.last, let start = LogLines(segments: segments).start(of: last.name.first) {
            end = try LogLines(segments: segments).read(from: start, to: .max) { _, _, _ in true }.sequence
        }
        size = end
        var (indexed, trouble): (UInt64, String?) = (0, nil)
        do {
            indexed = try OpenIndex(directory, segments)?.records.upperBound ?? 0
        } catch let error as AuditError {
            throw error
        } catch {
            trouble = OpenIndex.reason(error)
        }
        (indexSize, indexError) = (indexed, trouble)
        var months: UInt64?
        if first == 0, let line = try AuditQuery.line(of: 0, files, directory) {
            line.withUnsafeBytes { line in
                var form = RecordForm()
                if form.read(line) == nil { months = form.detailNumber("retention", in: line) }
            }
        }
        retentionMonths = months.map { Int(clamping: $0) }
    }
}
