import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Decoys and whoever means harm, or pulls the plug.
@Suite(.serialized)
struct DecoyMischiefTests {
    @Test func makingAndEndingOneNeedsSudo() throws {
        let stage = try DecoyStage()
        #expect(try stage.create("secret/a").status == 200)
        let all = #""create", "read", "update", "delete", "list""#
        let plain = try stage.vault.token(
            policy: "path \"sys/decoys\" { capabilities = [\(all)] } path \"sys/decoys/*\" { capabilities = [\(all)] }",
            named: "plain",
            root: stage.root
        )
        func call(_ verb: String, _ path: String, _ token: String?) throws -> Int {
            try stage.vault.request(verb, path, token: token, body: verb == "POST" ? "{}" : nil).status
        }
        #expect(try call("POST", "sys/decoys/secret/b", plain) == 403)
        #expect(try call("DELETE", "sys/decoys/secret/a", plain) == 403)
        // A wide right to read does not tell what is bait.
        #expect(try call("GET", "sys/decoys/secret/a", plain) == 403)
        #expect(try call("LIST", "sys/decoys", plain) == 403)
        #expect(try stage.call("GET", "secret/data/b").status == 404)
        let sudo = try stage.vault.token(
            policy: #"path "sys/decoys/secret/c*" { capabilities = ["read", "update", "delete", "sudo"] }"#,
            named: "sudo",
            root: stage.root
        )
        #expect(try call("POST", "sys/decoys/secret/c1", sudo) == 200)
        #expect(try call("POST", "sys/decoys/secret/d", sudo) == 403)
        #expect(try call("GET", "sys/decoys/secret/c1", sudo) == 200)
        #expect(try call("GET", "sys/decoys", sudo) == 403)
        #expect(try call("DELETE", "sys/decoys/secret/c1", sudo) == 204)
        let unknown = try stage.vault.token(policies: ["default"], root: stage.root)
        for token in [unknown, "s.bad", nil] {
            for (verb, path) in [
                ("GET", "sys/decoys"), ("GET", "sys/decoys/secret/a"), ("POST", "sys/decoys/secret/b"),
            ] {
                #expect(try call(verb, path, token) == 403)
            }
        }
        #expect(try stage.call("PATCH", "sys/decoys/secret/a", "{}").status == 405)
        #expect(try stage.call("POST", "sys/decoys", "{}").status == 405)
    }

