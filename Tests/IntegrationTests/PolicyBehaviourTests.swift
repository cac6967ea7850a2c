import CoffreTestSupport
import Foundation
import Testing

/// Limits of rules, questions about policies and password policies, on a running coffred.
@Suite(.serialized)
struct PolicyBehaviourTests {
    private static let shared = Result { try CoffredProcess.unsealed() }

    private var vault: CoffredProcess { get throws { try Self.shared.get().daemon } }
    private var root: String { get throws { try Self.shared.get().root } }

    private func call(_ method: String, _ path: String, _ body: String? = nil, token: String? = nil) throws
        -> UnixHTTP.Answer
    {
        try vault.request(method, path, token: token ?? root, body: body)
    }

    private func token(_ policy: String, _ name: String) throws -> String {
        try vault.token(policy: policy, named: name, root: root)
    }

    @Test func aRuleHoldsTheBodyAgainstItsParameters() throws {
        let token = try token(
            """
            path "secret/data/pb/only" {
              capabilities = ["create", "update", "read"]
              allowed_parameters = { "data" = [{ user = "app" }, { user = true }] }
            }
            path "secret/data/pb/cas" {
              capabilities = ["create", "update"]
              required_parameters = ["options"]
              denied_parameters = { "data" = [{}] }
            }
            path "database/roles/*" {
              capabilities = ["create", "update"]
              denied_parameters = { "creation_statements" = ["*SUPERUSER*"] }
            }
            """,
            "pb-body"
        )
        func write(_ path: String, _ body: String) throws -> Int { try call("POST", path, body, token: token).status }
        #expect(try write("secret/data/pb/only", #"{"data":{"user":"app"}}"#) == 200)
        #expect(try write("secret/data/pb/only", #"{"data":{"us\u0065r":"\u0061pp"}}"#) == 200)
        #expect(try write("secret/data/pb/only", #"{"data":{"user":"root"}}"#) == 403)
        #expect(try write("secret/data/pb/only", #"{"data":{"user":"app"},"options":{}}"#) == 403)
        // The engine takes the last of two members with one name, and so does the rule.
        #expect(try write("secret/data/pb/only", #"{"data":{"user":"app"},"data":{"user":"root"}}"#) == 403)
        #expect(try write("secret/data/pb/only", #"{"data":{"user":"app""#) == 400)
        #expect(try write("secret/data/pb/cas", #"{"data":{"a":1}}"#) == 403)
        #expect(try write("secret/data/pb/cas", #"{"data":{"a":1},"options":{"cas":0}}"#) == 200)
        #expect(try write("secret/data/pb/cas", #"{"data":{},"options":{"cas":1}}"#) == 403)
        #expect(try call("GET", "secret/data/pb/only?version=1", token: token).status == 403)
        #expect(try call("GET", "secret/data/pb/only", token: token).status == 200)
        let role = #"{"db_name":"pg","creation_statements":"ALTER ROLE x SUPERUSER"}"#
        #expect(try write("database/roles/pb", role) == 403)
    }

