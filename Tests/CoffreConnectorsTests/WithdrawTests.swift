import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    /// Logins that are removed together.
    @Suite struct Withdraw {
        private func withdrawn(_ stage: GrantStage, _ logins: [String]) throws -> DatabaseWithdrawals {
            let answer = try stage.perform(.withdraw(logins))
            guard case .withdrawn(let found) = answer else {
                throw RunningProcess.Failure(description: "\(answer)")
            }
            return found
        }

        private func makeCrowd(_ stage: GrantStage, _ count: Int) throws -> [String] {
            let plan = try stage.plan([try GrantStage.table("clients", read: .all)])
            return try (0..<count).map { _ in try stage.issued(plan) }
        }

        @Test func aCrowdGoesTogetherWithItsSessions() throws {
            let stage = try GrantStage(GrantStage.guide)
            let logins = try makeCrowd(stage, 6)
            let session = try stage.server.session(
                "SELECT pg_sleep(60)",
                database: stage.database,
                as: (logins[2], GrantStage.password)
            )
            defer { session.signal(SIGKILL) }
            try eventually("the session runs") {
                try stage.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(logins[2])'") == "1"
            }
            let missing = GrantStage.freshLogin()
            let found = try withdrawn(stage, logins + [missing, logins[0]])
            #expect(found.logins.map(\.name) == logins + [missing, logins[0]])
            #expect(found.logins.allSatisfy { $0.failure == nil })
            #expect(found.logins[2].sessionsEnded == 1 && found.logins[1].sessionsEnded == 0)
            for login in logins { #expect(try !stage.exists(login)) }
            #expect(try session.wait(timeout: 10) != 0)
            // Once more is no failure.
            #expect(try withdrawn(stage, logins).logins.allSatisfy { $0.failure == nil })
        }

        @Test func whoOwnsSomethingStaysDisabledAndTheOthersGo() throws {
            let stage = try GrantStage(GrantStage.guide)
            let logins = try makeCrowd(stage, 3)
            try stage.sql("CREATE TABLE theirs (x int); ALTER TABLE theirs OWNER TO \(logins[1])")
            let found = try withdrawn(stage, logins)
            #expect(found.logins.map(\.failure) == [nil, BrokerFailure(.statement, sqlState: "2BP01"), nil])
            let canLogIn = "SELECT rolcanlogin FROM pg_roles WHERE rolname = '\(logins[1])'"
            #expect(try stage.sql(canLogIn) == "f")
            #expect(try stage.sql("SELECT count(*) FROM theirs") == "0")
            try stage.sql("DROP TABLE theirs")
            #expect(try withdrawn(stage, [logins[1]]).logins[0].failure == nil)
        }

        /// Rights in another database are in the way of the whole transaction, and then of that login alone.
        @Test func whatIsInTheWayOfOneIsNotInTheWayOfTheOthers() throws {
            let stage = try GrantStage(GrantStage.guide)
            let logins = try makeCrowd(stage, 3)
            try stage.server.sql("CREATE DATABASE \(stage.database)_b")
            try stage.server.sql(
                "GRANT USAGE ON SCHEMA public TO \(logins[0]); CREATE TABLE kept (x int); GRANT SELECT ON kept TO \(logins[0])",
                database: stage.database + "_b"
            )
            let found = try withdrawn(stage, logins)
            #expect(found.logins[0].failure?.sqlState == "2BP01")
            #expect(found.logins[1].failure == nil && found.logins[2].failure == nil)
            try stage.server.sql("DROP DATABASE \(stage.database)_b")
            #expect(try withdrawn(stage, logins).logins[0].failure == nil)
        }

        /// As an administrator that may create roles, and no more.
        @Test func anAdministratorWithoutSuperuserMayDoIt() throws {
            var stage = try GrantStage(GrantStage.guide)
            let name = "adm_" + String(UInt32.random(in: 0 ... .max), radix: 36)
            try stage.sql(
                """
                CREATE ROLE \(name) LOGIN CREATEROLE PASSWORD 'adm-pass';
                GRANT SELECT ON clients TO \(name) WITH GRANT OPTION; GRANT USAGE ON SCHEMA public TO \(name) WITH GRANT OPTION
                """
            )
            stage.user = name
            stage.administratorPassword = "adm-pass"
            let logins = (0..<3).map { _ in GrantStage.freshLogin() }
            for login in logins { try stage.sql("SET ROLE \(name); CREATE ROLE \(login) LOGIN") }
            #expect(try withdrawn(stage, logins).logins.allSatisfy { $0.failure == nil })
            for login in logins { #expect(try !stage.exists(login)) }
        }

        @Test func statementsAreCountedWhereTheServerCounts() throws {
            let server = try PostgresServer(settings: [
                "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all",
            ])
            try server.sql(
                """
                CREATE SCHEMA odd; CREATE EXTENSION pg_stat_statements SCHEMA odd; CREATE ROLE coffre_counted LOGIN PASSWORD 'p';
                CREATE ROLE coffre_idle LOGIN PASSWORD 'p';
                CREATE FUNCTION public.pg_stat_statements(boolean) RETURNS TABLE (userid oid) LANGUAGE sql AS 'SELECT 1/0'
                """
            )
            for _ in 0..<3 { try server.sql("SELECT generate_series(1, 10)", as: ("coffre_counted", "p")) }
            try server.sql("SELECT 'a-secret-word'", as: ("coffre_counted", "p"))
            var stage = try GrantStage()
            stage.port = server.port
            stage.administratorPassword = server.password
            let job = BrokerJob(
                kind: .withdraw,
                host: "127.0.0.1",
                port: server.port,
                database: "postgres",
                user: server.user,
                tls: .disable,
                task: .withdraw(["coffre_counted", "coffre_idle"]),
                publicKey: [UInt8](repeating: 1, count: 32)
            )
            guard case .withdrawn(let found) = try stage.perform(job) else {
                Issue.record("not withdrawn")
                return
            }
            #expect(found.isMeasured)
            let series = found.logins[0].statements.filter { $0.calls == 3 && $0.rows == 30 && $0.id != nil }
            #expect(series.count == 1, "\(found)")
            #expect(found.logins[0].statements.contains { $0.calls == 1 && $0.rows == 1 })
            #expect(found.logins[1].statements.isEmpty && found.logins[1].failure == nil)
        }
    }
}
