import CoffreTestSupport
import Foundation
import Testing

/// Connections as people have them: made, shared, changed, ended, across restarts.
@Suite(.serialized)
struct ConnectionTests {
    private static let canary = "s3cret-canary-9f2e"

    private static let fields = [
        "host": "db.example.dz", "port": "5432", "database": "prod_db", "username": "app",
        "password": canary, "ssl_mode": "verify-full",
    ]

    private static func stage() throws -> ConnectionStage {
        let (vault, root) = try CoffredProcess.unsealed()
        return try ConnectionStage(
            vault,
            root,
            people: ["sarah": [], "nadia": ["finance"], "amine": ["commercial"], "ahmed": ["commercial"]]
        )
    }

    private static let path = "connectors/connections/production"

    @Test func aConnectionIsMadeReadChangedAndEnded() throws {
        let stage = try Self.stage()
        #expect(try stage.status("LIST", "connectors/connections", as: "sarah") == 404)
        let made = try stage.ask(
            "POST",
            Self.path,
            [
                "type": "postgresql", "label": "Base de Données Production", "fields": Self.fields, "verify": false,
                "labels": ["env": "prod"],
            ],
            as: "sarah"
        )
        let id = try #require(made.data["id"] as? String)
        #expect(id.hasPrefix("c-") && !made.text.contains(Self.canary))
        // Others do not find it, and what they do not find is forbidden.
        #expect(try stage.status("GET", Self.path, as: "nadia") == 403)
        #expect(try stage.status("GET", "connectors/connections/nothing", as: "nadia") == 403)
        #expect(try stage.status("LIST", "connectors/connections", as: "nadia") == 404)
        #expect(try stage.status("GET", "connectors/connections/nothing", as: nil) == 404)
        let read = try stage.ask("GET", Self.path, as: "sarah")
        #expect(read.data["level"] as? String == "owner" && read.data["visibility"] as? String == "me")
        #expect((read.data["secrets"] as? [String: Any])?.keys.sorted() == ["password"])
        #expect((read.data["fields"] as? [String: Any])?["password"] == nil && !read.text.contains(Self.canary))
        // By id as well as by name.
        #expect(
            try stage.ask("GET", "connectors/connections/\(id)", as: "sarah").data["name"] as? String == "production"
        )
        let listed = try stage.ask("LIST", "connectors/connections", as: "sarah")
        #expect(listed.data["keys"] as? [String] == ["production"])

        // A team finds it.
        try stage.ask("POST", Self.path, ["visibility": "team", "team": "finance"], as: "sarah")
        #expect(try stage.ask("GET", Self.path, as: "nadia").data["level"] as? String == "read")
        #expect(try stage.status("POST", Self.path, ["label": "mine"], as: "nadia") == 403)
        #expect(try stage.status("GET", Self.path, as: "amine") == 403)

        // A restart keeps it all.
        #expect(try stage.vault.stop() == 0)
        try stage.vault.start()
        try stage.vault.unseal()
        #expect(try stage.ask("GET", Self.path, as: "nadia").data["id"] as? String == id)

        // Where it connects changes: the secret is void.
        let moved = try stage.ask("POST", Self.path, ["fields": ["host": "evil.example.com"]], as: "sarah")
        #expect((moved.data["secrets"] as? [String: Any])?.isEmpty == true)
        #expect(moved.text.contains("voids its stored secrets"))

        // Ended, and made again of what is left.
        #expect(try stage.status("DELETE", Self.path, as: "nadia") == 403)
        let dry = try stage.ask("DELETE", Self.path + "?dry_run=true", as: "sarah")
        #expect(dry.data["leases"] as? Int == 0)
        #expect(try stage.ask("DELETE", Self.path, as: "sarah").data["state"] as? String == "deleted")
        #expect(try stage.status("GET", Self.path, as: "nadia") == 403)
        #expect(try stage.status("POST", Self.path + "/restore", [:], as: "nadia") == 403)
        let again = try stage.ask("POST", Self.path + "/restore", [:], as: "sarah")
        #expect(again.data["id"] as? String != id && again.data["visibility"] as? String == "me")
        #expect((again.data["secrets"] as? [String: Any])?.isEmpty == true)
        #expect((again.data["fields"] as? [String: Any])?["host"] as? String == "evil.example.com")

