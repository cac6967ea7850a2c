internal import CoffreWire

/// One login and the group role whose member it becomes, through an administrator's connection that has a transaction.
struct GrantedLogin {
    let name: String
    private let plan: GrantPlan
    private let connectionLimit: UInt16
    /// nil for a login that is there already.
    private let verifier: String?
    /// Seconds since 1970.
    let validUntil: Int64
    let connection: PostgresConnection
    private let planText: String
    private let accepted: String

    /// Answers are lists of names: a row for each, at most two for each verb of a table.
    private static let manyRows = PostgresConnection.Room(rows: 100_000, bytes: 32 << 20)
    private static let fewRows = PostgresConnection.Room(rows: 64, bytes: 4 << 20)

    init(
        _ name: String,
        _ plan: GrantPlan,
        _ connectionLimit: UInt16,
        validUntil: Int64,
        verifier: String?,
        _ connection: PostgresConnection
    ) {
        self.name = name
        self.plan = plan
        self.connectionLimit = connectionLimit
        self.verifier = verifier
        self.validUntil = validUntil
        self.connection = connection
        planText = GrantText.plan(plan)
        accepted = GrantText.accepted(plan)
    }

    private var group: String { plan.group }

    /// Whether the plan has so many tables and columns that reading the whole catalogue is cheaper than looking each up.
    private var isLong: Bool {
        let verbs = plan.tables.flatMap { [$0.read, $0.insert, $0.update] }
        return verbs.reduce(plan.tables.count) { sum, columns in
            guard case .only(let names) = columns else { return sum + 1 }
            return sum + names.count
        } > 400
    }

    /// What the server says before anything is done, and the statements that it makes of our names.
    struct Facts {
        let version: Int
        let loginExists: Bool
        /// nil when the group role is there.
        let createGroup: String?
        /// Taken by whoever changes the rights of the group role: a lock that no mere login can hold against us.
        let lockGroup: String
        let createLogin: String
        let limitLogin: String?
    }

    func facts() throws(BrokerFailure) -> Facts {
        let rows = try connection.rows(
            """
            SELECT current_setting('server_version_num'),
            EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1::text),
            CASE WHEN NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $2::text) THEN format(
                'CREATE ROLE %I NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', $2::text) END,
            format('COMMENT ON ROLE %I IS %L', $2::text, 'Holds the rights of logins that Coffre issues'),
            format('CREATE ROLE %I LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS '
                'CONNECTION LIMIT %s VALID UNTIL %L PASSWORD %L; GRANT %5$I TO %1$I%6$s',
                $1::text, $3::int, to_timestamp($4::float8), $5::text, $2::text,
                CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET FALSE' END),
            CASE WHEN $6::bool THEN format('ALTER ROLE %I SET default_transaction_read_only = on', $1::text) END
            """,
            [
                name, group, String(connectionLimit), String(validUntil), verifier,
                plan.isReadOnly ? "t" : "f",
            ],
            room: Self.fewRows
        )
        guard let row = rows.first, let version = row.number(0, Int.self), let lock = row.text(3),
            let create = row.text(4)
        else { throw BrokerFailure(.reply) }
        return Facts(
            version: version,
            loginExists: row.flag(1),
            createGroup: row.text(2),
            lockGroup: lock,
            createLogin: create,
            limitLogin: row.text(5)
        )
    }

    // MARK: The group role

    /// One thing that keeps the group role from holding exactly the plan.
    private struct Step {
        let isPossible: Bool
        let difference: GrantDifference
        let statement: String?

        init?(_ row: [String?]) {
            guard let step = row.text(0), let kind = row.text(1).flatMap(GrantDifference.Kind.init(name:)),
                let object = row.text(2)
            else { return nil }
            isPossible = step != "0"
            statement = row.text(3)
            difference = GrantDifference(kind, object: object, mend: statement)
        }
    }

    /// Brings the group role to the plan. When it is there already, that is one question and nothing else.
    /// - Returns: what stands in the way; empty when the group role holds exactly the plan.
    func converge(_ facts: Facts) throws(BrokerFailure) -> [GrantDifference] {
        // The planner has no idea how long our lists are, and would go through one for each row of another.
        if isLong { try connection.run("SET LOCAL enable_nestloop = off") }
        var steps = try compare()
        if steps.contains(where: { !$0.isPossible }) { return steps.filter { !$0.isPossible }.map(\.difference) }
        guard !steps.isEmpty else { return [] }
        // One at a time from here on. Who had to wait finds the work done.
        try connection.run(facts.lockGroup)
        steps = try compare()
        if steps.contains(where: { !$0.isPossible }) { return steps.filter { !$0.isPossible }.map(\.difference) }
        let refused = try apply(steps)
        guard refused.isEmpty else { return refused }
        // A right that somebody else gave, or that is ours in part only, is still as it was: no error tells of it.
        return try compare().map(\.difference)
    }

