import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    @Suite struct Matrix {
        /// Reads clients, invoices and products, and of salaries the names alone.
        private static func reading(_ stage: GrantStage) throws -> GrantPlan {
            try stage.plan([
                GrantStage.table("clients", read: .all), GrantStage.table("factures", read: .all),
                GrantStage.table("produits", read: .all), GrantStage.table("salaires", read: .only(["id", "nom"])),
            ])
        }

        /// Adds clients and changes their address, does everything with invoices, reads products, sees no salaries.
        private static func support(_ stage: GrantStage) throws -> GrantPlan {
            try stage.plan(
                [
                    GrantStage.table("clients", read: .all, insert: .all, update: .only(["email"])),
                    GrantStage.table("factures", read: .all, insert: .all, update: .all, delete: true),
                    GrantStage.table("produits", read: .all),
                ],
                readOnly: false
            )
        }

        private static let statements: [(sql: String, reading: Bool, support: Bool)] = [
            ("SELECT * FROM clients", true, true),
            ("INSERT INTO clients (nom, email) VALUES ('x', 'y')", false, true),
            ("UPDATE clients SET email = 'z' WHERE id = 1", false, true),
            ("UPDATE clients SET nom = 'z' WHERE id = 1", false, false),
            ("DELETE FROM clients", false, false),
            ("TRUNCATE clients", false, false),
            ("SELECT * FROM factures", true, true),
            ("INSERT INTO factures (client, montant) VALUES (1, 2)", false, true),
            ("UPDATE factures SET montant = 3", false, true),
            ("DELETE FROM factures WHERE montant = 3", false, true),
            ("SELECT * FROM produits", true, true),
            ("INSERT INTO produits VALUES (2, 'x', 1)", false, false),
            ("UPDATE produits SET prix = 1", false, false),
            ("DELETE FROM produits", false, false),
            ("SELECT id, nom FROM salaires", true, false),
            ("SELECT montant FROM salaires", false, false),
            ("SELECT * FROM salaires", false, false),
            ("SELECT count(*) FROM salaires WHERE montant > 1", false, false),
            ("SELECT s FROM salaires s", false, false),
            ("INSERT INTO salaires VALUES (2, 'x', 1)", false, false),
            ("UPDATE salaires SET nom = 'x'", false, false),
            ("DELETE FROM salaires", false, false),
            ("CREATE TABLE mine (id int)", false, false),
            ("CREATE SCHEMA mine", false, false),
            ("SELECT setval('clients_id_seq', 1)", false, false),
            ("SELECT rolpassword FROM pg_authid", false, false),
            ("SELECT pg_read_file('/etc/passwd')", false, false),
            ("COPY clients TO PROGRAM 'true'", false, false),
        ]

        @Test func everyCellIsAsThePlanSays() throws {
            let stage = try GrantStage(GrantStage.guide)
            let reader = try stage.issued(Self.reading(stage))
            for (sql, expected, _) in Self.statements {
                #expect(try stage.may(sql, as: reader) == expected, "\(sql)")
                // What the login may not do is not a matter of its own settings.
                let mine = "SET default_transaction_read_only = off; SET transaction_read_only = off; " + sql
                #expect(try stage.may(mine, as: reader) == expected, "\(mine)")
            }
            #expect(try stage.sql("SHOW default_transaction_read_only", as: reader) == "on")
            #expect(try stage.revoke(reader).isDone)

            // The same group role, another plan: what was given is taken back, what is missing is given.
            let writer = try stage.issued(Self.support(stage))
            for (sql, _, expected) in Self.statements { #expect(try stage.may(sql, as: writer) == expected, "\(sql)") }
            #expect(try stage.revoke(writer).isDone)
            #expect(try stage.revoke(writer).isDone)
            #expect(try !stage.exists(writer) && stage.exists(stage.group))
            let back = try stage.issued(Self.reading(stage))
            for (sql, expected, _) in Self.statements { #expect(try stage.may(sql, as: back) == expected, "\(sql)") }
            #expect(try stage.revoke(back).isDone)
        }

        @Test func theLoginIsAsLittleAsCanBe() throws {
            let stage = try GrantStage(GrantStage.guide)
            let login = try stage.issued(Self.reading(stage))
            let attributes = try stage.sql(
                """
                SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolinherit,
                rolconnlimit, extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = '\(login)'
                """
            )
            #expect(attributes == "f|f|f|f|f|t|t|10|1999999999")
            let group = try stage.sql(
                "SELECT rolsuper, rolcanlogin, rolbypassrls FROM pg_roles WHERE rolname = '\(stage.group)'"
            )
            #expect(group == "f|f|f")
            #expect(!stage.server.log.contains(GrantStage.password))
            #expect(!stage.server.log.contains(stage.server.password))
            #expect(stage.server.log.contains("PASSWORD 'SCRAM-SHA-256$"))
            // A second one of that name is refused, and the first is left alone.
            #expect(try stage.provision(Self.reading(stage), login).failure?.sqlState == "42710")
            #expect(try stage.may("SELECT * FROM clients", as: login))
            #expect(try stage.revoke(login).isDone)
        }

        @Test func whatIsNotThereIsNamed() throws {
            let stage = try GrantStage(GrantStage.guide)
            let plan = try stage.plan([
                GrantStage.table("client\"s", read: .all), GrantStage.table("clients", read: .only(["nom", "x\ny"])),
                GrantStage.table("t", schema: "nowhere", read: .all), GrantStage.table("clients_pkey", read: .all),
            ])
            let answer = try stage.provision(plan, GrantStage.freshLogin())
            #expect(
                GrantStage.differences(answer) == [
                    "missing-table:nowhere.t", "missing-table:public.\"client\"\"s\"",
                    "missing-table:public.clients_pkey",
                    "missing-column:public.clients(\"x\ny\")",
                ]
            )
            #expect(try !stage.exists(stage.group))
        }

        @Test func anAdministratorThatMayNotGrantIsToldWhatIsMissing() throws {
            var stage = try GrantStage(GrantStage.guide)
            try stage.sql(
                """
                SET log_statement = none; DROP ROLE IF EXISTS intendant;
                CREATE ROLE intendant LOGIN CREATEROLE PASSWORD 'intendant'; ALTER TABLE clients OWNER TO intendant
                """
            )
            stage.user = "intendant"
            stage.administratorPassword = "intendant"
            let mine = try stage.plan([GrantStage.table("clients", read: .all)])
            let login = try stage.issued(mine)
            #expect(try stage.may("SELECT * FROM clients", as: login))
            let session = try stage.server.session(
                "SELECT pg_sleep(600)",
                database: stage.database,
                as: (login, GrantStage.password)
            )
            try eventually("a session") {
                try stage.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login)'") == "1"
            }
            guard case .done(_, _, let ended) = try stage.revoke(login) else {
                Issue.record("not revoked")
                return
            }
            #expect(ended == 1)
            #expect(try session.wait() != 0)
            let others = try stage.plan([
                GrantStage.table("clients", read: .all), GrantStage.table("factures", read: .all),
            ])
            let answer = try stage.provision(others, GrantStage.freshLogin())
            #expect(GrantStage.differences(answer) == ["missing-right:SELECT ON public.factures"])
            guard case .differs(let differences) = answer else { return }
            #expect(differences.list[0].mend == "GRANT SELECT ON TABLE public.factures TO \(stage.group)")
            // The group role is of the administrator's making, and goes with it.
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
            #expect(try !stage.exists(stage.group))
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
            try stage.sql("ALTER TABLE clients OWNER TO postgres; DROP ROLE intendant")
        }

        private static let hostile = [
            "\"; DROP TABLE clients; --", "a\"b", "a'b", "a\\b", "%I%s%L", "Größe é e\u{301} 数", "a\nb", "$$", "a.b",
            " ",
            "select", "\\\"';", String(repeating: "n", count: 63), String(repeating: "é", count: 31),
        ]

        @Test func hostileNamesAreNamesEverywhere() throws {
            let stage = try GrantStage(database: "d \"'; \\ %I é\n" + UUID().uuidString)
            var tables: [GrantPlan.Table] = []
            var setup = ""
            for name in Self.hostile {
                let quoted = GrantStage.quoted(name)
                setup += "CREATE SCHEMA \(quoted); CREATE TABLE \(quoted).\(quoted) (\(quoted) text, masked int);"
                setup += "INSERT INTO \(quoted).\(quoted) VALUES ('seen', 1);"
                tables.append(
                    try GrantStage.table(name, schema: name, read: .only([name]), update: .only([name]), delete: true)
                )
            }
            try stage.sql(setup)
            let plan = try stage.plan(tables, readOnly: false, accepted: stage.accepted + ["usage:public"])
            let login = try stage.issued(plan)
            for name in Self.hostile {
                let quoted = GrantStage.quoted(name)
                #expect(try stage.sql("SELECT \(quoted) FROM \(quoted).\(quoted)", as: login) == "seen", "\(name)")
                #expect(try !stage.may("SELECT masked FROM \(quoted).\(quoted)", as: login), "\(name)")
                #expect(try !stage.may("UPDATE \(quoted).\(quoted) SET masked = 2", as: login), "\(name)")
            }
            // Widened, each is named in the server's own quoting, and the statement that is offered mends it.
            let names = Self.hostile.map(GrantStage.quoted)
            let open = names.map { "GRANT SELECT ON \($0).\($0) TO PUBLIC;" }.joined()
            try stage.sql(open)
            let answer = try stage.provision(plan, GrantStage.freshLogin())
            guard case .differs(let differences) = answer else {
                Issue.record("\(answer)")
                return
            }
            #expect(differences.list.count == Self.hostile.count)
            for difference in differences.list { try stage.sql(try #require(difference.mend)) }
            #expect(try stage.revoke(login).isDone)
            let again = try stage.issued(plan)
            #expect(try stage.revoke(again).isDone)
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
            #expect(try !stage.exists(stage.group))
        }
    }
}
