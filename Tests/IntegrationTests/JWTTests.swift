import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// People known by the tokens of a real provider: they log in themselves, or a service asks for them.
@Suite(.serialized)
struct JWTTests {
    private static var peopleRole: [String: Any] {
        [
            "role_type": "jwt", "bound_audiences": ["chatbot"], "user_claim": "preferred_username",
            "groups_claim": "groups",
            "claim_mappings": ["email": "email"], "token_policies": ["people"], "token_ttl": "10m",
        ]
    }

    private func stage(isWatched: Bool = false) throws -> JWTStage {
        var setup = CoffredProcess.Setup()
        setup.isWatched = isWatched
        let stage = try JWTStage(setup)
        try stage.configure(["default_role": "people"])
        try stage.ask("POST", "auth/jwt/role/people", Self.peopleRole, expect: [204])
        try stage.policy("people", #"path "secret/data/people/*" { capabilities = ["read"] }"#)
        try stage.policy("service", #"path "secret/data/*" { capabilities = ["create", "update", "read"] }"#)
        for path in ["people/x", "service/x", "team/x"] {
            try stage.ask("POST", "secret/data/\(path)", ["data": ["v": "seen"]])
        }
        return stage
    }

    @Test func hvacLogsIn() throws {
        let stage = try stage()
        let script = """
            import hvac, requests_unixsocket, os, json
            url = 'http+unix://' + os.environ['SOCKET'].replace('/', '%2F')
            def client(token=None): return hvac.Client(url=url, token=token, session=requests_unixsocket.Session())
            c = client(os.environ['TOKEN'])
            jwt = c.auth.jwt
            config = jwt.read_config()['data']
            assert config['bound_issuer'] == os.environ['ISSUER'] and config['default_role'] == 'people', config
            try:
                jwt.configure(oidc_discovery_url=os.environ['ISSUER'])
                assert False
            except hvac.exceptions.InvalidRequest as e: assert 'no network' in str(e), e
            jwt.create_role('hv', 'sub', ['http://localhost/callback'], role_type='jwt', bound_audiences=['chatbot'],
                            bound_claims={'preferred_username': 'alice'}, token_policies=['people'], verbose_oidc_logging=False)
            assert jwt.list_roles()['data']['keys'] == ['hv', 'people']
            assert jwt.read_role('hv')['data']['bound_claims'] == {'preferred_username': 'alice'}
            n = client()
            auth = n.auth.jwt.jwt_login(role='people', jwt=os.environ['JWT'])['auth']
            assert auth['token_policies'] == ['default', 'people'], auth
            assert auth['metadata'] == {'email': 'alice@example.org', 'role': 'people'}, auth
            assert auth['lease_duration'] == 600 and auth['entity_id'], auth
            assert n.lookup_token()['data']['display_name'] == 'jwt-alice'
            assert n.secrets.kv.v2.read_secret_version('people/x')['data']['data'] == {'v': 'seen'}
            for bad in ['x', os.environ['JWT'][:-2], os.environ['JWT'] + '.']:
                try:
                    client().auth.jwt.jwt_login(role='people', jwt=bad)
                    assert False
                except hvac.exceptions.InvalidRequest as e: assert 'error validating token' in str(e), e
            jwt.delete_role('hv')
            assert jwt.list_roles()['data']['keys'] == ['people']
            print('done')
            """
        let result = try RunningProcess.run(
            "/usr/bin/env",
            [
                "SOCKET=\(stage.vault.socket)", "TOKEN=\(stage.root)", "ISSUER=\(stage.server.origin)",
                "JWT=\(try stage.idToken())", try CoffredProcess.python(), "-W", "ignore", "-c", script,
            ]
        )
        #expect(result.status == 0 && result.output.contains("done"), "\(result.output)")
        try stage.expectSecrecy()
    }

    /// A team of the provider with the policy of services.
    private func officers(_ stage: JWTStage) throws {
        let group = try stage.ask(
            "POST",
            "identity/group",
            ["name": "officers", "type": "external", "policies": ["service"]]
        )
        let auths = try stage.ask("GET", "sys/auth").json
        let accessor = try #require((auths["jwt/"] as? [String: Any])?["accessor"] as? String)
        let alias = ["name": "officers", "mount_accessor": accessor, "canonical_id": group.data["id"] as? String ?? ""]
        try stage.ask("POST", "identity/group-alias", alias)
    }

    @Test func baoLogsInAndTheGroupsFollowTheToken() throws {
        let stage = try stage()
        try officers(stage)
        func login(_ person: String) throws -> [String: Any] {
            let file = try stage.vault.folder.write("jwt-\(person)", try stage.idToken(of: person))
            let result = try RunningProcess.run(
                "/usr/bin/env",
                [
                    "BAO_ADDR=unix://\(stage.vault.socket)", "HOME=\(stage.vault.folder.path)",
                    try CoffredProcess.bao(),
                    "write", "-format=json", "auth/jwt/login", "jwt=@\(file)",
                ]
            )
            try FileManager.default.removeItem(atPath: file)
            try #require(result.status == 0, "\(result.output)")
            let json = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            return try #require(json?["auth"] as? [String: Any])
        }
        // alice is an officer, bob is not.
        let alice = try login("alice")
        #expect(alice["identity_policies"] as? [String] == ["service"])
        let token = try #require(alice["client_token"] as? String)
        #expect(try stage.vault.request("GET", "secret/data/service/x", token: token).status == 200)
        #expect(try (login("bob")["identity_policies"] as? [String] ?? []).isEmpty)
        // Nobody adds people to such a group by hand, and a token without it takes it away.
        try stage.ask(
            "POST",
            "auth/jwt/role/plain",
            ["bound_audiences": "chatbot", "user_claim": "preferred_username"],
            expect: [204]
        )
        let body = try CoffredProcess.json(["role": "plain", "jwt": try stage.idToken()])
        #expect(try stage.vault.request("POST", "auth/jwt/login", body: body).status == 200)
        #expect(try stage.vault.request("GET", "secret/data/service/x", token: token).status == 403)
        try stage.expectSecrecy()
    }

    @Test func theCommandLineShowsAndLogsInWithoutArguments() throws {
        let stage = try showing()
        let coffre = try CoffredProcess.program("coffre")
        let file = try stage.vault.folder.write("subject", try stage.idToken() + "\n")
        chmod(file, 0o644)
        let own = try stage.vault.folder.write("own", try stage.idToken(client: "coffre"))
        defer {
            unlink(file)
            unlink(own)
        }
        let login = try RunningProcess.run(
            "/usr/bin/env",
            [coffre, "token", "login", "--of", own, "--field", "client_token", "--socket", stage.vault.socket]
        )
        #expect(login.status == 0 && login.output.hasPrefix("s."), "\(login.output)")
        func get(_ path: String, _ more: [String]) throws -> (status: Int32, output: String) {
            let arguments = ["--reuid=\(JWTStage.chat)", "--regid=65534", "--clear-groups", coffre, "kv", "get", path]
            return try RunningProcess.run("/usr/bin/setpriv", arguments + ["--socket", stage.vault.socket] + more)
        }
        #expect(try get("secret/service/x", []).status == 0)
        #expect(try get("secret/service/x", ["--subject-file", file]).status == 3)
        let seen = try get("secret/people/x", ["--subject-file", file])
        #expect(seen.status == 0 && seen.output.contains("seen"), "\(seen.output)")
        unlink(file)
        unlink(own)
        try stage.expectSecrecy()
    }

    /// With services that show tokens of one client; people log in themselves with those of another.
    private func showing(_ more: [String: Any] = [:], isWatched: Bool = false) throws -> JWTStage {
        let stage = try stage(isWatched: isWatched)
        try stage.ask("POST", "auth/jwt/role/shown", Self.peopleRole, expect: [204])
        try stage.ask("POST", "auth/jwt/role/people", ["bound_audiences": ["coffre"]], expect: [204])
        for (name, uid) in [("chat", JWTStage.chat), ("cron", JWTStage.cron)] {
            var role: [String: Any] = ["bound_uids": [uid], "policies": ["service"], "subject_role": "shown"]
            role.merge(more) { $1 }
            try stage.ask("POST", "auth/peer/role/\(name)", role, expect: [204])
        }
        return stage
    }

    @Test func aServiceMayForAPersonWhatBothMay() throws {
        let stage = try showing()
        let alice = try stage.idToken()
        func seen(_ path: String, _ subject: String?) throws -> Int {
            try stage.ask(as: JWTStage.chat, for: subject, "GET", "secret/data/\(path)").status
        }
        #expect(try seen("people/x", nil) == 200)
        #expect(try seen("service/x", nil) == 200)
        #expect(try seen("people/x", alice) == 200)
        // The service may, alice may not; and the other way round.
        #expect(try seen("service/x", alice) == 403)
        try stage.policy("service", #"path "secret/data/service/*" { capabilities = ["read"] }"#)
        #expect(try seen("people/x", alice) == 403)
        try stage.policy("service", #"path "secret/data/*" { capabilities = ["read"] }"#)
        #expect(try seen("people/x", alice) == 200)
        // What alice may by her own token, the service may for her too.
        try stage.policy("people", #"path "secret/data/service/*" { capabilities = ["read"] }"#)
        #expect(try seen("service/x", alice) == 200)
        #expect(
            try stage.ask(as: JWTStage.chat, for: alice, "POST", "secret/data/service/x", #"{"data":{}}"#).status == 403
        )

        // No token in her name, and none of another kind with her.
        for path in ["auth/token/create", "auth/peer/login"] {
            #expect(try stage.ask(as: JWTStage.chat, for: alice, "POST", path, "{}").status != 200, "\(path)")
        }
        let other = try stage.vault.request(
            "GET",
            "secret/data/service/x",
            token: stage.root,
            headers: ["X-Coffre-Subject": alice]
        )
        #expect(other.status == 403 && other.text.contains("peer role"))
        for bad in ["x", alice + "A", String(alice.dropLast(2)), "\(alice), \(alice)"] {
            #expect(try stage.ask(as: JWTStage.chat, for: bad, "GET", "secret/data/people/x").status == 403)
        }
        let twice = try stage.vault.request("GET", "sys/internal/ui/mounts", headers: ["X-Coffre-Subject": "x"])
        #expect(twice.status == 403, "also where anybody may ask")

        // The record names both.
        let records = try stage.records()
        func member(_ record: [String: Any], _ part: String, _ name: String) -> String? {
            (record[part] as? [String: Any])?[name] as? String
        }
        let mine = records.filter {
            member($0, "who", "for") != nil && member($0, "what", "path") == "secret/service/x"
        }
        #expect(!mine.isEmpty)
        for record in mine {
            #expect(member(record, "who", "kind") == "service" || member(record, "who", "kind") == "human")
            #expect(member(record, "who", "jti") != nil && member(record, "who", "sid") != member(record, "who", "for"))
            #expect(((record["what"] as? [String: Any])?["det"] as? [String: Any])?["for_set"] != nil)
        }
        // Why she was refused can be told later: it was her policies that did not allow it.
        let refusal = try #require(mine.first { "\($0["why"] ?? "")".contains("people") || "\($0)".contains("denied") })
        let number = try #require(refusal["_s"] as? Int)
        let why = try stage.ask("GET", "sys/audit/why/\(number)")
        #expect(why.status == 200, "\(why.text)")
        // She is the same when she asks herself.
        let body = try CoffredProcess.json(["jwt": try stage.idToken(client: "coffre")])
        let auth = try stage.vault.request("POST", "auth/jwt/login", body: body).json["auth"] as? [String: Any]
        let token = try #require(auth?["client_token"] as? String)
        _ = try stage.vault.request("GET", "secret/data/service/x", token: token)
        let last = try stage.records().last { member($0, "who", "tok") == auth?["accessor"] as? String }
        #expect(try member(#require(last), "who", "sid") == member(#require(mine.first), "who", "for"))
        try stage.expectSecrecy()
    }

    @Test func aServiceDoesNotLogInAsThePersonWhoseTokenItHas() throws {
        let stage = try showing()
        try stage.ask(
            "POST",
            "auth/jwt/role/both",
            ["bound_audiences": ["chatbot", "coffre"], "user_claim": "preferred_username"],
            expect: [204]
        )
        func login(_ role: String, _ token: String) throws -> UnixHTTP.Answer {
            let body = try CoffredProcess.json(["role": role, "jwt": token])
            return try stage.vault.request("POST", "auth/jwt/login", body: body)
        }
        let shown = try stage.idToken()
        let byItsRole = try login("shown", shown)
        #expect(byItsRole.status == 400 && byItsRole.errors.first?.contains("nobody logs in with it") == true)
        #expect(try login("both", shown).errors.first?.contains("sign in with another client") == true)
        #expect(try login("both", stage.idToken(client: "coffre")).status == 200)
        #expect(try stage.ask(as: JWTStage.chat, for: shown, "GET", "secret/data/people/x").status == 200)
        // Not either once no role says any more that it is for showing.
        for name in ["chat", "cron"] { try stage.ask("DELETE", "auth/peer/role/\(name)", expect: [204]) }
        #expect(try login("both", shown).errors.first?.contains("a service has shown this token") == true)
        #expect(try login("both", stage.idToken()).status == 200)
        try stage.expectSecrecy()
    }

    @Test func aShownTokenLeavesAloneWhatItsRoleDoesNotRead() throws {
        let stage = try showing()
        try officers(stage)
        let body = try CoffredProcess.json(["jwt": try stage.idToken(client: "coffre")])
        let auth = try stage.vault.request("POST", "auth/jwt/login", body: body).json["auth"] as? [String: Any]
        let token = try #require(auth?["client_token"] as? String)
        func isOfficer() throws -> Bool {
            try stage.vault.request("GET", "secret/data/service/x", token: token).status == 200
        }
        #expect(try isOfficer())
        let plain: [String: Any] = [
            "bound_audiences": ["chatbot"], "user_claim": "preferred_username", "token_policies": ["people"],
        ]
        try stage.ask("POST", "auth/jwt/role/plain", plain, expect: [204])
        let chat: [String: Any] = ["bound_uids": [JWTStage.chat], "policies": ["service"], "subject_role": "plain"]
        try stage.ask("POST", "auth/peer/role/chat", chat, expect: [204])
        #expect(try stage.ask(as: JWTStage.chat, for: stage.idToken(), "GET", "secret/data/people/x").status == 200)
        #expect(try isOfficer())
        // Whom nobody has seen before is made with records of its own.
        let bob = try stage.idToken(of: "bob")
        #expect(try stage.ask(as: JWTStage.chat, for: bob, "GET", "secret/data/people/x").status == 200)
        let made = try stage.records().filter {
            let what = $0["what"] as? [String: Any]
            return what?["op"] as? String == "auth.change" && "\($0["who"] ?? "")".contains("system")
                && what?["path"] as? String == "auth/jwt/role/plain"
        }
        #expect(made.count == 2)
        try stage.expectSecrecy()
    }

    @Test func aTokenFromASecondServiceIsRefusedAndRaised() throws {
        let stage = try showing(isWatched: true)
        let alice = try stage.idToken()
        #expect(try stage.ask(as: JWTStage.chat, for: alice, "GET", "secret/data/people/x").status == 200)
        for _ in 0..<2 {
            let seen = try stage.ask(as: JWTStage.cron, for: alice, "GET", "secret/data/people/x")
            #expect(seen.status == 403 && seen.text.contains("another service"))
        }
        #expect(try stage.ask(as: JWTStage.chat, for: alice, "GET", "secret/data/people/x").status == 200)
        #expect(try stage.ask(as: JWTStage.cron, for: stage.idToken(), "GET", "secret/data/people/x").status == 200)
        let raised = try stage.records().filter {
            "\($0)".contains("subject_replayed") && "\($0)".contains("anomaly.raise") && !"\($0)".contains("finding")
        }
        #expect(raised.count == 1)
        // Whoever looks after anomalies hears of it.
        try eventually(within: 5, "the incident") {
            let answer = try stage.vault.request("GET", "sys/anomalies?kind=subject_replayed", token: stage.root)
            return (answer.data["incidents"] as? [[String: Any]])?.count == 1
        }
        // For another client, by another provider's keys, or without a role that says which: nobody.
        #expect(
            try stage.ask(as: JWTStage.chat, for: stage.idToken(client: "coffre"), "GET", "secret/data/people/x").status
                == 403
        )
        try stage.ask(
            "POST",
            "auth/peer/role/cron",
            ["bound_uids": [JWTStage.cron], "policies": ["service"]],
            expect: [204]
        )
        #expect(try stage.ask(as: JWTStage.cron, for: stage.idToken(), "GET", "secret/data/people/x").status == 403)
        try stage.expectSecrecy()
    }

    @Test func aRoleDemandsOrForbidsAPerson() throws {
        let stage = try showing(["subject": "required"])
        #expect(try stage.ask(as: JWTStage.chat, "GET", "secret/data/people/x").status == 403)
        #expect(try stage.ask(as: JWTStage.chat, "POST", "auth/peer/login", "{}").status == 403)
        #expect(try stage.ask(as: JWTStage.chat, for: stage.idToken(), "GET", "secret/data/people/x").status == 200)
        let forbidding: [String: Any] = [
            "bound_uids": [JWTStage.chat], "policies": ["service"], "subject": "forbidden", "subject_role": "shown",
        ]
        try stage.ask("POST", "auth/peer/role/chat", forbidding, expect: [204])
        #expect(try stage.ask(as: JWTStage.chat, "GET", "secret/data/people/x").status == 200)
        #expect(try stage.ask(as: JWTStage.chat, for: stage.idToken(), "GET", "secret/data/people/x").status == 403)
        // Who is disabled is nobody, through a service too.
        let body = try CoffredProcess.json(["jwt": try stage.idToken(client: "coffre")])
        let auth = try stage.vault.request("POST", "auth/jwt/login", body: body).json["auth"] as? [String: Any]
        let entity = try #require(auth?["entity_id"] as? String)
        try stage.ask("POST", "identity/entity/id/\(entity)", ["disabled": true], expect: [200, 204])
        #expect(try stage.ask(as: JWTStage.cron, for: stage.idToken(), "GET", "secret/data/people/x").status == 403)
        #expect(
            try stage.ask(as: JWTStage.cron, for: stage.idToken(of: "bob"), "GET", "secret/data/people/x").status == 200
        )
    }
}
