import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

/// Connections in numbers: many that are due at once, several vaults at one database, names and tables without end.
@Suite(.serialized)
struct ConnectionCrowdTests {
    private typealias Story = ConnectionStoryTests

    // MARK: many rotations

    /// Counts the jobs that set a password, as they pass between the daemons.
    private final class Rotations: @unchecked Sendable {  // Guarded by the lock.
        private let lock = NSLock()
        private var running: [[UInt8]: String] = [:]
        private var overlaps: [String] = []
        private var done = 0

        func see(_ kind: BrokerFrame.Kind, _ frame: [UInt8]) {
            let id = Array(frame[6..<22])
            lock.withLock {
                if kind == .answer, running.removeValue(forKey: id) != nil { done += 1 }
                guard kind == .job, let login = Self.login(frame) else { return }
                if running.values.contains(login) { overlaps.append(login) }
                running[id] = login
            }
        }

        private static func login(_ frame: [UInt8]) -> String? {
            frame.withUnsafeBytes { bytes in
                let body = UnsafeRawBufferPointer(rebasing: bytes[BrokerFrame.headerBytes...])
                guard case .database(let view)? = try? BrokerWork(decoding: body), view.job.kind == .setPassword else {
                    return nil
                }
                return view.job.login
            }
        }

        /// Logins of which two jobs ran at a time, and how many jobs have ended.
        var result: (overlaps: [String], done: Int) { lock.withLock { (overlaps, done) } }
    }

    /// They become due together while their server is away, and are all done within seconds once it is back.
    @Test func aHundredRotationsDueAtOnceAreAllDone() throws {
        let stage = try DatabaseStage()
        try Story.prepare(stage)
        let people = try ConnectionStage(stage.vault, stage.root, people: ["sarah": []])
        let names = (0..<100).map { "app\($0)" }
        try stage.server.sql(
            "SET log_statement = none; "
                + names.map {
                    "CREATE ROLE \($0) LOGIN PASSWORD 'first-\($0)'; GRANT CONNECT ON DATABASE postgres TO \($0);"
                }
                .joined()
                + "CREATE TABLE before AS SELECT rolname, rolpassword FROM pg_authid WHERE rolname ~ '^app[0-9]'"
        )
        for name in names {
            var fields = Story.fields(stage)
            fields["username"] = name
            fields["password"] = "first-\(name)"
            let body: [String: Any] = ["type": "postgresql", "fields": fields, "verify": false]
            try people.ask("POST", "connectors/connections/\(name)", body, as: "sarah")
        }
        try people.ask("POST", "secret/data/kept", ["data": ["a": "b"]])
        stage.server.crash()
        let (vault, token, root) = (stage.vault, people.tokens["sarah"], people.root)
        let statuses = try onThreads(
            names.map { name in
                { try vault.request("POST", "connectors/connections/\(name)/rotate", token: token, body: "{}").status }
            }
        )
        #expect(statuses.allSatisfy { $0 == 400 }, "nothing answers: \(Set(statuses))")
        let rotations = Rotations()
        stage.gate.watch { kind, _, frame in
            rotations.see(kind, frame)
            return [frame]
        }
        try stage.server.resume()
        var slowest = Duration.zero
        var reads = 0
        try eventually(within: 60, "all are rotated") {
            let begin = ContinuousClock.now
            let read = try vault.request("GET", "secret/data/kept", token: root)
            slowest = max(slowest, ContinuousClock.now - begin)
            reads += 1
            #expect(read.status == 200)
            guard reads.isMultiple(of: 50) else { return false }
            let rows = try people.ask("GET", "connectors/rotations", as: "sarah").data["rotations"] as? [[String: Any]]
            let own = (rows ?? []).filter { $0["secret"] as? String == "password" }
            return own.count == names.count && own.allSatisfy { $0["failure"] is NSNull }
                && rotations.result.done >= 100
        }
        #expect(slowest < .seconds(2), "the slowest of \(reads) reads took \(slowest)")
        #expect(rotations.result.overlaps.isEmpty, "two at a time: \(rotations.result.overlaps)")
        #expect(rotations.result.done == names.count, "each once")
        let kept = "SELECT count(*) FROM before b JOIN pg_authid a USING (rolname) WHERE a.rolpassword = b.rolpassword"
        #expect(try Story.asDBA(stage, kept) == "0")
        for name in names {
            let test = try people.ask("POST", "connectors/connections/\(name)/test", [:], as: "sarah").data
            #expect(test["works"] as? Bool == true, "\(name): \(test)")
        }
        try stage.vault.verifyLog()
    }

    // MARK: several vaults