    /// Runs the statements of `steps`, many at a time.
    /// - Returns: those that the administrator has no right to, 64 at most; nothing has been changed then.
    private func apply(_ steps: [Step]) throws(BrokerFailure) -> [GrantDifference] {
        var batches = [""]
        for statement in steps.compactMap(\.statement) {
            if batches[batches.count - 1].utf8.count > 262_144 { batches.append("") }
            batches[batches.count - 1] += statement + ";\n"
        }
        do throws(BrokerFailure) {
            try connection.run("SAVEPOINT coffre")
            for batch in batches { try connection.run(batch) }
            return []
        } catch {
            guard error.code == .rights else { throw error }
        }
        // Which of them it was, the server says of one at a time alone.
        try connection.run("ROLLBACK TO SAVEPOINT coffre")
        var refused: [GrantDifference] = []
        for step in steps where refused.count < GrantDifferences.maximumCount {
            guard let statement = step.statement else { continue }
            do throws(BrokerFailure) {
                try connection.run(statement)
                try connection.run("SAVEPOINT coffre")
            } catch {
                guard error.code == .rights else { throw error }
                try connection.run("ROLLBACK TO SAVEPOINT coffre")
                refused.append(step.difference)
            }
        }
        return refused
    }

    /// What keeps the group role from holding exactly the plan. Nothing is changed.
    func obstacles() throws(BrokerFailure) -> [GrantDifference] { try compare().map(\.difference) }

    private func compare() throws(BrokerFailure) -> [Step] {
        let rows = try connection.rows(GrantQueries.comparison, [planText, group], room: Self.manyRows)
        return try rows.map { row throws(BrokerFailure) in
            guard let step = Step(row) else { throw BrokerFailure(.reply) }
            return step
        }
    }

    // MARK: The login

    /// Asks the server what the login can really do.
    /// - Parameter everything: also what has less meaning beside something worse. For a login that is there, its companions
    ///   of the same role too.
    /// - Returns: every difference from the plan that is not accepted; nil when there is none.
    func differences(_ version: Int, everything: Bool = false) throws(BrokerFailure) -> GrantDifferences? {
        let roles = try connection.rows(
            GrantQueries.roles,
            [
                name, group, String(connectionLimit), String(validUntil),
                plan.isReadOnly ? "t" : "f", everything ? "t" : "f",
            ],
            room: Self.manyRows
        )
        let counted = roles.map { $0 + [String(roles.count)] }
        if !everything, let found = try Self.differences(counted) { return found }
        let schemas = Self.schemas(plan)
        let objects = try connection.rows(
            GrantQueries.objects(version: version),
            [name, group, accepted, schemas],
            room: Self.fewRows
        )
        let tables = try connection.rows(
            GrantQueries.tables(version: version),
            [planText, name, accepted],
            room: Self.fewRows
        )
        guard everything else { return try Self.differences(objects, tables) }
        let companions = try connection.rows(GrantQueries.companions, [group, name], room: Self.fewRows)
        return try Self.differences(Array(counted.prefix(64)), companions, objects, tables)
    }

    private static func schemas(_ plan: GrantPlan) -> String {
        var names: [String] = []
        for table in plan.tables where names.last.map({ !$0.utf8.elementsEqual(table.schema.utf8) }) ?? true {
            names.append(table.schema)
        }
        return "[" + names.map(GrantText.quote).joined(separator: ",") + "]"
    }

    private static func differences(_ answers: [[String?]]...) throws(BrokerFailure) -> GrantDifferences? {
        var list: [GrantDifference] = []
        var total = 0
        for rows in answers {
            guard !rows.isEmpty else { continue }
            total += max(rows.count, Int(UInt32(clamping: rows[0].number(3, Int.self) ?? 0)))
            for row in rows {
                guard let kind = row.text(0).flatMap(GrantDifference.Kind.init(name:)), let object = row.text(1) else {
                    throw BrokerFailure(.reply)
                }
                list.append(GrantDifference(kind, object: object, mend: row.text(2)))
            }
        }
        return list.isEmpty ? nil : GrantDifferences(ordered: list, total: total)
    }
}

extension GrantDifferences {
    /// What matters most first, as not all may be told; kinds are numbered so.
    init(ordered list: [GrantDifference], total: Int) {
        let sorted = list.sorted { left, right in
            left.kind == right.kind
                ? left.object.utf8.lexicographicallyPrecedes(right.object.utf8)
                : left.kind.rawValue < right.kind.rawValue
        }
        self.init(sorted, total: total)
    }
}

extension GrantDifference.Kind {
    fileprivate init?(name: String) {
        guard let kind = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }
}
