import CoffreTestSupport
import Foundation
import Testing

/// Credentials of connections for a person through a service, and keys that change: with a real provider and broker.
@Suite(.serialized)
struct JWTConnectionTests {
    private static let creds = "connectors/creds/forge"

    /// A chatbot as a process of its own, with the policy that people have, which asks for people of the provider.
    private func stage(pinned: Bool = true) throws -> OAuthStage {
        let stage = try OAuthStage()
        let people = stage.people
        try people.ask("POST", "sys/auth/jwt", ["type": "jwt"], expect: [204])
        var configuration: [String: Any] = ["bound_issuer": stage.server.origin]
        if pinned {
            configuration["jwks"] = try stage.server.request("/.well-known/jwks.json").json
        } else {
            configuration["jwks_url"] = stage.server.origin + "/.well-known/jwks.json"
        }
        try people.ask("POST", "auth/jwt/config", configuration, expect: [204])
        let believed: [String: Any] = [
            "bound_audiences": "chatbot", "user_claim": "preferred_username", "token_policies": "people",
        ]
        try people.ask("POST", "auth/jwt/role/shown", believed, expect: [204])
        // People log in themselves with tokens of another client.
        let own = believed.merging(["bound_audiences": "coffre"]) { $1 }
        try people.ask("POST", "auth/jwt/role/people", own, expect: [204])
        let children = #"path "auth/token/create" { capabilities = ["update"] }"#
        try people.ask("PUT", "sys/policies/acl/children", ["policy": children], expect: [204])
        try role(stage)
        return stage
    }

    private func role(_ stage: OAuthStage, _ more: [String: Any] = [:]) throws {
        var role: [String: Any] = ["bound_uids": [JWTStage.chat], "policies": ["people", "children"]]
        role["subject_role"] = "shown"
        role.merge(more) { $1 }
        try stage.people.ask("POST", "auth/peer/role/chat", role, expect: [204])
    }

    private func entity(_ stage: OAuthStage, alias: String, of mount: String, named name: String) throws {
        let auths = try stage.people.ask("GET", "sys/auth").json
        let accessor = try #require((auths[mount] as? [String: Any])?["accessor"] as? String)
        let made = try stage.people.ask("POST", "identity/entity", ["name": name])
        let body = ["name": alias, "mount_accessor": accessor, "canonical_id": made.data["id"] as? String ?? ""]
        try stage.people.ask("POST", "identity/entity-alias", body)
    }

    private func grant(_ stage: OAuthStage, _ levels: [String: String]) throws {
        let grants = levels.sorted { $0.key < $1.key }.map { ["entity": $0.key, "level": $0.value] }
        try stage.people.ask("POST", OAuthStage.path + "/permissions", ["grants": grants], as: "sarah")
    }