    @Test func twoVaultsAtOneDatabaseLeaveEachOtherAlone() throws {
        let (first, people) = try ConnectionFaultTests.staged()
        let second = try DatabaseStage(server: first.server)
        let others = try ConnectionStage(second.vault, second.root, people: ["sarah": [], "nadia": ["finance"]])
        try others.ask("POST", Story.path, ["type": "postgresql", "fields": Story.fields(first)], as: "sarah")
        let rights: [String: Any] = [
            "tables": Story.rules(["clients": "read"]), "grants": [["group": "finance", "level": "read"]],
        ]
        try others.ask("POST", Story.path + "/permissions", rights, as: "sarah")
        let stages = [(first, people), (second, others)]
        var logins = try stages.map { try Story.issue($0.1, "nadia") }
        for (_, people) in stages {
            let found = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
            #expect(found.values.allSatisfy { ($0 as? [Any])?.isEmpty ?? true }, "\(found)")
            #expect(logins.allSatisfy { Story.does("SELECT * FROM clients", first, $0) })
        }
        // Each with a role of its own, though the rights are the same.
        #expect(try Story.roles(first).count { $0.hasPrefix("coffre_g_") } == 2)
        // One passes away while it issues: the other's reconciler takes nothing of what it left half done.
        second.kill(at: .answerAboutToArrive) { try? second.vault.kill() }
        _ = try? others.status("GET", "connectors/creds/production", as: "nadia")
        try eventually("the second is dead") { !second.vault.isRunning }
        let before = try Story.roles(first)
        try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah")
        #expect(try Story.roles(first) == before)
        try second.recover()
        try eventually(within: 30, "the second ends its own") { try Story.roles(first).count == before.count - 1 }

        // One changes the passwords: the other says whose fault it is, and loses nothing that it has.
        try people.ask("POST", Story.path + "/rotate", [:], as: "sarah", expect: [204])
        let test = try others.ask("POST", Story.path + "/test", [:], as: "sarah").data
        #expect((test["failure"] as? [String: String])?["code"] == "credentials", "\(test)")
        #expect((test["failure"] as? [String: String])?["en"]?.contains("enter them again") == true)
        let refused = try others.ask("GET", "connectors/creds/production", as: "nadia", expect: [400])
        #expect(refused.text.contains("does not accept"), "\(refused.text)")
        #expect(try others.status("POST", Story.path + "/rotate", [:], as: "sarah") == 400)
        let rows = try others.ask("GET", "connectors/rotations", as: "sarah").data["rotations"] as? [[String: Any]]
        let failures = (rows ?? []).compactMap { $0["failure"] as? String }
        #expect(!failures.isEmpty && failures.allSatisfy { $0.contains("does not accept") }, "\(rows ?? [])")
        #expect(logins.allSatisfy { Story.does("SELECT * FROM clients", first, $0) })
        // An account of its own, and it goes on.
        try Story.asDBA(
            first,
            "CREATE ROLE second SUPERUSER LOGIN PASSWORD 'second-pass'; CREATE ROLE app2 LOGIN PASSWORD 'app2-pass'; "
                + "GRANT CONNECT ON DATABASE postgres TO app2"
        )
        let own = [
            "username": "app2", "password": "app2-pass", "admin_username": "second", "admin_password": "second-pass",
        ]
        #expect(try others.status("POST", Story.path, ["fields": own], as: "sarah") == 400, "leases need the old one")
        try others.ask(
            "POST",
            "connectors/connections/own",
            ["type": "postgresql", "fields": Story.fields(first).merging(own) { $1 }],
            as: "sarah"
        )
        try others.ask("POST", "connectors/connections/own/permissions", rights, as: "sarah")
        let answer = try others.ask("GET", "connectors/creds/own", as: "nadia")
        logins.append(
            Story.Login(
                user: try #require(answer.data["username"] as? String),
                password: try #require(answer.data["password"] as? String),
                lease: ""
            )
        )
        // One ends its connection: the other's logins stay.
        try people.ask("DELETE", Story.path, as: "sarah")
        #expect(!Story.does("SELECT 1", first, logins[0]))
        #expect(logins[1...].allSatisfy { Story.does("SELECT * FROM clients", first, $0) })
    }

    // MARK: names

    private static func quoted(_ name: String) -> String { "\"" + name.replacing("\"", with: "\"\"") + "\"" }

    private static let oddNames = [
        "\"; DROP TABLE clients; --", "a.b", "back\\slash", "new\nline", "😀 coffre",
        String(repeating: "é", count: 31) + "x",
        "'; DROP TABLE clients; --", "$1", "%I %s %L", "Clients", "{\"s\":1}", "tab\tand\u{1}", " ",
    ]