    @Test func aWrappedAnswerIsDemandedByARule() throws {
        _ = try call("POST", "secret/data/pb/wrapped", #"{"data":{"a":1}}"#)
        let text = #"path "secret/data/pb/wrapped" { capabilities = ["read"] min_wrapping_ttl = "1m" }"#
        #expect(try call("GET", "secret/data/pb/wrapped", token: token(text, "pb-wrap")).status == 403)
    }

    @Test func listsAreCutAndFilteredAsTheirRuleSays() throws {
        for name in ["a", "b", "c", "d/e"] { _ = try call("POST", "secret/data/pbl/\(name)", #"{"data":{"a":1}}"#) }
        let token = try token(
            """
            path "secret/metadata/pbl/" { capabilities = ["list"] pagination_limit = 3
              list_scan_response_keys_filter_path = "{{ .path }}{{ .key }}" }
            path "secret/metadata/pbl/*" { capabilities = ["read", "list"] }
            path "secret/metadata/pbl/b" { capabilities = ["deny"] }
            path "sys/policies/acl" { capabilities = ["list"]
              list_scan_response_keys_filter_path = "sys/policies/acl/{{.key}}" }
            path "sys/policies/acl/default" { capabilities = ["read"] }
            path "sys/policy" { capabilities = ["list"]
              list_scan_response_keys_filter_path = "sys/audit{{.key}}" }
            """,
            "pb-list"
        )
        func keys(_ path: String) throws -> [String]? {
            let answer = try call("LIST", path, token: token)
            return answer.status == 200 ? answer.data["keys"] as? [String] : nil
        }
        #expect(try keys("secret/metadata/pbl") == ["a", "c"])
        #expect(try keys("secret/metadata/pbl?after=b") == ["c", "d/"])
        #expect(try keys("secret/metadata/pbl?limit=1") == ["a"])
        #expect(try keys("secret/metadata/pbl?limit=4") == nil)
        #expect(try keys("sys/policies/acl") == ["default"])
        // No name is left: as if there were none.
        #expect(try call("LIST", "sys/policy", token: token).status == 404)
    }

    @Test func writingAPolicyTellsWhatIsProbablyNotMeant() throws {
        func write(_ text: String, _ name: String = "pb-lint") throws -> UnixHTTP.Answer {
            try call("PUT", "sys/policies/acl/\(name)", try CoffredProcess.json(["policy": text]))
        }
        let answer = try write("# team\npath \"secret/team/*\" { capabilities = [\"read\"] }\n")
        #expect(answer.status == 200)
        let warnings = try #require(answer.json["warnings"] as? [String])
        #expect(warnings.count == 1 && warnings[0].hasPrefix("line 2: ") && warnings[0].contains("secret/data/team/*"))
        #expect(try write(#"path "secret/data/team/*" { capabilities = ["read"] }"#).status == 204)
        #expect(try write(#"path "a" { capabilities = ["read"] }"#, "PB-Lint").status == 200)
        let refused = try write("path \"a\" {\n  control_group = { factor \"x\" {} }\n}")
        #expect(refused.status == 400 && refused.text.contains("line 2") && refused.text.contains("control_group"))
        _ = try call("DELETE", "sys/policies/acl/pb-lint")
    }

    @Test func whoCanNamesPoliciesTokensAndRoles() throws {
        let holder = try token(#"path "secret/data/pw/x" { capabilities = ["read"] }"#, "pw-reader")
        _ = try token(
            """
            path "secret/data/pw/+" { capabilities = ["read"] required_parameters = ["version"] }
            path "secret/data/pw/y" { capabilities = ["read"] }
            """,
            "pw-plus"
        )
        let role = #"{"bound_uids":[65533],"policies":["pw-reader"]}"#
        #expect(try call("POST", "auth/peer/role/pw-role", role).status == 204)
        let accessor = try #require(
            try call("GET", "auth/token/lookup-self", token: holder).data["accessor"] as? String
        )
        let body = #"{"path":"secret/data/pw/x"}"#
        let answer = try call("POST", "sys/policies/who-can", body).data
        let policies = try #require(answer["policies"] as? [[String: Any]])
        #expect(
            policies.compactMap { $0["policy"] as? String }.filter { $0.hasPrefix("pw") } == ["pw-plus", "pw-reader"]
        )
        #expect(policies.first { $0["policy"] as? String == "pw-plus" }?["conditional"] as? Bool == true)
        let tokens = try #require(answer["tokens"] as? [[String: Any]])
        #expect(tokens.contains { $0["accessor"] as? String == accessor && $0["policy"] as? String == "pw-reader" })
        let roles = try #require(answer["peer_roles"] as? [[String: Any]])
        #expect(roles.compactMap { $0["name"] as? String }.contains("pw-role"))
        #expect(answer["truncated"] as? Bool == false)
        // Only who has sudo may ask.
        let asker = try token(#"path "sys/policies/*" { capabilities = ["update"] }"#, "pw-asker")
        #expect(try call("POST", "sys/policies/who-can", body, token: asker).status == 403)
        #expect(try call("POST", "sys/policies/who-can", "{}").status == 400)
        #expect(try call("POST", "sys/policies/who-can", #"{"path":"a","capability":"fly"}"#).status == 400)
        _ = try call("POST", "auth/token/revoke", #"{"token":"\#(holder)"}"#)
        let after = try call("POST", "sys/policies/who-can", body).data["tokens"] as? [[String: Any]]
        #expect(after?.contains { $0["accessor"] as? String == accessor } == false)
        _ = try call("DELETE", "auth/peer/role/pw-role")
    }

    @Test func whyNamesTheRuleThatDecidesAndThoseThatLose() throws {
        let text = """
            # team
            path "secret/data/py/*" {
              capabilities = ["read", "list"]
            }
            path "secret/data/py/x" {
              capabilities = ["deny"]
            }
            path "secret/data/+/x" { capabilities = ["read"] }
            path "sys/policies/why" { capabilities = ["update"] }
            path "sys/seal" { capabilities = ["update"] }
            """
        let token = try token(text, "py")
        func why(_ body: String, as asker: String) throws -> [String: Any] {
            let answer = try call("POST", "sys/policies/why", body, token: asker)
            #expect(answer.status == 200, "\(answer.text)")
            return answer.data
        }
        let refused = try why(#"{"path":"/v1/secret/data/py/x"}"#, as: token)
        #expect(refused["allowed"] as? Bool == false)
        #expect(refused["policy"] as? String == "py" && refused["version"] as? Int == 1 && refused["rule"] as? Int == 1)
        #expect(refused["first_line"] as? Int == 5 && refused["last_line"] as? Int == 7)
        #expect(refused["text"] as? String == text.split(separator: "\n")[4...6].joined(separator: "\n"))
        let competing = try #require(refused["competing"] as? [[String: Any]])
        #expect(competing.compactMap { $0["rule"] as? Int } == [0, 2])
        #expect((competing[0]["reason"] as? String)?.contains("is the path itself") == true)
        let allowed = try why(#"{"path":"secret/data/py/z"}"#, as: token)
        #expect(allowed["allowed"] as? Bool == true && allowed["rule"] as? Int == 0)
        let nothing = try why(#"{"path":"nowhere","capability":"list"}"#, as: token)
        #expect(nothing["allowed"] as? Bool == false && nothing["policy"] is NSNull)
        let sudo = try why(#"{"path":"sys/seal","capability":"update"}"#, as: token)
        #expect(sudo["allowed"] as? Bool == false && sudo["needs_sudo"] as? Bool == true)
        let accessor = try #require(try call("GET", "auth/token/lookup-self", token: token).data["accessor"] as? String)
        let about = #"{"path":"secret/data/py/x","accessor":"\#(accessor)"}"#
        #expect(try why(about, as: token)["allowed"] as? Bool == false)
        #expect(try why(about, as: root)["policy"] as? String == "py")
        // Another's rights are for who has sudo.
        let other = try self.token(#"path "sys/policies/why" { capabilities = ["update"] }"#, "py-other")
        #expect(try call("POST", "sys/policies/why", about, token: other).status == 403)
        #expect(try call("POST", "sys/policies/why", #"{"path":"a","accessor":"none"}"#).status == 400)
    }

    @Test func passwordPoliciesAreKeptAndUsed() throws {
        let text =
            "length = 12\nrule \"charset\" { charset = \"ab\" min-chars = 1 }\nrule \"charset\" { charset = \"\\\"7\" }"
        let path = "sys/policies/password/app.v1"
        #expect(try call("PUT", path, try CoffredProcess.json(["policy": text])).status == 204)
        #expect(try call("GET", path).data["policy"] as? String == text)
        #expect(try call("LIST", "sys/policies/password").data["keys"] as? [String] == ["app.v1"])
        for _ in 0..<20 {
            let password = try #require(try call("GET", path + "/generate").data["password"] as? String)
            #expect(password.count == 12 && password.allSatisfy { "ab\"7".contains($0) })
        }
        let refused = try call("PUT", path, #"{"policy":"length = 3"}"#)
        #expect(refused.status == 400 && refused.text.contains("4 and 100"))
        try vault.restart()
        #expect(try call("GET", path).status == 200)
        // They are no ACL policies.
        #expect((try call("LIST", "sys/policies/acl").data["keys"] as? [String])?.contains("app.v1") == false)
        #expect(try call("DELETE", path).status == 204)
        #expect(try call("GET", path).status == 404)
        #expect(try call("GET", path + "/generate").status == 404)
        #expect(try call("LIST", "sys/policies/password").status == 404)
    }

    // MARK: the command line

    private func coffre(_ arguments: [String], input: String? = nil) throws -> (status: Int32, output: String) {
        let token = try vault.folder.write("pb-token", root)
        let result = try RunningProcess.run(
            "/usr/bin/env",
            [
                "-u", "LC_ALL", "LC_MESSAGES=C", "COFFRE_SOCKET=\(vault.socket)", "COFFRE_TOKEN_FILE=\(token)",
                try CoffredProcess.program("coffre"),
            ] + arguments,
            input: input
        )
        return (result.status, result.output)
    }

    @Test func theCommandLineAsksWhoAndWhy() throws {
        let holder = try token("# one\npath \"secret/data/pc/x\" { capabilities = [\"read\"] }", "pc")
        let accessor = try #require(
            try call("GET", "auth/token/lookup-self", token: holder).data["accessor"] as? String
        )
        let who = try coffre(["policy", "who-can", "secret/data/pc/x"])
        #expect(who.status == 0 && who.output.contains("pc v1, line 2") && who.output.contains(accessor), "\(who)")
        let none = try coffre(["policy", "who-can", "nowhere", "--capability", "patch", "--lang", "fr"])
        #expect(none.output.contains("Aucune politique"), "\(none)")
        let why = try coffre(["policy", "why", "secret/data/pc/x", "--accessor", accessor, "--lang", "fr"])
        #expect(why.status == 0 && why.output.hasPrefix("read secret/data/pc/x: permis"), "\(why)")
        #expect(why.output.contains("  path \"secret/data/pc/x\" { capabilities"), "\(why)")
        let refused = try coffre(["policy", "why", "secret/data/pc/y", "--accessor", accessor])
        #expect(refused.output.contains("refused (no rule fits this path)"), "\(refused)")
        let json = try coffre(["policy", "why", "secret/data/pc/x", "--format", "json"])
        #expect(json.output.contains("\"allowed\": true") && json.output.contains("\"root\""), "\(json)")
    }

    @Test func theCommandLineChecksAPolicyWithoutTheDaemon() throws {
        func lint(_ text: String, _ more: String...) throws -> (status: Int32, output: String) {
            try coffre(["policy", "lint"] + more + ["-"], input: text)
        }
        let fine = try lint("path \"secret/data/a\" { capabilities = [\"read\"] }")
        #expect(fine.status == 0 && fine.output == "nothing to remark (rules: 1)\n", "\(fine)")
        let odd = try lint("\npath \"secret/a\" { capabilities = [\"read\"] }", "--lang", "fr")
        #expect(odd.status == 0 && odd.output.hasPrefix("Ligne  Avertissement\n2 "), "\(odd)")
        #expect(try lint("path \"secret/a\" { policy = \"read\" }", "--strict").status == 1)
        #expect(try lint("path \"secret/a\" { policy = \"read\" }", "--strict", "--kv-mount", "kv").status == 0)
        let wrong = try lint("path \"a\" { capabilities = [\"fly\"] }")
        #expect(wrong.status == 1 && wrong.output == "coffre: refused: line 1: path \"a\": invalid capability 'fly'\n")
        let json = try lint("path \"a\" {", "--format", "json")
        #expect(json.status == 1 && json.output.contains("\"valid\": false"), "\(json)")
    }
}
