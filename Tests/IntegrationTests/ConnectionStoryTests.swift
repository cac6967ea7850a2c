import CoffreTestSupport
import Foundation
import Testing

/// The product guide's PostgreSQL story with a real server: each cell of its matrix is tried by SQL, through a login that
/// Coffre issued.
@Suite(.serialized)
struct ConnectionStoryTests {
    private static let tables = ["clients", "factures", "paiements", "salaires", "produits", "commandes"]
    static let path = "connectors/connections/production"

    /// The server of the stage with the guide's tables, hardened as the matrix needs it.
    static func prepare(_ stage: DatabaseStage) throws {
        try stage.server.sql(
            """
            DROP TABLE clients;
            REVOKE ALL ON DATABASE postgres FROM PUBLIC; REVOKE ALL ON DATABASE template1 FROM PUBLIC;
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
            """
        )
        for table in tables {
            try stage.server.sql(
                "CREATE TABLE \(table) (id int PRIMARY KEY, nom text, montant int); INSERT INTO \(table) VALUES (1, 'x', 100)"
            )
        }
        // Somebody whose password Coffre does not know.
        try stage.server.sql("CREATE ROLE dba SUPERUSER LOGIN PASSWORD 'dba-pass'")
        try stage.server.sql("CREATE ROLE app LOGIN PASSWORD 'app-pass'; GRANT CONNECT ON DATABASE postgres TO app")
        try stage.server.sql("GRANT USAGE ON SCHEMA public TO app; GRANT SELECT ON ALL TABLES IN SCHEMA public TO app")
    }

    @discardableResult
    static func asDBA(_ stage: DatabaseStage, _ sql: String) throws -> String {
        try stage.server.sql(sql, as: ("dba", "dba-pass"))
    }

