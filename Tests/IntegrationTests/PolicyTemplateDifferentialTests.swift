import CoffreTestSupport
import CoffreVault
import CoffreWire
import Foundation
import Testing

/// Paths with the caller's identity in them, for an entity made in a real OpenBao.
@Suite(.serialized)
struct PolicyTemplateDifferentialTests {
    private static let policy = """
        path "x/id/{{identity.entity.id}}" { capabilities = ["read"] }
        path "x/name/{{ identity.entity.name }}/*" { capabilities = ["read"] }
        path "x/meta/{{identity.entity.metadata.v}}/k" { capabilities = ["update"] }
        path "x/meta/+/k" { capabilities = ["list"] }
        path "x/open/{{identity.entity.metadata.v}}*" { capabilities = ["read"] }
        path "x/two/{{identity.entity.metadata.v}}-{{identity.entity.name}}" { capabilities = ["read"] }
        path "x/alias/{{identity.entity.aliases.ACCESSOR.name}}" { capabilities = ["read"] }
        path "x/other/{{identity.entity.aliases.userpass_none.name}}" { capabilities = ["read"] }
        path "x/group/{{identity.groups.names.eng.id}}" { capabilities = ["read"] }
        path "x/site/{{identity.groups.names.eng.metadata.site}}" { capabilities = ["read"] }
        path "x/ids/{{identity.groups.ids.GROUP.name}}" { capabilities = ["read"] }
        path "x/none/{{identity.groups.names.ops.id}}" { capabilities = ["read"] }
        path "x/deny/*" { capabilities = ["read"] }
        path "x/deny/{{identity.entity.metadata.v}}" { capabilities = ["deny"] }
        path "x/deny/{{identity.entity.metadata.absent}}" { capabilities = ["deny"] }
        path "y" { capabilities = ["read"] }
        """

    @Test func templatesMeanWhatTheyMeanInOpenBao() throws {
        let server = try BaoServer()
        let bao = try server.connected()
        #expect(try bao.request("POST", "sys/auth/userpass", body: #"{"type":"userpass"}"#).status == 204)
        let mounts = try bao.request("GET", "sys/auth").data
        let accessor = try #require((mounts["userpass/"] as? [String: Any])?["accessor"] as? String)
        let user = #"{"password":"pw","token_policies":["t"],"token_no_default_policy":true}"#
        #expect(try bao.request("POST", "auth/userpass/users/bob", body: user).status == 204)
        let login = try bao.request("POST", "auth/userpass/login/bob", body: #"{"password":"pw"}"#)
        let auth = try #require(login.json["auth"] as? [String: Any])
        let token = try #require(auth["client_token"] as? String)
        let id = try #require(auth["entity_id"] as? String)
        let group = try CoffredProcess.json([
            "name": "eng", "member_entity_ids": [id], "metadata": ["site": "nice"],
        ])
        let groupID = try #require(try bao.request("POST", "identity/group", body: group).data["id"] as? String)
        let text = Self.policy.replacingOccurrences(of: "ACCESSOR", with: accessor)
            .replacingOccurrences(of: "GROUP", with: groupID)
        let body = try CoffredProcess.json(["policy": text])
        #expect(try bao.request("PUT", "sys/policies/acl/t", body: body).status == 204)
        let policy = try Policy(name: "t", text: text, version: 1)
        var compared = 0
        for value in ["red", "*", "+", "a*", "a+b", "a/b", "..", "a b", "é", "a}}", "{{x}}", "%2f", "+*"] {
            let change = try CoffredProcess.json(["name": "bobby", "metadata": ["v": value]])
            #expect(try bao.request("POST", "identity/entity/id/\(id)", body: change).status == 204)
            let subject = PolicySubject(
                id: id,
                name: "bobby",
                metadata: ["v": value],
                aliases: [accessor: PolicySubject.Alias(id: "", name: "bob")],
                groups: [PolicySubject.Group(id: groupID, name: "eng", metadata: ["site": "nice"])]
            )
            let acl = ACL(policies: [policy], subject: subject, now: 0)
            for path in Self.paths(id, groupID, value) {
                let question = try CoffredProcess.json(["token": token, "paths": [path]])
                let answer = try bao.request("POST", "sys/capabilities", body: question)
                // A value that could widen a rule: OpenBao answers nothing but errors to this token.
                let theirs = answer.status == 403 ? ["deny"] : answer.data["capabilities"] as? [String]
                #expect(acl.capabilities(path: Array(path.utf8)) == theirs, "\(value) \(path) \(answer.text)")
                compared += 1
            }
        }
        #expect(compared > 200)
    }

    private static func paths(_ id: String, _ group: String, _ value: String) -> [String] {
        [
            "x/id/\(id)", "x/id/other", "x/name/bobby/a", "x/name/bob/a", "x/meta/\(value)/k", "x/meta/zz/k",
            "x/open/\(value)", "x/open/\(value)/more", "x/open/", "x/open/zz", "x/two/\(value)-bobby", "x/two/zz",
            "x/alias/bob", "x/alias/bobby", "x/other/bob", "x/group/\(group)", "x/site/nice", "x/ids/eng", "x/none/x",
            "x/deny/\(value)", "x/deny/zz", "y",
        ]
    }
}
