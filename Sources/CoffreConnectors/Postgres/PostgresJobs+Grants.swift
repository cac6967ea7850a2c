internal import CoffreWire
internal import Glibc

extension PostgresJobs {
    /// Does a job that has a task.
    func perform(task view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        switch view.job.task {
        case .provision(let provision): return try self.provision(provision, view)
        case .retire(let group): return try retire(group, view)
        case .inspect(let question): return try inspect(question, view)
        case .audit(let after): return try audit(after: after, view)
        case .withdraw(let logins): return try withdraw(logins, view)
        case .check(let check): return try self.check(check, view)
        case nil: throw BrokerFailure(.malformed)
        }
    }

    // MARK: Provision

    /// How often a transaction that another one got in the way of is begun again.
    private static let attempts = 32

    private func provision(_ provision: GrantProvision, _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let login = view.job.login, let password = view.loginPassword, let end = view.job.validUntil else {
            throw BrokerFailure(.malformed)
        }
        var mayExist = false
        do throws(BrokerFailure) {
            let connection = try firstConnection(view)
            return try begun { () throws(BrokerFailure) in
                // A server that is slow on purpose is slow once, not at every statement.
                connection.end = ContinuousClock.now + .seconds(2 * Int(view.job.statementTimeoutSeconds))
                let granted = GrantedLogin(
                    login,
                    provision.plan,
                    provision.connectionLimit,
                    validUntil: end,
                    verifier: provision.verifier,
                    connection
                )
                if let differences = try attempt(granted, connection, mayExist: &mayExist) {
                    return .differs(differences)
                }
                // Its own word for it, through the way that it will take.
                let answer = try prove(
                    login,
                    password,
                    view,
                    "SELECT pg_catalog.pg_has_role(session_user, $1::text::pg_catalog.name, 'USAGE')::pg_catalog.text",
                    [provision.plan.group]
                )
                guard answer == ["true"] else { throw BrokerFailure(.statement) }
                return done(connection)
            }
        } catch {
            if mayExist { _ = try? dropAfterFailure(login, view) }
            throw error
        }
    }

    /// - Parameter mayExist: set before a COMMIT whose answer may get lost.
    /// - Returns: what is not as the plan says; nothing has been changed then.
    private func attempt(
        _ granted: GrantedLogin,
        _ connection: PostgresConnection,
        mayExist: inout Bool
    ) throws(BrokerFailure) -> GrantDifferences? {
        for number in 1... {
            do throws(BrokerFailure) {
                try PostgresSession.begin(connection)
                let differences = try make(granted, connection)
                guard differences == nil else {
                    try connection.run("ROLLBACK")
                    return differences
                }
                mayExist = true
                try PostgresSession.commit(connection)
                return nil
            } catch {
                // Whoever was there first has what we wanted too, or the server wants one of two to begin again.
                guard !mayExist, number < Self.attempts, Self.isCrossed(error) else { throw error }
                try connection.run("ROLLBACK")
                usleep(UInt32.random(in: 2_000...10_000) * UInt32(min(number, 8)))
            }
        }
        return nil
    }

    /// Serialisation failure, deadlock, a row or name that another transaction made first ("tuple concurrently updated"
    /// has no code of its own).
    private static func isCrossed(_ failure: BrokerFailure) -> Bool {
        ["40001", "40P01", "XX000", "23505"].contains(failure.sqlState)
    }

    private func make(
        _ granted: GrantedLogin,
        _ connection: PostgresConnection
    ) throws(BrokerFailure) -> GrantDifferences? {
        let facts = try granted.facts()
        // What was there before is not ours: it is neither changed nor, later, dropped.
        guard !facts.loginExists else { throw BrokerFailure(.statement, sqlState: "42710") }
        if let createGroup = facts.createGroup {
            do throws(BrokerFailure) {
                try connection.run(createGroup)
            } catch {
                // Made by another since we looked.
                throw error.sqlState == "42710" ? BrokerFailure(.unavailable, sqlState: "40001") : error
            }
        }
        let obstacles = try granted.converge(facts)
        guard obstacles.isEmpty else { return GrantDifferences(ordered: obstacles, total: obstacles.count) }
        try connection.run(facts.createLogin)
        if let limitLogin = facts.limitLogin { try connection.run(limitLogin) }
        return try granted.differences(facts.version)
    }

