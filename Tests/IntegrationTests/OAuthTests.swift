import CoffreTestSupport
import Foundation
import Testing

/// Connections by OAuth, against a real authorization server whose refresh tokens serve once.
@Suite(.serialized)
struct OAuthTests {
    @Test func aConsentBecomesATokenThatServicesGetAndRefreshes() throws {
        let stage = try OAuthStage()
        #expect(stage.token().status == 400)
        let begun = try stage.begin()
        let address = try #require(begun.data["authorization_url"] as? String)
        #expect(
            address.hasPrefix(stage.server.origin + "/oauth/authorize?")
                && address.contains("code_challenge_method=S256")
        )
        #expect(begun.data["least_scopes"] as? [String] == ["read_user", "read_api", "read_repository"])
        #expect(
            (begun.data["facts"] as? [[String: Any]])?.contains { $0["key"] as? String == "single_use_refresh" } == true
        )
        let done = try stage.people.ask("POST", "connectors/oauth/complete", try stage.consent(begun), as: "sarah")
        let shown = try #require(done.data["oauth"] as? [String: Any])
        #expect(shown["state"] as? String == "healthy" && shown["renewal"] as? String == "refresh_token")
        #expect(shown["scopes_granted"] as? [String] == ["read"] && shown["missing_scopes"] as? [String] == [])

        let answer = try stage.people.ask("GET", "connectors/creds/forge", as: "sarah")
        let token = try #require(answer.data["access_token"] as? String)
        #expect(try stage.works(token))
        #expect(
            answer.data.keys.sorted() == ["access_token", "connection", "expires_at", "scopes", "token_type", "values"]
        )
        let lease = try #require(answer.json["lease_id"] as? String)
        #expect((3500...3600).contains(answer.json["lease_duration"] as? Int ?? 0))
        #expect(answer.json["renewable"] as? Bool == false)
        // The same token for whoever asks next: it is cached.
        #expect(stage.token().token == token)
        try stage.people.ask("PUT", "sys/leases/revoke", ["lease_id": lease], as: "sarah", expect: [204])

        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        let next = stage.token().token
        #expect(next != token)
        #expect(try stage.works(next))
        #expect(try !stage.works(token))
        #expect(try stage.grant()["generation"] as? Int == 2)

        let tried = try stage.people.ask("POST", OAuthStage.path + "/test", as: "sarah")
        #expect(tried.data["works"] as? Bool == true && tried.data["status"] as? Int == 200)
        let rotations = try stage.people.ask("GET", "connectors/rotations", as: "sarah")
        let rows = try #require(rotations.data["rotations"] as? [[String: Any]])
        let row = try #require(rows.first { $0["secret"] as? String == "refresh_token" })
        #expect(row["automatic"] as? Bool == true && row["age_days"] as? Int == 0)
        try stage.expectSecrecy()
    }

    /// The same caller, the same token, the same end: one lease and one record, as of a secret that is read.
    @Test func whoAsksAgainGetsTheSameLease() throws {
        let stage = try OAuthStage()
        try stage.people.ask("POST", "connectors/oauth/complete", try stage.consent(try stage.begin()), as: "sarah")
        func lease(_ query: String = "", as person: String? = "sarah") throws -> String {
            let answer = try stage.people.ask("GET", "connectors/creds/forge" + query, as: person)
            #expect(answer.data["access_token"] as? String != nil && answer.json["lease_duration"] as? Int ?? 0 > 0)
            return try #require(answer.json["lease_id"] as? String)
        }
        let first = try lease()
        #expect(try lease() == first)
        #expect(try lease() == first)
        // Another caller, and a shorter time, are others.
        #expect(try lease(as: nil) != first)
        let short = try stage.people.ask("GET", "connectors/creds/forge?ttl=60s", as: "sarah")
        #expect(short.json["lease_id"] as? String != first && short.json["lease_duration"] as? Int == 60)
        let long = try lease()
        try stage.people.ask("PUT", "sys/leases/revoke", ["lease_id": long], as: "sarah", expect: [204])
        let second = try lease()
        #expect(second != long)
        // Another token is another lease, and nobody keeps what is taken away.
        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        let third = try lease()
        #expect(third != second)
        try stage.people.ask("POST", OAuthStage.path + "/disable", as: "sarah", expect: [200, 204])
        #expect(stage.token().status == 400)
        try stage.people.ask("POST", OAuthStage.path + "/enable", as: "sarah", expect: [200, 204])
        #expect(try lease() != third)
        #expect(try stage.vault.stop() == 0)
        let records = try stage.vault.records().filter {
            ($0["what"] as? [String: Any])?["op"] as? String == "lease.issue" && $0["ph"] as? String == "single"
        }
        #expect(records.count == 2 && records.allSatisfy { "\($0)".contains("again") }, "\(records)")
        try stage.vault.verifyLog()
    }

    @Test func aStateServesOnceForWhoBeganAndForNobodyElse() throws {
        let stage = try OAuthStage()
        let callback = try stage.consent(try stage.begin())
        func complete(_ body: [String: Any], as person: String? = "sarah") throws -> Int {
            try stage.people.status("POST", "connectors/oauth/complete", body, as: person)
        }
        #expect(try complete(callback, as: "nadia") == 403)
        #expect(try complete(callback.merging(["state": "unknown"]) { $1 }) == 400)
        #expect(try complete(callback) == 200)
        #expect(try complete(callback) == 400)
        // Another issuer, a refusal, a code that is none: each ends that consent, and the grant stays as it was.
        let wrong = try stage.consent(try stage.begin()).merging(["iss": "https://evil.example"]) { $1 }
        #expect(try complete(wrong) == 400)
        #expect(try complete(wrong.merging(["iss": stage.server.origin]) { $1 }) == 400)
        let denied = try stage.consent(try stage.begin(), denying: true)
        #expect(denied["error"] == "access_denied")
        #expect(try complete(denied) == 400)
        let bad = try stage.consent(try stage.begin()).merging(["code": "nothing"]) { $1 }
        #expect(try complete(bad) == 400)
        #expect(try stage.state() == "healthy")
        #expect(try stage.works(stage.token().token))
        // The redirect service of a site hands in what somebody else began; only sudo lets it.
        #expect(try complete(try stage.consent(try stage.begin()), as: nil) == 200)
        // Only the owner begins, and a changed connection voids what was begun.
        #expect(
            try stage.people.status("POST", "connectors/oauth/start", ["connection": "forge"], as: "nadia") == 403
        )
        let late = try stage.consent(try stage.begin())
        try stage.people.ask("POST", OAuthStage.path, ["label": "Forge"], as: "sarah")
        #expect(try complete(late) == 400)
        for redirect in ["http://evil.example/cb", "ftp://127.0.0.1/", "https://a b/", "http://127.0.0.1:1/#x", ""] {
            let body: [String: Any] = ["connection": "forge", "redirect_uri": redirect]
            #expect(try stage.people.status("POST", "connectors/oauth/start", body, as: "sarah") == 400, "\(redirect)")
        }
    }

    @Test func lessThanAskedIsShownAndMoreThanReadingNeedsTheRightToWrite() throws {
        let stage = try OAuthStage()
        let callback = try stage.consent(try stage.begin(["scopes": ["read", "write"]]), granting: "read")
        let done = try stage.people.ask("POST", "connectors/oauth/complete", callback, as: "sarah")
        #expect((done.data["oauth"] as? [String: Any])?["missing_scopes"] as? [String] == ["write"])
        #expect((done.json["warnings"] as? [String])?.first?.contains("write") == true)
        // "read" is not among the catalogue's least scopes of this type: a reader does not get it.
        try stage.people.ask("POST", OAuthStage.path, ["visibility": "team", "team": "commercial"], as: "sarah")
        #expect(stage.token(as: "amine").status == 403)
        #expect(stage.token(as: "nadia").status == 403)
        #expect(stage.token().status == 200)
    }

    @Test func twentyServicesAtTheMomentOfExpiryCauseOneRefresh() throws {
        var setup = OAuthServer.Setup()
        setup.accessSeconds = 16
        let stage = try OAuthStage(setup)
        try stage.connect()
        // Nobody has had it, so it is not refreshed ahead; a quarter of its life before the end it counts as ended.
        let end = try #require(try stage.grant()["access_token_ends"] as? String)
        try eventually(within: 30, "the token is about to end") { try #require(Self.left(end)) < 3 }
        let tokens = try onThreads((0..<20).map { _ in { stage.token().token } })
        #expect(tokens.allSatisfy { $0 != nil } && Set(tokens.compactMap { $0 }).count == 1)
        #expect(try stage.server.statuses("refresh_token") == [200])
        #expect(try stage.server.tokens()["families"] == 0)
    }

    private static func left(_ text: String) -> Double? {
        let formatter = ISO8601DateFormatter()
        let whole = text.replacing(/\.[0-9]+Z/, with: "Z")
        return formatter.date(from: whole)?.timeIntervalSinceNow
    }

    @Test func aProviderThatIsAwayAndComesBackCostsNothing() throws {
        let stage = try OAuthStage()
        try stage.connect()
        let token = stage.token().token
        try stage.server.kill()
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        #expect(try stage.state() == "degraded")
        #expect(stage.token().token == token)
        #expect(stage.vault.output.contains("cannot be refreshed and are tried again"))
        try stage.server.restart()
        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        #expect(try stage.state() == "healthy" && stage.grant()["attempts"] as? Int == 0)
        #expect(stage.vault.output.contains("are refreshed again"))
        #expect(try stage.works(stage.token().token))
    }

    @Test func aGrantThatTheProviderEndedNeedsConsentSaysWhyAndIsKept() throws {
        let stage = try OAuthStage()
        try stage.connect()
        try stage.server.revokeGrants(of: "alice")
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        let grant = try stage.grant()
        #expect(grant["state"] as? String == "needs-consent")
        #expect((grant["reason"] as? String)?.contains("no longer accepts") == true)
        #expect(try stage.server.statuses("refresh_token") == [400])
        // Nobody asks again for nothing.
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        #expect(try stage.server.statuses("refresh_token") == [400])
        let log = try stage.people.ask("GET", "sys/audit/log?op=oauth.needs_consent").text
        #expect(log.contains("no longer accepts"))
        try stage.connect()
        #expect(try stage.state() == "healthy")
        #expect(try stage.works(stage.token().token))
        try stage.expectSecrecy()
    }

    @Test func anAnswerThatTheNetworkLostIsNamedWhenTheGrantIsGone() throws {
        let stage = try OAuthStage()
        try stage.connect()
        try stage.server.fault(#"{"drop":1}"#)
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        #expect(try stage.grant()["is_unsure"] as? Bool == true)
        #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
        #expect(try stage.state() == "needs-consent")
        #expect((try stage.grant()["reason"] as? String)?.contains("was lost") == true)
        try stage.connect()
        // Answers that are none: pages for people, redirects, ten megabytes. The grant waits, and works afterwards.
        for fault in [
            #"{"status":200,"body":"<html>welcome</html>","count":1}"#, #"{"status":302,"body":"","count":1}"#,
            #"{"status":503,"body":"x","count":1}"#,
            #"{"status":200,"body":"{\"error\":\"temporarily_unavailable\"}","type":"application/json","count":1}"#,
            "{\"status\":200,\"count\":1,\"body\":\"\(String(repeating: "x", count: 2_000_000))\"}",
        ] {
            let file = try stage.vault.folder.write("fault.json", fault)
            try stage.server.fault("@" + file)
            #expect(try stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah") == 400)
            #expect(try stage.grant()["generation"] as? Int == 2)
            #expect(try stage.works(stage.token().token))
        }
        try stage.people.ask("POST", OAuthStage.path + "/rotate", as: "sarah", expect: [204])
        #expect(try stage.works(stage.token().token))
        try stage.expectSecrecy()
    }

    @Test func theEndIsTheEndOnBothSides() throws {
        let stage = try OAuthStage()
        try stage.connect()
        let token = stage.token().token
        // While the provider is away nothing is wiped, and it is said.
        try stage.server.kill()
        let kept = try stage.people.ask("DELETE", OAuthStage.path + "?dry_run=false", as: "sarah", expect: [202])
        #expect(kept.text.contains("nothing answers"))
        #expect(stage.token().status == 400)
        try stage.server.restart()
        #expect(try stage.works(token))
        let done = try stage.people.ask("DELETE", OAuthStage.path + "?dry_run=false", as: "sarah")
        #expect(done.data["state"] as? String == "deleted")
        #expect(try !stage.works(token))
        #expect(try stage.server.tokens()["refresh"] == 0)
        #expect(stage.vault.output.contains("the access token is dead"))
        #expect(try stage.people.ask("GET", "sys/audit/log?op=oauth.revoke").text.contains("granted"))
        // Restored, it needs its secret and a consent again.
        let back = try stage.people.ask("POST", OAuthStage.path + "/restore", as: "sarah")
        #expect((back.data["secrets"] as? [String: Any])?.isEmpty == true && back.data["oauth"] == nil)
    }

    @Test func anotherClientOrHostVoidsTheTokens() throws {
        let stage = try OAuthStage()
        try stage.connect()
        let changed = try stage.people.ask("POST", OAuthStage.path, ["fields": ["client_id": "other"]], as: "sarah")
        #expect((changed.json["warnings"] as? [String])?.contains { $0.contains("connect again") } == true)
        #expect(try stage.state() == "needs-consent")
        #expect(stage.token().token == nil)
        try stage.connection(client: "coffre")
        try stage.connect()
        #expect(try stage.works(stage.token().token))
        // A new secret of the same client leaves them alone.
        try stage.people.ask("POST", OAuthStage.path, ["fields": ["client_secret": OAuthServer.secret]], as: "sarah")
        #expect(try stage.state() == "healthy")
    }

    @Test func aDeviceIsConnectedByAPersonElsewhere() throws {
        let stage = try OAuthStage()
        try stage.connection(client: "coffre-device", secret: nil)
        let begun = try stage.begin(["flow": "device"])
        let code = try #require(begun.data["user_code"] as? String)
        let poll = ["state": try #require(begun.data["state"] as? String)]
        #expect(
            try stage.people.ask("POST", "connectors/oauth/device", poll, as: "sarah").data["pending"] as? Bool == true
        )
        #expect(try stage.people.status("POST", "connectors/oauth/device", poll, as: "nadia") == 403)
        // A broker that is away costs no consent.
        stage.killBroker()
        #expect(try stage.people.status("POST", "connectors/oauth/device", poll, as: "sarah") == 502)
        try stage.recover()
        try stage.server.answerDevice(code)
        try eventually(within: 20, "the device is connected") {
            try stage.people.ask("POST", "connectors/oauth/device", poll, as: "sarah").data["oauth"] != nil
        }
        #expect(try stage.works(stage.token().token))
    }

    @Test func aTokenMayNeedTheConsentOfASecondPerson() throws {
        let stage = try OAuthStage()
        try stage.connect()
        let rights: [String: Any] = ["grants": [["entity": "amine", "level": "read-write"]]]
        try stage.people.ask("POST", OAuthStage.path + "/permissions", rights, as: "sarah", expect: [200, 204])
        #expect(try stage.works(stage.token(as: "amine").token))
        try stage.people.ask("POST", OAuthStage.path, ["approval": true], as: "sarah")
        let asked = try stage.people.ask("GET", "connectors/creds/forge", as: "amine")
        let wrap = try #require(asked.json["wrap_info"] as? [String: Any])
        let (token, accessor) = (wrap["token"] as? String ?? "", wrap["accessor"] as? String ?? "")
        let unwrap = ["token": token]
        #expect(try stage.people.status("POST", "sys/wrapping/unwrap", unwrap, as: "amine") == 400)
        try stage.people.ask("POST", "connectors/approvals/\(accessor)/approve", [:], as: "sarah")
        let opened = try stage.people.ask("POST", "sys/wrapping/unwrap", unwrap, as: "amine")
        let lease = try #require(opened.json["lease_id"] as? String)
        #expect(try stage.works(opened.data["access_token"] as? String))
        // Rights that shrink end the lease; the token itself is everybody's, and ends by itself.
        #expect(try stage.people.status("PUT", "sys/leases/lookup", ["lease_id": lease], as: nil) == 200)
        let none: [String: Any] = ["grants": [["entity": "amine", "level": "none"]]]
        try stage.people.ask("POST", OAuthStage.path + "/permissions", none, as: "sarah", expect: [200, 204])
        try eventually(within: 5, "the lease is over") {
            try stage.people.status("PUT", "sys/leases/lookup", ["lease_id": lease], as: nil) == 400
        }
        #expect(stage.token(as: "amine").status == 403)
    }

    @Test func standardClientsReadTheToken() throws {
        let stage = try OAuthStage()
        try stage.connect()
        let sarah = try #require(stage.people.tokens["sarah"])
        let environment = [
            "BAO_ADDR": "unix://" + stage.vault.socket, "BAO_TOKEN": sarah, "HOME": stage.vault.folder.path,
        ]
        let (status, output) = try RunningProcess.run(
            "/usr/bin/env",
            environment.map { "\($0.key)=\($0.value)" }
                + [try CoffredProcess.bao(), "read", "-field=access_token", "connectors/creds/forge"]
        )
        let (_, hvac) = try RunningProcess.run(
            try CoffredProcess.python(),
            [
                "-c",
                """
                import hvac, requests_unixsocket, urllib.parse, sys
                session = requests_unixsocket.Session()
                url = "http+unix://" + urllib.parse.quote(sys.argv[1], safe="")
                client = hvac.Client(url=url, token=sys.argv[2], session=session)
                print(client.read("connectors/creds/forge")["data"]["access_token"])
                """, stage.vault.socket, sarah,
            ]
        )
        #expect(try stage.works(hvac.trimmingCharacters(in: .whitespacesAndNewlines)), "\(hvac)")
        #expect(status == 0, "\(output)")
        #expect(try stage.works(output.trimmingCharacters(in: .whitespacesAndNewlines)))
    }
}
