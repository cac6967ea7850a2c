import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    @Suite struct Widening {
        private static func plan(_ stage: GrantStage, accepted: [String]? = nil) throws -> GrantPlan {
            try stage.plan(
                [
                    GrantStage.table("clients", read: .all, insert: .all),
                    GrantStage.table("salaires", read: .only(["nom"])),
                ],
                readOnly: false,
                accepted: accepted
            )
        }

        struct Case: Sendable, CustomTestStringConvertible {
            /// `{g}` is the group role.
            let setup: String
            /// `{g}` likewise; all that is found.
            let found: [String]
            /// Run when there is no statement that mends it.
            var undo = ""

            var testDescription: String { setup }
        }

        private static let cases: [Case] = [
            Case(setup: "GRANT SELECT ON factures TO PUBLIC", found: ["table:SELECT ON public.factures"]),
            Case(setup: "GRANT TRUNCATE ON clients TO PUBLIC", found: ["table:TRUNCATE ON public.clients"]),
            Case(setup: "GRANT SELECT ON salaires TO PUBLIC", found: ["table:SELECT ON public.salaires"]),
            Case(
                setup: "GRANT SELECT (montant), UPDATE (nom) ON salaires TO PUBLIC",
                found: ["column:SELECT ON public.salaires(montant)", "column:UPDATE ON public.salaires(nom)"]
            ),
            Case(
                setup: "CREATE MATERIALIZED VIEW vue AS SELECT * FROM salaires; GRANT SELECT ON vue TO PUBLIC",
                found: ["table:SELECT ON public.vue"]
            ),
            Case(
                setup: """
                    CREATE SEQUENCE s; GRANT SELECT ON SEQUENCE s TO PUBLIC;
                    GRANT UPDATE ON SEQUENCE clients_id_seq TO PUBLIC
                    """,
                found: ["sequence:SELECT ON public.s", "sequence:UPDATE ON public.clients_id_seq"]
            ),
            Case(setup: "GRANT CREATE ON SCHEMA public TO PUBLIC", found: ["create:public"]),
            Case(setup: "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO PUBLIC", found: ["usage:other"]),
            Case(
                setup: "GRANT CREATE ON DATABASE {d} TO PUBLIC",
                found: ["create-schema:{d}"]
            ),
            Case(
                setup: """
                    CREATE FUNCTION "Ouvre Tout"(x int, t text) RETURNS int LANGUAGE sql SECURITY DEFINER
                    AS 'SELECT montant FROM salaires'
                    """,
                found: ["definer:public.\"Ouvre Tout\"(integer,text)"]
            ),
            Case(
                setup: "CREATE PROCEDURE p() LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM salaires'",
                found: ["definer:public.p()"]
            ),
            Case(setup: "GRANT pg_read_all_data TO {g}", found: ["membership:{g} IN pg_read_all_data"]),
            Case(
                setup: "CREATE ROLE middle_{g}; GRANT middle_{g} TO {g}; GRANT postgres TO middle_{g}",
                found: ["membership:{g} IN middle_{g}", "membership:middle_{g} IN postgres"]
            ),
            Case(
                setup: "ALTER TABLE factures OWNER TO {g}",
                found: ["ownership:sequence public.factures_id_seq", "ownership:table public.factures"]
            ),
            Case(setup: "ALTER SCHEMA public OWNER TO {g}", found: ["ownership:schema public"]),
            Case(setup: "ALTER ROLE {g} SUPERUSER", found: ["attribute:SUPERUSER OF {g}"]),
            Case(
                setup: "ALTER ROLE {g} BYPASSRLS CREATEROLE LOGIN",
                found: ["attribute:BYPASSRLS OF {g}", "attribute:CREATEROLE OF {g}", "attribute:LOGIN OF {g}"]
            ),
            Case(setup: "GRANT SELECT ON pg_authid TO PUBLIC", found: ["system:SELECT ON pg_catalog.pg_authid"]),
            Case(
                setup: "GRANT SELECT (rolpassword) ON pg_authid TO PUBLIC",
                found: ["system:SELECT ON pg_catalog.pg_authid(rolpassword)"]
            ),
            Case(
                setup: "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
                found: ["system:EXECUTE ON pg_read_file(text)"]
            ),
            Case(
                setup: "SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
                found: ["large-object:4711"]
            ),
            Case(
                setup: """
                    CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
                    GRANT USAGE ON FOREIGN DATA WRAPPER w TO PUBLIC; GRANT USAGE ON FOREIGN SERVER s TO PUBLIC
                    """,
                found: ["foreign-server:s", "foreign-data-wrapper:w"]
            ),
            Case(setup: "GRANT SET ON PARAMETER log_statement TO PUBLIC", found: ["parameter:SET ON log_statement"]),
            Case(
                setup: "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
                found: ["future:default privileges on new relations belonging to role postgres in schema public"]
            ),
            Case(setup: "CREATE TABLE vip (rang int) INHERITS (clients)", found: ["inherited:public.vip"]),
            Case(
                setup: """
                    DROP TABLE salaires; CREATE TABLE paie (nom text, chef name);
                    ALTER TABLE paie ENABLE ROW LEVEL SECURITY;
                    CREATE VIEW salaires AS SELECT nom FROM paie
                    """,
                found: ["row-security:public.paie"],
                undo: "ALTER VIEW salaires SET (security_invoker = true)"
            ),
        ]

        @Test(arguments: cases)
        func isRefusedAndThenMended(widening: Case) throws {
            let stage = try GrantStage(GrantStage.guide)
            func filled(_ text: String) -> String {
                text.replacing("{g}", with: stage.group).replacing("{d}", with: stage.database)
            }
            let plan = try Self.plan(stage)
            #expect(try stage.revoke(stage.issued(plan)).isDone)
            try stage.sql(filled(widening.setup))
            let login = GrantStage.freshLogin()
            let answer = try stage.provision(plan, login)
            #expect(GrantStage.differences(answer) == widening.found.map(filled))
            #expect(try !stage.exists(login))
            guard case .differs(let differences) = answer else { return }
            // Whoever owns the connection may take it as it is, unless it makes the role another role.
            if differences.list.allSatisfy({ $0.kind.isAcceptable }) {
                let names = stage.accepted + GrantStage.differences(answer)
                let accepting = try Self.plan(stage, accepted: names)
                #expect(try stage.revoke(stage.issued(accepting)).isDone)
            }
            for difference in differences.list { if let mend = difference.mend { try stage.sql(mend) } }
            if !widening.undo.isEmpty { try stage.sql(widening.undo) }
            #expect(try stage.revoke(stage.issued(plan)).isDone)
        }

        @Test func anotherDatabaseAndTemporaryTablesAreToldUnlessAccepted() throws {
            let stage = try GrantStage(GrantStage.guide)
            let none = try stage.provision(Self.plan(stage, accepted: []), GrantStage.freshLogin())
            let found = GrantStage.differences(none)
            #expect(found.contains("temp:\(stage.database)"))
            #expect(found.contains("connect:postgres") && found.contains("connect:template1"))
            #expect(!found.contains("connect:template0") && !found.contains("connect:\(stage.database)"))
            let others = found.filter { $0.hasPrefix("connect:") && $0 != "connect:postgres" }
            let some = try Self.plan(stage, accepted: ["temp:\(stage.database)"] + others)
            #expect(GrantStage.differences(try stage.provision(some, GrantStage.freshLogin())) == ["connect:postgres"])
        }

        @Test func whatTheGroupRoleHasTooMuchIsTakenBack() throws {
            let stage = try GrantStage(GrantStage.guide)
            let plan = try Self.plan(stage)
            #expect(try stage.revoke(stage.issued(plan)).isDone)
            try stage.sql(
                """
                CREATE SCHEMA other; CREATE TABLE other.t (x int); SELECT lo_create(4712);
                CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE ty AS ENUM ('a');
                GRANT ALL ON ALL TABLES IN SCHEMA public TO \(stage.group) WITH GRANT OPTION;
                GRANT ALL ON SCHEMA other, public TO \(stage.group); GRANT ALL ON other.t TO \(stage.group);
                GRANT UPDATE (montant), SELECT (nom) ON salaires TO \(stage.group) WITH GRANT OPTION;
                GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO \(stage.group);
                GRANT ALL ON DATABASE \(stage.database) TO \(stage.group);
                GRANT CONNECT ON DATABASE postgres TO \(stage.group);
                GRANT EXECUTE ON FUNCTION f() TO \(stage.group); GRANT USAGE ON TYPE ty TO \(stage.group);
                GRANT ALL ON LARGE OBJECT 4712 TO \(stage.group);
                GRANT CREATE ON TABLESPACE pg_default TO \(stage.group);
                """
            )
            let login = try stage.issued(plan)
            #expect(try stage.may("SELECT nom FROM salaires", as: login))
            #expect(try stage.may("INSERT INTO clients (nom) VALUES ('x')", as: login))
            #expect(try !stage.may("SELECT montant FROM salaires", as: login))
            #expect(try !stage.may("SELECT * FROM other.t", as: login))
            #expect(try stage.revoke(login).isDone)
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
            #expect(try !stage.exists(stage.group))
        }

        @Test func rightsOfTheGroupRoleInAnotherDatabaseAreRefused() throws {
            let stage = try GrantStage(GrantStage.guide)
            let other = try GrantStage("CREATE TABLE t (x int)")
            let plan = try Self.plan(stage)
            #expect(try stage.revoke(stage.issued(plan)).isDone)
            try other.sql("GRANT SELECT ON t TO \(stage.group)")
            let answer = try stage.provision(plan, GrantStage.freshLogin())
            #expect(GrantStage.differences(answer) == ["group-right:rights in database \(other.database)"])
            // What is still held elsewhere keeps the role.
            #expect(try stage.perform(.retire(group: stage.group)).failure?.sqlState == "2BP01")
            try other.sql("REVOKE SELECT ON t FROM \(stage.group)")
            #expect(try stage.revoke(stage.issued(plan)).isDone)
        }

        @Test func aGroupRoleWithMembersIsNotDropped() throws {
            let stage = try GrantStage(GrantStage.guide)
            let login = try stage.issued(Self.plan(stage))
            #expect(
                try stage.perform(.retire(group: stage.group)).failure == BrokerFailure(.statement, sqlState: "2BP01")
            )
            #expect(try stage.may("SELECT * FROM clients", as: login))
            #expect(try stage.revoke(login).isDone)
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
        }

        @Test func whatAHolderMakesKeepsNobodyFromALogin() throws {
            let stage = try GrantStage(GrantStage.guide)
            let plan = try Self.plan(stage)
            let login = try stage.issued(plan)
            let mischief = """
                CREATE TEMP TABLE tt (x serial); CREATE TYPE pg_temp.ty AS ENUM ('a');
                CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
                ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
                ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO \(stage.group);
                SELECT lo_create(4713); GRANT SELECT ON LARGE OBJECT 4713 TO PUBLIC;
                SELECT pg_try_advisory_lock(n) FROM generate_series(1, 100) n; LOCK TABLE clients IN ROW EXCLUSIVE MODE;
                """
            // As itself, and, before PostgreSQL 16, as the group role.
            let mayBeGroup = try stage.may("SET ROLE \(stage.group)", as: login)
            let asGroup = "SET ROLE \(stage.group); " + mischief.replacing("4713", with: "4714")
            let texts = mayBeGroup ? [mischief, asGroup] : [mischief]
            let sessions = try texts.map {
                try stage.server.session(
                    "BEGIN; \($0) SELECT pg_sleep(600)",
                    database: stage.database,
                    as: (login, GrantStage.password)
                )
            }
            try eventually("all made it") {
                try stage.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%471_%' AND wait_event = 'PgSleep'"
                )
                    == "\(texts.count)"
            }
            let next = try stage.issued(plan)
            try stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '\(login)'")
            for session in sessions { #expect(try session.wait() != 0) }
            for text in texts { try stage.sql(text + "SELECT 1", as: login) }
            #expect(try stage.may("SELECT * FROM clients", as: stage.issued(plan)))
            #expect(try stage.revoke(next).isDone)
            // What it owns itself keeps its name, without a way in.
            #expect(try stage.revoke(login).failure?.sqlState == "2BP01")
            #expect(throws: RunningProcess.Failure.self) { try stage.sql("SELECT 1", as: login) }
        }

        @Test func partitionsBelongToTheirTable() throws {
            let stage = try GrantStage(
                """
                CREATE TABLE m (jour int, valeur int) PARTITION BY RANGE (jour);
                CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (10); INSERT INTO m VALUES (1, 2)
                """
            )
            let plan = try stage.plan([GrantStage.table("m", read: .all)])
            let login = try stage.issued(plan)
            #expect(try stage.sql("SELECT valeur FROM m", as: login) == "2")
            #expect(try !stage.may("SELECT valeur FROM m1", as: login))
            // Named with less than its parent shows, it is a contradiction.
            let less = try stage.plan([
                GrantStage.table("m", read: .all), GrantStage.table("m1", read: .only(["jour"])),
            ])
            #expect(
                GrantStage.differences(try stage.provision(less, GrantStage.freshLogin())) == ["inherited:public.m1"]
            )
        }
    }
}
