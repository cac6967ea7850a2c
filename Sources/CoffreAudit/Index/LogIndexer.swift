internal import CoffreCrypto
internal import CoffreStorage
internal import Glibc

/// Brings `index.sqlite` up to the log. The log does not know of it: an index that cannot be written, or lies, costs time.
package final class LogIndexer {
    package static let fileName = "index.sqlite"
    private static let rowsAtOnce = 10_000

    private let files: any LogFileSystem
    private let path: String
    private var index: RecordIndex?

    /// - Parameter directory: absolute path of the log's folder.
    package convenience init(directory: String) {
        self.init(PosixFileSystem(root: directory, isReader: true), directory)
    }

    init(_ files: any LogFileSystem, _ directory: String) {
        self.files = files
        path = directory + "/" + Self.fileName
    }

    /// Indexes the records up to `size` that are not yet, or all of them when the index is not this log's. Blocks on the
    /// disk. What was done stays done when it is interrupted.
    /// - Parameters:
    ///   - size: records that are durable; nil for all there are.
    ///   - progress: gets the number of records indexed; returns false to stop.
    /// - Returns: records indexed.
    /// - Throws: ``AuditError``.
    @discardableResult
    package func catchUp(
        to size: UInt64? = nil,
        progress: (UInt64) -> Bool = { _ in true }
    ) throws(AuditError) -> UInt64 {
        try files.prepareRoot(create: false)
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
            if index == nil {
                index = try RecordIndex(path: path, isReader: false)
            }
        } catch {
            throw Self.audit(error)
        }
        guard let index else { return 0 }
        let mark = try Self.mark(of: index, files)
        var place = mark.map { LogLines.Place(sequence: $0.sequence, segment: $0.segment, offset: $0.offset) }
        var isOn = true
        while isOn {
            var rows: [RecordIndex.Row] = []
            var leaf: Digest?
            let after = try LogLines(files: files).read(from: place, to: end) { line, form, place in
                rows.append(Self.row(line, form, place))
                leaf = TreeHash.leaf(line)
                return rows.count < Self.rowsAtOnce
            }
            guard let leaf else { break }
            let next = RecordIndex.Mark(
                sequence: after.sequence,
                segment: after.segment,
                offset: after.offset,
                leaf: leaf.bytes
            )
            do throws(StorageError) { try index.add(rows, upTo: next) } catch { throw Self.audit(error) }
            isOn = rows.count == Self.rowsAtOnce && progress(after.sequence)
            place = after
        }
        return place?.sequence ?? 0
    }

    /// How far an index reaches in this very log.
    /// - Throws: ``AuditError`` `.invalidConfiguration` when it is another log's, damaged, or reaches beyond this one.
    static func mark(
        of index: RecordIndex,
        _ files: any LogFileSystem
    ) throws(AuditError) -> RecordIndex.Mark? {
        let mark: RecordIndex.Mark?
        do throws(StorageError) { mark = try index.mark() } catch { throw Self.audit(error) }
        guard let mark else { return nil }
        let isIts = try RecordReader(files).isLast(mark)
        guard isIts else { throw .invalidConfiguration(reason: "the index is not of this log: coffre audit reindex") }
        return mark
    }

    static func audit(_ error: StorageError) -> AuditError {
        switch error.code {
        case .corrupt: .invalidConfiguration(reason: "the index is damaged: coffre audit reindex")
        default: .failed(reason: "the index \(error.message)")
        }
    }

    private static func row(
        _ line: UnsafeRawBufferPointer,
        _ form: borrowing RecordForm,
        _ place: LogLines.Place
    ) -> RecordIndex.Row {
        func bytes(_ group: StaticString, _ name: StaticString) -> [UInt8]? {
            form.text(group, name, in: line).map { Array($0.utf8) }
        }
        var row = RecordIndex.Row(
            sequence: place.sequence,
            time: form.time.microseconds,
            operation: form.operation.rawValue,
            outcome: form.outcome.rawValue,
            segment: place.segment,
            offset: place.offset
        )
        row.subject = bytes("who", "sid")
        row.unit = bytes("who", "unit")
        row.connector = bytes("what", "conn")
        row.path = bytes("what", "path")
        return row
    }
}

@available(*, unavailable)
extension LogIndexer: Sendable {}
