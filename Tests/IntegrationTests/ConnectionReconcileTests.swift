import CoffreTestSupport
import Foundation
import Testing

/// What somebody does at the server behind Coffre's back, and servers that never come back.
@Suite(.serialized)
struct ConnectionReconcileTests {
    private typealias Story = ConnectionStoryTests

    private static func staged() throws -> (DatabaseStage, ConnectionStage) {
        let stage = try DatabaseStage()
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

    @Test func rightsThatWereWidenedSinceAreTakenBackOrTold() throws {
        let (stage, people) = try Self.staged()
        let login = try Story.issue(people, "nadia")
        let role = try #require(try Story.roles(stage).first { $0.hasPrefix("coffre_g_") })
        let clean = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
        #expect((clean["rights_mended"] as? [String])?.isEmpty == true, "\(clean)")
        #expect((clean["rights_that_differ"] as? [String])?.isEmpty == true, "\(clean)")

        // By the role, which is Coffre's: taken back. By PUBLIC and a membership: told.
        try stage.server.sql("GRANT UPDATE ON clients TO \(role); GRANT SELECT ON salaires TO \(role)")
        try Story.asDBA(stage, "GRANT SELECT ON paiements TO PUBLIC; GRANT pg_read_all_data TO \(login.user)")
        #expect(Story.does("SELECT * FROM salaires", stage, login))
        let found = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
        let mended = found["rights_mended"] as? [String] ?? []
        let left = found["rights_that_differ"] as? [String] ?? []
        #expect(mended.contains { $0.contains("public.clients") } && mended.contains { $0.contains("public.salaires") })
        #expect(left.contains { $0.contains("pg_read_all_data") }, "\(found)")
        #expect(!Story.does("UPDATE clients SET montant = 1", stage, login))
        try Story.asDBA(stage, "REVOKE pg_read_all_data FROM \(login.user)")
        let again = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
        let still = again["rights_that_differ"] as? [String] ?? []
        #expect(still.contains { $0.contains("public.paiements") }, "\(again)")
        #expect(!Story.does("SELECT * FROM salaires", stage, login))
        // What the role has lost comes back too.
        try Story.asDBA(stage, "REVOKE SELECT ON paiements FROM PUBLIC; REVOKE SELECT ON clients FROM \(role)")
        #expect(!Story.does("SELECT * FROM clients", stage, login))
        try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah")
        #expect(Story.does("SELECT * FROM clients", stage, login))
        #expect(try stage.vault.stop() == 0)
        let raised = try stage.vault.records().compactMap { $0["what"] as? [String: Any] }
            .filter { $0["op"] as? String == "anomaly.raise" && "\($0)".contains("rights_differ") }
        #expect(raised.count == 3, "\(raised)")
        try stage.vault.verifyLog()
    }

    @Test func aConnectionWhoseServerIsGoneForGoodCanBeForgotten() throws {
        let (stage, people) = try Self.staged()
        _ = try Story.issue(people, "nadia")
        stage.server.stop()
        let waiting = try people.ask("DELETE", Story.path, as: "sarah", expect: [202])
        #expect(waiting.text.contains("an administrator can force it"), "\(waiting.text)")
        #expect(try people.status("DELETE", Story.path + "?force=true", as: "sarah") == 403)
        let forced = try people.ask("DELETE", Story.path + "?force=true")
        #expect(forced.data["state"] as? String == "deleted", "\(forced.text)")
        #expect(try people.ask("GET", "sys/leases", expect: [200, 404]).text.contains("creds") == false)
        try people.ask("POST", Story.path + "/restore", [:], as: "sarah")
        #expect(try stage.vault.stop() == 0)
        let operations = try stage.vault.records().compactMap { $0["what"] as? [String: Any] }
        #expect(operations.contains { $0["op"] as? String == "lease.revoke" && "\($0)".contains("forced") })
        try stage.vault.verifyLog()
    }
}
