internal import CoffreWire

extension PostgresJobs {
    /// Lists the server's roles that begin with `coffre_`.
    func audit(after: String?, _ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        let connection = try administrator(view)
        connection.end = ContinuousClock.now + .seconds(Int(view.job.statementTimeoutSeconds))
        try PostgresSession.begin(connection, readOnly: true)
        let limit = DatabaseRoles.maximumCount
        // A row for each membership: names may hold whatever would separate them in one text.
        let rows = try connection.rows(
            """
            WITH listed AS MATERIALIZED (
                SELECT oid, rolname, rolcanlogin, rolvaliduntil FROM pg_roles
                WHERE starts_with(rolname::text, $1::text) AND ($2::text IS NULL OR rolname > $2::text)
                ORDER BY rolname LIMIT \(limit + 1)
            ), memberships AS (
                SELECT m.member, r.rolname, row_number() OVER (PARTITION BY m.member ORDER BY r.rolname) AS number
                FROM pg_auth_members m JOIN listed s ON s.oid = m.member JOIN pg_roles r ON r.oid = m.roleid
            )
            SELECT s.rolname, s.rolcanlogin,
                CASE WHEN isfinite(s.rolvaliduntil) THEN floor(extract(epoch FROM s.rolvaliduntil))::bigint END,
                (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = s.oid),
                (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = s.oid), m.rolname
            FROM listed s LEFT JOIN memberships m ON m.member = s.oid AND m.number <= \(DatabaseRoles.maximumMemberships)
            ORDER BY s.rolname, m.number
            """,
            [GrantPlan.loginPrefix, after],
            room: PostgresConnection.Room(rows: 9 * (limit + 1), bytes: 4 << 20)
        )
        var roles: [DatabaseRoles.Role] = []
        var memberOf: [String] = []
        for (index, row) in rows.enumerated() {
            guard let name = row.text(0), let members = row.number(3, UInt64.self),
                let sessions = row.number(4, UInt64.self)
            else { throw BrokerFailure(.reply) }
            if let other = row.text(5) { memberOf.append(other) }
            let next = index + 1 < rows.count ? rows[index + 1].text(0) : nil
            guard next.map({ !$0.utf8.elementsEqual(name.utf8) }) ?? true else { continue }
            roles.append(
                DatabaseRoles.Role(
                    name: name,
                    isLogin: row.flag(1),
                    validUntil: row.number(2),
                    memberOf: memberOf,
                    members: UInt32(clamping: members),
                    sessions: UInt32(clamping: sessions)
                )
            )
            memberOf = []
        }
        return .audited(DatabaseRoles(roles, isTruncated: false))
    }
}
