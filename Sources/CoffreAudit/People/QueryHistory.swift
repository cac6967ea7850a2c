package import CoffreStorage
internal import Glibc
internal import Synchronization

/// What connections were asked, in `history.sqlite` beside the log: for whoever operates them, not evidence. Kept while
/// the connection exists and 90 days after its removal, by both clocks; a hold on the connection, or on a time of which
/// there are rows, keeps it longer.
package final class QueryHistory: Sendable {
    package static let fileName = "history.sqlite"
    /// Rows of one connection; the oldest go first.
    package static let rowsPerConnection = 100_000
    private static let age: Int64 = 90 * 86_400_000_000

    // The connection never leaves the lock.
    private struct Ledger: @unchecked Sendable {  // Used under `ledger` alone.
        let value: QueryLedger
    }

    private let path: String
    private let clock: any LogClock
    private let uptime: @Sendable () -> UInt64
    private let ledger = Mutex<Ledger?>(nil)

    /// - Parameter uptime: the log's own count of time, in microseconds.
    init(directory: String, clock: any LogClock, uptime: @escaping @Sendable () -> UInt64) {
        path = directory + "/" + Self.fileName
        self.clock = clock
        self.uptime = uptime
    }

    /// Adds rows of a connection. Blocks on the disk.
    /// - Throws: ``AuditError``: `.invalidRecord` for a connection that was removed, `.noSpace`, `.system`.
    package func append(_ rows: [QueryLedger.Row], of connection: String) throws(AuditError) {
        try use { ledger throws(StorageError) in
            guard try !ledger.removed().contains(where: { $0.connection.utf8.elementsEqual(connection.utf8) }) else {
                throw StorageError(.conflict, "the connection \(connection) was removed")
            }
            try ledger.add(rows, of: connection, limit: Self.rowsPerConnection)
        }
    }

    /// The newest rows of a connection first. Blocks on the disk.
    /// - Parameter before: the smallest id seen so far; nil to begin with.
    package func rows(
        of connection: String,
        before: Int64? = nil,
        limit: Int = 100
    ) throws(AuditError) -> [(id: Int64, row: QueryLedger.Row)] {
        try use { ledger throws(StorageError) in try ledger.rows(of: connection, before: before, limit: limit) }
    }

    /// What a connection's rows from `since` (microseconds since 1970) on add up to; nil when there has never been one.
    /// Blocks on the disk.
    package func totals(
        of connection: String,
        since: Int64
    ) throws(AuditError) -> (calls: Int64, rows: Int64, logins: Int64)? {
        guard access(path, F_OK) == 0 else { return nil }
        return try use { ledger throws(StorageError) in
            guard try ledger.count(of: connection) > 0 else { return nil }
            return try ledger.totals(of: connection, since: since)
        }
    }

    /// A connection is gone: the 90 days begin. Blocks on the disk.
    package func connectorRemoved(_ connection: String) throws(AuditError) {
        let now = clock.realMicroseconds()
        let uptime = Int64(clamping: uptime())
        try use { ledger throws(StorageError) in
            try ledger.remove(QueryLedger.Removed(connection: connection, time: now, uptime: uptime))
        }
    }

    /// Deletes what is kept of connections that were removed 90 days ago.
    /// - Parameter record: makes it durable that so many rows of a connection go; called before they do, so that a crash
    ///   between both leads to a second record and never to none.
    /// - Returns: the connections.
    func purge(
        _ holds: [HeldScope],
        record: (_ connection: String, _ rows: Int64, _ removed: String) throws(AuditError) -> Void
    ) throws(AuditError) -> [String] {
        guard access(path, F_OK) == 0 else { return [] }
        let (now, uptime) = (clock.realMicroseconds(), Int64(clamping: uptime()))
        let due = try use { ledger throws(StorageError) in
            try ledger.removed().filter { now - $0.time >= Self.age && uptime - $0.uptime >= Self.age }
        }
        var gone: [String] = []
        for removed in due {
            let name = removed.connection
            let isHeld = try use { ledger throws(StorageError) in try Self.isHeld(name, holds, ledger) }
            if isHeld { continue }
            let rows = try use { ledger throws(StorageError) in try ledger.count(of: name) }
            try record(name, rows, String(decoding: RecordTime(microseconds: removed.time).utf8, as: UTF8.self))
            try use { ledger throws(StorageError) in try ledger.forget(name) }
            gone.append(name)
        }
        return gone
    }

    private static func isHeld(
        _ name: String,
        _ holds: [HeldScope],
        _ ledger: QueryLedger
    ) throws(StorageError) -> Bool {
        for hold in holds {
            switch hold.scope {
            case .connector(let held): if held.utf8.elementsEqual(name.utf8) { return true }
            case .range(let since, let until):
                if try ledger.has(rowsOf: name, since: since, until: until) { return true }
            case .subject: break
            }
        }
        return false
    }

    private func use<R: Sendable>(_ body: (QueryLedger) throws(StorageError) -> R) throws(AuditError) -> R {
        let result: Result<R, StorageError> = ledger.withLock { ledger in
            do throws(StorageError) {
                if let open = ledger { return .success(try body(open.value)) }
                let open = try QueryLedger(path: path)
                ledger = Ledger(value: open)
                return .success(try body(open))
            } catch {
                return .failure(error)
            }
        }
        do throws(StorageError) { return try result.get() } catch {
            switch error.code {
            case .full: throw .noSpace(path: path)
            case .corrupt: throw .damaged(segment: Self.fileName, record: nil, reason: error.message)
            case .conflict: throw .invalidRecord(reason: error.message)
            default: throw .failed(reason: "the query history: \(error.message)")
            }
        }
    }
}
