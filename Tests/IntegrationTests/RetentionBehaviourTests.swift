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

    @Test func aHoldIsSetListedAndClearedAndStandsInTheLog() throws {
        let reason = "claim 2026/118"
        let set = try coffre(["hold", "set", "--connector", "c-7f3a", "--reason", reason, "--review", "2099-06-30"])
        #expect(set.status == 0, "\(set.output)")
        let found = try #require(set.output.firstMatch(of: /h-[0-9A-Za-z]{12}/)).output
        let id = String(found)
        let file = daemon.auditFolder + "/hold/\(id).tlog-proof"
        #expect(FileManager.default.fileExists(atPath: file))
        let list = try coffre(["hold", "list"])
        #expect(list.status == 0 && list.output.contains(id) && list.output.contains(reason), "\(list.output)")
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