        #expect(try stage.vault.stop() == 0)
        let records = try stage.vault.records().filter { ($0["what"] as? [String: Any])?["conn"] as? String == id }
        let operations = Set(records.compactMap { ($0["what"] as? [String: Any])?["op"] as? String })
        #expect(
            operations.isSuperset(of: ["connector.add", "connector.update", "connection.read", "connector.remove"])
        )
        try stage.vault.verifyLog()
        let disk = try RunningProcess("/bin/grep", ["-rl", Self.canary, stage.vault.folder.path])
        #expect(try disk.wait() == 1, "the secret lies nowhere in clear: \(disk.output)")
    }

    @Test func rightsAreGivenToTeamsAndTakenFromPeople() throws {
        let stage = try Self.stage()
        try stage.ask("POST", Self.path, ["type": "postgresql", "fields": Self.fields, "verify": false], as: "sarah")
        let permissions = Self.path + "/permissions"
        try stage.ask(
            "POST",
            permissions,
            [
                "tables": [["table": "clients", "level": "read-write"], ["table": "salaires", "level": "read"]],
                "masked": [["table": "salaires", "columns": ["montant"]]],
                "grants": [
                    ["group": "finance", "level": "read-write"],
                    ["group": "commercial", "level": "read", "tables": [["table": "clients", "level": "read"]]],
                    ["entity": "ahmed", "level": "none"],
                ],
            ],
            as: "sarah"
        )
        func own(_ person: String) throws -> [String: String] {
            let yours = try stage.ask("GET", permissions, as: person).data["yours"] as? [String: Any]
            let tables = yours?["tables"] as? [[String: Any]] ?? []
            return Dictionary(
                uniqueKeysWithValues: tables.compactMap { cell in
                    (cell["table"] as? String).map { ($0, cell["level"] as? String ?? "") }
                }
            )
        }
        #expect(try own("nadia") == ["clients": "read-write", "salaires": "read"])
        #expect(try own("amine") == ["clients": "read"])
        #expect(try stage.status("GET", permissions, as: "ahmed") == 403)
        #expect(try stage.status("POST", permissions, ["grants": []], as: "nadia") == 403)
        // Members do not see who else may what; the owner does.
        #expect(try stage.ask("GET", permissions, as: "nadia").data["grants"] == nil)
        #expect((try stage.ask("GET", permissions, as: "sarah").data["grants"] as? [Any])?.count == 3)
        // Out of the team, out of the connection.
        try stage.setTeam("finance", [])
        #expect(try stage.status("GET", permissions, as: "nadia") == 403)
        for bad: [String: Any] in [
            ["grants": [["group": "nobody", "level": "read"]]], ["grants": [["entity": "ahmed", "level": "some"]]],
            ["grants": [["entity": "ahmed", "group": "finance", "level": "read"]]],
            ["tables": [["table": String(repeating: "x", count: 64)]]], ["tables": [["table": "t"], ["table": "t"]]],
            ["tables": [["table": "t", "columns": []]]],
            ["masked": [["table": "salaires"]]], ["masked": [["table": "t", "column": ["a"]]]],
            ["grants": [["group": "finance", "level": "read", "tabels": []]]],
            ["masked": [["table": "t", "columns": ["a"]], ["table": "t", "columns": ["b"]]]], ["tabels": []],
            ["read_only": "perhaps"],
        ] {
            #expect(try stage.status("POST", permissions, bad, as: "sarah") == 400, "\(bad)")
        }
    }

    @Test func theCatalogueGivesForms() throws {
        let stage = try Self.stage()
        let keys = try stage.ask("LIST", "connectors/catalogue", as: "zoe").data["keys"] as? [String]
        #expect(keys?.count == 64 && keys?.contains("baridimob") == true)
        let form = try stage.ask("GET", "connectors/catalogue/postgresql", as: "sarah").data
        let properties = try #require(form["properties"] as? [String: [String: Any]])
        #expect(properties["password"]?["writeOnly"] as? Bool == true && properties["host"]?["writeOnly"] == nil)
        #expect(try stage.status("GET", "connectors/catalogue/nothing", as: "sarah") == 404)
    }

    @Test func whatCannotBeAConnectionIsRefusedWithAReason() throws {
        let stage = try Self.stage()
        for (name, body, word): (String, [String: Any], String) in [
            ("a", [:], "type"), ("a", ["type": 7], "type"),
            ("c-0123456789ab", ["type": "postgresql", "fields": Self.fields], "c-"),
            ("a", ["type": "postgresql", "visibility": "all"], "visibility"),
            ("a", ["type": "postgresql", "visibility": "team", "team": "nobody", "fields": Self.fields], "team"),
            ("a", ["type": "postgresql", "rotation_days": 0], "rotation_days"),
            ("a", ["type": "postgresql", "fields": ["password": 7]], "password"),
            ("a", ["type": "postgres"], "did you mean postgresql"), ("a", ["type": "postgresql"], "host"),
            ("a", ["type": "postgresql", "fields": ["host": "h", "port": "70000"]], "port"),
            ("a", ["type": "postgresql", "fields": ["hots": "h"]], "hots"),
            ("a", ["type": "postgresql", "owner": "nobody", "fields": Self.fields], "owner"),
        ] {
            let answer = try stage.vault.request(
                "POST",
                "connectors/connections/\(name)",
                token: stage.root,
                body: try CoffredProcess.json(body)
            )
            #expect(answer.status == 400 && answer.text.contains(word), "\(body): \(answer.text)")
        }
        #expect(try stage.status("LIST", "connectors/connections", as: nil) == 404)
        // Who is nobody in particular would never see it again.
        let nobody = try stage.vault.token(policy: ConnectionStage.policy, named: "nobody", root: stage.root)
        let body: [String: Any] = ["type": "postgresql", "fields": Self.fields, "verify": false]
        let lost = try stage.vault.request(
            "POST",
            "connectors/connections/lost",
            token: nobody,
            body: try CoffredProcess.json(body)
        )
        #expect(lost.status == 400 && lost.text.contains("owner"), "\(lost.text)")
        // Nobody fills somebody else's account; an administrator may.
        let given = body.merging(["owner": "sarah"]) { $1 }
        #expect(try stage.status("POST", "connectors/connections/given", given, as: "nadia") == 403)
        try stage.ask("POST", "connectors/connections/given", given)
        #expect(try stage.status("GET", "connectors/connections/given", as: "sarah") == 200)
    }
}
