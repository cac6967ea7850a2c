import CoffreTestSupport
import Foundation
import Testing

/// The log of a running vault, asked over the socket and where it lies; every question is in it.
struct AuditQueryTests {
    private static func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let result = try RunningProcess.run(try CoffredProcess.program("coffre"), arguments)
        return (result.status, result.output)
    }

    private static func vault(secrets: Int) throws -> (daemon: CoffredProcess, root: String, options: [String]) {
        let (daemon, root) = try CoffredProcess.unsealed()
        for number in 0..<secrets {
            let body = #"{"data":{"k":"canary-\#(number)"}}"#
            _ = try daemon.request("POST", "secret/data/app/\(number)", token: root, body: body)
            _ = try daemon.request("GET", "secret/data/app/\(number)", token: root)
        }
        let file = daemon.folder.file("token")
        try Data(root.utf8).write(to: URL(filePath: file))
        return (daemon, root, ["--socket", daemon.socket, "--token-file", file])
    }

    private static func details(_ record: [String: Any]) -> [String: Any] {
        (record["what"] as? [String: Any])?["det"] as? [String: Any] ?? [:]
    }

    private static func last(_ daemon: CoffredProcess, _ operation: String) throws -> [String: Any] {
        try #require(
            try daemon.records().last { ($0["what"] as? [String: Any])?["op"] as? String == operation }
        )
    }

    @Test func theLogIsAskedInPagesAndEachQuestionIsRecorded() throws {
        let (daemon, root, _) = try Self.vault(secrets: 12)
        var found: [Int] = []
        var after: Int?
        var pages = 0
        while true {
            let more = after.map { "&after=\($0)" } ?? ""
            let answer = try daemon.request(
                "GET",
                "sys/audit/log?operation=secret.read&path=secret/app/*&limit=5\(more)",
                token: root
            )
            #expect(answer.status == 200)
            let records = try #require(answer.data["records"] as? [[String: Any]])
            #expect(records.count <= 5)
            found += records.compactMap { $0["_s"] as? Int }
            pages += 1
            guard answer.data["next"] is Int else { break }
            after = found.last
        }
        let reads = try daemon.records().filter {
            let what = $0["what"] as? [String: Any]
            return what?["op"] as? String == "secret.read"
                && (what?["path"] as? String)?.hasPrefix("secret/app/") == true
        }
        #expect(found == reads.compactMap { $0["_s"] as? Int } && found.count == 12 && pages == 3)
        let asked = try Self.last(daemon, "audit.read")
        #expect(Self.details(asked)["operation"] as? String == "secret.read")
        #expect(Self.details(asked)["limit"] as? String == "5")
        #expect((asked["what"] as? [String: Any])?["path"] as? String == "sys/audit/log")

        // By time, and for whom there is nothing.
        let none = try daemon.request("GET", "sys/audit/log?since=2100-01-01T00:00:00Z", token: root)
        #expect((none.data["records"] as? [Any])?.isEmpty == true && none.data["next"] is NSNull)
        let all = try daemon.request("GET", "sys/audit/log?limit=1000&until=2100-01-01T00:00:00Z", token: root)
        #expect((all.data["records"] as? [[String: Any]])?.first?["_s"] as? Int == 0)
        for odd in [
            "limit=0", "limit=1001", "limit=x", "after=-1", "since=yesterday", "operation=secret.steal",
            "outcome=maybe",
            "from=99999999999999999999",
        ] {
            #expect(try daemon.request("GET", "sys/audit/log?\(odd)", token: root).status == 400, "\(odd)")
        }
        try daemon.verifyLog()
    }

    @Test func nobodyAsksWithoutTheRight() throws {
        let (daemon, root, _) = try Self.vault(secrets: 1)
        let nobody = try daemon.token(policies: ["default"], root: root)
        let reader = try daemon.token(
            policy: #"path "sys/audit/log" { capabilities = ["read"] }"#,
            named: "officer",
            root: root
        )
        #expect(try daemon.request("GET", "sys/audit/log", token: reader).status == 200)
        for path in ["sys/audit/log", "sys/audit/status", "sys/audit/why/1"] {
            #expect(try daemon.request("GET", path, token: nobody).status == 403)
            let record = try Self.last(daemon, "audit.read")
            #expect((record["out"] as? [String: Any])?["code"] as? String == "denied")
        }
        let body = #"{"kind":"query"}"#
        #expect(try daemon.request("POST", "sys/audit/verified", token: reader, body: body).status == 403)
        #expect(try daemon.request("GET", "sys/audit/log").status == 403)
    }

    @Test func workOnTheFolderIsRecordedInTheLogItIsDoneOn() throws {
        let (daemon, root, options) = try Self.vault(secrets: 3)
        try eventually("a checkpoint") { FileManager.default.fileExists(atPath: daemon.auditFolder + "/checkpoint") }
        let query = try Self.coffre(
            ["audit", "query", "--operation", "secret.read", "--format", "json"] + options + [daemon.auditFolder]
        )
        #expect(query.status == 0 && query.output.split(separator: "\n").count == 3)
        let asked = try Self.last(daemon, "audit.read")
        #expect(Self.details(asked)["kind"] as? String == "query")
        #expect(Self.details(asked)["operation"] as? String == "secret.read")

        let verify = try Self.coffre(["audit", "verify", "--format", "json"] + options + [daemon.auditFolder])
        #expect(verify.status == 0)
        let report = try #require(try JSONSerialization.jsonObject(with: Data(verify.output.utf8)) as? [String: Any])
        #expect(report["recorded"] as? Bool == true)
        let verified = Self.details(try Self.last(daemon, "audit.verify"))
        #expect(verified["root"] as? String == report["root_hash"] as? String)
        #expect(verified["size"] as? Int == report["records"] as? Int && verified["valid"] as? String == "true")

        for command in ["checkpoint", "reindex"] {
            let done = try Self.coffre(["audit", command, "--format", "json"] + options + [daemon.auditFolder])
            #expect(done.status == 0 && done.output.contains("\"recorded\": true"), "\(done.output)")
            #expect(Self.details(try Self.last(daemon, "audit.read"))["kind"] as? String == command)
        }
        // A copy is not recorded, and says so; so does a vault that is sealed.
        let copy = daemon.folder.file("copy")
        #expect(try RunningProcess.run("/bin/cp", ["-a", daemon.auditFolder, copy]).status == 0)
        let count = try daemon.records().count
        let offline = try Self.coffre(["audit", "verify", "--format", "json"] + options + [copy])
        #expect(offline.status == 0 && offline.output.contains("\"recorded\": false"), "\(offline.output)")
        let leftOut = try Self.coffre(["audit", "query", "--unrecorded"] + options + [daemon.auditFolder])
        #expect(leftOut.status == 0 && !leftOut.output.contains("not recorded"))
        // The question where the log lies is all that was added.
        #expect(try daemon.records().filter { Self.details($0)["kind"] != nil }.count == 4)
        #expect(try daemon.records().count <= count + 1)
        for body in [
            "{}", #"{"kind":"other"}"#, #"{"kind":"verify"}"#, #"{"kind":"query","size":99999999}"#,
            #"{"kind":"query","size":-1}"#, #"{"kind":"query","actor":"\#(String(repeating: "a", count: 501))"}"#,
            #"{"kind":"verify","valid":true,"size":1,"root":"short"}"#,
        ] {
            #expect(try daemon.request("POST", "sys/audit/verified", token: root, body: body).status == 400, "\(body)")
        }
        try daemon.verifyLog()
    }

    @Test func theStatusIsToldInWordsAndTheWhyToo() throws {
        let (daemon, _, options) = try Self.vault(secrets: 1)
        let status = try Self.coffre(["audit", "status", "--lang", "fr"] + options)
        #expect(status.status == 0 && status.output.contains("Témoin externe"), "\(status.output)")
        #expect(status.output.contains(daemon.auditFolder) && status.output.contains("enregistre"))
        let offline = try Self.coffre(["audit", "status", "--format", "json", daemon.auditFolder])
        #expect(offline.status == 0 && offline.output.contains("\"from_daemon\": false"), "\(offline.output)")
        let number = try #require(try Self.last(daemon, "secret.read")["_s"] as? Int)
        let why = try Self.coffre(["audit", "why", "\(number)"] + options)
        #expect(why.status == 0 && why.output.contains("Granted by policy root."), "\(why.output)")
        #expect(why.output.contains("Under the policies of that day: the same."))
    }

    /// The index of a running daemon: kept behind the log, made anew when it is deleted or lies, and never in the way.
    @Test func theDaemonKeepsItsIndexWhateverBecomesOfTheFile() throws {
        let (daemon, root, _) = try Self.vault(secrets: 1)
        var connection = try UnixHTTP(daemon.socket)
        defer { connection.close() }
        func read(_ count: Int) throws {
            for _ in 0..<count { _ = try connection.request("GET", "secret/data/app/0", token: root) }
        }
        func status() throws -> [String: Any] { try daemon.request("GET", "sys/audit/status", token: root).data }
        let index = daemon.auditFolder + "/index.sqlite"
        try read(4100)
        try eventually("the first block") { try status()["index_size"] as? Int == 4096 }
        let question = "sys/audit/log?operation=secret.read&limit=1000&from=2000"
        let before = try daemon.request("GET", question, token: root)
        #expect((before.data["records"] as? [Any])?.count == 1000 && before.data["index_error"] is NSNull)
        #expect(before.data["indexed"] as? Int == 4096)

        // Rows that are gone: the same answer, the reason told, and a new index.
        let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM block'); c.commit()"
        #expect(try RunningProcess.run("/usr/bin/env", ["python3", "-c", script, index]).status == 0)
        let lied = try daemon.request("GET", question, token: root)
        #expect(lied.data["index_error"] is String)
        #expect(
            NSArray(array: lied.data["records"] as? [Any] ?? [])
                == NSArray(array: before.data["records"] as? [Any] ?? [1])
        )
        #expect(daemon.output.contains("the index of the audit log lies and is made anew"))
        try eventually("an index made anew") {
            try daemon.request("GET", question, token: root).data["index_error"] is NSNull
        }
        // Deleted while the daemon runs: nothing but time is lost, and the next block brings it back whole.
        try FileManager.default.removeItem(atPath: index)
        let without = try daemon.request("GET", question, token: root)
        #expect((without.data["records"] as? [Any])?.count == 1000)
        try read(4100)
        try eventually("two blocks") { try status()["index_size"] as? Int == 8192 }
        #expect(try daemon.request("GET", question, token: root).data["indexed"] as? Int == 8192)
        try daemon.verifyLog()
    }
}
