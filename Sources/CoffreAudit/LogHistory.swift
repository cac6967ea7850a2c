package import CoffreCrypto
internal import Glibc

/// What one record says of a change, for whoever compares the log with an older database.
package struct LoggedChange: Sendable {
    package let sequence: UInt64
    /// RFC 3339.
    package let time: String
    package let operation: AuditOperation
    package let phase: AuditDraft.Phase
    package let outcome: AuditDraft.Outcome
    /// The short code of a failure.
    package let error: String?
    /// Storage generation after the change.
    package let generation: UInt64?
    /// The first record that this one refers to: its intent.
    package let reference: UInt64?
    /// `what.path`, `what.lease`, `what.det.accessor` and `who.tok`; nil when absent, or too long to stand in clear.
    package let path: String?
    package let lease: String?
    package let accessor: String?
    package let callerAccessor: String?
}

/// Reads records back from the files of a log, also while it is being written.
package struct LogHistory: Sendable {
    private let files: any LogFileSystem

    init(files: any LogFileSystem) { self.files = files }

    /// Shows every record from where the log and an older database may begin to differ. Blocks on the disk.
    ///
    /// Whole segments that hold nothing newer are left out, so records from before that point may be among those shown.
    /// - Parameters:
    ///   - size: records of the log when the database was copied, when that is known.
    ///   - generation: of the database.
    ///   - shouldStop: asked now and then; true ends the reading.
    ///   - visit: sees each record, in order.
    /// - Returns: the leaf hash of record `size` - 1, nil when the log is shorter or `size` is nil.
    /// - Throws: ``AuditError`` `.damaged`, `.system`, `.closed` after `shouldStop` said so.
    package func read(
        after size: UInt64?,
        newerThan generation: UInt64,
        shouldStop: () -> Bool,
        visit: (LoggedChange) -> Void
    ) throws(AuditError) -> Digest? {
        let segments = try SegmentName.list(files).filter { $0.data != .none }
        var leaf: Digest?
        do throws(FileFailure) {
            let identity = try files.contents(of: LogIdentity.path, limit: 2048).flatMap { LogIdentity($0) }
            let epochs = try identity.map { identity throws(FileFailure) in try EpochChain.load(files, identity).chain }
            for (index, segment) in segments.enumerated() {
                if let size {
                    let next = index + 1 < segments.count ? segments[index + 1].name.first : .max
                    if next < size { continue }
                } else if segment.isSealed, let epochs,
                    let note = try files.contents(of: segment.name.sealPath, limit: SegmentSeal.maximumBytes),
                    let seal = SegmentSeal(note: note, epochs: epochs), seal.generation ?? 0 <= generation
                {
                    continue
                }
                let file = try files.openSegment(segment.name)
                try read(file, segment.name.path, leafAt: size.map { $0 &- 1 }, &leaf, shouldStop, visit)
            }
        } catch {
            switch error.call {
            case "stop": throw .closed
            case "form": throw .damaged(segment: error.path, record: nil, reason: "a line is not a record")
            default: throw error.asAuditError
            }
        }
        return leaf
    }

    private func read(
        _ file: any LogFile,
        _ path: String,
        leafAt sequence: UInt64?,
        _ leaf: inout Digest?,
        _ shouldStop: () -> Bool,
        _ visit: (LoggedChange) -> Void
    ) throws(FileFailure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: (1 << 18) + LineEncoder.maximumLineBytes + 1,
            alignment: 16
        )
        defer { buffer.deallocate() }
        var form = RecordForm()
        var filled = 0
        var offset = 0
        while true {
            if shouldStop() { throw FileFailure(call: "stop", path: path, errno: 0) }
            let count = try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            // What follows the last line feed is being written at this moment.
            guard count > 0 else { return }
            offset += count
            filled += count
            var start = 0
            while let end = buffer[start..<filled].firstIndex(of: 0x0a) {
                let line = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
                guard form.read(line) == nil else { throw FileFailure(call: "form", path: path, errno: 0) }
                if form.sequence == sequence { leaf = TreeHash.leaf(line) }
                visit(LoggedChange(form, line))
                start = end + 1
            }
            guard filled - start <= LineEncoder.maximumLineBytes else {
                throw FileFailure(call: "form", path: path, errno: 0)
            }
            if start > 0, let base = buffer.baseAddress {
                memmove(base, base + start, filled - start)
                filled -= start
            }
        }
    }
}

extension LoggedChange {
    fileprivate init(_ form: borrowing RecordForm, _ line: UnsafeRawBufferPointer) {
        sequence = form.sequence
        time = String(decoding: form.time.utf8, as: UTF8.self)
        operation = form.operation
        phase = form.phase
        outcome = form.outcome
        generation = form.generation
        // Only what is asked about later is looked for.
        let isRevocation = form.operation == .tokenRevoke || form.operation == .leaseRevoke
        error = isRevocation ? form.text("out", "err", in: line) : nil
        reference = isRevocation ? form.firstReference(in: line) : nil
        path = isRevocation ? form.text("what", "path", in: line) : nil
        lease = isRevocation ? form.text("what", "lease", in: line) : nil
        accessor = isRevocation ? form.detail("accessor", in: line).map { String(decoding: $0, as: UTF8.self) } : nil
        callerAccessor = isRevocation ? form.text("who", "tok", in: line) : nil
    }
}