    @Test func whatIsNoSecretIsNoDecoy() throws {
        let stage = try DecoyStage()
        for (path, type) in [("transit", "transit"), ("old", "kv")] {
            #expect(try stage.call("POST", "sys/mounts/\(path)", #"{"type":"\#(type)"}"#).status == 204)
        }
        _ = try stage.call("POST", "secret/data/folder/leaf", #"{"data":{}}"#)
        _ = try stage.call("POST", "old/folder/leaf", #"{"a":"b"}"#)
        let long = String(repeating: "p", count: 10_240)
        let refused = [
            "secret/..", "secret/../sys/x", "secret/%2e%2e/x", "secret/a/../b", "secret//x", "secret/", "secret",
            "secret/data/", "secret/folder", "secret/data/folder", "old/folder", "secret/x/", "transit/keys/k",
            "transit", "nowhere/x", "sys/policies/acl/x", "auth/token/create", "identity/entity", "cubbyhole/x",
            "database/creds/x", "connectors/connections/x", "", "/", "secret/a%00b", "secret/a%0ab", "secret/%ff",
            "secret/%E2%80%AE",
            "secret/\(long)", "secret/" + String(repeating: "p", count: 600),
            "secret/" + String(repeating: "a/", count: 300),
        ]
        for path in refused {
            let answer = try stage.create(path)
            #expect((400..<500).contains(answer.status), "\(path.prefix(40)): \(answer.status) \(answer.text)")
            #expect(!answer.errors.isEmpty || answer.status == 404, "\(path.prefix(40))")
            #expect((400..<500).contains(try stage.call("DELETE", "sys/decoys/\(path)").status), "\(path.prefix(40))")
        }
        #expect(try stage.call("GET", "sys/decoys").status == 404)
        let names = [
            "%C3%A9t%C3%A9", "%F0%9F%94%91", "a%20b", "data", "config", "data/data/x", "a'\"", "%2A%2B",
        ]
        for name in names {
            let made = try stage.create("secret/\(name)")
            #expect(made.status == 200, "\(name): \(made.text)")
            let inner = name.hasPrefix("data/") ? String(name.dropFirst(5)) : name
            let begin = try stage.lastRecord()
            #expect(try stage.call("GET", "secret/data/\(inner)").status == 200, "\(name)")
            #expect(try stage.marked(after: begin).count == 1, "\(name)")
        }
        #expect((try stage.call("LIST", "sys/decoys").data["keys"] as? [String])?.count == names.count)
        for name in names { #expect(try stage.call("DELETE", "sys/decoys/secret/\(name)").status == 204) }
        let bodies = [
            #"{"like":"mysql"}"#, #"{"like":1}"#, #"{"note":1}"#, #"{"existing":"perhaps"}"#, "[]", "{", #""x""#,
            #"{"existing":true,"like":"aws"}"#, #"{"note":"\#(String(repeating: "n", count: 501))"}"#,
        ]
        for body in bodies {
            let answer = try stage.create("secret/y", body)
            #expect(answer.status == 400 && !answer.errors.isEmpty, "\(body.prefix(40))")
        }
        #expect(try stage.call("GET", "secret/metadata/y").status == 404)
        let odd = try stage.create("secret/z", #"{"likes":"aws"}"#)
        #expect(odd.status == 200 && (odd.json["warnings"] as? [String])?.first?.contains("likes") == true)
        // A mount that demands check-and-set is no obstacle.
        #expect(try stage.call("POST", "secret/config", #"{"cas_required":true}"#).status == 204)
        #expect(try stage.create("secret/cas").status == 200)
        try stage.vault.stop()
        try stage.vault.verifyLog()
    }

    @Test func thereIsRoomForAThousand() throws {
        let stage = try DecoyStage()
        let makers: [@Sendable () throws -> Int] = (0..<8).map { worker in
            { [vault = stage.vault, root = stage.root] in
                var client = try UnixHTTP(vault.socket)
                defer { client.close() }
                return try (0..<130).count { number in
                    let path = "sys/decoys/secret/w\(worker)/n\(number)"
                    let answer = try client.request("POST", path, token: root, body: "{}")
                    #expect(answer.status == 200 || answer.errors == ["there are 1000 decoys already"])
                    return answer.status == 200
                }
            }
        }
        #expect(try onThreads(makers).reduce(0, +) == 1000)
        let keys = try #require(try stage.call("GET", "sys/decoys").data["keys"] as? [String])
        #expect(keys.count == 1000 && keys == keys.sorted())
        #expect(try stage.create("secret/more").errors == ["there are 1000 decoys already"])
        #expect(try stage.call("GET", "secret/metadata/more").status == 404)
        try stage.vault.restart()
        #expect(try stage.create("secret/more").status == 400)
        #expect(try stage.call("DELETE", "sys/decoys/\(keys[7])").status == 204)
        #expect(try stage.create("secret/more").status == 200)
    }

    /// Whenever it is killed, a decoy and its secret are both there or neither.
    @Test func aKillLeavesBothOrNeither() throws {
        let stage = try DecoyStage()
        #expect(try stage.call("POST", "sys/mounts/old", #"{"type":"kv"}"#).status == 204)
        var halves = 0
        for round in 0..<8 {
            let makers: [@Sendable () throws -> [String]] = (0..<4).map { worker in
                { [vault = stage.vault, root = stage.root] in
                    Self.layOutAndEnd(vault, root, "\(worker.isMultiple(of: 2) ? "secret" : "old")/r\(round)w\(worker)")
                }
            }
            let killer: @Sendable () throws -> [String] = { [vault = stage.vault] in
                usleep(UInt32(60_000 + round * 17_000))
                try vault.kill()
                return []
            }
            let acknowledged = Set(try onThreads(makers + [killer]).flatMap { $0 })
            try stage.vault.start()
            try stage.vault.unseal()
            let decoys = Set(try stage.call("GET", "sys/decoys").data["keys"] as? [String] ?? [])
            #expect(decoys.isSuperset(of: acknowledged), "an acknowledged decoy is gone")
            var secrets: Set<String> = []
            for (mount, list) in [("secret", "secret/metadata"), ("old", "old")] {
                for folder in try stage.call("LIST", list).data["keys"] as? [String] ?? [] {
                    for name in try stage.call("LIST", "\(list)/\(folder)").data["keys"] as? [String] ?? [] {
                        secrets.insert("\(mount)/\(folder)\(name)")
                    }
                }
            }
            #expect(decoys == secrets, "\(decoys.symmetricDifference(secrets))")
            halves += decoys.count
            for path in decoys { #expect(try stage.call("DELETE", "sys/decoys/\(path)").status == 204) }
        }
        #expect(halves > 8, "nothing was laid out before the kills")
        try stage.vault.stop()
        try stage.vault.verifyLog()
    }

    /// Until the daemon is gone; every third is ended again.
    /// - Returns: what was acknowledged and not ended.
    private static func layOutAndEnd(_ vault: CoffredProcess, _ root: String, _ folder: String) -> [String] {
        var left: [String] = []
        guard var client = try? UnixHTTP(vault.socket) else { return left }
        defer { client.close() }
        for number in 0..<200 {
            let path = "\(folder)/n\(number)"
            guard let made = try? client.request("POST", "sys/decoys/\(path)", token: root, body: "{}"),
                made.status == 200
            else { return left }
            guard number.isMultiple(of: 3) else {
                left.append(path)
                continue
            }
            guard (try? client.request("DELETE", "sys/decoys/\(path)", token: root))?.status == 204 else { return left }
        }
        return left
    }

    // MARK: tokens of others

    @Test(.enabled(if: geteuid() == 0)) func aBoundTokenOfAnotherIsNamedInTheRecordAlone() throws {
        let stage = try DecoyStage()
        let role = #"{"bound_uids":[65534],"policies":["default"],"ambient":false}"#
        #expect(try stage.call("POST", "auth/peer/role/bound", role).status == 204)
        let login = try stage.asService("POST", "auth/peer/login", body: #"{"role":"bound"}"#)
        let json = try JSONSerialization.jsonObject(with: Data(login.body.utf8)) as? [String: Any]
        let auth = try #require(json?["auth"] as? [String: Any])
        let token = try #require(auth["client_token"] as? String)
        #expect(try stage.asService("GET", "auth/token/lookup-self", token: token).status == 200)
        let owner = try #require(
            stage.vault.records().last { ($0["what"] as? [String: Any])?["op"] as? String == "token.lookup" }?["who"]
                as? [String: Any]
        )
        #expect(try stage.create("secret/bait").status == 200)
        let begin = try stage.lastRecord()
        var answers: Set<String> = []
        for shown in [token, "s.nobody"] {
            for path in ["auth/token/lookup-self", "secret/data/bait", "secret/data/none"] {
                let answer = try stage.vault.request("GET", path, token: shown)
                answers.insert("\(answer.status) \(answer.text) \(answer.headers.sorted { $0.key < $1.key })")
            }
        }
        #expect(answers.count == 1 && answers.first?.hasPrefix("403") == true, "\(answers)")
        let records = try stage.vault.records().filter { ($0["_s"] as? Int ?? 0) > begin }
        let errors = records.map { ($0["out"] as? [String: Any])?["err"] as? String }
        #expect(errors == ["token_bound", "token_bound", "token_bound", "denied", "denied", "denied"])
        for record in records.prefix(3) {
            let what = try #require(record["what"] as? [String: Any])
            let details = try #require(what["det"] as? [String: Any])
            #expect(what["op"] as? String == "auth.fail")
            #expect(details["of"] as? String == owner["sid"] as? String)
            #expect(details["accessor"] as? String == auth["accessor"] as? String)
            #expect((record["who"] as? [String: Any])?["uid"] as? Int == 0, "who presents it")
        }
        #expect(
            (records[1]["what"] as? [String: Any]).flatMap { $0["det"] as? [String: Any] }?["decoy"] as? Bool == true
        )
        try stage.vault.stop()
        try stage.vault.verifyLog()
    }
}
