import CoffreAudit
import CoffreTestSupport
import Foundation
import Testing

/// Whose a pseudonym is, and how it stops being anybody's, through the daemon and the command.
struct AuditPeopleTests {
    private struct Vault {
        let daemon: CoffredProcess
        let root: String
        let options: [String]

        init() throws {
            (daemon, root) = try CoffredProcess.unsealed()
            let token = daemon.folder.file("token")
            try Data(root.utf8).write(to: URL(filePath: token))
            options = ["--socket", daemon.socket, "--token-file", token]
        }

        func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
            try RunningProcess.run(try CoffredProcess.program("coffre"), arguments + options)
        }

        func write() throws { _ = try daemon.request("POST", "sys/tools/random/4", token: root, body: "{}") }
    }

    private static func lines(_ vault: Vault) throws -> [String] {
        let files = FileManager.default.enumerator(atPath: vault.daemon.auditFolder)?.allObjects as? [String] ?? []
        return files.filter { $0.hasSuffix(".jsonl") }.sorted().flatMap { file in
            let bytes = FileManager.default.contents(atPath: vault.daemon.auditFolder + "/" + file) ?? Data()
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    private static func sidOfAdmin(_ vault: Vault) throws -> String {
        let line = try #require(try lines(vault).last { $0.contains(#""kind":"admin""#) })
        let rest = try #require(line.range(of: #""who":{"#)).upperBound
        let sid = try #require(line[rest...].range(of: #""sid":""#)).upperBound
        return String(line[sid...].prefix(24))
    }

    @Test func aPseudonymIsResolvedPutRightAndErased() throws {
        let vault = try Vault()
        try vault.write()
        let sid = try Self.sidOfAdmin(vault)
        let who = try vault.coffre(["audit", "who", sid, "--format", "json"])
        #expect(who.status == 0 && who.output.contains(#""entity": "root""#), "\(who.output)")
        #expect(try Self.lines(vault).contains { $0.contains(#""op":"audit.read""#) && $0.contains(sid) })

        // Rectification.
        let body = #"{"card":{"kind":"admin","entity":"canary-name"}}"#
        let changed = try vault.daemon.request("POST", "sys/audit/subject/\(sid)", token: vault.root, body: body)
        #expect(changed.status == 200)
        let shown = try vault.coffre(["audit", "who", sid])
        #expect(shown.output.contains("canary-name"), "\(shown.output)")
        let disclosed = try vault.daemon.request(
            "GET",
            "sys/audit/subject/\(sid)?disclose=true",
            token: vault.root
        ).data
        let salted =
            try #require(Data(base64Encoded: disclosed["salt"] as? String ?? ""))
            + Data((disclosed["text"] as? String ?? "").utf8)
        #expect(salted.count > 16)
        let commitment = try #require(disclosed["commitment"] as? String)
        #expect(try Self.lines(vault).contains { $0.contains(#""op":"subject.update""#) && $0.contains(commitment) })
        let handed = try vault.coffre(["audit", "who", sid, "--disclose"])
        #expect(handed.status == 0 && handed.output.contains(commitment), "\(handed.output)")
        for request in [#"{"card":"text"}"#, "{}"] {
            let path = "sys/audit/subject/\(sid)"
            #expect(try vault.daemon.request("POST", path, token: vault.root, body: request).status == 400)
        }

        // Erasure.
        for arguments in [["--reason", "whim", "--yes"], ["--yes"]] {
            #expect(try vault.coffre(["audit", "erase", sid] + arguments).status == 64)
        }
        let unasked = try vault.coffre(["audit", "erase", sid, "--reason", "request"])
        #expect(unasked.status == 64 && unasked.output.contains("--yes"), "\(unasked.output)")
        let named = #"{"subject":"\#(sid)","reason":"request","ticket":"Jean Dupont"}"#
        #expect(try vault.daemon.request("POST", "sys/audit/erase", token: vault.root, body: named).status == 400)
        let erased = try vault.coffre([
            "audit", "erase", sid, "--reason", "request", "--ticket", "DPO-118", "--yes", "--format", "json",
        ])
        #expect(erased.status == 0 && erased.output.contains(sid), "\(erased.output)")
        #expect(try vault.coffre(["audit", "who", sid]).status == 4)
        let twice = try vault.coffre(["audit", "erase", sid, "--reason", "request", "--yes", "--lang", "fr"])
        #expect(twice.status == 4)

        // Somebody new.
        try vault.write()
        #expect(try Self.sidOfAdmin(vault) != sid)
        let lines = try Self.lines(vault)
        let asked = lines.filter { $0.contains(#""op":"erasure.request""#) && $0.contains(sid) }
        #expect(asked.count == 1 && asked.allSatisfy { $0.contains("DPO-118") })
        #expect(lines.contains { $0.contains(#""op":"erasure.done""#) && $0.contains(sid) })
        #expect(!lines.contains { $0.contains("canary-name") })
        #expect(try vault.daemon.folder.contains("canary-name", below: vault.daemon.auditFolder).isEmpty)
        let proof = vault.daemon.auditFolder + "/erased/\(sid).tlog-proof"
        #expect(FileManager.default.fileExists(atPath: proof))
        #expect(try LogVerifier(directory: vault.daemon.auditFolder).verify().isValid)
    }

    @Test func whoMayNotIsRefusedAndRecorded() throws {
        let vault = try Vault()
        try vault.write()
        let sid = try Self.sidOfAdmin(vault)
        let policies = #"{"policies":["default"]}"#
        let made = try vault.daemon.request("POST", "auth/token/create", token: vault.root, body: policies)
        let token = try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String)
        let body = #"{"subject":"\#(sid)","reason":"request"}"#
        #expect(try vault.daemon.request("POST", "sys/audit/erase", token: token, body: body).status == 403)
        #expect(try vault.daemon.request("GET", "sys/audit/subject/\(sid)", token: token).status == 403)
        #expect(try vault.daemon.request("GET", "sys/audit/subject/s-0", token: vault.root).status == 404)
        #expect(try vault.daemon.request("GET", "sys/audit/subject/..%2Fkeys", token: vault.root).status >= 400)
    }
}
