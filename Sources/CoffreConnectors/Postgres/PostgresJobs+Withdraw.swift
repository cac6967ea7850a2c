internal import CoffreWire

extension PostgresJobs {
    /// Removes logins of Coffre's making together: one connection, a few statements for all of them. Where that does not
    /// work they are removed one by one, so that a login in the way of nobody goes.
    func withdraw(_ names: [String], _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        let connection = try administrator(view)
        connection.end = ContinuousClock.now + .seconds(2 * Int(view.job.statementTimeoutSeconds))
        try connection.run("SET search_path = pg_catalog, pg_temp; SET client_min_messages = error")
        var crowd = try PostgresCrowd(names, connection)
        guard !crowd.isEmpty else { return .withdrawn(crowd.answer(names)) }
        do throws(BrokerFailure) {
            try crowd.disable()
            try crowd.endSessions()
            crowd.measure()
            try crowd.drop()
        } catch {
            guard connection.isUsable, error.code != .timeout else { throw error }
            _ = try? connection.run("ROLLBACK")
            crowd.removeOneByOne()
        }
        return .withdrawn(crowd.answer(names))
    }
}

/// Logins of one server that are removed together, through an administrator's connection whose search path is pinned.
private struct PostgresCrowd {
    private struct Member {
        let oid: String
        let name: String
        /// As the server quotes it.
        let quoted: String
        let isOurs: Bool
        var borrowed = false
        var sessions = 0
        var failure: BrokerFailure?
        var statements: [DatabaseWithdrawals.Statement] = []
    }

    /// Sessions of a login that is disabled end within moments; who does not is left for the next attempt.
    private static let patience = Duration.seconds(10)
    /// Statements that are told of one login, those that took the longest.
    private static let statementsOfOne = 50

    private let connection: PostgresConnection
    private var members: [Member] = []
    private var isMeasured = false

    init(_ names: [String], _ connection: PostgresConnection) throws(BrokerFailure) {
        self.connection = connection
        let rows = try connection.rows(
            """
            SELECT oid, rolname, format('%I', rolname), pg_has_role(current_user, oid, 'USAGE') FROM pg_roles
            WHERE rolname::text = ANY (string_to_array($1::text, ' ')) ORDER BY rolname
            """,
            [names.joined(separator: " ")],
            room: PostgresConnection.Room(rows: names.count, bytes: 64 * 1024)
        )
        for row in rows {
            guard let oid = row.text(0), let name = row.text(1), let quoted = row.text(2), UInt32(oid) != nil else {
                throw BrokerFailure(.reply)
            }
            members.append(Member(oid: oid, name: name, quoted: quoted, isOurs: row.flag(3)))
        }
    }

    var isEmpty: Bool { members.isEmpty }

    private var oids: String { members.map(\.oid).joined(separator: " ") }

    /// From here on nobody logs in with them. Ending sessions and withdrawing rights take membership, which who may create
    /// roles may give to oneself.
    mutating func disable() throws(BrokerFailure) {
        try connection.run(members.map { "ALTER ROLE \($0.quoted) NOLOGIN" }.joined(separator: ";"))
        for index in members.indices where !members[index].isOurs {
            do throws(BrokerFailure) {
                try connection.run("GRANT \(members[index].quoted) TO CURRENT_USER")
                members[index].borrowed = true
            } catch {
                // pg_signal_backend may be enough; what is really missing shows where it is needed.
                guard error.code == .rights else { throw error }
            }
        }
    }

    mutating func endSessions() throws(BrokerFailure) {
        var ended: Set<String> = []
        let deadline = ContinuousClock.now + Self.patience
        while true {
            // CASE alone fixes an order, as in PostgresLogin.
            let rows = try connection.rows(
                """
                SELECT usesysid, pid, CASE WHEN pg_terminate_backend(pid) THEN 't' END FROM (
                    SELECT usesysid, pid FROM pg_stat_activity
                    WHERE usesysid = ANY (string_to_array($1::text, ' ')::oid[]) LIMIT 1000 OFFSET 0) AS sessions
                """,
                [oids],
                room: PostgresConnection.Room(rows: 1000, bytes: 64 * 1024)
            )
            guard !rows.isEmpty else { return }
            for row in rows {
                guard let pid = row.text(1), ended.insert(pid).inserted,
                    let index = members.firstIndex(where: { $0.oid == row.text(0) })
                else { continue }
                members[index].sessions += 1
            }
            guard ContinuousClock.now < deadline else { throw BrokerFailure(.statement, sqlState: "55006") }
            try connection.run("SELECT pg_sleep(0.05)")
        }
    }

