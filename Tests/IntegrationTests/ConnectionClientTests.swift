import CoffreTestSupport
import Foundation
import Testing

/// Clients that know nothing of connections take logins from them as from any other path.
struct ConnectionClientTests {
    private typealias Story = ConnectionStoryTests

    @Test func baoAndHvacTakeALogin() throws {
        let stage = try DatabaseStage()
        try Story.prepare(stage)
        let leases = #"path "sys/leases/*" { capabilities = ["update"] }"#
        let people = try ConnectionStage(stage.vault, stage.root, people: ["sarah": []])
        try people.ask(
            "PUT",
            "sys/policies/acl/people",
            ["policy": ConnectionStage.policy + " " + leases],
            expect: [200, 204]
        )
        try people.ask("POST", Story.path, ["type": "postgresql", "fields": Story.fields(stage)], as: "sarah")
        try people.ask(
            "POST",
            Story.path + "/permissions",
            ["tables": Story.rules(["clients": "read"])],
            as: "sarah"
        )
        let environment = [
            "BAO_ADDR": "unix://\(stage.vault.socket)", "HOME": stage.vault.folder.path, "BAO_FORMAT": "json",
            "TOKEN": people.tokens["sarah"] ?? "", "BAO_TOKEN": people.tokens["sarah"] ?? "",
            "SOCKET": stage.vault.socket,
        ]
        let bao = try RunningProcess.run(
            try CoffredProcess.bao(),
            ["read", "connectors/creds/production"],
            environment: environment
        )
        #expect(bao.status == 0, "\(bao.output)")
        try Self.works(bao.output, stage)
        let script = """
            import hvac, json, os, requests_unixsocket, urllib.parse
            url = "http+unix://" + urllib.parse.quote(os.environ["SOCKET"], safe="")
            client = hvac.Client(url=url, token=os.environ["TOKEN"], session=requests_unixsocket.Session())
            answer = client.read("connectors/creds/production")
            print(json.dumps(answer))
            client.sys.renew_lease(answer["lease_id"], increment=60)
            client.sys.revoke_lease(answer["lease_id"])
            """
        let hvac = try RunningProcess.run(try CoffredProcess.python(), ["-c", script], environment: environment)
        #expect(hvac.status == 0, "\(hvac.output)")
        // bao's is still there; hvac has given its own back.
        try eventually("one login is left") {
            try Story.roles(stage).filter { !$0.hasPrefix("coffre_g_") }.count == 1
        }
    }

    private static func works(_ output: String, _ stage: DatabaseStage) throws {
        let answer = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
        let data = try #require(answer?["data"] as? [String: Any], "\(output)")
        let login = Story.Login(
            user: try #require(data["username"] as? String),
            password: try #require(data["password"] as? String),
            lease: answer?["lease_id"] as? String ?? ""
        )
        #expect(Story.does("SELECT * FROM clients", stage, login))
    }
}
