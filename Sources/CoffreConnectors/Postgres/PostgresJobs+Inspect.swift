internal import CoffreWire

extension PostgresJobs {
    /// Looks at a server: nothing is changed, and nothing runs that a user of the database wrote.
    func inspect(_ question: DatabaseQuestion, _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        let begin = ContinuousClock.now
        let connection = try administrator(view)
        let connected = ContinuousClock.now
        connection.end = connected + .seconds(Int(view.job.statementTimeoutSeconds))
        try connection.run("SELECT 1")
        var found = DatabaseInspection()
        found.connectMicroseconds = Self.microseconds(connected - begin)
        found.roundTripMicroseconds = Self.microseconds(ContinuousClock.now - connected)
        found.serverVersion = connection.serverVersion
        found.tlsVersion = connection.tlsVersion
        try PostgresSession.begin(connection, readOnly: true)
        try ask(connection, &found)
        try listSchemas(connection, &found)
        if let schema = question.schema { found.page = try page(schema, after: question.after, connection) }
        try connection.run("COMMIT")
        let counter = RowCounter(connection, until: connected + .seconds(Int(view.job.statementTimeoutSeconds)) / 2)
        for table in question.counts { found.counts.append(try counter.count(table)) }
        return .inspected(found)
    }

    private static func microseconds(_ duration: Duration) -> UInt32 {
        UInt32(clamping: Int64((duration / .microseconds(1)).rounded()))
    }

    private func ask(_ connection: PostgresConnection, _ found: inout DatabaseInspection) throws(BrokerFailure) {
        let rows = try connection.rows(
            """
            SELECT (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), r.rolsuper, r.rolcreaterole,
            CASE WHEN isfinite(r.rolvaliduntil) THEN floor(extract(epoch FROM r.rolvaliduntil))::bigint END
            FROM pg_roles r WHERE r.rolname = session_user
            """,
            room: PostgresConnection.Room(rows: 2, bytes: 4096)
        )
        guard let row = rows.first else { return }
        found.serverTLSVersion = row.text(0)
        found.isSuperuser = row.flag(1)
        found.mayCreateRoles = row.flag(1) || row.flag(2)
        found.validUntil = row.number(3)
    }

    private func listSchemas(_ connection: PostgresConnection, _ found: inout DatabaseInspection) throws(BrokerFailure)
    {
        let limit = DatabaseInspection.Limit.schemas
        let rows = try connection.rows(
            """
            SELECT n.nspname, count(c.oid), sum(count(c.oid)) OVER () FROM pg_namespace n
            LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
            WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' GROUP BY n.nspname ORDER BY n.nspname
            LIMIT \(limit + 1)
            """,
            room: PostgresConnection.Room(rows: limit + 1, bytes: 1 << 20)
        )
        found.schemasAreTruncated = rows.count > limit
        for row in rows.prefix(limit) {
            guard let name = row.text(0), let tables = row.number(1, UInt64.self) else { throw BrokerFailure(.reply) }
            found.schemas.append(DatabaseInspection.Schema(name: name, tables: UInt32(clamping: tables)))
        }
        found.tables = UInt32(clamping: rows.first?.number(2, UInt64.self) ?? 0)
    }

    /// Whole tables only, as many as their names and columns leave room for.
    private func page(
        _ schema: String,
        after: String?,
        _ connection: PostgresConnection
    ) throws(BrokerFailure) -> DatabaseInspection.Page {
        let limit = DatabaseInspection.Limit.names
        let rows = try connection.rows(
            """
            WITH listed AS MATERIALIZED (
                SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $1::text AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                    AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND ($2::text IS NULL OR c.relname > $2::text)
                ORDER BY c.relname LIMIT \(limit)
            )
            SELECT s.relname, s.relkind, a.attname FROM listed s
            LEFT JOIN pg_attribute a ON a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY s.relname, a.attnum LIMIT \(limit + 1)
            """,
            [schema, after],
            room: PostgresConnection.Room(rows: limit + 1, bytes: 4 << 20)
        )
        var page = DatabaseInspection.Page(tables: [], isTruncated: false)
        var columns: [String] = []
        var names = 0
        for (index, row) in rows.enumerated() {
            guard let name = row.text(0), let kind = Self.kind(row.text(1)) else { throw BrokerFailure(.reply) }
            if let column = row.text(2) { columns.append(column) }
            let isLast = index + 1 == rows.count
            guard isLast || rows[index + 1].text(0).map({ !$0.utf8.elementsEqual(name.utf8) }) ?? true else { continue }
            names += 1 + columns.count
            // The last table of a list that was cut may not be whole.
            page.isTruncated = names > limit || isLast && rows.count > limit
            if page.isTruncated { break }
            page.tables.append(DatabaseInspection.Table(name: name, kind: kind, columns: columns))
            columns = []
        }
        return page
    }

    private static func kind(_ letter: String?) -> DatabaseInspection.TableKind? {
        switch letter {
        case "r": .table
        case "p": .partitioned
        case "v": .view
        case "m": .materializedView
        case "f": .foreign
        default: nil
        }
    }
}

/// Counts rows of tables, within a time for all of them.
private struct RowCounter {
    private let connection: PostgresConnection
    private let end: ContinuousClock.Instant

    /// Longest count of one table, in milliseconds.
    private static let patience = 2_000
    /// Estimated rows above which no count is tried.
    private static let many = 2_000_000.0

    init(_ connection: PostgresConnection, until end: ContinuousClock.Instant) {
        self.connection = connection
        self.end = end
    }

    func count(_ table: DatabaseQuestion.Table) throws(BrokerFailure) -> DatabaseInspection.RowCount {
        try PostgresSession.begin(connection, readOnly: true)
        defer { _ = try? connection.run("ROLLBACK") }
        let rows = try connection.rows(
            """
            SELECT c.relkind, c.reltuples::float8, format('SELECT count(*) FROM ONLY %I.%I', n.nspname, c.relname),
                has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
            """,
            [table.schema, table.name],
            room: PostgresConnection.Room(rows: 2, bytes: 4096)
        )
        guard let row = rows.first else { return .missing }
        guard row.flag(3) else { return .denied }
        let estimate = row.text(1).flatMap { Double($0) } ?? -1
        let kind = row.text(0)
        // A view would run what its author wrote, with the administrator's rights; a foreign table asks another server.
        guard kind == "r" || kind == "m" || kind == "p", let text = row.text(2) else {
            return kind == "v" ? .unknown : Self.estimated(estimate)
        }
        let left = Int((end - ContinuousClock.now) / .milliseconds(1))
        guard left > 0, estimate <= Self.many else { return Self.estimated(estimate) }
        try connection.run("SET LOCAL statement_timeout = '\(min(left, Self.patience))ms'")
        do throws(BrokerFailure) {
            let statement = kind == "p" ? text.replacing("FROM ONLY", with: "FROM", maxReplacements: 1) : text
            let counted = try connection.rows(statement, room: PostgresConnection.Room(rows: 1, bytes: 64))
            guard let rows = counted.first?.number(0, UInt64.self) else { throw BrokerFailure(.reply) }
            return .exact(rows)
        } catch {
            switch error.sqlState {
            case "57014", "55P03": return Self.estimated(estimate)
            case "42501": return .denied
            case .some(let state) where !state.hasPrefix("57P"): return .unknown
            default: throw error
            }
        }
    }

    private static func estimated(_ rows: Double) -> DatabaseInspection.RowCount {
        rows >= 0 && rows < 1e18 ? .estimate(UInt64(rows)) : .unknown
    }
}