    /// What they ran, from pg_stat_statements where it is installed. The removal does not depend on it.
    mutating func measure() {
        guard let rows = try? statistics() else { return }
        isMeasured = true
        for row in rows {
            guard let index = members.firstIndex(where: { $0.oid == row.text(0) }),
                let calls = row.number(2, UInt64.self), let count = row.number(3, UInt64.self),
                let time = row.number(4, UInt64.self)
            else { continue }
            members[index].statements.append(
                DatabaseWithdrawals.Statement(id: row.number(1), calls: calls, rows: count, microseconds: time)
            )
        }
    }

    /// - Returns: nil where there are no such statistics.
    private func statistics() throws(BrokerFailure) -> [[String?]]? {
        // The function that belongs to the extension, in whatever schema; another of its name is somebody else's.
        let found = try connection.rows(
            """
            SELECT format('%I.%I', n.nspname, p.proname),
                CASE WHEN current_setting('server_version_num')::int >= 130000 THEN 'total_exec_time' ELSE 'total_time' END
            FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
            JOIN pg_proc p ON p.oid = d.objid JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE e.extname = 'pg_stat_statements' AND p.proname = 'pg_stat_statements' LIMIT 1
            """,
            room: PostgresConnection.Room(rows: 1, bytes: 1024)
        )
        guard let function = found.first?.text(0), let time = found.first?.text(1) else { return nil }
        return try connection.rows(
            """
            SELECT userid, queryid, calls, rows, micros FROM (
                SELECT userid, queryid, calls, rows, least(round(\(time) * 1000), 9e18)::bigint AS micros,
                    row_number() OVER (PARTITION BY userid ORDER BY \(time) DESC) AS place
                FROM \(function)(false) WHERE userid = ANY (string_to_array($1::text, ' ')::oid[])
            ) AS counted WHERE place <= \(Self.statementsOfOne)
            ORDER BY place, userid LIMIT \(DatabaseWithdrawals.maximumStatements)
            """,
            [oids],
            room: PostgresConnection.Room(rows: DatabaseWithdrawals.maximumStatements, bytes: 1 << 20)
        )
    }

    /// Drops those that own nothing, all in one transaction.
    mutating func drop() throws(BrokerFailure) {
        let owners = try connection.rows(
            """
            SELECT DISTINCT d.refobjid FROM pg_shdepend d WHERE \(PostgresLogin.keeps)
            AND d.refobjid = ANY (string_to_array($1::text, ' ')::oid[])
            """,
            [oids],
            room: PostgresConnection.Room(rows: members.count, bytes: 64 * 1024)
        )
        let owning = Set(owners.compactMap { $0.text(0) })
        let names = members.filter { !owning.contains($0.oid) }.map(\.quoted).joined(separator: ", ")
        if !names.isEmpty {
            try connection.run("BEGIN; DROP OWNED BY \(names) RESTRICT; DROP ROLE IF EXISTS \(names)")
            guard try connection.run("COMMIT").tag == "COMMIT" else { throw BrokerFailure(.statement) }
        }
        for index in members.indices where owning.contains(members[index].oid) {
            // What it owns is neither deleted nor handed over: it stays, disabled.
            members[index].failure = BrokerFailure(.statement, sqlState: "2BP01")
            if members[index].borrowed { _ = try? connection.run("REVOKE \(members[index].quoted) FROM CURRENT_USER") }
        }
    }

    mutating func removeOneByOne() {
        for index in members.indices {
            do throws(BrokerFailure) {
                let login = PostgresLogin(members[index].name, connection)
                if try login.exists() { members[index].sessions += try login.remove() }
            } catch {
                members[index].failure = error
                guard members[index].borrowed else { continue }
                _ = try? connection.run("REVOKE \(members[index].quoted) FROM CURRENT_USER")
            }
        }
    }

    func answer(_ names: [String]) -> DatabaseWithdrawals {
        DatabaseWithdrawals(
            isMeasured: isMeasured,
            logins: names.map { name in
                guard let member = members.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
                    return DatabaseWithdrawals.Login(name: name)
                }
                return DatabaseWithdrawals.Login(
                    name: name,
                    sessionsEnded: member.sessions,
                    failure: member.failure,
                    statements: member.statements
                )
            }
        )
    }
}
