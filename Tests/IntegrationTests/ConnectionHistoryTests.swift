import CoffreTestSupport
import Foundation
import Testing

/// What a connection was used for, as its server counts it, until 90 days after the connection.
@Suite(.serialized)
struct ConnectionHistoryTests {
    private typealias Story = ConnectionStoryTests

    private static func staged(_ settings: [String]) throws -> (DatabaseStage, ConnectionStage) {
        let stage = try DatabaseStage(settings: settings)
        try Story.prepare(stage)
        let people = try ConnectionStage(stage.vault, stage.root, people: ["sarah": [], "nadia": ["finance"]])
        try people.ask("POST", Story.path, ["type": "postgresql", "fields": Story.fields(stage)], as: "sarah")
        try people.ask(
            "POST",
            Story.path + "/permissions",
            ["tables": Story.rules(["clients": "read"]), "grants": [["group": "finance", "level": "read"]]],
            as: "sarah"
        )
        return (stage, people)
    }

    private static func end(_ login: Story.Login, _ people: ConnectionStage) throws {
        try people.ask("PUT", "sys/leases/revoke", ["lease_id": login.lease], expect: [204])
    }

    @Test func whatALoginRanIsToldOnceItHasEnded() throws {
        let (stage, people) = try Self.staged(["shared_preload_libraries=pg_stat_statements"])
        // It opens two views to everybody, which the matrix does not allow.
        try stage.server.sql(
            """
            CREATE SCHEMA stats; CREATE EXTENSION pg_stat_statements SCHEMA stats;
            REVOKE SELECT ON ALL TABLES IN SCHEMA stats FROM PUBLIC
            """
        )
        let statistics = Story.path + "/stats"
        #expect(try people.ask("GET", statistics, as: "sarah").data["is_measured"] as? Bool == false)
        for _ in 0..<2 {
            let login = try Story.issue(people, "nadia")
            #expect(Story.does("SELECT nom FROM clients WHERE montant = 100", stage, login))
            #expect(Story.does("SELECT nom FROM clients WHERE montant = 100", stage, login))
            try Self.end(login, people)
        }
        let found = try people.ask("GET", statistics + "?limit=1", as: "sarah").data
        #expect(found["is_measured"] as? Bool == true && found["logins"] as? Int == 2, "\(found)")
        let all = try people.ask("GET", statistics, as: "sarah").data["statements"] as? [[String: Any]] ?? []
        let reads = all.filter { $0["calls"] as? Int == 2 && $0["rows"] as? Int == 2 }
        #expect(reads.count == 2 && Set(reads.compactMap { $0["statement"] as? String }).count == 1, "\(all)")
        #expect(!"\(all)".contains("montant"), "a statement itself is never shown")
        // A page at a time, and for who manages the connection alone.
        let next = try #require(found["next"] as? Int)
        let older = try people.ask("GET", statistics + "?limit=1&before=\(next)", as: "sarah").data
        #expect((older["statements"] as? [[String: Any]])?.first?["number"] as? Int == next - 1)
        #expect(try people.status("GET", statistics, as: "nadia") == 403)
        #expect(try people.status("GET", statistics + "?limit=0", as: "sarah") == 400)
        let token = try TestFolder()
        let shown = try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            [
                "connection", "history", "production", "--socket", stage.vault.socket, "--token-file",
                try token.write("sarah", people.tokens["sarah"] ?? ""),
            ],
            environment: ["LC_ALL": "fr_FR.UTF-8"]
        )
        #expect(shown.status == 0 && shown.output.contains("lignes par 2 identifiants"), "\(shown.output)")

        // From its removal on, 90 days are counted; nothing of it is in the audit log until then.
        try people.ask("DELETE", Story.path, as: "sarah")
        let removed = try RunningProcess.run(
            "/usr/bin/python3",
            [
                "-c",
                "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM removed').fetchall(), c.execute('SELECT count(*) > 0 FROM query').fetchall())",
                stage.vault.auditFolder + "/history.sqlite",
            ]
        )
        #expect(removed.output.contains("[(1,)] [(1,)]"), "\(removed.output)")
        #expect(try stage.vault.stop() == 0)
        try stage.vault.verifyLog()
    }

    @Test func withoutStatisticsNothingIsInvented() throws {
        let (stage, people) = try Self.staged([])
        let login = try Story.issue(people, "nadia")
        #expect(Story.does("SELECT nom FROM clients", stage, login))
        try Self.end(login, people)
        let found = try people.ask("GET", Story.path + "/stats", as: "sarah").data
        #expect(found["is_measured"] as? Bool == false && found["calls"] is NSNull && found["returned_rows"] is NSNull)
    }

    /// Many leases end at the same moment: their logins are gone within seconds, and every end has its records.
    @Test func leasesThatEndTogetherAreTakenBackTogether() throws {
        let (stage, people) = try Self.staged([])
        let count = 60
        let logins = try (0..<count).map { _ in try Story.issue(people, "nadia") }
        try people.ask("PUT", "sys/leases/revoke-prefix/connectors/creds/production", [:], expect: [204])
        try eventually(within: 30, "all are gone") {
            try Story.roles(stage).allSatisfy { $0.hasPrefix("coffre_g_") }
        }
        #expect(try stage.vault.stop() == 0)
        let ended = try stage.vault.records().compactMap { $0["what"] as? [String: Any] }
            .filter { $0["op"] as? String == "lease.revoke" }.compactMap { $0["lease"] as? String }
        #expect(Set(logins.map(\.lease)).isSubset(of: Set(ended)))
        let jobs = stage.server.log.components(separatedBy: "DROP OWNED BY").count - 1
        #expect(jobs < count, "\(jobs) transactions for \(count) logins")
        try stage.vault.verifyLog()
    }
}