    // MARK: Check

    /// Holds a login that is there against its plan.
    /// - Returns: `.differs` with what is not as the plan says, after the repair where one was asked for.
    private func check(_ check: GrantCheck, _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let login = view.job.login, let end = view.job.validUntil else { throw BrokerFailure(.malformed) }
        let connection = try administrator(view)
        connection.end = ContinuousClock.now + .seconds(2 * Int(view.job.statementTimeoutSeconds))
        let granted = GrantedLogin(login, check.plan, check.connectionLimit, validUntil: end, verifier: nil, connection)
        try PostgresSession.begin(connection)
        let facts = try granted.facts()
        guard facts.loginExists else { throw BrokerFailure(.statement, sqlState: "42704") }
        guard facts.createGroup == nil else {
            // The login can do nothing any more; a new one brings a new role.
            let difference = GrantDifference(.missingRight, object: "the role \(check.plan.group)")
            return .differs(GrantDifferences(ordered: [difference], total: 1))
        }
        let left = check.isRepairing ? try granted.converge(facts) : try granted.obstacles()
        let differences = try granted.differences(facts.version, everything: true)
        try connection.run(check.isRepairing && left.isEmpty ? "COMMIT" : "ROLLBACK")
        guard !left.isEmpty || differences != nil else { return done(connection) }
        return .differs(
            GrantDifferences(
                ordered: left + (differences?.list ?? []),
                total: left.count + Int(differences?.total ?? 0)
            )
        )
    }

    // MARK: Retire

    /// Drops a group role that has no members and owns nothing.
    private func retire(_ group: String, _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        let connection = try administrator(view)
        connection.end = ContinuousClock.now + .seconds(2 * Int(view.job.statementTimeoutSeconds))
        try PostgresSession.begin(connection)
        let rows = try connection.rows(
            """
            SELECT format('COMMENT ON ROLE %I IS %L', $1::text, 'Coffre drops it'), format('GRANT %I TO CURRENT_USER', $1::text),
            format('DROP OWNED BY %I RESTRICT', $1::text), format('DROP ROLE %I', $1::text),
            pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = $1::text
            """,
            [group],
            room: PostgresConnection.Room(rows: 2, bytes: 4096)
        )
        guard let row = rows.first else { return done(connection) }
        guard let lock = row.text(0), let join = row.text(1), let disown = row.text(2), let drop = row.text(3) else {
            throw BrokerFailure(.reply)
        }
        do throws(BrokerFailure) {
            try connection.run(lock)
        } catch {
            // Dropped by another while we waited for it.
            guard error.sqlState == "42704" else { throw error }
            return done(connection)
        }
        // The administrator itself is a member of what it makes, from PostgreSQL 16 on. Default rights go with DROP OWNED, and
        // before 16 whoever has a login could make some for the role.
        let holders = try connection.run(
            """
            SELECT 1 FROM pg_roles r JOIN pg_auth_members m ON m.roleid = r.oid JOIN pg_roles o ON o.oid = m.member
            WHERE r.rolname = $1::text AND o.rolname <> current_user
            UNION ALL
            SELECT 1 FROM pg_roles r JOIN pg_shdepend d ON d.refobjid = r.oid
            WHERE r.rolname = $1::text AND d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
                AND d.classid <> 'pg_default_acl'::regclass LIMIT 1
            """,
            [group]
        ).firstColumn
        guard holders.isEmpty else { throw BrokerFailure(.statement, sqlState: "2BP01") }
        if !row.flag(4) { try connection.run(join) }
        try connection.run(disown)
        try connection.run(drop)
        try PostgresSession.commit(connection)
        return done(connection)
    }
}
