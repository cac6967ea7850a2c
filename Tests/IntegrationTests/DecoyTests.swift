import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Secrets that are bait, as a real coffred lays them out and tells of them.
@Suite(.serialized)
struct DecoyTests {
    private static let path = "secret/prod/root-db"

    // MARK: records

    @Test(.enabled(if: geteuid() == 0)) func whoeverAsksForOneIsTold() throws {
        let stage = try DecoyStage()
        let made = try stage.coffre(["decoy", "create", Self.path, "--like", "postgresql", "--note", "old site"])
        #expect(made.status == 0 && made.output == "Decoy laid out: secret/prod/root-db\n", "\(made.output)")
        _ = try stage.call("POST", "secret/data/prod/true", #"{"data":{"a":"b"}}"#)
        let begin = try stage.lastRecord()
        // A service with a right, one without, one that nobody knows, and root.
        try stage.serviceMay(read: "secret/data/prod/*")
        let plain = try stage.vault.token(policies: ["default"], root: stage.root)
        #expect(try stage.asService("GET", "secret/data/prod/root-db").status == 200)
        #expect(try stage.asService("GET", "secret/metadata/prod/root-db").status == 403)
        #expect(try stage.vault.request("GET", "secret/data/prod/root-db", token: plain).status == 403)
        #expect(try stage.vault.request("GET", "secret/data/prod/root-db", token: "s.nobody").status == 403)
        #expect(try stage.vault.request("GET", "secret/data/prod/root-db?list=maybe", token: plain).status == 400)
        #expect(try stage.call("POST", "secret/data/prod/root-db", #"{"data":{"n":1}}"#).status == 200)
        // What clients ask first tells of who may not go on.
        let preflight = "sys/internal/ui/mounts/\(Self.path)"
        #expect(try stage.asService("GET", preflight).status == 200)
        #expect(try stage.vault.request("GET", preflight, token: plain).status == 403)
        let touches = try stage.marked(after: begin)
        #expect(
            touches.map { "\($0.operation) \($0.code) \($0.phase)" } == [
                "secret.read granted single", "kv.metadata denied single", "secret.read denied single",
                "auth.fail denied single", "request.unmatched error single", "secret.write granted outcome",
                "sys.read denied single",
            ]
        )
        #expect(touches.allSatisfy { $0.what["path"] as? String == Self.path }, "\(touches)")
        // What nobody vouched for stands as its digest as ever.
        #expect(touches[3].what["pd"] is String && touches[3].what["mount"] as? String == "secret/")
        let who = try #require(touches[0].record["who"] as? [String: Any])
        #expect(who["kind"] as? String == "human" && (who["sid"] as? String)?.hasPrefix("s-") == true)
        // Nothing else is marked: neighbours, folders, intents, and what is done with decoys as such.
        let next = try stage.lastRecord()
        for path in [
            "data/prod/true", "metadata/prod?list=true", "data/prod/root-db2", "data/prod", "data/prod/root-db/x",
        ] {
            _ = try stage.call("GET", "secret/\(path)")
        }
        _ = try stage.call("GET", "sys/decoys/\(Self.path)")
        _ = try stage.call("GET", "sys/decoys")
        _ = try stage.call("DELETE", "sys/decoys/\(Self.path)")
        #expect(try stage.marked(after: next).isEmpty)
        #expect(try stage.call("GET", "secret/data/prod/root-db").status == 404)
        #expect(try stage.marked(after: next).isEmpty, "it is none any more")
        try stage.vault.stop()
        try stage.vault.verifyLog()
    }

