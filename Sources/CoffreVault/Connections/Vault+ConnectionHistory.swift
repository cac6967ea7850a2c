internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// What a connection was used for. Queries and rows come from its server's own statistics, taken when a login ends; where
/// there are none they are not measured, and no figure is invented.
extension Vault {
    private static let daysOfStatistics: Int64 = 30

    /// `connectors/connections/<name>/stats`: totals of 30 days, and the newest rows, for who manages the connection.
    func connectionStatistics(_ name: String, _ context: RequestContext) async throws -> Effect {
        func number(_ parameter: String, _ range: ClosedRange<Int64>) throws(VaultError) -> Int64? {
            guard let text = context.query(parameter) else { return nil }
            guard let value = Int64(text), range.contains(value) else {
                throw VaultError.badRequest("\(parameter) is a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        let before = try number("before", 1...Int64.max)
        let limit = Int(try number("limit", 1...1000) ?? 100)
        let (connection, _) = try managedConnection(name, context)
        let leases = try barrier.names(
            in: .lease,
            parent: BarrierKey.leaseConnectionParent(connection.leaseConnection)
        ).count
        let since = (context.now.seconds - Self.daysOfStatistics * 86_400) * 1_000_000
        let (queries, id) = (audit.queries, connection.id)
        let (totals, rows) = try await onThread { () -> Result<(ConnectionTotals?, [JSONValue]), AuditError> in
            do throws(AuditError) {
                guard let totals = try queries.totals(of: id, since: since) else { return .success((nil, [])) }
                let rows = try queries.rows(of: id, before: before, limit: limit)
                return .success((totals, rows.map { Self.describe($0.row, $0.id) }))
            } catch {
                return .failure(error)
            }
        }.get()
        func measured(_ value: Int64?) -> JSONValue { value.map { .integer($0) } ?? .null }
        return Effect(
            .data([
                "calls": measured(totals?.calls), "days": .integer(Self.daysOfStatistics), "id": .string(id),
                "is_measured": .bool(totals != nil), "leases": .integer(leases), "logins": measured(totals?.logins),
                "next": rows.count == limit ? rows.last?["number"] ?? .null : .null,
                "returned_rows": measured(totals?.rows), "statements": .array(rows),
            ])
        )
    }

    private typealias ConnectionTotals = (calls: Int64, rows: Int64, logins: Int64)

    private static func describe(_ row: QueryLedger.Row, _ number: Int64) -> JSONValue {
        [
            "calls": .integer(row.calls), "login": .string(row.login), "microseconds": .integer(row.microseconds),
            "number": .integer(number), "rows": .integer(row.rows),
            "statement": row.statement.isEmpty ? .null : .string(row.statement),
            "time": .string(Timestamp(seconds: row.time / 1_000_000).rfc3339),
        ]
    }

    /// What the logins did, for the connection's history. It is no evidence: that it cannot be written stops nothing.
    func remember(_ found: DatabaseWithdrawals, of connection: String) async {
        guard let state = unsealed, found.isMeasured else { return }
        let time = clock.now().seconds * 1_000_000
        // Who is still there is counted when it goes: its figures would be counted again at each attempt.
        let rows = found.logins.filter { $0.failure == nil }.flatMap { login in
            login.statements.map { statement in
                QueryLedger.Row(
                    time: time,
                    login: login.name,
                    statement: statement.id.map { Self.statementDigest($0, connection, state) } ?? "",
                    calls: Int64(clamping: statement.calls),
                    rows: Int64(clamping: statement.rows),
                    microseconds: Int64(clamping: statement.microseconds),
                    error: nil
                )
            }
        }
        guard !rows.isEmpty else { return }
        let reason = await historyFailure { queries throws(AuditError) in try queries.append(rows, of: connection) }
        guard let reason else { return }
        journal(true, "a connection's history could not be written", ["connection": connection, "reason": reason])
    }

    /// From now on 90 days pass until the history of a connection is deleted, which is recorded then.
    /// - Throws: ``VaultError`` when that cannot be written down.
    func beginForgetting(_ connection: String) async throws {
        let reason = await historyFailure { queries throws(AuditError) in try queries.connectorRemoved(connection) }
        if let reason { throw VaultError(.internalError, "the connection's history: \(reason)") }
    }

    private func historyFailure(
        _ body: @escaping @Sendable (QueryHistory) throws(AuditError) -> Void
    ) async -> String? {
        let queries = audit.queries
        return await onThread {
            do throws(AuditError) {
                try body(queries)
                return nil
            } catch {
                return error.message
            }
        }
    }

    /// Tells equal statements of one connection from others, and says nothing else of them.
    private static func statementDigest(_ id: Int64, _ connection: String, _ state: UnsealedState) -> String {
        let text = "statement\n" + connection + "\n" + String(id)
        return Hex.encode(Array(state.tokenKey.authenticate(Array(text.utf8)).bytes.prefix(8)))
    }
}
