import CoffreTestSupport
import Foundation
import Testing

/// What clients see of a running coffred.
@Suite(.serialized)
struct VaultBehaviourTests {
    /// One vault for the tests that do not disturb each other.
    private static let shared = Result { try CoffredProcess.unsealed() }

    private var vault: CoffredProcess { get throws { try Self.shared.get().daemon } }
    private var root: String { get throws { try Self.shared.get().root } }

    private func call(_ method: String, _ path: String, _ body: String? = nil, _ headers: [String: String] = [:]) throws
        -> UnixHTTP.Answer
    {
        try vault.request(method, path, token: root, body: body, headers: headers)
    }

    /// curl under another uid.
    private func asNobody(_ method: String, _ path: String, token: String? = nil, body: String? = nil) throws
        -> (status: Int, body: String)
    {
        var arguments = [
            "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", try vault.socket,
        ]
        arguments += ["-X", method, "-w", "\n%{http_code}", "http://localhost/v1/\(path)"]
        if let token { arguments += ["-H", "X-Vault-Token: \(token)"] }
        if let body { arguments += ["-d", body] }
        let result = try RunningProcess.run("/usr/bin/setpriv", arguments)
        try #require(result.status == 0, "\(result.output)")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    @Test func anAnswerHasTheEnvelopeOfVault() throws {
        _ = try call("POST", "secret/data/env", #"{"data":{"a":1}}"#)
        let answer = try call("GET", "secret/data/env")
        #expect(answer.status == 200)
        #expect(answer.headers["content-type"] == "application/json")
        #expect(answer.headers["cache-control"] == "no-store")
        let keys: Set = [
            "request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth",
        ]
        #expect(Set(answer.json.keys) == keys)
        #expect(answer.json["lease_id"] as? String == "")
        #expect(answer.json["auth"] is NSNull)
        let metadata = try #require(answer.data["metadata"] as? [String: Any])
        #expect(metadata["deletion_time"] as? String == "")
        #expect(metadata["destroyed"] as? Bool == false)
        #expect(metadata["version"] as? Int == 1)
        #expect(metadata["custom_metadata"] is NSNull)
    }

    @Test func manyWritersOfOneSecretAllSucceed() throws {
        let (vault, root) = (try vault, try root)
        let writers: [@Sendable () throws -> [Int]] = (0..<16).map { worker in
            {
                var client = try UnixHTTP(vault.socket)
                defer { client.close() }
                var versions: [Int] = []
                for number in 0..<60 {
                    let body = #"{"data":{"v":"\#(worker).\#(number)"}}"#
                    let answer = try client.request("POST", "secret/data/contended", token: root, body: body)
                    #expect(answer.status == 200, "\(answer.text)")
                    guard let version = answer.data["version"] as? Int else { return versions }
                    versions.append(version)
                    // What was answered is what is read, or something newer.
                    let read = try client.request("GET", "secret/data/contended", token: root)
                    let current = (read.data["metadata"] as? [String: Any])?["version"] as? Int
                    #expect((current ?? 0) >= version)
                }
                return versions
            }
        }
        let versions = try onThreads(writers).flatMap { $0 }
        #expect(versions.sorted() == Array(1...960))
    }

    @Test func aValueComesBackByteForByte() throws {
        let value = #"{"n":12345678901234567890.000100,"e":1E+2,"u":"\u00e9\/é","o":{"b":[1, 2],"a":null},"":""}"#
        #expect(try call("PUT", "secret/data/exact", #"{"options":{},"data":\#(value)}"#).status == 200)
        #expect(try call("GET", "secret/data/exact").text.contains(value))
    }

    @Test func checkAndSetDecidesBetweenWriters() throws {
        #expect(try call("POST", "secret/data/cas", #"{"data":{"a":1},"options":{"cas":0}}"#).status == 200)
        let again = try call("POST", "secret/data/cas", #"{"data":{"a":2},"options":{"cas":0}}"#)
        #expect(again.status == 400)
        #expect(again.errors == ["check-and-set parameter did not match the current version"])
        #expect(
            try call("POST", "secret/data/cas", #"{"data":{"a":2},"options":{"cas":"1"}}"#).data["version"] as? Int == 2
        )
        #expect(try call("POST", "secret/metadata/cas", #"{"cas_required":true}"#).status == 204)
        let missing = try call("POST", "secret/data/cas", #"{"data":{}}"#)
        #expect(missing.status == 400)
        #expect(missing.errors == ["check-and-set parameter required for this call"])
        #expect(try call("POST", "secret/data/cas", "{}").errors == ["no data provided"])
    }

    @Test func deletedAbsentAndDestroyedVersionsDiffer() throws {
        for number in 1...3 { _ = try call("POST", "secret/data/life", #"{"data":{"n":\#(number)}}"#) }
        #expect(try call("DELETE", "secret/data/life").status == 204)
        let deleted = try call("GET", "secret/data/life")
        #expect(deleted.status == 404)
        #expect(deleted.data["data"] is NSNull)
        let metadata = try #require(deleted.data["metadata"] as? [String: Any])
        #expect((metadata["deletion_time"] as? String)?.isEmpty == false)
        #expect(try call("GET", "secret/data/life?version=2").status == 200)
        let unknown = try call("GET", "secret/data/life?version=9")
        #expect((unknown.status, unknown.text) == (404, #"{"errors":[]}"#))
        #expect(try call("GET", "secret/data/never").text == #"{"errors":[]}"#)
        #expect(try call("POST", "secret/undelete/life", #"{"versions":[3]}"#).status == 204)
        #expect(try call("GET", "secret/data/life").status == 200)
        #expect(try call("PUT", "secret/destroy/life", #"{"versions":["1"]}"#).status == 204)
        let destroyed = try call("GET", "secret/data/life?version=1")
        #expect(destroyed.status == 404)
        #expect((destroyed.data["metadata"] as? [String: Any])?["destroyed"] as? Bool == true)
        let known = try call("GET", "secret/metadata/life").data
        #expect(known["current_version"] as? Int == 3)
        #expect(Set((known["versions"] as? [String: Any] ?? [:]).keys) == ["1", "2", "3"])
        #expect(known["delete_version_after"] as? String == "0s")
        #expect(try call("DELETE", "secret/metadata/life").status == 204)
        #expect(try call("GET", "secret/metadata/life").status == 404)
    }

    @Test(arguments: ["LIST", "GET"])
    func listsNameFoldersWithASlash(_ verb: String) throws {
        _ = try call("POST", "secret/data/tree/leaf", #"{"data":{}}"#)
        _ = try call("POST", "secret/data/tree/leaf/deeper", #"{"data":{}}"#)
        let query = verb == "GET" ? "?list=True" : ""
        #expect(try call(verb, "secret/metadata/tree\(query)").data["keys"] as? [String] == ["leaf", "leaf/"])
        #expect(try call(verb, "secret/metadata/tree/\(query)").data["keys"] as? [String] == ["leaf", "leaf/"])
        #expect(try call(verb, "secret/metadata/none\(query)").status == 404)
    }

    @Test func aProcessHasTheRightsOfItsRoleWithoutAToken() throws {
        _ = try call("POST", "secret/data/peer/x", #"{"data":{"v":"seen"}}"#)
        let policy = try CoffredProcess.json(["policy": #"path "secret/data/peer/*" { capabilities = ["read"] }"#])
        #expect(try call("PUT", "sys/policies/acl/peer-read", policy).status == 204)
        #expect(try asNobody("GET", "secret/data/peer/x").status == 403)
        #expect(
            try call("POST", "auth/peer/role/nobody", #"{"bound_uids":[65534],"policies":["peer-read"]}"#).status == 204
        )
        let seen = try asNobody("GET", "secret/data/peer/x")
        #expect(seen.status == 200)
        #expect(seen.body.contains("seen"))
        #expect(try asNobody("GET", "secret/data/other").status == 403)
        #expect(try asNobody("GET", "secret/data/peer/x", token: "s.stale").status == 403)
        #expect(try vault.request("GET", "secret/data/peer/x").status == 403, "another uid has no such rights")
        #expect(try call("DELETE", "auth/peer/role/nobody").status == 204)
        #expect(try asNobody("GET", "secret/data/peer/x").status == 403)
    }

    @Test func aTokenOfALoginServesItsOwnUidAlone() throws {
        _ = try call("POST", "auth/peer/role/bound", #"{"bound_uids":[65534],"policies":["default"],"ambient":false}"#)
        let login = try asNobody("POST", "auth/peer/login", body: #"{"role":"bound"}"#)
        #expect(login.status == 200, "\(login.body)")
        let json = try JSONSerialization.jsonObject(with: Data(login.body.utf8)) as? [String: Any]
        let auth = try #require(json?["auth"] as? [String: Any])
        let token = try #require(auth["client_token"] as? String)
        #expect(try asNobody("GET", "auth/token/lookup-self", token: token).status == 200)
        let stolen = try vault.request("GET", "auth/token/lookup-self", token: token)
        #expect(stolen.status == 403)
        #expect(stolen.errors == ["permission denied"])
        _ = try call("DELETE", "auth/peer/role/bound")
    }

    @Test func onlyOperatorsOpenAVault() throws {
        for (path, body) in [("sys/init", "{}"), ("sys/unseal", #"{"key":"00"}"#), ("sys/unseal", #"{"reset":true}"#)] {
            let refused = try asNobody("PUT", path, body: body)
            #expect(refused.status == 403)
            #expect(refused.body.contains("permission denied"))
        }
    }

    @Test func capabilitiesAreNamedInBothPlaces() throws {
        let token = try vault.token(
            policy: #"path "secret/data/c" { capabilities = ["update", "read"] }"#,
            named: "caps",
            root: root
        )
        let one = try vault.request(
            "POST",
            "sys/capabilities-self",
            token: token,
            body: #"{"paths":["secret/data/c"]}"#
        )
        #expect(one.data["capabilities"] as? [String] == ["read", "update"])
        #expect(one.json["secret/data/c"] as? [String] == ["read", "update"])
        let both = try vault.request(
            "POST",
            "sys/capabilities-self",
            token: token,
            body: #"{"paths":["a","secret/data/c"]}"#
        )
        #expect(both.data["a"] as? [String] == ["deny"])
        #expect(both.data["capabilities"] == nil)
        #expect(try call("POST", "sys/capabilities-self", #"{"path":"x"}"#).data["x"] as? [String] == ["root"])
        #expect(try call("POST", "sys/capabilities-self", "{}").errors == ["paths must be supplied"])
    }

    @Test func thePreflightNeedsARightUnderTheMount() throws {
        let answer = try call("GET", "sys/internal/ui/mounts/secret/any/thing")
        #expect(answer.data["path"] as? String == "secret/")
        #expect((answer.data["options"] as? [String: Any])?["version"] as? String == "2")
        let token = try vault.token(policies: ["default"], root: root)
        for (token, path) in [(token, "secret"), (try root, "nowhere")] {
            let refused = try vault.request("GET", "sys/internal/ui/mounts/\(path)", token: token)
            #expect(refused.status == 403)
            #expect(
                refused.errors == [
                    "preflight capability check returned 403, please ensure client's policies grant access to path \"\(path)/\""
                ]
            )
        }
    }

    @Test func anUnknownPathLooksForbiddenWithoutRights() throws {
        let token = try vault.token(policies: ["default"], root: root)
        for path in ["nothing/here", "sys/nothing", "auth/token/nothing", "secret/data/absent"] {
            let answer = try vault.request("GET", path, token: token)
            #expect(answer.status == 403)
            #expect(answer.text == #"{"errors":["permission denied"]}"#)
            #expect(try call("GET", path).status == 404)
        }
    }

    @Test func namespacesAreRefusedClearly() throws {
        #expect(try call("GET", "secret/data/x", nil, ["X-Vault-Namespace": "team"]).status == 404)
        #expect(try call("GET", "sys/mounts", nil, ["X-Vault-Namespace": "root"]).status == 200)
    }

    @Test func aRevokedTokenAndItsChildrenEndAtOnce() throws {
        let parent = try vault.token(
            policy: #"path "auth/token/create" { capabilities = ["update"] }"#,
            named: "maker",
            root: root
        )
        let made = try vault.request("POST", "auth/token/create", token: parent, body: #"{"policies":["default"]}"#)
        let child = try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String)
        #expect(try vault.request("GET", "auth/token/lookup-self", token: child).status == 200)
        #expect(try call("POST", "auth/token/revoke", #"{"token":"\#(parent)"}"#).status == 204)
        for token in [parent, child] {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 403)
        }
    }

    @Test func wrongSharesOpenNothingAndSealingStopsEverything() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        _ = try daemon.request("POST", "secret/data/s", token: root, body: #"{"data":{"v":"1"}}"#)
        #expect(try daemon.request("PUT", "sys/seal", token: root).status == 204)
        #expect(try daemon.request("GET", "secret/data/s", token: root).status == 503)
        #expect(try daemon.request("GET", "sys/health").status == 503)
        let shares = try daemon.keys.shares
        let wrong = String(shares[0].reversed().map { $0 == "=" ? "A" : $0 })
        #expect(try daemon.request("PUT", "sys/unseal", body: #"{"key":"zz"}"#).status == 400)
        #expect(
            try daemon.request("PUT", "sys/unseal", body: #"{"key":"\#(shares[0])"}"#).json["progress"] as? Int == 1
        )
        // OpenBao 2.7.2 answers the same share with 200 and an unchanged count.
        #expect(
            try daemon.request("PUT", "sys/unseal", body: #"{"key":"\#(shares[0])"}"#).json["progress"] as? Int == 1
        )
        #expect(try daemon.request("PUT", "sys/unseal", body: #"{"reset":true}"#).json["progress"] as? Int == 0)
        _ = try daemon.request("PUT", "sys/unseal", body: #"{"key":"\#(wrong)"}"#)
        _ = try daemon.request("PUT", "sys/unseal", body: #"{"key":"\#(shares[1])"}"#)
        #expect(try daemon.request("GET", "sys/seal-status").json["sealed"] as? Bool == true)
        _ = try daemon.request("PUT", "sys/unseal", body: #"{"reset":true}"#)
        try daemon.unseal()
        #expect(try daemon.request("GET", "secret/data/s", token: root).status == 200)
        try daemon.stop()
        try daemon.verifyLog()
    }

    @Test func sealingUnderLoadLosesNoAcknowledgedWrite() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let writers: [@Sendable () throws -> [String]] = (0..<4).map { worker in
            {
                var done: [String] = []
                var client = try UnixHTTP(daemon.socket)
                defer { client.close() }
                while true {
                    let path = "secret/data/w\(worker)/n\(done.count)"
                    let answer = try client.request("POST", path, token: root, body: #"{"data":{}}"#)
                    if answer.status == 503 { return done }
                    #expect(answer.status == 200)
                    done.append(path)
                }
            }
        }
        let sealer: @Sendable () throws -> [String] = {
            try eventually("writes go through") {
                try daemon.request("GET", "secret/data/w0/n20", token: root).status == 200
            }
            #expect(try daemon.request("PUT", "sys/seal", token: root).status == 204)
            return []
        }
        let written = try onThreads(writers + [sealer]).flatMap { $0 }
        #expect(written.count > 20)
        try daemon.unseal()
        for path in written { #expect(try daemon.request("GET", path, token: root).status == 200) }
    }

    @Test func aFloodOfRefusalsIsCountedExactly() throws {
        let (daemon, _) = try CoffredProcess.unsealed()
        var client = try UnixHTTP(daemon.socket)
        defer { client.close() }
        var limited = 0
        let isSoak = ProcessInfo.processInfo.environment["COFFRE_SOAK"] != nil
        for _ in 0..<(isSoak ? 1_000_000 : 6000) {
            if try client.request("GET", "secret/data/x", token: "s.bad").status == 429 { limited += 1 }
        }
        #expect(limited > 0)
        // The last window closes a little later.
        try eventually(within: 30, "each is counted") {
            let counted = try daemon.records().reduce(0) { sum, record in
                let what = record["what"] as? [String: Any]
                guard what?["op"] as? String == "overflow", record["ph"] as? String == "outcome" else { return sum }
                return sum + ((what?["det"] as? [String: Any])?["count"] as? Int ?? 0)
            }
            #expect(counted <= limited)
            return counted == limited
        }
        // Bounded however long it goes on: what is let through is written, and each window once.
        let bytes = try daemon.records().reduce(0) { $0 + "\($1)".utf8.count }
        #expect(bytes < (isSoak ? 64 : 8) << 20, "\(bytes)")
        try daemon.stop()
        try daemon.verifyLog()
    }
}