    @Test func everyRouteToOneIsMarkedOnceAndInBothVersions() throws {
        let stage = try DecoyStage()
        #expect(try stage.call("POST", "sys/mounts/old", #"{"type":"kv"}"#).status == 204)
        for path in [Self.path, "old/prod/root-db"] { #expect(try stage.create(path).status == 200) }
        let begin = try stage.lastRecord()
        let versions = #"{"versions":[1]}"#
        let merge = ["Content-Type": "application/merge-patch+json"]
        let requests: [(String, String, String?, [String: String])] = [
            ("GET", "secret/data/prod/root-db", nil, [:]), ("HEAD", "secret/data/prod/root-db/", nil, [:]),
            ("PATCH", "secret/data/prod/root-db", #"{"data":{"a":1}}"#, merge),
            ("GET", "secret/subkeys/prod/root-db", nil, [:]), ("GET", "secret/metadata/prod/root-db", nil, [:]),
            ("POST", "secret/metadata/prod/root-db", "{}", [:]), ("POST", "secret/delete/prod/root-db", versions, [:]),
            ("POST", "secret/undelete/prod/root-db", versions, [:]),
            ("POST", "secret/destroy/prod/root-db", versions, [:]), ("DELETE", "secret/data/prod/root-db", nil, [:]),
            ("GET", "secret/data/prod/root-db", nil, ["X-Vault-Wrap-TTL": "60"]),
            ("GET", "secret/data/prod/root-db", nil, ["X-Vault-Namespace": "x"]),
            ("DELETE", "secret/metadata/prod/root-db", nil, [:]), ("GET", "old/prod/root-db", nil, [:]),
            ("POST", "old/prod/root-db", #"{"a":"b"}"#, [:]), ("DELETE", "old/prod/root-db", nil, [:]),
        ]
        for (verb, path, body, headers) in requests { _ = try stage.call(verb, path, body, headers) }
        #expect(try stage.marked(after: begin).count == requests.count)
        // Who removes the secret by its own path has touched the decoy, which says that nothing is behind it.
        for path in [Self.path, "old/prod/root-db"] {
            #expect(try stage.call("GET", "sys/decoys/\(path)").data["exists"] as? Bool == false)
            #expect(try stage.call("DELETE", "sys/decoys/\(path)").status == 204)
            #expect(try stage.call("GET", "sys/decoys/\(path)").status == 404)
        }
        try stage.vault.stop()
        try stage.vault.verifyLog()
    }

    /// A flood of refusals must not hide it, and must not be answered otherwise.
    @Test func aFloodDoesNotHideOne() throws {
        let stage = try DecoyStage()
        #expect(try stage.create(Self.path).status == 200)
        let begin = try stage.lastRecord()
        // As many as a slow machine needs, and no longer than the window lasts.
        let senders: [@Sendable () throws -> Bool] = (0..<6).map { _ in
            { [socket = stage.vault.socket] in
                var client = try UnixHTTP(socket)
                defer { client.close() }
                for _ in 0..<20_000
                where try client.request("GET", "secret/data/x", token: "s.bad").status == 429 { return true }
                return false
            }
        }
        try #require(try onThreads(senders).contains(true))
        var client = try UnixHTTP(stage.vault.socket)
        defer { client.close() }
        var answers: Set<String> = []
        for path in ["secret/data/prod/root-db", "secret/data/prod/nothing", "secret/metadata/prod/root-db"] {
            let answer = try client.request("GET", path, token: "s.bad")
            answers.insert("\(answer.status) \(answer.text) \(answer.headers.sorted { $0.key < $1.key })")
        }
        #expect(answers.count == 1, "\(answers)")
        try eventually("the touch is recorded") { try !stage.marked(after: begin).isEmpty }
        let touches = try stage.marked(after: begin)
        #expect(touches.map { "\($0.operation) \($0.code)" } == ["overflow rate_limited"], "once in a window")
        #expect(touches.first?.what["path"] as? String == Self.path)
    }

    // MARK: answers

    @Test func nobodyCanTellOneFromASecret() throws {
        let stage = try DecoyStage()
        #expect(try stage.call("POST", "sys/mounts/old", #"{"type":"kv"}"#).status == 204)
        for kind in ["postgresql", "api-key", "password", "aws"] {
            for (mount, infix) in [("secret", "data/"), ("old", "")] {
                #expect(try stage.create("\(mount)/\(kind)/one", #"{"like":"\#(kind)"}"#).status == 200)
                let read = try stage.call("GET", "\(mount)/\(infix)\(kind)/one").data
                let fields = infix.isEmpty ? read : try #require(read["data"] as? [String: Any])
                #expect(fields.count >= 2 && fields.values.allSatisfy { $0 is String })
                let sent: [String: Any] = infix.isEmpty ? fields : ["data": fields]
                // As clients write it: with plain slashes.
                let body = try CoffredProcess.json(sent).replacing("\\/", with: "/")
                let written = try stage.call("POST", "\(mount)/\(infix)\(kind)/two", body)
                #expect(written.status == 200 || written.status == 204)
            }
        }
        let reader = try stage.vault.token(
            policy: #"path "secret/*" { capabilities = ["read", "list"] } path "old/*" { capabilities = ["read"] }"#,
            named: "reader",
            root: stage.root
        )
        let plain = try stage.vault.token(policies: ["default"], root: stage.root)
        let merge = ["Content-Type": "application/merge-patch+json"]
        for token in [reader, plain, "s.nobody", stage.root] {
            for kind in ["postgresql", "aws"] {
                for (verb, path, body) in [
                    ("GET", "secret/data", ""), ("GET", "secret/data?version=7", ""), ("GET", "secret/metadata", ""),
                    ("GET", "secret/subkeys", ""), ("LIST", "secret/metadata", ""), ("GET", "old", ""),
                    ("LIST", "old", ""),
                    ("SCAN", "secret/metadata", ""), ("POST", "secret/data", "{"), ("GET", "secret/data?help=1", ""),
                    ("PATCH", "secret/data", #"{"data":{"x":1}}"#), ("POST", "secret/data", #"{"data":{"x":1}}"#),
                    ("POST", "secret/delete", #"{"versions":[1]}"#), ("POST", "secret/undelete", #"{"versions":[1]}"#),
                    ("POST", "secret/metadata", #"{"custom_metadata":{"a":"b"}}"#), ("OPTIONS", "secret/data", ""),
                    ("POST", "old", #"{"a":"b"}"#), ("DELETE", "secret/data", ""), ("DELETE", "secret/metadata", ""),
                    ("DELETE", "old", ""), ("GET", "secret/data", ""),
                ] {
                    var seen: [String] = []
                    for name in ["one", "two"] {
                        let parts = path.split(separator: "?", maxSplits: 1)
                        let target = "\(parts[0])/\(kind)/\(name)" + (parts.count > 1 ? "?\(parts[1])" : "")
                        let answer = try stage.vault.request(
                            verb,
                            target,
                            token: token,
                            body: body.isEmpty ? nil : body,
                            headers: verb == "PATCH" ? merge : [:]
                        )
                        seen.append(Self.withoutChance(answer, name))
                    }
                    #expect(seen[0] == seen[1], "\(verb) \(path)")
                }
            }
        }
    }

    /// An answer without what differs between any two: ids, times, and the name that was asked for.
    private static func withoutChance(_ answer: UnixHTTP.Answer, _ name: String) -> String {
        let headers = answer.headers.filter { $0.key != "date" }.sorted { $0.key < $1.key }
        return "\(answer.status) \(headers) \(answer.text)"
            .replacing(/[0-9a-f]{8}-[0-9a-f-]{27}/, with: "ID")
            .replacing(/20\d\d-\d\d-\d\dT[0-9:.]+Z/, with: "TIME")
            .replacing("/" + name, with: "/NAME")
    }

    @Test func theCommandLineSaysIt() throws {
        let stage = try DecoyStage()
        func coffre(_ arguments: String...) throws -> (status: Int32, output: String) {
            try stage.coffre(["decoy"] + arguments)
        }
        #expect(try coffre("list").output == "Path  Like  Created  By  Note\n")
        #expect(try coffre("list", "--format", "json").output == "[]\n")
        let made = try coffre("create", Self.path, "--like", "api-key", "--format", "json")
        let json = try JSONSerialization.jsonObject(with: Data(made.output.utf8)) as? [String: String]
        #expect(made.status == 0 && json?["path"] == Self.path && json?["like"] == "api-key", "\(made.output)")
        let again = try coffre("create", Self.path)
        #expect(again.status == 1 && again.output.contains("a decoy already"))
        #expect(try stage.coffre(["kv", "get", "--field", "api_key", Self.path]).output.count >= 32)
        #expect(try stage.call("POST", "secret/data/true", #"{"data":{"a":"b"}}"#).status == 200)
        #expect(try coffre("create", "secret/true").output.contains("existing=true"))
        #expect(try coffre("create", "secret/true", "--existing", "--like", "aws").status == 64)
        #expect(try coffre("create", "secret/true", "--existing", "--note", "a\u{1b}[31mb").status == 0)
        let listed = try coffre("list").output.split(separator: "\n")
        #expect(listed.count == 3 && listed[1].hasPrefix("secret/prod/root-db  api-key  20"))
        #expect(listed[2].hasPrefix("secret/true") && !listed[2].contains("\u{1b}"), "\(listed[2])")
        #expect(try coffre("show", Self.path).output.contains("Secret is there  yes\n"))
        let french = try coffre("show", Self.path, "--lang", "fr").output
        #expect(french.contains("Secret présent  oui\n"), "\(french)")
        #expect(try coffre("delete", Self.path, "--lang", "fr").output == "Leurre et secret supprimés : \(Self.path)\n")
        #expect(try coffre("show", Self.path).status == 4)
        #expect(try coffre("delete", Self.path).status == 4)
        #expect(try stage.coffre(["kv", "get", Self.path]).status == 4)
        #expect(try coffre("delete", "secret/true", "--keep", "--format", "json").output.isEmpty)
        #expect(try stage.coffre(["kv", "get", "--field", "a", "secret/true"]).output == "b")
        let plain = try stage.files.write("plain", try stage.vault.token(policies: ["default"], root: stage.root))
        #expect(try coffre("create", "secret/x", "--token-file", plain).status == 3)
        #expect(try coffre("list", "--token-file", plain).status == 3)
        #expect(try coffre("create", "secret/../x").status == 64)
        #expect(try coffre("create", "secret/x", "--like", "mysql").status == 64)
    }

    // MARK: life

    @Test func theyStayAcrossRestartSealMoveAndRestore() throws {
        let stage = try DecoyStage()
        #expect(try stage.create(Self.path, #"{"like":"aws","note":"n\u00e9"}"#).status == 200)
        let shown = try stage.call("GET", "sys/decoys").text
        func isWhole(_ path: String = Self.path) throws -> Bool {
            let begin = try stage.lastRecord()
            let parts = path.split(separator: "/", maxSplits: 1)
            guard try stage.call("GET", "\(parts[0])/data/\(parts[1])").status == 200 else { return false }
            return try stage.marked(after: begin).count == 1
        }
        #expect(try isWhole())
        try stage.vault.restart()
        #expect(try isWhole())
        let strip = { (text: String) in text.replacing(/[0-9a-f]{8}-[0-9a-f-]{27}/, with: "") }
        #expect(try strip(stage.call("GET", "sys/decoys").text) == strip(shown))
        #expect(try stage.call("POST", "sys/seal").status == 204)
        try stage.vault.unseal()
        #expect(try isWhole())
        // They go where their mount goes.
        #expect(try stage.call("POST", "sys/remount", #"{"from":"secret","to":"kv"}"#).status == 200)
        #expect(try isWhole("kv/prod/root-db"))
        #expect(try stage.call("GET", "sys/decoys").data["keys"] as? [String] == ["kv/prod/root-db"])
        try stage.vault.restart()
        #expect(try isWhole("kv/prod/root-db"))
        // A snapshot has them, and what came after it is gone with its secret.
        let snapshot = try stage.backup()
        #expect(try stage.create("kv/later").status == 200)
        try stage.restore(snapshot)
        #expect(try stage.coffre(["operator", "restore-confirm"]).status == 0)
        #expect(try stage.call("GET", "sys/decoys").data["keys"] as? [String] == ["kv/prod/root-db"])
        #expect(try stage.call("GET", "kv/data/later").status == 404)
        #expect(try isWhole("kv/prod/root-db"))
        // Without the mount there are none; one at the same path is another.
        #expect(try stage.call("DELETE", "sys/mounts/kv").status == 204)
        #expect(try stage.call("GET", "sys/decoys").status == 404)
        #expect(try stage.call("POST", "sys/mounts/kv", #"{"type":"kv-v2"}"#).status == 204)
        #expect(try stage.call("POST", "kv/data/prod/root-db", #"{"data":{"a":"b"}}"#).status == 200)
        #expect(try !isWhole("kv/prod/root-db"), "an ordinary secret")
        try stage.vault.restart()
        #expect(try stage.call("GET", "sys/decoys").status == 404)
    }

    @Test func aTrueSecretBecomesOneAndIsOneNoMore() throws {
        let stage = try DecoyStage()
        #expect(try stage.call("POST", "sys/mounts/old", #"{"type":"kv"}"#).status == 204)
        for (path, route) in [(Self.path, "secret/data/prod/root-db"), ("old/root", "old/root")] {
            let missing = try stage.create(path, #"{"existing":true}"#)
            #expect(missing.status == 404 && missing.errors == ["there is no secret that could become a decoy"])
            let body = route == path ? #"{"a":"b"}"# : #"{"data":{"a":"b"}}"#
            _ = try stage.call("POST", route, body)
            let before = try stage.call("GET", route).data
            let taken = try stage.create(path)
            #expect(taken.status == 400 && taken.errors.first?.contains("existing=true") == true)
            #expect(try stage.create(path, #"{"existing":true,"note":"was true"}"#).data["like"] is NSNull)
            #expect(try stage.create(path, #"{"existing":true}"#).errors == ["it is a decoy already"])
            #expect(NSDictionary(dictionary: try stage.call("GET", route).data).isEqual(to: before))
            let begin = try stage.lastRecord()
            #expect(try stage.call("DELETE", "sys/decoys/\(path)?keep=maybe").status == 400)
            #expect(try stage.call("DELETE", "sys/decoys/\(path)?keep=true").status == 204)
            #expect(NSDictionary(dictionary: try stage.call("GET", route).data).isEqual(to: before))
            #expect(try stage.marked(after: begin).isEmpty)
            // With `data/` it is the same secret; deleting takes it along.
            #expect(try stage.create(route, #"{"existing":true}"#).data["path"] as? String == path)
            #expect(try stage.call("DELETE", "sys/decoys/\(route)").status == 204)
            #expect(try stage.call("GET", route).status == 404)
            #expect(try stage.call("LIST", path == route ? "old" : "secret/metadata/prod").status == 404)
        }
    }
}
