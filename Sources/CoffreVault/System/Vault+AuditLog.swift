internal import CoffreAudit
internal import CoffreWire

/// `sys/audit/log`: records of the log by who, what and when. `sys/audit/status`, `sys/audit/verified`.
extension Vault {
    /// Records in one answer.
    private static let mostRecords = 1000
    /// How long one question may read; then the answer says where to go on.
    private static let longestRead = Duration.seconds(2)
    /// Questions that read at the same time.
    private static let mostReaders = 4

    /// - Throws: ``VaultError`` 400 for a condition that cannot be understood: a wider answer than was asked for would
    ///   be worse.
    func auditQuery(_ context: RequestContext) throws -> (query: AuditQuery, details: [AuditWhat.Detail]) {
        var query = AuditQuery()
        var details: [AuditWhat.Detail] = []
        func text(_ name: String) -> String? {
            guard let text = context.query(name), !text.isEmpty else { return nil }
            details.append((name, .text(text)))
            return text
        }
        func moment(_ name: String) throws -> Int64? {
            guard let text = text(name) else { return nil }
            guard let seconds = RFC3339.seconds(text) else {
                throw VaultError.badRequest("\"\(name)\" must be a time such as 2026-03-31T00:00:00Z")
            }
            return seconds * 1_000_000
        }
        func number(_ name: String, _ range: ClosedRange<UInt64>) throws -> UInt64? {
            guard let text = text(name) else { return nil }
            guard let value = UInt64(text), range.contains(value) else {
                throw VaultError.badRequest("\"\(name)\" must be a number, at most \(range.upperBound)")
            }
            return value
        }
        query.since = try moment("since") ?? 0
        query.until = try moment("until") ?? .max
        query.filter.actor = text("actor")
        query.filter.connector = text("connector")
        query.filter.path = text("path")
        if let name = text("operation") {
            guard let operation = AuditOperation(rawValue: name) else {
                throw VaultError.badRequest("there is no operation \"\(name)\"")
            }
            query.filter.operation = operation
        }
        if let name = text("outcome") {
            guard let outcome = AuditDraft.Outcome(rawValue: name) else {
                throw VaultError.badRequest("\"outcome\" must be granted, denied, error or rate_limited")
            }
            query.filter.outcome = outcome
        }
        query.from = try number("from", 0...UInt64(Int64.max)) ?? 0
        if let last = try number("after", 0...UInt64(Int64.max)) { query.from = max(query.from, last + 1) }
        query.limit = Int(try number("limit", 1...UInt64(Self.mostRecords)) ?? 100)
        return (query, details)
    }

    /// Who remembers the log outside of it.
    var witnessStatus: JSONValue {
        .array(
            audit.outside.map { entry in
                [
                    "kind": .string(entry.kind.rawValue), "name": .string(entry.name),
                    "level": .string(entry.level.rawValue),
                    "last_contact": entry.lastContact.map { .string(Timestamp(seconds: $0).rfc3339) } ?? .null,
                    "last_size": .integer(entry.lastSize), "error": entry.error.map { .string($0) } ?? .null,
                    "overdue": .bool(entry.isOverdue), "contradicts": .bool(entry.isContradicting),
                ]
            }
        )
    }

    /// Reads on a thread of its own: the vault goes on answering others.
    func auditPage(_ query: AuditQuery) async throws -> JSONValue {
        guard logReaders < Self.mostReaders else {
            throw VaultError(.rateLimited, "the log is being read by \(logReaders) others: try again in a moment")
        }
        logReaders += 1
        defer { logReaders -= 1 }
        let audit = audit
        let page = try await onThread { () -> Result<AuditQuery.Page, VaultError> in
            let end = ContinuousClock.now + Self.longestRead
            do throws(AuditError) {
                return .success(try audit.page(query) { ContinuousClock.now > end })
            } catch {
                return .failure(VaultError(.auditUnavailable, error.message))
            }
        }.get()
        if let reason = page.distrust {
            journal(true, "the index of the audit log lies and is made anew", ["reason": reason])
        }
        let records = try page.lines.map { try JSONValue(parsing: $0) }
        return .object([
            "records": .array(records), "next": page.next.map { .integer($0) } ?? .null,
            "indexed": .integer(page.indexed), "index_error": page.distrust.map { .string($0) } ?? .null,
            "gaps": .array(page.gaps.map { .array([.integer($0.lowerBound), .integer($0.upperBound - 1)]) }),
        ])
    }

    func auditStatus() -> JSONValue {
        let health = audit.health
        return .object([
            "origin": .string(audit.origin), "directory": .string(audit.directory), "size": .integer(health.size),
            "writable": .bool(health.isWritable), "key_location": .string(health.keyLocation.rawValue),
            "witness": .string(OutsideStatus.level(of: audit.outside).rawValue),
            "witnesses": witnessStatus, "retention_months": .integer(audit.retentionMonths),
            "last_record": .string(Timestamp(nanoseconds: health.lastRecordTime &* 1000).rfc3339),
            "checkpoint_size": .integer(health.checkpointSize),
            "checkpoint_age": health.checkpointTime.map { time in
                .integer(max(0, clock.now().seconds - time / 1_000_000))
            } ?? .null,
            "epoch": .integer(health.epoch), "index_size": .integer(health.indexSize),
            "index_error": health.indexFailure.map { .string($0.message) } ?? .null,
            "holds": .integer(audit.holdsInForce),
            "housekeeping_error": audit.housekeepingFailure.map { .string($0.message) } ?? .null,
            "card_error": audit.cardFailure.map { .string($0.message) } ?? .null,
            "tree_error": health.treeFailure.map { .string($0.message) } ?? .null,
            "checkpoint_error": health.checkpointFailure.map { .string($0.message) } ?? .null,
            "disk": diskStatus(health.disk),
        ])
    }

    // MARK: work on the log's own folder

    /// What the record of work on the folder says. Whoever may read the folder could keep quiet; the command does not.
    func auditVerified(_ context: RequestContext) throws -> Effect {
        var what = AuditWhat(path: "sys/audit/verified")
        let isVerification = try withBody(context) { body -> Bool in
            let kind = body?["kind"]?.string ?? ""
            guard ["checkpoint", "query", "reindex", "verify"].contains(kind) else {
                throw VaultError.badRequest("\"kind\" must be checkpoint, query, reindex or verify")
            }
            what.details.append(("kind", .text(kind)))
            if let size = body?["size"]?.integer {
                guard (0...Int64(clamping: audit.health.size)).contains(size) else {
                    throw VaultError.badRequest("this log does not hold so many records")
                }
                what.details.append(("size", .int(size)))
            }
            if let valid = body?["valid"]?.bool { what.details.append(("valid", .text(valid ? "true" : "false"))) }
            for name in Self.verifiedTexts {
                guard let text = body?[name]?.string, !text.isEmpty else { continue }
                guard text.utf8.count <= 500 else {
                    throw VaultError.badRequest("\"\(name)\" is longer than 500 bytes")
                }
                what.details.append((name, .text(text)))
            }
            guard kind == "verify" else { return false }
            guard let isValid = body?["valid"]?.bool, body?["size"]?.integer != nil,
                !isValid || body?["root"]?.string?.utf8.count == 44
            else { throw VaultError.badRequest("a verification has \"valid\", \"size\" and \"root\"") }
            return true
        }
        what.details.sort { $0.key < $1.key }
        var effect = Effect(.noContent, what: what)
        if isVerification { effect.operation = .auditVerify }
        return effect
    }

    private static let verifiedTexts = [
        "actor", "connector", "finding", "operation", "outcome", "path", "root", "since", "until",
    ]
}
