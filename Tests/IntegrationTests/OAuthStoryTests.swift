import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// "Salesforce CRM: off line, token expired: reconnect", and what else needs a provider under its own name and port.
@Suite(.serialized, .enabled(if: geteuid() == 0))
struct OAuthStoryTests {
    private static func stage(needsProofKey: Bool = true) throws -> OAuthStage {
        var setup = OAuthServer.Setup()
        setup.needsProofKey = needsProofKey
        setup.port = 443
        return try OAuthStage(setup, salesforce: true)
    }

    /// What the log has of a step of the story: operation, phase and outcome of each record that concerns the connection.
    private struct Steps {
        let stage: OAuthStage
        private var next = 0

        init(_ stage: OAuthStage) { self.stage = stage }

        mutating func records() throws -> [String] {
            let all = try stage.people.ask("GET", "sys/audit/log?limit=1000").data["records"] as? [[String: Any]] ?? []
            var lines: [String] = []
            for record in all {
                guard let number = record["_s"] as? Int, number >= next, let what = record["what"] as? [String: Any],
                    let operation = what["op"] as? String, let out = record["out"] as? [String: Any]
                else { continue }
                next = max(next, number + 1)
                guard operation.hasPrefix("oauth.") || operation.hasPrefix("lease.") || operation.hasPrefix("rotation.")
                else { continue }
                let outcome = [out["code"], out["err"]].compactMap { $0 as? String }.joined(separator: " ")
                lines.append("\(operation) \(record["ph"] as? String ?? ""): \(outcome)")
            }
            return lines
        }
    }

    @Test func whatIsOffLineIsReconnected() throws {
        let stage = try Self.stage()
        var steps = Steps(stage)
        let begun = try stage.begin()
        #expect((begun.data["authorization_url"] as? String)?.hasPrefix("https://login.salesforce.com/") == true)
        try stage.people.ask("POST", "connectors/oauth/complete", try stage.consent(begun), as: "sarah")
        let connected = try steps.records()
        #expect(connected.contains("oauth.consent intent: granted"), "\(connected)")
        #expect(connected.contains("oauth.consent outcome: granted"), "\(connected)")
        #expect(try stage.works(stage.token().token))
        let handed = try steps.records()
        #expect(handed == ["lease.issue intent: granted", "lease.issue outcome: granted"], "\(handed)")
        // The administrator of the provider ends the grant; the next refresh finds out.
        try stage.server.revokeGrants(of: "alice")
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        let ended = try steps.records()
        #expect(ended.contains { $0.hasPrefix("oauth.refresh outcome: error") }, "\(ended)")
        #expect(ended.contains { $0.hasPrefix("oauth.needs_consent") }, "\(ended)")
        #expect(try stage.state() == "needs-consent")
        let rotations = try stage.people.ask("GET", "connectors/rotations", as: "sarah")
        let rows = try #require(rotations.data["rotations"] as? [[String: Any]])
        #expect(rows.contains { $0["state"] as? String == "needs-consent" && $0["failure"] is String })
        // Reconnect.
        try stage.connect()
        #expect(try stage.state() == "healthy")
        let again = try steps.records()
        #expect(again.contains("oauth.consent outcome: granted"), "\(again)")
        #expect(try stage.works(stage.token().token))
        #expect(try steps.records() == handed)
        try stage.expectSecrecy()
    }

    @Test func aClientNeedsNoPerson() throws {
        let stage = try Self.stage()
        try stage.connection(client: "coffre-machine", salesforce: true)
        let body: [String: Any] = ["connection": "forge", "flow": "client", "scopes": ["read"]]
        let done = try stage.people.ask("POST", "connectors/oauth/start", body, as: "sarah")
        let shown = try #require(done.data["oauth"] as? [String: Any])
        #expect(shown["renewal"] as? String == "client" && shown["consent_due"] is NSNull)
        let first = stage.token().token
        #expect(try stage.works(first))
        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        let second = stage.token().token
        #expect(second != first)
        #expect(try stage.works(second))
        // A wrong secret is told, and put right by entering it.
        let wrong = ["fields": ["client_secret": "wrong"]]
        try stage.people.ask("POST", OAuthStage.path, wrong, as: "sarah")
        let refused = try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [400])
        #expect(refused.text.contains("client id or secret"))
        try stage.people.ask("POST", OAuthStage.path, ["fields": ["client_secret": OAuthServer.secret]], as: "sarah")
        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        // The end, on both sides; where nothing can try the token it is said.
        try stage.people.ask("DELETE", OAuthStage.path + "?dry_run=false", as: "sarah")
        #expect(try !stage.works(stage.token().token))
        #expect(stage.vault.output.contains("a grant was revoked"))
    }

    @Test func whereAProviderHasNoCallThatEndsTokensItIsSaid() throws {
        let stage = try Self.stage(needsProofKey: false)
        let fields = [
            "token_domain": "login.salesforce.com", "authorization_domain": "login.salesforce.com", "tenant": "acme",
            "client_id": "coffre", "client_secret": OAuthServer.secret,
        ]
        let path = "connectors/connections/people"
        try stage.people.ask("POST", path, ["type": "workday", "fields": fields], as: "sarah")
        let callback = try stage.consent(try stage.begin(["connection": "people"]))
        try stage.people.ask("POST", "connectors/oauth/complete", callback, as: "sarah")
        let handed = try stage.people.ask("GET", "connectors/creds/people", as: "sarah")
        #expect(try stage.works(handed.data["access_token"] as? String))
        let done = try stage.people.ask("DELETE", path + "?dry_run=false", as: "sarah")
        #expect((done.json["warnings"] as? [String])?.first?.contains("no call that ends tokens") == true)
        #expect(stage.vault.output.contains("the provider has no call for it"))
        try stage.expectSecrecy()
    }
}
