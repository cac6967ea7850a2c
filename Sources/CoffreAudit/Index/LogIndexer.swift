internal import CoffreCrypto
internal import CoffreStorage
internal import Glibc

/// Brings `index.sqlite` up to the log, whole blocks of records at a time: the newest ones are read from the log. The log
/// does not know of the index: one that cannot be written, or lies, costs time.
package final class LogIndexer {
    package static let fileName = "index.sqlite"
    /// Records in a block.
    package static let blockRecords = 4096

    /// Blocks of one transaction, when there are many to catch up with: each costs some syncs.
    private static let blocksAtOnce: UInt64 = 16

    private let files: any LogFileSystem
    private let path: String
    private let blockRecords: Int
    private var index: RecordIndex?

    /// - Parameters:
    ///   - directory: absolute path of the log's folder.
    ///   - blockRecords: 1 to 65,536; an index keeps the number with which it was begun.
    package convenience init(directory: String, blockRecords: Int = LogIndexer.blockRecords) {
        self.init(PosixFileSystem(root: directory, isReader: true), directory, blockRecords: blockRecords)
    }

    init(_ files: any LogFileSystem, _ directory: String, blockRecords: Int = LogIndexer.blockRecords) {
        self.files = files
        self.blockRecords = blockRecords
        path = directory + "/" + Self.fileName
    }

    /// Indexes the records up to `size` that are not yet, or all of them when the index is not this log's. Blocks on the
    /// disk. What was done stays done when it is interrupted.
    /// - Parameters:
    ///   - size: records that are durable; nil for all there are.
    ///   - progress: gets the number of records indexed every now and then; returns false to stop.
    /// - Returns: records indexed: a multiple of the records in a block.
    /// - Throws: ``AuditError``.
    @discardableResult
    package func catchUp(
        to size: UInt64? = nil,
        progress: (UInt64) -> Bool = { _ in true }
    ) throws(AuditError) -> UInt64 {
        try files.prepareRoot(create: false)
        do throws(FileFailure) {
            guard try files.identity(of: LogIdentity.path) != nil else {
                throw FileFailure(call: "open", path: LogIdentity.path, errno: 2)
            }
        } catch { throw error.asAuditError }
        do throws(AuditError) {
            return try run(size ?? .max, progress)
        } catch {
            // Once more with a new file: what is wrong may be the index.
            guard case .invalidConfiguration = error else { throw error }
            try remove()
            return try run(size ?? .max, progress)
        }
    }

    /// Deletes the index. ``catchUp(to:progress:)`` makes it anew.
    package func remove() throws(AuditError) {
        index = nil
        for suffix in ["", "-journal", "-wal", "-shm"] where unlink(path + suffix) != 0 && errno != ENOENT {
            throw .system(call: "unlink", path: path + suffix, errno: errno)
        }
    }

    private func run(_ end: UInt64, _ progress: (UInt64) -> Bool) throws(AuditError) -> UInt64 {
        do throws(StorageError) {
            // Opened anew each time: the file may have been deleted or replaced since.
            index = try RecordIndex(path: path, isReader: false)
        } catch {
            throw Self.audit(error)
        }
        guard let index else { return 0 }
        let segments = try LogSegments(files)
        let mark = try Self.mark(of: index, segments)
        let count = mark?.blockRecords ?? blockRecords
        // A log that was pruned before it was indexed: from the first block that is whole.
        let from = mark?.sequence ?? (segments.first + UInt64(count) - 1) / UInt64(count) * UInt64(count)
        let lines = LogLines(segments: segments)
        guard
            var place = mark.map({ LogLines.Place(sequence: $0.sequence, segment: $0.segment, offset: $0.offset) })
                ?? lines.start(of: from)
        else { return 0 }
        if place.sequence < from { place = try lines.read(from: place, to: from) { _, _, _ in true } }
        try forget(before: segments.first / UInt64(count), index)
        var indexed = mark?.sequence ?? 0
        var group: [(block: RecordIndex.Block, postings: [RecordIndex.Posting])] = []
        func write(upTo place: LogLines.Place, _ leaf: Digest) throws(AuditError) {
            guard !group.isEmpty else { return }
            let next = RecordIndex.Mark(
                sequence: place.sequence,
                segment: place.segment,
                offset: place.offset,
                leaf: leaf.bytes,
                blockRecords: count
            )
            do throws(StorageError) { try index.add(group, upTo: next) } catch { throw Self.audit(error) }
            group.removeAll(keepingCapacity: true)
            indexed = place.sequence
        }
        var last: Digest?
        while place.sequence + UInt64(count) <= end {
            var block = IndexBlock(number: Int64(clamping: place.sequence / UInt64(count)))
            var leaf: Digest?
            let after = try lines.read(from: place, to: place.sequence + UInt64(count)) { line, form, place in
                block.add(line, form, place)
                leaf = TreeHash.leaf(line)
                return true
            }
            guard block.count == count, let leaf else {
                if let last { try write(upTo: place, last) }
                guard let gap = lines.gap(at: after) else { break }
                // Blocks have no holes: what stands before one is read from the log.
                let from = (gap.upperBound + UInt64(count) - 1) / UInt64(count) * UInt64(count)
                guard let start = lines.start(of: gap.upperBound) else { break }
                do throws(StorageError) { try index.clear() } catch { throw Self.audit(error) }
                indexed = 0
                place = try lines.read(from: start, to: from) { _, _, _ in true }
                continue
            }
            group.append((block.row, block.postings))
            (place, last) = (after, leaf)
            let isFull = group.count == Self.blocksAtOnce || place.sequence + UInt64(count) > end
            guard isFull else { continue }
            try write(upTo: place, leaf)
            if !progress(indexed) { break }
        }
        return indexed
    }

    /// What was pruned from the log goes from the index too, many blocks at a time: it looks at every row.
    private func forget(before block: UInt64, _ index: RecordIndex) throws(AuditError) {
        do throws(StorageError) {
            guard let first = try index.firstBlock(), UInt64(clamping: first) + 16 <= block else { return }
            try index.forget(before: Int64(clamping: block))
        } catch {
            throw Self.audit(error)
        }
    }

    /// How far an index reaches in this very log.
    /// - Throws: ``AuditError`` `.invalidConfiguration` when it is another log's, damaged, or reaches beyond this one.
    static func mark(of index: RecordIndex, _ segments: LogSegments) throws(AuditError) -> RecordIndex.Mark? {
        let mark: RecordIndex.Mark?
        do throws(StorageError) { mark = try index.mark() } catch { throw Self.audit(error) }
        guard let mark else { return nil }
        let isIts = try RecordReader(segments).isLast(
            mark.sequence &- 1,
            segment: mark.segment,
            offset: mark.offset,
            leaf: mark.leaf
        )
        guard isIts, IndexSearch.blockRecords.contains(mark.blockRecords),
            mark.sequence.isMultiple(of: UInt64(mark.blockRecords)), mark.sequence > 0
        else { throw .invalidConfiguration(reason: "the index is not of this log: coffre audit reindex") }
        return mark
    }

    static func audit(_ error: StorageError) -> AuditError {
        switch error.code {
        case .corrupt: .invalidConfiguration(reason: "the index is damaged: coffre audit reindex")
        case .full: .noSpace(path: fileName)
        default: .indexUnavailable(reason: error.message)
        }
    }
}

@available(*, unavailable)
extension LogIndexer: Sendable {}