    @Test func personAndServiceMustBothHaveTheConnection() throws {
        let stage = try stage()
        try stage.connect()
        try entity(stage, alias: "alice", of: "jwt/", named: "alice")
        try entity(stage, alias: "uid:\(JWTStage.chat)", of: "peer/", named: "chatbot")
        let alice = try stage.server.idToken()
        func seen(_ subject: String?) throws -> CoffredProcess.Seen {
            try stage.vault.ask(as: JWTStage.chat, for: subject, "GET", Self.creds)
        }
        try grant(stage, ["chatbot": "read-write"])
        // Leaving the person out does not widen anything, with a token of the service either.
        let bare = try seen(nil)
        #expect(bare.status == 403 && bare.text.contains("for a person only"))
        let login = try stage.vault.ask(as: JWTStage.chat, "POST", "auth/peer/login", "{}")
        let own = try #require(login.json["auth"] as? [String: Any])["client_token"] as? String
        #expect(try stage.vault.ask(as: JWTStage.chat, "GET", Self.creds, token: own).status == 403)
        let child = try stage.vault.ask(as: JWTStage.chat, "POST", "auth/token/create", "{}", token: own)
        let childToken = (child.json["auth"] as? [String: Any])?["client_token"] as? String
        #expect(try stage.vault.ask(as: JWTStage.chat, "GET", Self.creds, token: childToken ?? "none").status == 403)

        #expect(try seen(alice).status == 403, "the person has nothing")
        try grant(stage, ["alice": "read-write"])
        #expect(try seen(alice).status == 403, "the service has nothing")
        try grant(stage, ["alice": "read-write", "chatbot": "none"])
        #expect(try seen(alice).status == 403)
        try grant(stage, ["alice": "none", "chatbot": "read-write"])
        #expect(try seen(alice).status == 403)
        try grant(stage, ["alice": "read-write", "chatbot": "read-write"])
        let both = try seen(alice)
        #expect(both.status == 200)
        #expect(both.data["access_token"] != nil)
        let listed = try stage.vault.ask(as: JWTStage.chat, for: alice, "LIST", "connectors/connections")
        #expect((listed.data["keys"] as? [String]) == ["forge"])
        // Her lease is hers through this service: alone it may not take it back.
        let lease = try #require(both.json["lease_id"] as? String)
        let body = #"{"lease_id":"\#(lease)"}"#
        #expect(try stage.vault.ask(as: JWTStage.chat, "PUT", "sys/leases/revoke", body).status == 400)

        // With a second person's leave, for her alone.
        try stage.people.ask("POST", OAuthStage.path, ["approval": true], as: "sarah")
        let asked = try #require(try seen(alice).json["wrap_info"] as? [String: Any])
        let accessor = try #require(asked["accessor"] as? String)
        let wrapped = try #require(asked["token"] as? String)
        let approve = "connectors/approvals/\(accessor)/approve"
        #expect(try stage.vault.ask(as: JWTStage.chat, for: alice, "POST", approve, "{}").status == 403)
        try stage.people.ask("POST", approve, [:], as: "sarah")
        func unwrap(_ subject: String?) throws -> Int {
            let body = #"{"token":"\#(wrapped)"}"#
            return try stage.vault.ask(as: JWTStage.chat, for: subject, "POST", "sys/wrapping/unwrap", body).status
        }
        #expect(try unwrap(nil) != 200)
        #expect(try unwrap(stage.server.idToken(of: "bob")) != 200)
        #expect(try unwrap(alice) == 200)
        try stage.people.ask("POST", OAuthStage.path, ["approval": false], as: "sarah")

        // A service that says so acts in its own name.
        try role(stage, ["subject": "optional"])
        #expect(try seen(nil).status == 200)
        try tokensKeepTheirRole(stage, alice)

        let records = try stage.vault.records().filter { record in
            let what = record["what"] as? [String: Any]
            return what?["op"] as? String == "lease.issue" && what?["path"] as? String == Self.creds
                && (record["who"] as? [String: Any])?["for"] != nil
        }
        #expect(records.contains { $0["ph"] as? String == "outcome" && "\($0)".contains("granted") })
        #expect(records.allSatisfy { ($0["who"] as? [String: Any])?["jti"] != nil })
        try stage.expectSecrecy()
    }

    /// What a service's tokens get ends with them, and what its role demands binds those that are there.
    private func tokensKeepTheirRole(_ stage: OAuthStage, _ alice: String) throws {
        func token(_ path: String, by token: String? = nil) throws -> String {
            let made = try stage.vault.ask(as: JWTStage.chat, "POST", path, "{}", token: token)
            return try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String, "\(made.text)")
        }
        func seen(_ token: String, for subject: String? = nil, _ path: String = Self.creds) throws
            -> CoffredProcess.Seen
        { try stage.vault.ask(as: JWTStage.chat, for: subject, "GET", path, token: token) }
        let own = try token("auth/peer/login")
        let lease = try #require(try seen(own, for: alice).json["lease_id"] as? String)
        try stage.people.ask("POST", "auth/token/revoke", ["token": own], expect: [204])
        func isActive() throws -> Bool {
            let found = try stage.people.ask("PUT", "sys/leases/lookup", ["lease_id": lease], expect: [200, 400])
            return found.data["state"] as? String == "active"
        }
        #expect(try !isActive())

