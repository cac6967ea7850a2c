internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Why an open vault serves nothing: its database is an older copy.
struct RestoreHold: Sendable {
    let reason: String
    /// Generation of the database when it was put back.
    let generation: UInt64
    /// What the snapshot said of itself; nil when the copy came by other means.
    let manifest: SnapshotManifest?
}

/// What the audit log knows and the database does not.
struct RestoreReport: Sendable {
    /// Something that was revoked since, and that the older database still holds.
    struct Revocation: Sendable {
        enum Target: Sendable, Hashable {
            case token(accessor: String)
            case lease(id: String)
        }

        let target: Target
        let record: UInt64
        let time: String
    }

    /// Whether the log is the one of which the snapshot's manifest knows the end; nil without a manifest.
    var isSameLog: Bool?
    /// Changes that are newer than the database, by operation.
    var changes: [String: Int] = [:]
    /// Tokens and leases that were revoked since, also those that the database does not know.
    var revoked = 0
    /// Those that it still holds. No more than it has rows.
    var alive: [Revocation] = []

    /// Reads the log. Blocks: call it on a thread of its own.
    /// - Throws: ``AuditError``, ``BarrierError``.
    static func make(_ hold: RestoreHold, audit: AuditLog, barrier: Barrier) throws -> RestoreReport {
        var reader = Reader(hold, barrier: barrier)
        let manifest = hold.manifest
        let isSameName = manifest.map { $0.logOrigin.utf8.elementsEqual(audit.origin.utf8) } ?? false
        let leaf = try audit.history.read(
            after: isSameName ? manifest?.logSize : nil,
            newerThan: hold.generation,
            shouldStop: { barrier.isSealed },
            visit: { reader.visit($0) }
        )
        try reader.finish()
        reader.report.isSameLog = manifest.map { $0.logLeaf == leaf.map { Hex.encode($0.bytes) } }
        return reader.report
    }

    /// Goes through the records once.
    private struct Reader {
        var report = RestoreReport()
        private let hold: RestoreHold
        private let barrier: Barrier
        private var seen: Set<Revocation.Target> = []
        /// Revocations whose outcome has not been met: a crash may have come in between.
        private var open: [UInt64: Revocation] = [:]
        private var failure: (any Error)?

        init(_ hold: RestoreHold, barrier: Barrier) {
            self.hold = hold
            self.barrier = barrier
        }

        mutating func visit(_ record: LoggedChange) {
            if record.phase == .outcome, record.outcome == .granted, let generation = record.generation,
                generation > hold.generation
            {
                report.changes[record.operation.rawValue, default: 0] += 1
            }
            guard record.operation == .tokenRevoke || record.operation == .leaseRevoke else { return }
            if record.phase == .outcome, let reference = record.reference { open[reference] = nil }
            guard record.generation ?? .max > hold.generation, let target = Self.target(of: record) else { return }
            let revocation = Revocation(target: target, record: record.sequence, time: record.time)
            if record.phase == .intent {
                open[record.sequence] = revocation
            } else if record.outcome == .granted || Self.mayHaveHappened(record) {
                add(revocation)
            }
        }

        /// - Throws: what a look into the database threw.
        mutating func finish() throws {
            for revocation in open.values.sorted(by: { $0.record < $1.record }) { add(revocation) }
            if let failure { throw failure }
        }

        private mutating func add(_ revocation: Revocation) {
            guard seen.insert(revocation.target).inserted else { return }
            report.revoked += 1
            do {
                let key: BarrierKey =
                    switch revocation.target {
                    case .token(let accessor): .tokenAccessor(accessor)
                    case .lease(let id): .lease(id)
                    }
                if try barrier.get(key) != nil { report.alive.append(revocation) }
            } catch {
                failure = failure ?? error
            }
        }

        private static func target(of record: LoggedChange) -> Revocation.Target? {
            if record.operation == .leaseRevoke { return record.lease.map { .lease(id: $0) } }
            if let accessor = record.accessor { return .token(accessor: accessor) }
            // Who revokes its own token is named as the caller alone.
            guard record.path == "auth/token/revoke-self" else { return nil }
            return record.callerAccessor.map { .token(accessor: $0) }
        }

        /// Failures after the wish to revoke had become durable.
        private static func mayHaveHappened(_ record: LoggedChange) -> Bool {
            guard record.outcome == .error, let code = record.error.flatMap({ ErrorCode(rawValue: $0) }) else {
                return false
            }
            switch code {
            case .brokerUnavailable, .upstream, .storageUnavailable, .storageCorrupt, .internalError, .sealed:
                return true
            default: return false
            }
        }
    }
}
