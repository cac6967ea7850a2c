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
        // What is repaired is in the log before it is.
        let repairs = try stage.vault.records().compactMap { $0["what"] as? [String: Any] }
            .filter { $0["op"] as? String == "role.grant" && "\($0)".contains("public.clients") }
        #expect(repairs.count == 4, "\(repairs)")
        try stage.vault.verifyLog()
    }

    /// Logins of one role can each be given something of their own.
    @Test func whatOneOfSeveralLoginsWasGivenIsTold() throws {
        let (stage, people) = try Self.staged()
        let logins = try (0..<4).map { _ in try Story.issue(people, "nadia").user }
        let role = try #require(try Story.roles(stage).first { $0.hasPrefix("coffre_g_") })
        func differences() throws -> [String] {
            let found = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
            return found["rights_that_differ"] as? [String] ?? []
        }
        #expect(try differences().isEmpty)
        let changes = [
            ("GRANT SELECT ON salaires TO \(logins[0])", "REVOKE SELECT ON salaires FROM \(logins[0])", "salaires"),
            ("GRANT pg_monitor TO \(logins[1])", "REVOKE pg_monitor FROM \(logins[1])", "pg_monitor"),
            ("ALTER ROLE \(logins[2]) CREATEDB", "ALTER ROLE \(logins[2]) NOCREATEDB", "CREATEDB"),
            ("ALTER ROLE \(logins[3]) VALID UNTIL 'infinity'", nil, "VALID UNTIL"),
            ("CREATE ROLE stranger LOGIN; GRANT \(role) TO stranger", "DROP ROLE stranger", "stranger"),
        ]
        for (change, _, _) in changes { try Story.asDBA(stage, change) }
        let found = try differences()
        for (_, _, word) in changes {
            // The login that is looked at in detail has "settings".
            let isFound = found.contains { $0.contains(word) || word == "VALID UNTIL" && $0.contains("settings of") }
            #expect(isFound, "\(word): \(found)")
        }
        for (_, undo, _) in changes { if let undo { try Story.asDBA(stage, undo) } }
        #expect(try differences().allSatisfy { $0.contains("VALID UNTIL") || $0.contains("settings of") })
        // A role that somebody dropped leaves logins that can do nothing: told, and not taken for their end.
        try Story.asDBA(stage, "DROP OWNED BY \(role); DROP ROLE \(role)")
        #expect(try differences() == ["missing-right:the role \(role)"])
        #expect(try people.ask("GET", Story.path + "/consequences", as: "sarah").data["leases"] as? Int == 4)
    }

    /// A role that its holder made an owner stands in its own way alone, in the hourly look as in a removal.
    @Test func aRoleThatStaysHidesNothingAndHoldsNothingUp() throws {
        let (stage, people) = try Self.staged()
        let role = try #require(
            try {
                _ = try Story.issue(people, "nadia")
                return try Story.roles(stage).first { $0.hasPrefix("coffre_g_") }
            }()
        )
        // As a holder may before PostgreSQL 16: SET ROLE, lo_create.
        try Story.asDBA(stage, "SELECT lo_create(4730); ALTER LARGE OBJECT 4730 OWNER TO \(role)")
        // Her rights change: another role, and the first is nobody's.
        try people.ask(
            "POST",
            Story.path + "/permissions",
            ["tables": Story.rules(["factures": "read"]), "grants": [["group": "finance", "level": "read"]]],
            as: "sarah"
        )
        try eventually(within: 20, "the first login is gone") {
            try Story.roles(stage).allSatisfy { $0.hasPrefix("coffre_g_") }
        }
        let login = try Story.issue(people, "nadia")
        let second = try #require(try Story.roles(stage).first { $0.hasPrefix("coffre_g_") && $0 != role })
        try Story.asDBA(stage, "GRANT SELECT ON salaires TO \(second)")
        let found = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
        #expect(found["roles_that_stay"] as? [String] == [role], "\(found)")
        #expect((found["rights_mended"] as? [String])?.contains { $0.contains("salaires") } == true, "\(found)")
        #expect(found["is_complete"] as? Bool == true)
        #expect(!Story.does("SELECT * FROM salaires", stage, login))
        let removed = try people.ask("DELETE", Story.path, as: "sarah")
        #expect(removed.data["state"] as? String == "deleted" && removed.text.contains(role), "\(removed.text)")
        #expect(try Story.roles(stage) == [role])
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
