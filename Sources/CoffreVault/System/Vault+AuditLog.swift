internal import CoffreAudit
internal import CoffreWire

/// `sys/audit/log`: records of the log by who, what and when.
extension Vault {
    /// Records in one answer.
    private static let mostRecords = 1000

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
        let audit = audit
        let page = try await onThread { () -> Result<AuditQuery.Page, VaultError> in
            do throws(AuditError) {
                return .success(try audit.page(query))
            } catch {
                return .failure(VaultError(.auditUnavailable, error.message))
            }
        }.get()
        let records = try page.lines.map { try JSONValue(parsing: $0) }
        return .object([
            "records": .array(records), "next": page.next.map { .integer($0) } ?? .null,
            "indexed": .integer(page.indexed),
        ])
    }
}