        let second = try token("auth/peer/login")
        let child = try token("auth/token/create", by: second)
        #expect(try seen(child).status == 200)
        try stage.people.ask("DELETE", "auth/peer/role/chat", expect: [204])
        #expect(try seen(child).status == 403 && seen(second).status == 403)
        #expect(try seen(child, "auth/token/lookup-self").status == 200)
        try role(stage, ["subject": "required"])
        #expect(try seen(child, "auth/token/lookup-self").status == 403)
        #expect(try seen(second, "auth/token/lookup-self").status == 403)
        #expect(try seen(second, for: alice).status == 200)
    }

    @Test func aNewKeyWaitsForAnOperatorAndAnOldOneCanGo() throws {
        let stage = try stage(pinned: false)
        let people = stage.people
        func login(_ token: String) throws -> UnixHTTP.Answer {
            try stage.vault.request(
                "POST",
                "auth/jwt/login",
                body: CoffredProcess.json(["role": "people", "jwt": token])
            )
        }
        func keys() throws -> [String: String] {
            let answer = try people.ask("LIST", "auth/jwt/keys", expect: [200, 404])
            let info = answer.data["key_info"] as? [String: [String: Any]] ?? [:]
            return info.mapValues { $0["state"] as? String ?? "" }
        }
        let first = try stage.server.idToken(client: "coffre")
        #expect(try keys().isEmpty)
        #expect(try login(first).errors.first?.contains("no accepted key") == true)
        let fetched = try people.ask("POST", "auth/jwt/keys/refresh", [:])
        let old = try #require((try keys()).first?.key)
        #expect(try keys() == [old: "pending"])
        #expect((fetched.data["published"] as? Int) == 1)
        #expect(try login(first).errors.first?.contains("waits to be accepted by an operator") == true)
        // Only who has the right, and only a key that is there.
        let nobody = try stage.vault.ask(as: JWTStage.chat, "POST", "auth/jwt/keys/\(old)/accept", "{}")
        #expect(nobody.status == 403)
        #expect(try people.status("POST", "auth/jwt/keys/\(old)x/accept", [:], as: nil) == 404)
        try people.ask("POST", "auth/jwt/keys/\(old)/accept", [:], expect: [204])
        #expect(try login(first).status == 200)
        // It is still believed after a restart.
        #expect(try stage.vault.stop() == 0)
        try stage.recover()
        #expect(try login(first).status == 200)

        _ = try stage.server.request("/test/rotate-key", form: [:])
        let second = try stage.server.idToken(client: "coffre")
        #expect(try login(second).status == 400)
        // The unknown name itself makes the vault look, at most once a minute.
        try eventually(within: 10, "the new key is seen") { try keys().count >= 2 }
        let new = try #require((try keys()).first { $0.value == "pending" }?.key)
        #expect(try login(second).errors.first?.contains("waits to be accepted") == true)
        try people.ask("POST", "auth/jwt/keys/\(new)/accept", [:], expect: [204])
        #expect(try login(second).status == 200 && login(first).status == 200)
        try people.ask("DELETE", "auth/jwt/keys/\(old)", expect: [204])
        #expect(try login(first).status == 400)
        #expect(try login(second).status == 200)
        // Still published, it would have to be accepted again; taken back by the provider, it is gone.
        _ = try people.ask("POST", "auth/jwt/keys/refresh", [:])
        #expect(try keys() == [old: "pending", new: "accepted"])
        _ = try stage.server.request("/test/rotate-key", form: [:])
        _ = try stage.server.request("/test/forget-keys", form: [:])
        _ = try people.ask("POST", "auth/jwt/keys/refresh", [:])
        #expect(try keys()[new] == "withdrawn")
        #expect(try keys()[old] == nil)
        #expect(try login(second).status == 400)
        // A provider that answers nonsense changes nothing; another address forgets all.
        try stage.server.fault(#"{"status":200,"body":"{\"keys\":[]}","type":"application/json"}"#)
        #expect(try people.status("POST", "auth/jwt/keys/refresh", [:], as: nil) == 400)
        try stage.server.fault("{}")
        #expect(try keys()[new] == "withdrawn")
        let other = ["jwks_url": stage.server.origin + "/other", "bound_issuer": stage.server.origin]
        try people.ask("POST", "auth/jwt/config", other, expect: [204])
        #expect(try keys().isEmpty)
        #expect(try people.status("POST", "auth/jwt/keys/refresh", [:], as: nil) == 400)
        try stage.vault.verifyLog()
    }
}