    @Test func aTableOfAnyNameIsThatTableAndNoOther() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        let schemas = ["public", "od\"d.\\ 😀\nschema", Self.oddNames[0]]
        var tables: [(schema: String, name: String)] = []
        for schema in schemas {
            if schema != "public" { try stage.server.sql("CREATE SCHEMA \(Self.quoted(schema))") }
            for name in schema == "public" ? Self.oddNames : Array(Self.oddNames.prefix(3)) {
                let table = Self.quoted(schema) + "." + Self.quoted(name)
                try stage.server.sql(
                    "CREATE TABLE \(table) (id int, \(Self.quoted(name)) text); INSERT INTO \(table) VALUES (1, 'x')"
                )
                tables.append((schema, name))
            }
        }
        /// The numbers of the tables that a login reads, of which `columns` are asked for: each is tried.
        func readable(_ login: Story.Login, _ columns: (String) -> String) throws -> [Int] {
            let attempts = tables.enumerated().map { index, table in
                let name = Self.quoted(table.schema) + "." + Self.quoted(table.name)
                let query = "SELECT \(columns(table.name)) FROM \(name)".replacing("'", with: "''")
                return
                    "BEGIN EXECUTE '\(query)'; r := r || '\(index) '; EXCEPTION WHEN insufficient_privilege THEN END;"
            }
            let text = try stage.server.sql(
                "DO $do$ DECLARE r text := ''; BEGIN \(attempts.joined()) PERFORM set_config('a.r', r, false); END $do$; "
                    + "SELECT current_setting('a.r')",
                as: (login.user, login.password)
            )
            return text.split(separator: " ").compactMap { Int($0) }
        }
        for (index, (schema, name)) in tables.enumerated() {
            // Every third with its odd column alone.
            let isPart = index.isMultiple(of: 3)
            var rule: [String: Any] = ["schema": schema, "table": name, "level": "read"]
            if isPart { rule["columns"] = [name] }
            try people.ask("POST", Story.path + "/permissions", ["tables": [rule]], as: "sarah")
            let login = try Story.issue(people, "nadia")
            #expect(try readable(login, Self.quoted) == [index], "\(schema) \(name)")
            #expect(try readable(login) { _ in "*" } == (isPart ? [] : [index]), "\(schema) \(name)")
            #expect(!Story.does("SELECT * FROM clients", stage, login))
            let table = Self.quoted(schema) + "." + Self.quoted(name)
            #expect(!Story.does("SET transaction_read_only = off; DELETE FROM \(table)", stage, login))
            let test = try people.ask("POST", Story.path + "/test", [:], as: "nadia").data
            let row = (test["rows"] as? [[String: Any]])?.first
            #expect(row?["table"] as? String == name && row?["schema"] as? String == schema, "\(test)")
        }
        for name in [String(repeating: "x", count: 64), "", "nul\u{0}"] {
            let body = ["tables": [["table": name, "level": "read"]]]
            #expect(try people.status("POST", Story.path + "/permissions", body, as: "sarah") == 400)
        }
        #expect(try Story.asDBA(stage, "SELECT count(*) FROM clients") == "1")
        #expect(
            try Story.asDBA(stage, "SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'")
                == "\(tables.count + 6)"
        )
        try stage.vault.verifyLog()
    }

    // MARK: tables

    @Test func tenThousandTablesAreUsedInTheTimeOfAFew() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        for batch in 0..<5 {
            try stage.server.sql(
                """
                DO $$ BEGIN FOR i IN \(batch * 2000)..\(batch * 2000 + 1999) LOOP
                EXECUTE format('CREATE TABLE t%s (id int, name text)', i); END LOOP; END $$
                """
            )
        }
        @discardableResult
        func timed<R>(_ limit: Duration, _ what: String, _ body: () throws -> R) rethrows -> R {
            let begin = ContinuousClock.now
            defer {
                let taken = ContinuousClock.now - begin
                #expect(taken < limit, "\(what) took \(taken)")
            }
            return try body()
        }
        let path = Story.path + "/permissions"
        for count in [3, 1000] {
            let rules = (0..<count).map { ["table": "t\($0 * 7)", "level": "read"] }
            try timed(.seconds(5), "the rights of \(count)") {
                try people.ask("POST", path, ["tables": rules], as: "sarah")
            }
            let test = try timed(.seconds(10), "a test of \(count)") {
                try people.ask("POST", Story.path + "/test", [:], as: "nadia")
            }
            #expect(test.data["tables"] as? Int == 10_006, "\(test.text.prefix(300))")
            #expect((test.data["rows"] as? [Any])?.count == min(count, 50) && test.body.count < 65_536)
            for round in ["first", "second"] {
                let answer = try timed(.seconds(15), "the \(round) login of \(count)") {
                    try people.ask("GET", "connectors/creds/production", as: "nadia")
                }
                #expect(answer.body.count < 262_144)
                let login = Story.Login(
                    user: answer.data["username"] as? String ?? "",
                    password: answer.data["password"] as? String ?? "",
                    lease: answer.json["lease_id"] as? String ?? ""
                )
                #expect(Story.does("SELECT * FROM t\((count - 1) * 7)", stage, login))
                #expect(!Story.does("SELECT * FROM t1", stage, login))
                try timed(.seconds(10), "its end") {
                    try stage.write("sys/leases/revoke", ["lease_id": login.lease, "sync": true])
                }
            }
        }
        try timed(.seconds(15), "what a reconciliation drops") {
            try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah")
        }
        #expect(try Story.roles(stage).isEmpty)
        let (vault, broker) = (try stage.memory(ofBroker: false), try stage.memory(ofBroker: true))
        #expect(vault < 192 && broker < 128, "coffred \(vault) MiB, coffre-broker \(broker) MiB")
    }
}
