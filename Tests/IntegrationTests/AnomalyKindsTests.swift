import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// What people do to a running daemon, and the kind of finding that each becomes, with no habits known yet.
@Suite(.serialized)
struct AnomalyKindsTests {
    private func stage() throws -> AlertStage {
        let stage = try AlertStage(hasPost: false)
        try stage.secrets(3)
        return stage
    }

    /// The one incident of the kind since `begin`.
    private func incident(_ kind: String, _ stage: AlertStage, since begin: Int) throws -> [String: Any] {
        try eventually(within: 5, "\(kind)") {
            try stage.incidents(kind).contains { ($0["id"] as? Int ?? 0) > begin }
        }
        let found = try stage.incidents(kind).filter { ($0["id"] as? Int ?? 0) > begin }
        #expect(found.count == 1, "\(found)")
        return try #require(found.first)
    }

    private func newest(_ stage: AlertStage) throws -> Int {
        try stage.daemon.records().compactMap { $0["_s"] as? Int }.max() ?? 0
    }

    @Test func aWrappedAnswerOpenedTwice() throws {
        let stage = try stage()
        let begin = try newest(stage)
        let wrapped = try stage.daemon.request(
            "GET",
            "secret/data/app/0",
            token: try stage.reader("first"),
            headers: ["X-Vault-Wrap-TTL": "60"]
        )
        let token = try #require((wrapped.json["wrap_info"] as? [String: Any])?["token"] as? String)
        #expect(try stage.call("PUT", "sys/wrapping/unwrap", token: token).status == 200)
        #expect(try stage.call("PUT", "sys/wrapping/unwrap", token: token).status == 400)
        let incident = try incident("wrapped_token_reopened", stage, since: begin)
        #expect((incident["reason_en"] as? String)?.contains("opened before") == true)
    }

    @Test func secretsThatOneMayNotHave() throws {
        let stage = try stage()
        let begin = try newest(stage)
        let token = try stage.daemon.token(
            policy: #"path "cubbyhole/x" { capabilities = ["read"] }"#,
            named: "nothing",
            root: stage.root
        )
        for number in 0..<40 {
            #expect(try stage.call("GET", "secret/data/closed/\(number)", token: token).status == 403)
        }
        _ = try incident("mass_enumeration", stage, since: begin)
    }

    @Test func logInsThatFail() throws {
        let stage = try stage()
        let begin = try newest(stage)
        try stage.call("POST", "sys/auth/approle", #"{"type":"approle"}"#)
        try stage.call("POST", "auth/approle/role/app", #"{"policies":"reader"}"#)
        let role = try #require(try stage.call("GET", "auth/approle/role/app/role-id").data["role_id"] as? String)
        for number in 0..<40 {
            let body = #"{"role_id":"\#(role)","secret_id":"00000000-0000-0000-0000-0000000000\#(10 + number)"}"#
            _ = try stage.daemon.request("POST", "auth/approle/login", body: body)
        }
        _ = try incident("denied_burst", stage, since: begin)
    }

    @Test func theLogBeingTurnedOff() throws {
        let stage = try stage()
        let begin = try newest(stage)
        _ = try stage.call("DELETE", "sys/audit/file")
        _ = try incident("audit_tampering", stage, since: begin)
    }

    @Test(.enabled(if: geteuid() == 0)) func aTokenThatAnotherUserShows() throws {
        let stage = try stage()
        let begin = try newest(stage)
        let role = #"{"bound_uids":[0],"policies":["reader"],"ambient":false}"#
        #expect(try stage.call("POST", "auth/peer/role/own", role).status == 204)
        let login = try stage.daemon.request("POST", "auth/peer/login", body: #"{"role":"own"}"#)
        let token = try #require((login.json["auth"] as? [String: Any])?["client_token"] as? String)
        #expect(try stage.call("GET", "secret/data/app/0", token: token).status == 200)
        let curl = [
            "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", stage.daemon.socket,
            "-H", "X-Vault-Token: \(token)", "http://localhost/v1/secret/data/app/0",
        ]
        for _ in 0..<3 {
            #expect(try RunningProcess.run("/usr/bin/setpriv", curl).output.contains("permission denied"))
        }
        let incident = try incident("stolen_token", stage, since: begin)
        #expect(incident["severity"] as? String == "critical")
        #expect((incident["reason_en"] as? String)?.contains("was copied") == true)
    }

    /// A request that waits for another person is told by mail and webhook, with what to type.
    @Test func aRequestForAnApprovalIsSent() throws {
        let stage = try AlertStage()
        let people = try ConnectionStage(stage.daemon, stage.root, people: ["sarah": [], "nadia": []])
        let path = "connectors/connections/production"
        let fields: [String: Any] = [
            "host": "127.0.0.1", "port": "5432", "database": "ventes", "username": "app", "password": "canary-app",
            "admin_username": "admin", "admin_password": "canary-admin",
            "ssl_mode": "disable",
        ]
        try people.ask(
            "POST",
            path,
            ["type": "postgresql", "fields": fields, "approval": true, "verify": false],
            as: "sarah"
        )
        let grants: [String: Any] = [
            "tables": [["table": "clients", "level": "read"]], "grants": [["entity": "nadia", "level": "read"]],
        ]
        try people.ask("POST", path + "/permissions", grants, as: "sarah")
        let asked = try people.ask("GET", "connectors/creds/production", as: "nadia")
        let accessor = try #require((asked.json["wrap_info"] as? [String: Any])?["accessor"] as? String)
        try eventually(within: 10, "the mail") {
            try stage.mails().contains { mail in
                mail.headers.contains("an approval is asked for")
                    && mail.text.contains("coffre approval approve \(accessor)")
                    && mail.text.contains("attend l’accord")
            }
        }
        try eventually(within: 10, "the webhook") {
            try stage.hooks().contains { $0.isValid && $0.body["type"] as? String == "anomaly.approval" }
        }
        #expect(try stage.mails().allSatisfy { !$0.text.contains("canary-admin") })
    }

    /// A setting that would do nothing, or something else than it says, ends the start and is named.
    @Test(arguments: [
        (#"sensitive = ["connectors/creds/x"]"#, "anomaly.sensitive"),
        (#"sensitive = ["secret/*"]"#, "anomaly.sensitive"),
        (#"sensitive = ["/secret/x"]"#, "anomaly.sensitive"), (#"paths = ["secret/*/x"]"#, "anomaly.paths"),
        (#"hold = ["denied_burst"]"#, "anomaly.hold"), (#"slow = ["none"]"#, "anomaly.slow"),
        ("slow_milliseconds = 1", "anomaly.slow_milliseconds"), ("alerts_per_day = 0", "anomaly.alerts_per_day"),
        (#"webhook = "https://host.example/""#, "anomaly.webhook"), (#"utc_offset = "+1""#, "anomaly.utc_offset"),
        (#"weekend = ["vendredi"]"#, "anomaly.weekend"),
    ])
    func aWrongSettingIsNamed(line: String, name: String) throws {
        var setup = CoffredProcess.Setup()
        setup.isWatched = true
        setup.anomaly = line
        let daemon = try CoffredProcess(setup)
        let process = try daemon.launch()
        #expect(try process.wait() == 78)
        #expect(process.says(name), "\(process.output)")
    }
}
