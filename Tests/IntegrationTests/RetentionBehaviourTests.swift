import CoffreTestSupport
import Foundation
import Testing

/// Holds and pruning through the daemon, as an officer types them.
struct RetentionBehaviourTests {
    private let daemon: CoffredProcess
    private let root: String
    private let options: [String]

    init() throws {
        (daemon, root) = try CoffredProcess.unsealed()
        let token = daemon.folder.file("token")
        try Data(root.utf8).write(to: URL(filePath: token))
        options = ["--socket", daemon.socket, "--token-file", token]
    }

    private func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let result = try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            ["audit"] + arguments + options + ["--format", "json"]
        )
        return (result.status, result.output)
    }

    private func lines() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: daemon.auditFolder).filter { $0.hasSuffix(".jsonl") }
            .flatMap {
                try String(contentsOfFile: daemon.auditFolder + "/" + $0, encoding: .utf8).split(separator: "\n")
            }
            .map(String.init)
    }

    @Test(
        arguments: [
            ["connector": "c-7f3a"], ["since": "2026-03-01T00:00:00Z", "until": "2026-04-01T08:30:00Z"],
            ["subject": "s-0123456789abcdefghijkl"],
        ]
    )
    func aHoldIsSetListedAndClearedAndStandsInTheLog(scope: [String: String]) throws {
        let reason = "claim 2026/118"
        let what = scope.flatMap { ["--\($0.key)", $0.value] }
        let set = try coffre(["hold", "set", "--reason", reason, "--review", "2099-06-30"] + what)
        #expect(set.status == 0, "\(set.output)")
        let hold = try #require(try JSONSerialization.jsonObject(with: Data(set.output.utf8)) as? [String: Any])
        #expect(Set(hold.keys) == ["id", "scope", "reason", "review", "record"], "\(set.output)")
        #expect(hold["scope"] as? [String: String] == scope && hold["record"] is Int)
        #expect(hold["reason"] as? String == reason && hold["review"] as? String == "2099-06-30")
        let id = try #require(hold["id"] as? String)
        #expect(try id.wholeMatch(of: Regex("h-[0-9A-Za-z]{12}")) != nil)
        let file = daemon.auditFolder + "/hold/\(id).tlog-proof"
        #expect(FileManager.default.fileExists(atPath: file))
        let list = try coffre(["hold", "list"])
        #expect(list.status == 0, "\(list.output)")
        let listed = try #require(try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [[String: Any]])
        #expect(NSArray(array: listed) == NSArray(array: [hold]), "\(list.output)")
        let status = try daemon.request("GET", "sys/audit/status", token: root).data
        #expect(status["holds"] as? Int == 1)
        // The hold is still in force after a restart, and known from the start.
        try daemon.restart()
        #expect(try daemon.request("GET", "sys/audit/status", token: root).data["holds"] as? Int == 1)
        #expect(try coffre(["hold", "clear", id]).status == 0)
        #expect(try coffre(["hold", "clear", id]).status == 4)
        #expect(!FileManager.default.fileExists(atPath: file))
        let lines = try lines()
        #expect(lines.count { $0.contains(#""op":"hold.set""#) && $0.contains(id) } == 1)
        #expect(lines.count { $0.contains(#""op":"hold.clear""#) && $0.contains(id) } == 1)
    }

    @Test(
        arguments: [
            ["--subject", "bogus", "--review", "2099-01-15"], ["--connector", "c-1", "--review", "2020-01-15"],
            ["--connector", "c-1", "--review", "2099-02-30"],
            ["--since", "2026-01-01", "--until", "9999-12-31", "--review", "2099-01-15"],
        ]
    )
    func aHoldThatWouldHoldNothingIsRefused(arguments: [String]) throws {
        let answer = try coffre(["hold", "set", "--reason", "x"] + arguments)
        #expect(answer.status != 0, "\(answer.output)")
        #expect(try !lines().contains { $0.contains(#""op":"hold.set""#) })
    }

    @Test func pruningAsksForSudoAndSaysWhatItWouldDo() throws {
        let dry = try coffre(["prune", "--dry-run"])
        #expect(dry.status == 0 && dry.output.contains(#""dry_run": true"#), "\(dry.output)")
        let done = try coffre(["prune", "--approve", "the clock was checked"])
        #expect(done.status == 0 && done.output.contains(#""pruned": []"#), "\(done.output)")
        let policy =
            #"{"policy":"path \"sys/audit/*\" { capabilities = [\"read\", \"update\", \"list\", \"delete\"] }"}"#
        _ = try daemon.request("PUT", "sys/policies/acl/reader", token: root, body: policy)
        let made = try daemon.request("POST", "auth/token/create", token: root, body: #"{"policies":["reader"]}"#)
        let token = try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String)
        for (verb, path) in [
            ("POST", "prune"), ("GET", "prune"), ("POST", "holds"), ("DELETE", "holds/h-0123456789ab"),
        ] {
            let answer = try daemon.request(verb, "sys/audit/" + path, token: token, body: verb == "POST" ? "{}" : nil)
            #expect(answer.status == 403, "\(verb) \(path)")
        }
    }
}
