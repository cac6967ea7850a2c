import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    @Suite struct Inspection {
        private func inspected(_ stage: GrantStage, _ question: DatabaseQuestion) throws -> DatabaseInspection {
            let answer = try stage.perform(.inspect(question))
            guard case .inspected(let found) = answer else {
                throw RunningProcess.Failure(description: "\(answer)")
            }
            return found
        }

        @Test func aConnectionTestSaysWhatThereIs() throws {
            let stage = try GrantStage(
                GrantStage.guide + """
                    ;CREATE SCHEMA "a\"\"b"; CREATE VIEW vue AS SELECT nom FROM clients;
                    CREATE TABLE grande AS SELECT generate_series(1, 10) AS x; ANALYZE grande;
                    UPDATE pg_class SET reltuples = 5000000 WHERE relname = 'grande';
                    CREATE TABLE piege (x int); CREATE FUNCTION piege() RETURNS int LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
                    CREATE VIEW attrape AS SELECT piege() FROM clients;
                    """
            )
            let names = [
                ("public", "clients"), ("public", "salaires"), ("public", "grande"), ("public", "nope"),
                ("nope", "clients"), ("public", "attrape"), ("pg_catalog", "pg_authid"),
            ]
            let question = try DatabaseQuestion(
                counts: names.map { try DatabaseQuestion.Table(schema: $0.0, name: $0.1) },
                schema: "public"
            )
            let found = try inspected(stage, question)
            #expect(
                found.counts.prefix(6) == [.exact(2), .exact(1), .estimate(5_000_000), .missing, .missing, .unknown]
            )
            #expect(try found.serverVersion == stage.sql("SHOW server_version"))
            #expect(found.tlsVersion == nil && found.serverTLSVersion == nil)
            #expect(found.connectMicroseconds > found.roundTripMicroseconds && found.roundTripMicroseconds > 0)
            #expect(found.schemas == [.init(name: "a\"b", tables: 0), .init(name: "public", tables: 8)])
            #expect(found.tables == 8 && !found.schemasAreTruncated)
            #expect(found.isSuperuser && found.mayCreateRoles && found.validUntil == nil)
            let page = try #require(found.page)
            #expect(!page.isTruncated)
            #expect(
                page.tables.map(\.name) == [
                    "attrape", "clients", "factures", "grande", "piege", "produits", "salaires", "vue",
                ]
            )
            #expect(page.tables[1] == .init(name: "clients", kind: .table, columns: ["id", "nom", "email"]))
            #expect(page.tables[7] == .init(name: "vue", kind: .view, columns: ["nom"]))
        }

        @Test func aLoginWithoutRightsIsToldSo() throws {
            var stage = try GrantStage(GrantStage.guide)
            let end = "2031-01-01 00:00:00+00"
            try stage.sql(
                "SET log_statement = none; CREATE ROLE modeste LOGIN PASSWORD 'm' VALID UNTIL '\(end)'"
            )
            defer { _ = try? stage.server.sql("DROP ROLE modeste") }
            stage.user = "modeste"
            stage.administratorPassword = "m"
            let question = try DatabaseQuestion(counts: [.init(schema: "public", name: "clients")])
            let found = try inspected(stage, question)
            #expect(found.counts == [.denied])
            #expect(!found.isSuperuser && !found.mayCreateRoles && found.validUntil == 1_924_992_000)
            let plan = try stage.plan([GrantStage.table("clients", read: .all)])
            #expect(
                try stage.provision(plan, GrantStage.freshLogin()).failure == BrokerFailure(.rights, sqlState: "42501")
            )
            try stage.server.sql("ALTER ROLE modeste VALID UNTIL '2001-01-01'")
            let expired = try #require(try stage.perform(.inspect(DatabaseQuestion())).failure)
            #expect(expired == BrokerFailure(.authentication, sqlState: "28P01"))
            #expect(expired.sentence.contains("VALID UNTIL"))
            try stage.server.sql("ALTER ROLE modeste VALID UNTIL 'infinity' NOLOGIN")
            let locked = try #require(try stage.perform(.inspect(DatabaseQuestion())).failure)
            #expect(locked == BrokerFailure(.authentication, sqlState: "28000"))
        }

        @Test func pagesHoldWholeTablesAndGoOn() throws {
            let stage = try GrantStage(
                """
                DO $$ BEGIN FOR i IN 1..30 LOOP EXECUTE format('CREATE TABLE t%s (%s)', lpad(i::text, 2, '0'),
                    (SELECT string_agg('c' || n || ' int', ',') FROM generate_series(1, 900) n)); END LOOP; END $$
                """
            )
            var names: [String] = []
            var after: String?
            for _ in 0..<5 {
                let question = try DatabaseQuestion(schema: "public", after: after)
                let page = try #require(try inspected(stage, question).page)
                #expect(page.tables.allSatisfy { $0.columns.count == 900 })
                names += page.tables.map(\.name)
                after = page.tables.last?.name
                if !page.isTruncated { break }
            }
            #expect(names == (1...30).map { String(format: "t%02d", $0) })
            let nowhere = try inspected(stage, DatabaseQuestion(schema: "pg_catalog"))
            #expect(nowhere.page == .init(tables: [], isTruncated: false))
        }

        @Test func encryptionIsToldByBothEnds() throws {
            let server = try Servers.encrypted.get()
            let stage = try GrantStage()
            let job = BrokerJob(
                kind: .inspect,
                host: "localhost",
                port: server.port,
                database: "postgres",
                user: server.user,
                rootCertificate: Array(try #require(server.authority).utf8),
                task: .inspect(try DatabaseQuestion()),
                publicKey: [UInt8](repeating: 1, count: 32)
            )
            guard case .inspected(let found) = try stage.perform(job, password: server.password) else {
                Issue.record("not inspected")
                return
            }
            #expect(found.tlsVersion == "TLSv1.3" && found.serverTLSVersion == "TLSv1.3")
        }

        @Test func anAuditListsWhatCoffreMadeAndWhatOnlyLooksLikeIt() throws {
            let stage = try GrantStage(GrantStage.guide)
            let login = try stage.issued(stage.plan([GrantStage.table("clients", read: .all)]))
            let session = try stage.server.session(
                "SELECT pg_sleep(600)",
                database: stage.database,
                as: (login, GrantStage.password)
            )
            defer { session.signal(SIGKILL) }
            try eventually("a session") {
                try stage.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login)'") == "1"
            }
            try stage.sql(
                """
                CREATE ROLE "coffre_é ""x"; CREATE ROLE "coffreX"; DO $$ BEGIN FOR i IN 1..1100 LOOP
                    EXECUTE format('CREATE ROLE coffre_zz_%s', lpad(i::text, 4, '0')); END LOOP; END $$
                """
            )
            defer {
                _ = try? stage.sql(
                    """
                    DROP ROLE "coffre_é ""x"; DROP ROLE "coffreX"; DO $$ BEGIN FOR i IN 1..1100 LOOP
                        EXECUTE format('DROP ROLE coffre_zz_%s', lpad(i::text, 4, '0')); END LOOP; END $$
                    """
                )
            }
            var roles: [DatabaseRoles.Role] = []
            for _ in 0..<10 {
                guard case .audited(let page) = try stage.perform(.audit(after: roles.last?.name)) else {
                    Issue.record("not audited")
                    return
                }
                roles += page.roles
                if !page.isTruncated { break }
            }
            #expect(roles.count >= 1103 && !roles.contains { $0.name == "coffreX" })
            let mine = roles.first { $0.name == login }
            #expect(
                mine
                    == .init(
                        name: login,
                        isLogin: true,
                        validUntil: 1_999_999_999,
                        memberOf: [stage.group],
                        members: 0,
                        sessions: 1
                    )
            )
            #expect(roles.first { $0.name == stage.group }?.members == 1)
            #expect(roles.first { $0.name == "coffre_é \"x" }?.isLogin == false)
            #expect(try stage.revoke(login).isDone)
        }
    }
}