    static func roles(_ stage: DatabaseStage) throws -> [String] {
        try asDBA(stage, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'coffre\\_%' ORDER BY 1")
            .split(separator: "\n").map(String.init)
    }

    static func fields(_ stage: DatabaseStage) -> [String: Any] {
        [
            "host": "127.0.0.1", "port": "\(stage.server.port)", "database": "postgres", "ssl_mode": "disable",
            "username": "app", "password": "app-pass", "admin_username": stage.server.user,
            "admin_password": stage.server.password,
        ]
    }

    static func rules(_ levels: [String: String]) -> [[String: String]] {
        levels.sorted { $0.key < $1.key }.map { ["table": $0.key, "level": $0.value] }
    }

    /// The guide's page "Permissions granulaires".
    private static var grants: [[String: Any]] {
        [
            [
                "group": "finance", "level": "read-write",
                "tables": rules([
                    "clients": "read-write", "factures": "read-write", "paiements": "read-write",
                    "salaires": "read-write", "produits": "read", "commandes": "read-write",
                ]),
            ],
            [
                "group": "commercial", "level": "read-write",
                "tables": rules([
                    "clients": "read", "factures": "read", "paiements": "none", "salaires": "none",
                    "produits": "read-write", "commandes": "read-write",
                ]),
            ], ["entity": "ahmed", "level": "none"],
        ]
    }

    struct Login {
        let user: String
        let password: String
        let lease: String
    }

    static func issue(_ people: ConnectionStage, _ person: String) throws -> Login {
        let answer = try people.ask("GET", "connectors/creds/production", as: person)
        return Login(
            user: try #require(answer.data["username"] as? String),
            password: try #require(answer.data["password"] as? String),
            lease: try #require(answer.json["lease_id"] as? String)
        )
    }

    static func does(_ sql: String, _ stage: DatabaseStage, _ login: Login) -> Bool {
        (try? stage.server.sql(sql, as: (login.user, login.password))) != nil
    }

    /// `read-write`, `read` or `none`, found by trying.
    private static func level(of table: String, _ stage: DatabaseStage, _ login: Login) -> String {
        let id = Int.random(in: 1000..<1_000_000_000)
        let writes = does("INSERT INTO \(table) VALUES (\(id), 'n', 1)", stage, login)
        let changes = does("UPDATE \(table) SET montant = 2 WHERE id = \(id)", stage, login)
        let deletes = does("DELETE FROM \(table) WHERE id = \(id)", stage, login)
        let reads = does("SELECT * FROM \(table)", stage, login)
        guard writes == changes, changes == deletes else { return "mixed" }
        return writes && reads ? "read-write" : reads ? "read" : writes ? "write" : "none"
    }

    @Test func theStoryOfTheGuide() throws {
        let stage = try DatabaseStage()
        try Self.prepare(stage)
        let people = try ConnectionStage(
            stage.vault,
            stage.root,
            people: [
                "sarah": [], "nadia": ["finance"], "amine": ["commercial"], "ahmed": ["commercial"], "zoe": [],
            ]
        )
        // Made: tried first, then stored.
        var wrong = Self.fields(stage)
        wrong["password"] = "not-it"
        let refused = try people.ask(
            "POST",
            Self.path,
            ["type": "postgresql", "fields": wrong],
            as: "sarah",
            expect: [400]
        )
        #expect(refused.text.contains("does not accept the user name or password"), "\(refused.text)")
        let made = try people.ask(
            "POST",
            Self.path,
            ["type": "postgresql", "label": "Base de Données Production", "fields": Self.fields(stage)],
            as: "sarah"
        )
        let id = try #require(made.data["id"] as? String)
        #expect((made.data["test"] as? [String: Any])?["works"] as? Bool == true)
        try people.ask(
            "POST",
            Self.path + "/permissions",
            [
                "tables": Self.rules(Dictionary(uniqueKeysWithValues: Self.tables.map { ($0, "read-write") })),
                "grants": Self.grants,
            ],
            as: "sarah"
        )
        // Tested, as the guide shows it.
        let test = try people.ask("POST", Self.path + "/test", [:], as: "nadia").data
        #expect(test["works"] as? Bool == true && (test["latency_us"] as? Int ?? 0) > 0)
        let rows = try #require(test["rows"] as? [[String: Any]])
        #expect(rows.count == 6 && rows.allSatisfy { $0["rows"] as? Int == 1 && $0["how"] as? String == "exact" })

        // The matrix: six tables, two teams, one person.
        for person in ["nadia", "amine"] {
            let login = try Self.issue(people, person)
            let wanted: [String: String] =
                person == "nadia"
                ? [
                    "clients": "read-write", "factures": "read-write", "paiements": "read-write",
                    "salaires": "read-write", "produits": "read", "commandes": "read-write",
                ]
                : [
                    "clients": "read", "factures": "read", "paiements": "none", "salaires": "none",
                    "produits": "read-write", "commandes": "read-write",
                ]
            for table in Self.tables {
                #expect(Self.level(of: table, stage, login) == wanted[table], "\(person) on \(table)")
            }
            #expect(!Self.does("CREATE TABLE public.evil (x int)", stage, login))
            #expect(!Self.does("CREATE TEMP TABLE evil (x int)", stage, login))
        }
        #expect(try people.status("GET", "connectors/creds/production", as: "ahmed") == 403)
        #expect(try people.status("GET", "connectors/creds/production", as: "zoe") == 403)

        // Rights shrink: wider leases die, sessions too, within five seconds.
        let amine = try Self.issue(people, "amine")
        let nadia = try Self.issue(people, "nadia")
        let changed = try people.ask(
            "POST",
            Self.path + "/permissions",
            ["grants": Array(Self.grants.prefix(1)) + [["group": "commercial", "level": "read"]]],
            as: "sarah"
        )
        #expect(changed.data["leases_ended"] as? Int == 2)
        try eventually(within: 5, "the wider login is gone") { !Self.does("SELECT 1", stage, amine) }
        #expect(Self.does("SELECT * FROM salaires", stage, nadia))
        // Out of the team.
        try people.setTeam("finance", [])
        try eventually(within: 5, "who left the team has nothing") { !Self.does("SELECT 1", stage, nadia) }
        try people.setTeam("finance", ["nadia"])

        // Masked for everybody, in a table of which all is allowed.
        try people.ask(
            "POST",
            Self.path + "/permissions",
            ["masked": [["table": "salaires", "columns": ["montant"]]]],
            as: "sarah"
        )
        let masked = try Self.issue(people, "nadia")
        #expect(Self.does("SELECT id, nom FROM salaires", stage, masked))
        #expect(!Self.does("SELECT montant FROM salaires", stage, masked))
        #expect(!Self.does("UPDATE salaires SET montant = 0", stage, masked))

        // The database was opened wider: no login any more, and the reason names it.
        try stage.server.sql(
            "GRANT SELECT ON clients TO PUBLIC; CREATE TABLE autre (x int); GRANT SELECT ON autre TO PUBLIC"
        )
        let wider = try people.ask("GET", "connectors/creds/production", as: "nadia", expect: [502, 500, 400])
        #expect(wider.text.contains("public.autre"), "\(wider.text)")
        try stage.server.sql("REVOKE SELECT ON clients FROM PUBLIC; DROP TABLE autre")

        // The stored passwords are changed: what was entered is worth nothing any more.
        try people.ask("POST", Self.path + "/rotate", [:], as: "sarah", expect: [204])
        #expect((try? stage.server.sql("SELECT 1", as: ("app", "app-pass"))) == nil)
        #expect(try people.ask("POST", Self.path + "/test", [:], as: "sarah").data["works"] as? Bool == true)
        let rotations = try people.ask("GET", "connectors/rotations", as: "sarah").data
        #expect((rotations["rotations"] as? [Any])?.count == 2, "\(rotations)")

        // What nobody has a lease for goes, and a lease without its login too.
        let lost = try Self.issue(people, "nadia")
        let role = try #require(try Self.roles(stage).first { $0.hasPrefix("coffre_g_") })
        try Self.asDBA(stage, "CREATE ROLE coffre_production_orphan LOGIN; GRANT \(role) TO coffre_production_orphan")
        try Self.asDBA(stage, "CREATE ROLE coffre_other_vault LOGIN; DROP ROLE \(lost.user)")
        let mended = try people.ask("POST", Self.path + "/reconcile", [:], as: "sarah").data
        #expect(mended["logins_without_lease"] as? [String] == ["coffre_production_orphan"], "\(mended)")
        #expect((mended["leases_without_login"] as? [String])?.count == 1)
        #expect(try Self.roles(stage).contains("coffre_other_vault"), "somebody else's login is left alone")
        try Self.asDBA(stage, "DROP ROLE coffre_other_vault")

        // Ended on both sides, and made again of what is left.
        let dry = try people.ask("GET", Self.path + "/consequences", as: "sarah").data
        #expect(dry["leases"] as? Int == 1 && (dry["users"] as? [Any])?.isEmpty == false, "\(dry)")
        let ended = try people.ask("DELETE", Self.path, as: "sarah")
        #expect(ended.data["state"] as? String == "deleted", "\(ended.text)")
        #expect(!Self.does("SELECT 1", stage, masked))
        #expect(try Self.roles(stage).isEmpty, "logins and roles are gone at the server")
        let again = try people.ask("POST", Self.path + "/restore", [:], as: "sarah")
        #expect(again.data["id"] as? String != id)
        #expect(try people.status("GET", "connectors/creds/production", as: "sarah") == 400)
        #expect(try stage.vault.stop() == 0)
        try stage.vault.verifyLog()
    }

    @Test func aUseThatNeedsApprovalWaitsForAnotherPerson() throws {
        let stage = try DatabaseStage()
        try Self.prepare(stage)
        let people = try ConnectionStage(
            stage.vault,
            stage.root,
            people: ["sarah": [], "omar": [], "nadia": ["finance"], "amine": []]
        )
        try people.ask(
            "POST",
            Self.path,
            ["type": "postgresql", "fields": Self.fields(stage), "approval": true],
            as: "sarah"
        )
        try people.ask(
            "POST",
            Self.path + "/permissions",
            [
                "tables": Self.rules(["clients": "read"]),
                "grants": [["group": "finance", "level": "read"], ["entity": "omar", "level": "owner"]],
            ],
            as: "sarah"
        )
        func request(_ person: String) throws -> (token: String, accessor: String) {
            let wrap = try people.ask("GET", "connectors/creds/production", as: person).json["wrap_info"]
            let information = try #require(wrap as? [String: Any])
            return (try #require(information["token"] as? String), try #require(information["accessor"] as? String))
        }
        func open(_ token: String, as person: String) throws -> UnixHTTP.Answer {
            try people.ask("POST", "sys/wrapping/unwrap", ["token": token], as: person, expect: [200, 400, 403])
        }
        try people.ask(
            "PUT",
            "sys/policies/acl/people",
            [
                "policy": ConnectionStage.policy
                    + #" path "sys/wrapping/unwrap" { capabilities = ["update"] } path "sys/control-group/*" { capabilities = ["update"] }"#
            ],
            expect: [200, 204]
        )
        let first = try request("nadia")
        #expect(try open(first.token, as: "nadia").text.contains("needs further approval"))
        // Nobody agrees to what he asked for himself, and not just anybody does.
        #expect(try people.status("POST", "connectors/approvals/\(first.accessor)/approve", [:], as: "nadia") == 403)
        #expect(try people.status("POST", "connectors/approvals/\(first.accessor)/approve", [:], as: "amine") == 403)
        let listed = try people.ask("LIST", "connectors/approvals", as: "omar")
        #expect(listed.data["keys"] as? [String] == [first.accessor])
        try people.ask("POST", "sys/control-group/authorize", ["accessor": first.accessor], as: "omar")
        let state = try people.ask("POST", "sys/control-group/request", ["accessor": first.accessor], as: "nadia")
        #expect(state.data["approved"] as? Bool == true)
        // A stolen token opens nothing for somebody else.
        #expect(try open(first.token, as: "amine").status == 403)
        let opened = try open(first.token, as: "nadia")
        let user = try #require(opened.data["username"] as? String, "\(opened.text)")
        let password = try #require(opened.data["password"] as? String)
        let login = Login(user: user, password: password, lease: opened.json["lease_id"] as? String ?? "")
        #expect(Self.level(of: "clients", stage, login) == "read")
        #expect(try open(first.token, as: "nadia").status == 400, "once")

        // Denied, and void once the rights have changed.
        let second = try request("nadia")
        try people.ask("POST", "connectors/approvals/\(second.accessor)/deny", ["reason": "not today"], as: "sarah")
        #expect(try open(second.token, as: "nadia").status == 403)
        let third = try request("nadia")
        try people.ask("POST", "connectors/approvals/\(third.accessor)/approve", [:], as: "sarah")
        try people.ask("POST", Self.path + "/permissions", ["read_only": true], as: "sarah")
        #expect(try open(third.token, as: "nadia").text.contains("asked for again"))
        #expect(try stage.vault.stop() == 0)
        let operations = try stage.vault.records().compactMap { ($0["what"] as? [String: Any])?["op"] as? String }
        for operation in ["approval.request", "approval.grant", "approval.deny", "lease.issue"] {
            #expect(operations.contains(operation), "\(operation)")
        }
        try stage.vault.verifyLog()
    }

    /// The session of the README, typed by people with tokens of their own.
    @Test func theStoryOnTheCommandLine() throws {
        let stage = try DatabaseStage()
        try Self.prepare(stage)
        let people = try ConnectionStage(
            stage.vault,
            stage.root,
            people: ["sarah": [], "nadia": ["finance"], "zoe": []]
        )
        let folder = try TestFolder()
        var tokens: [String: String] = [:]
        for (person, token) in people.tokens { tokens[person] = try folder.write(person, token) }
        let password = try folder.write("app", "app-pass")
        let administrator = try folder.write("admin", stage.server.password)
        func coffre(_ person: String, _ arguments: [String], language: String = "C") throws -> (
            status: Int32, output: String
        ) {
            let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
            let options = ["--socket", stage.vault.socket, "--token-file", tokens[person] ?? ""]
            return try RunningProcess.run(
                try CoffredProcess.program("coffre"),
                Array(arguments[..<end]) + options + Array(arguments[end...]),
                environment: ["LC_ALL": language]
            )
        }
        let fields = [
            "host=127.0.0.1", "port=\(stage.server.port)", "database=postgres", "ssl_mode=disable", "username=app",
            "admin_username=\(stage.server.user)",
        ]
        let secrets = ["password=@\(password)", "admin_password=@\(administrator)"]
        // What is wrong is told before anything is sent, in the language of who types.
        let literal = try coffre("sarah", ["connection", "create", "postgresql", "p"] + fields + ["password=x"])
        #expect(literal.status == 64 && literal.output.contains("visible to every process"), "\(literal.output)")
        let port = try coffre(
            "sarah",
            ["connection", "create", "postgresql", "p", "port=70000"],
            language: "fr_FR.UTF-8"
        )
        #expect(port.status == 64 && port.output.contains("port"), "\(port.output)")
        let type = try coffre("sarah", ["connection", "create", "postgres", "p"])
        #expect(type.status == 64 && type.output.contains("did you mean postgresql"), "\(type.output)")

        let made = try coffre("sarah", ["connection", "create", "postgresql", "production"] + fields + secrets)
        #expect(made.status == 0 && made.output.contains("Latency:"), "\(made.output)")
        #expect(made.output.contains("made, id c-"))
        let rights = try folder.write(
            "rights.json",
            #"{"tables":[{"table":"clients","level":"read"}],"grants":[{"group":"finance","level":"read"}]}"#
        )
        let given = try coffre("sarah", ["connection", "permissions", "production", "--set", "@\(rights)"])
        #expect(given.status == 0 && given.output.contains("rights changed"), "\(given.output)")
        let tested = try coffre("nadia", ["connection", "test", "production"], language: "fr_FR.UTF-8")
        #expect(tested.status == 0 && tested.output.contains("public.clients: 1 ligne"), "\(tested.output)")
        #expect(try coffre("nadia", ["connection", "list"]).output.contains("production"))

        // A program gets a login for as long as it runs.
        let sql = "select current_user, nom from clients"
        let psql = PostgresServer.programs + "/psql"
        let run = try coffre(
            "nadia",
            [
                "run", "--env", "PGUSER=connectors/creds/production#username", "--env",
                "PGPASSWORD=connectors/creds/production#password", "--", psql, "-XAt", "-h", "127.0.0.1", "-p",
                "\(stage.server.port)", "-d", "postgres", "-c", sql,
            ]
        )
        #expect(run.status == 0 && run.output.contains("coffre_production_"), "\(run.output)")
        try eventually(within: 10, "the login is gone with its program") {
            try Self.roles(stage).allSatisfy { $0.hasPrefix("coffre_g_") }
        }
        #expect(try coffre("zoe", ["read", "connectors/creds/production"]).status == 3)
        #expect(try coffre("sarah", ["connection", "rotate", "production"]).status == 0)
        let status = try coffre("sarah", ["rotation", "status"])
        #expect(status.output.contains("by itself") && status.output.contains("100.0 %"), "\(status.output)")
        let dry = try coffre("sarah", ["connection", "delete", "production", "--dry-run"])
        #expect(dry.status == 0 && dry.output.contains("Used in 30 days by"), "\(dry.output)")
        #expect(try coffre("sarah", ["connection", "delete", "production", "--yes"]).status == 0)
        #expect(try Self.roles(stage).isEmpty)
        #expect(try coffre("sarah", ["connection", "restore", "production"]).status == 0)
        #expect(try coffre("sarah", ["connection", "show", "production"]).output.contains("postgres"))
    }
}
