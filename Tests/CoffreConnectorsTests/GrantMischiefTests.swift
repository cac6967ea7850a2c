import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    /// What somebody with a login for reading does to the others, where the administrator is no superuser.
    @Suite struct Mischief {
        private static func staged() throws -> (GrantStage, GrantPlan) {
            var stage = try GrantStage(GrantStage.guide)
            let name = "steward_" + stage.database
            try stage.sql(
                """
                SET log_statement = none; CREATE ROLE \(name) LOGIN CREATEROLE PASSWORD 'steward';
                ALTER TABLE clients OWNER TO \(name); ALTER DATABASE \(stage.database) OWNER TO \(name)
                """
            )
            stage.user = name
            stage.administratorPassword = "steward"
            return (stage, try stage.plan([GrantStage.table("clients", read: .all)]))
        }

        private static func largeObject(_ number: Int, for role: String) -> String {
            "BEGIN READ WRITE; SELECT lo_create(\(number)); GRANT SELECT ON LARGE OBJECT \(number) TO \(role); COMMIT"
        }

        @Test func aLargeObjectForTheRoleKeepsNobodyFromALogin() throws {
            let (stage, plan) = try Self.staged()
            let login = try stage.issued(plan)
            try stage.sql(Self.largeObject(4720, for: stage.group), as: login)
            let next = try stage.issued(plan)
            // It made no data: it goes whole, and the role with the last of them.
            #expect(try stage.revoke(login).isDone && !stage.exists(login))
            #expect(try stage.revoke(next).isDone)
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
        }

        @Test func temporaryTablesForTheRoleKeepNobodyFromALogin() throws {
            let (stage, plan) = try Self.staged()
            let other = try GrantStage()
            let login = try stage.issued(plan)
            let mayBeGroup = try stage.may("SET ROLE \(stage.group)", as: login)
            let rights = "CREATE TEMP TABLE tt (x int); GRANT SELECT ON tt TO \(stage.group);"
            let objects = mayBeGroup ? "SET ROLE \(stage.group); CREATE TEMP TABLE tu (x int);" : ""
            let databases = [stage.database, other.database]
            let sessions = try databases.map {
                try stage.server.session(
                    "BEGIN READ WRITE; \(rights) \(objects) COMMIT; SELECT pg_sleep(600)",
                    database: $0,
                    as: (login, GrantStage.password)
                )
            }
            try eventually("both made them") {
                try stage.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login)' AND wait_event = 'PgSleep'"
                ) == "2"
            }
            let next = try stage.issued(plan)
            #expect(try stage.revoke(login).isDone)
            for session in sessions { #expect(try session.wait() != 0) }
            #expect(try stage.revoke(next).isDone)
        }

        @Test func manyRightsThatALoginGivesHideNothing() throws {
            let (stage, plan) = try Self.staged()
            let logins = try (0..<3).map { _ in try stage.issued(plan) }
            let many = (4800..<4870).map {
                "SELECT lo_create(\($0)); GRANT SELECT ON LARGE OBJECT \($0) TO \(logins[1]);"
            }
            try stage.sql("BEGIN READ WRITE; \(many.joined()) COMMIT", as: logins[0])
            func found() throws -> [String] {
                let check = try GrantCheck(plan: plan, isRepairing: false)
                let answer = try stage.perform(.check(check), login: logins[2], validUntil: 1_999_999_999)
                return GrantStage.differences(answer)
            }
            #expect(try found() == [])
            let tables = (0..<70).map { "CREATE TABLE x\($0) (i int); GRANT SELECT ON x\($0) TO \(logins[1]);" }
            try stage.sql(
                "GRANT pg_read_all_data TO \(logins[1]); GRANT SELECT ON salaires TO PUBLIC; \(tables.joined())"
            )
            let all = try found()
            #expect(all.first == "membership:\(logins[1]) IN pg_read_all_data", "\(all)")
            #expect(all.contains("table:SELECT ON public.salaires"), "\(all)")
            #expect(all.last?.hasPrefix("login-right:\(logins[1]): table public.x") == true, "\(all)")
            #expect((2...20).contains(all.count { $0.hasPrefix("login-right") }))
            try stage.sql("REVOKE pg_read_all_data FROM \(logins[1])")
            try stage.sql("DROP OWNED BY \(logins[1])")
            for login in logins { #expect(try stage.revoke(login).isDone) }
        }

        /// Before PostgreSQL 16 whoever is in a role can give default rights in its name.
        @Test func defaultRightsOfTheRoleDoNotKeepIt() throws {
            let (stage, plan) = try Self.staged()
            let login = try stage.issued(plan)
            let defaults = "ALTER DEFAULT PRIVILEGES FOR ROLE \(stage.group) GRANT SELECT ON TABLES TO PUBLIC"
            if try stage.may("BEGIN READ WRITE; \(defaults); COMMIT", as: login) {
                #expect(try stage.sql("SELECT count(*) FROM pg_default_acl") == "1")
            }
            let own = "BEGIN READ WRITE; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; COMMIT"
            try stage.sql(own, as: login)
            #expect(try stage.revoke(login).isDone && !stage.exists(login))
            #expect(try stage.perform(.retire(group: stage.group)).isDone && !stage.exists(stage.group))
        }
    }
}
