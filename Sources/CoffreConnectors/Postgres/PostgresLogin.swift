internal import CoffreWire
internal import Glibc

/// What can be done to one login of a server, through an administrator's connection.
///
/// Every identifier is quoted by the server's own `format('%I')`, every name of a function and catalogue is qualified,
/// and the search path is pinned: nothing that a user of the database made can take their place.
struct PostgresLogin {
    private let name: String
    private let connection: PostgresConnection

    init(_ name: String, _ connection: PostgresConnection) {
        self.name = name
        self.connection = connection
    }

    func exists() throws(BrokerFailure) -> Bool {
        try !connection.run("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) $1::text", [name])
            .firstColumn.isEmpty
    }

    /// From here on nobody logs in with it.
    func disable() throws(BrokerFailure) { try runFormatted("ALTER ROLE %I NOLOGIN") }

    /// Ends its sessions and waits until they are gone.
    /// - Returns: how many there were, and whether the administrator became a member of the login to be allowed to.
    /// - Throws: ``BrokerFailure`` `.rights`, or `.timeout` when sessions remain after 10 s.
    func endSessions() throws(BrokerFailure) -> (count: Int, borrowedMembership: Bool) {
        let borrowed = try borrowMembership()
        var ended: Set<String> = []
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            // CASE alone fixes an order: among conditions of WHERE the server may end a session before it looks whose
            // it is (PostgreSQL manual, "Expression Evaluation Rules").
            let sessions = try connection.run(
                """
                SELECT CASE WHEN usename OPERATOR(pg_catalog.=) $1::text
                THEN CASE WHEN pg_catalog.pg_terminate_backend(pid) THEN pid::pg_catalog.text END END FROM (SELECT pid, usename FROM pg_catalog.pg_stat_activity
                WHERE usename OPERATOR(pg_catalog.=) $1::text OFFSET 0) AS sessions LIMIT 64
                """,
                [name]
            ).firstColumn.compactMap { $0 }
            guard !sessions.isEmpty else { return (ended.count, borrowed) }
            ended.formUnion(sessions)
            guard ContinuousClock.now < deadline else { throw BrokerFailure(.timeout) }
            try connection.run("SELECT pg_catalog.pg_sleep(0.05)")
        }
    }

    /// Removes the login: disabled, its sessions ended, its rights in this database withdrawn, dropped.
    ///
    /// What it owns is neither deleted (data would be lost) nor handed over (a function of its making would run with the
    /// administrator's rights): then the login stays, disabled, and the failure carries `2BP01`.
    /// - Returns: the number of sessions ended.
    @discardableResult
    func remove() throws(BrokerFailure) -> Int {
        try connection.run("SET search_path = pg_catalog, pg_temp")
        try disable()
        let (sessions, borrowed) = try endSessions()
        do throws(BrokerFailure) {
            try connection.run("BEGIN")
            guard try !ownsSomething() else { throw BrokerFailure(.statement, sqlState: "2BP01") }
            try runFormatted("DROP OWNED BY %I RESTRICT")
            try runFormatted("DROP ROLE IF EXISTS %I")
            guard try connection.run("COMMIT").tag == "COMMIT" else { throw BrokerFailure(.statement) }
        } catch {
            _ = try? connection.run("ROLLBACK")
            if borrowed { try? returnMembership() }
            throw error
        }
        return sessions
    }

    /// Which owned objects (`d`, of pg_shdepend) keep a role: all but those that DROP OWNED may take with it. Default rights
    /// are no data; nor are large objects of this database that a login made which was issued for reading alone.
    static let keeps = """
        d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND d.deptype OPERATOR(pg_catalog.=) 'o'::"char"
        AND NOT (d.dbid OPERATOR(pg_catalog.=) (SELECT b.oid FROM pg_catalog.pg_database b
                WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
            AND (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_default_acl'::pg_catalog.regclass
                OR d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_largeobject'::pg_catalog.regclass
                AND EXISTS (SELECT 1 FROM pg_catalog.pg_db_role_setting s
                    WHERE s.setrole OPERATOR(pg_catalog.=) d.refobjid
                    AND 'default_transaction_read_only=on' OPERATOR(pg_catalog.=) ANY (s.setconfig))))
        """

    /// Whether it owns an object of any database (pg_shdepend, deptype `o`) that is not to be lost.
    private func ownsSomething() throws(BrokerFailure) -> Bool {
        try !connection.run(
            """
            SELECT 1 FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) d.refobjid
            WHERE \(Self.keeps) AND r.rolname OPERATOR(pg_catalog.=) $1::text LIMIT 1
            """,
            [name]
        ).firstColumn.isEmpty
    }

    /// Sets the end of its life, in seconds since 1970.
    func prolong(to end: Int64) throws(BrokerFailure) {
        try connection.run("SET search_path = pg_catalog, pg_temp")
        try runFormatted("ALTER ROLE %I VALID UNTIL %L", "pg_catalog.to_timestamp(\(end)::double precision)")
    }

    /// Ending a session and withdrawing rights take membership; who may create roles may give it to oneself.
    /// - Returns: whether it had to be given.
    private func borrowMembership() throws(BrokerFailure) -> Bool {
        let isMember = try connection.run(
            "SELECT pg_catalog.pg_has_role(current_user, $1::pg_catalog.name, 'USAGE')::pg_catalog.text",
            [name]
        ).firstColumn
        guard isMember != ["true"] else { return false }
        do throws(BrokerFailure) {
            try runFormatted("GRANT %I TO CURRENT_USER")
            return true
        } catch {
            // pg_signal_backend may be enough; what is really missing shows where it is needed.
            guard error.code == .rights else { throw error }
            return false
        }
    }

    /// Takes back what ``endSessions()`` gave, where the login remains.
    func returnMembership() throws(BrokerFailure) {
        guard try exists() else { return }
        try runFormatted("REVOKE %I FROM CURRENT_USER")
    }

    /// Lets the server fill the login's name (and `argument`, an SQL expression of ours) into `template`, then runs it.
    private func runFormatted(_ template: String, _ argument: String? = nil) throws(BrokerFailure) {
        let more = argument.map { ", \($0)" } ?? ""
        let text = try connection.run("SELECT pg_catalog.format('\(template)', $1::text\(more))", [name]).firstColumn
        guard let statement = text.first ?? nil else { throw BrokerFailure(.unavailable) }
        try connection.run(statement)
    }
}
