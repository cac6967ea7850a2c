import CoffreAudit
import CoffreTestSupport
import Foundation
import Testing

/// `coffre audit …` as people type it: wrong paths, wrong keys, full disks and other languages.
struct AuditCommandTests {
    private static func coffre(_ arguments: [String], language: String = "C") throws -> (
        status: Int32, output: String
    ) {
        let environment = ["LC_ALL": language]
        return try RunningProcess.run(try CoffredProcess.program("coffre"), arguments, environment: environment)
    }

    /// Through a shell that does `redirection`.
    private static func shell(_ redirection: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let program = try CoffredProcess.program("coffre")
        let command = ["-c", #"exec "$0" "$@" "# + redirection, program] + arguments
        return try RunningProcess.run("/bin/sh", command, environment: ["LC_ALL": "fr_FR.UTF-8"])
    }

    /// A log of three days in `folder`.
    private static func log(_ folder: TestFolder) throws -> String {
        let path = folder.file("log")
        let driver = try CoffredProcess.program("coffre-log-driver")
        #expect(try RunningProcess.run(driver, ["run", path, "records=6", "days=3"]).status == 0)
        return path
    }

    private static func verify(_ bundle: String, key: String) throws -> (status: Int32, output: String) {
        let verifier = PackageFolder.path + "/Sources/coffre/Audit/Export/Bundle/verify.py"
        return try RunningProcess.run("/usr/bin/python3", [verifier, "--key", key, bundle])
    }

    // MARK: the folder that is meant

    @Test func withoutAFolderTheLogOfTheDaemonIsMeant() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let token = try daemon.folder.write("token", root)
        let folder = try TestFolder()
        let out = folder.file("b.tar")
        try eventually("a first head is signed") {
            FileManager.default.fileExists(atPath: daemon.auditFolder + "/checkpoint")
        }
        for command in [["verify"], ["checkpoint"], ["query"], ["export", "--out", out]] {
            let options = ["--socket", daemon.socket, "--token-file", token]
            let result = try Self.coffre(["audit"] + command + options)
            #expect(result.status == 0, "\(command): \(result.output)")
            if command == ["verify"] { #expect(result.output.contains(daemon.auditFolder)) }
        }
        #expect(FileManager.default.fileExists(atPath: out))
        let elsewhere = try Self.coffre(["audit", "verify", "--socket", folder.file("nobody")])
        #expect(elsewhere.status != 0 && elsewhere.output.contains("/var/lib/coffre-audit"))
    }

    // MARK: standard output

    @Test(
        arguments: [
            ["audit", "checkpoint", "--unrecorded"], ["audit", "verify", "--unrecorded"],
            ["audit", "query", "--unrecorded", "--format", "csv"], ["audit", "query", "--unrecorded", "--scan"],
            ["audit", "status"], ["audit", "tail"], ["--help"], ["--version"],
            ["--generate-completion-script", "bash"],
        ]
    )
    func whatCannotBeWrittenIsAnError(command: [String]) throws {
        let folder = try TestFolder()
        let isAudit = command[0] == "audit"
        let more = isAudit ? [try Self.log(folder)] : []
        let whole = try Self.coffre(command + more)
        #expect(whole.status == 0, "\(whole.output)")
        for redirection in ["> /dev/full", ">&-"] {
            let result = try Self.shell(redirection, command + more)
            #expect(result.status == 1, "\(redirection): \(result.output)")
            #expect(result.output.contains("écriture impossible sur la sortie standard"), "\(result.output)")
        }
    }

    @Test func aReaderThatHasGoneEndsTheCommandWithoutAWord() throws {
        let folder = try TestFolder()
        let script = """
            import os, subprocess, sys
            r, w = os.pipe()
            os.close(r)
            print(subprocess.run(sys.argv[1:], stdout=w, stderr=subprocess.STDOUT, restore_signals=False).returncode)
            """
        let command = [try CoffredProcess.program("coffre"), "audit", "tail", try Self.log(folder)]
        let result = try RunningProcess.run("/usr/bin/python3", ["-c", script] + command)
        #expect(result.output == "141\n")
    }

    @Test func aClosedStandardOutputDoesNotBecomeTheBundle() throws {
        let folder = try TestFolder()
        let (log, bundle) = (try Self.log(folder), folder.file("bundle.tar"))
        let made = try Self.shell(">&-", ["audit", "export", "--unrecorded", "--out", bundle, log])
        #expect(made.status == 1, "\(made.output)")
        let verdict = try Self.verify(bundle, key: log + "/log.vkey")
        #expect(verdict.status == 0, "\(verdict.output)")
    }

    @Test func aBundleIsNotWrittenToStandardOutput() throws {
        let folder = try TestFolder()
        let log = try Self.log(folder)
        let made = try Self.shell(
            "< /dev/null",
            ["audit", "export", "--unrecorded", "--out", "-", "--lang", "en", log]
        )
        #expect(made.status == 64 && made.output.hasPrefix("coffre: --out takes a file"), "\(made.output)")
        #expect(!FileManager.default.fileExists(atPath: "-"))
    }

    // MARK: inputs

    @Test(arguments: ["verify", "checkpoint", "query", "reindex", "status", "export"])
    func aWrongPathIsWrongUsage(command: String) throws {
        let folder = try TestFolder()
        let (empty, file) = (folder.file("empty"), try folder.write("file", "text"))
        try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
        let out = command == "export" ? ["--unrecorded", "--out", folder.file("bundle.tar")] : []
        for (path, words) in [
            (empty, "there is no audit log in \(empty)\n"), (file, "is not a folder, and not a bundle of Coffre"),
            (folder.file("none"), "there is no audit log in \(folder.file("none")): it does not exist"),
        ] {
            let socket = command == "status" ? [] : ["--socket", folder.file("no-socket")]
            let result = try Self.coffre(["audit", command] + out + socket + [path])
            #expect(result.status == 64 && result.output.contains(words), "\(result.status): \(result.output)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.file("bundle.tar")))
    }

    @Test func aWrongPathIsNoVerificationAndADamagedLogIs() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let token = try daemon.folder.write("token", root)
        let options = ["--socket", daemon.socket, "--token-file", token]
        let folder = try TestFolder()
        let log = try Self.log(folder)
        let bundle = folder.file("bundle.tar")
        #expect(try Self.coffre(["audit", "export", "--unrecorded", "--out", bundle, log]).status == 0)
        for path in [daemon.folder.file("none"), try TestFolder("empty").path, token, bundle] {
            let result = try Self.coffre(["audit", "verify", "--format", "json"] + options + [path])
            #expect(result.status == 64 && !result.output.contains("\"valid\""), "\(result.output)")
            #expect(path != bundle || result.output.contains("is a proof bundle: check it with the verify.py"))
        }
        // Keys that are none are no verification either.
        let keys = ["--trust", token, daemon.auditFolder]
        #expect(try Self.coffre(["audit", "verify"] + options + keys).status == 64)
        let recorded = { () throws -> Int in
            try daemon.records().count { ($0["what"] as? [String: Any])?["op"] as? String == "audit.verify" }
        }
        #expect(try recorded() == 0)
        // What is left of a log is one.
        for name in ["log.vkey", "checkpoint"] {
            try FileManager.default.removeItem(atPath: log + "/" + name)
            let result = try Self.coffre(["audit", "verify", "--unrecorded", log])
            #expect(result.status == 5 && result.output.contains("NOT VALID"), "\(name): \(result.output)")
        }
    }

    @Test func aCopyOfTheKeysMayHaveOtherEndsOfLinesAndMustBeWhole() throws {
        let folder = try TestFolder()
        let log = try Self.log(folder)
        let bundle = folder.file("bundle.tar")
        #expect(try Self.coffre(["audit", "export", "--unrecorded", "--out", bundle, log]).status == 0)
        let text = try String(contentsOfFile: log + "/log.vkey", encoding: .utf8)
        let lines = text.split(separator: "\n").map(String.init)
        let name = String(lines[0].prefix { $0 != "+" })
        for copy in [lines.joined(separator: "\r\n") + "\r\n", lines.joined(separator: "\n")] {
            let key = try folder.write("key", copy)
            #expect(try Self.coffre(["audit", "verify", "--unrecorded", "--trust", key, log]).status == 0)
            #expect(try Self.coffre(["audit", "checkpoint", "--unrecorded", "--trust", key, log]).status == 0)
            let verdict = try Self.verify(bundle, key: key)
            #expect(verdict.status == 0, "\(verdict.output)")
        }
        let single = [(lines[0] + "\n", "the key of \(name)/epoch-000000"), (lines[1] + "\r\n", "the key of \(name)")]
        for (copy, words) in single + [("not keys", "log.vkey")] {
            let key = try folder.write("key", copy)
            let own = try Self.coffre(["audit", "verify", "--unrecorded", "--trust", key, log])
            #expect(own.status == 64 && own.output.contains(words), "\(own.output)")
            #expect(own.output.hasPrefix("coffre: --trust: \(key)"))
            let verdict = try Self.verify(bundle, key: key)
            #expect(verdict.status == 2 && verdict.output.contains(words), "\(verdict.output)")
            #expect(verdict.output.contains("the key file is wrong") && !verdict.output.contains("REJECTED"))
        }
    }

    // MARK: what is printed

    @Test func columnsHaveOneNameInEveryLanguage() throws {
        let folder = try TestFolder()
        let query = ["audit", "query", "--unrecorded", "--format", "csv", try Self.log(folder)]
        let french = try Self.coffre(query, language: "fr_FR.UTF-8")
        #expect(french.status == 0 && french.output.hasPrefix("number,time,operation,outcome,who,what\r\n"))
        #expect(try french.output == Self.coffre(query).output)
    }

    @Test func sizesAreInUnitsForPeopleAndInBytesForPrograms() throws {
        let folder = try TestFolder()
        let log = try Self.log(folder)
        let english = try Self.coffre(["audit", "status", log])
        #expect(english.output.contains(try Regex(#"Size +\d+\.\d KiB\n"#)), "\(english.output)")
        let french = try Self.coffre(["audit", "status", log], language: "fr_FR.UTF-8")
        #expect(french.output.contains(try Regex(#"Taille +\d+,\d Kio\n"#)), "\(french.output)")
        let json = try Self.coffre(["audit", "status", "--format", "json", log])
        #expect(json.output.contains(try Regex(#""bytes": \d{4,}"#)), "\(json.output)")
        let (daemon, root) = try CoffredProcess.unsealed()
        let options = ["--socket", daemon.socket, "--token-file", try daemon.folder.write("token", root)]
        let status = try Self.coffre(["audit", "status"] + options)
        #expect(status.output.contains(try Regex(#"disk\.free_bytes +[\d.]+ [GMT]iB"#)), "\(status.output)")
    }

    // MARK: the end of a bundle

    /// A clock that stands, on 2024-10-04.
    private struct OldClock: LogClock {
        let bootID = String(repeating: "5", count: 32)

        func realMicroseconds() -> Int64 { 20_000 * 86_400_000_000 }
        func bootMicroseconds() -> UInt64 { 1 }
        func monotonicNanoseconds() -> UInt64 { 1 }
    }

    @Test func aBundleThatEndsBeforeTheTimeAskedForSaysWhy() throws {
        let folder = try TestFolder()
        let (path, copy) = (folder.file("audit"), folder.file("copy"))
        let configuration = AuditLogConfiguration(
            directory: path,
            origin: "short.example/coffre",
            softwareVersion: "1",
            keys: .file,
            checkpointMilliseconds: nil,
            clock: OldClock()
        )
        func export(_ log: String, _ more: [String]) throws -> (status: Int32, output: String) {
            let out = ["--force", "--format", "json", "--out", folder.file("bundle.tar")]
            return try Self.coffre(["audit", "export", "--unrecorded"] + out + more + [log])
        }
        try AuditLog.open(configuration).close()
        let whole = try export(path, [])
        #expect(whole.status == 0 && whole.output.hasPrefix("{"), "\(whole.output)")
        let early = try export(path, ["--until", "2100-01-01"])
        #expect(early.status == 0 && early.output.contains("earlier than asked, with record "), "\(early.output)")
        #expect(early.output.contains("--until is still to come"))
        let quiet = try export(path, ["--until", "2024-11-01"])
        #expect(quiet.output.contains("the log holds nothing later"), "\(quiet.output)")

        // A copy taken while newer records wait for their signature.
        let log = try AuditLog.open(configuration)
        for number in 0..<3 { log.heartbeat([("number", .int(Int64(number)))]) }
        try eventually("records behind the head") { log.health.size > 0 }
        let head = try SignedHead.newest(directory: path)
        try eventually("three records") { log.health.size >= head.size + 3 }
        #expect(try RunningProcess.run("/bin/cp", ["-a", path, copy]).status == 0)
        log.close()
        for more in [[], ["--until", "2100-01-01"]] {
            let short = try export(copy, more)
            #expect(short.status == 0, "\(short.output)")
            let words = "with record \(head.size - 1) of 2024-10-04"
            #expect(short.output.contains(words) && short.output.contains("are not signed yet"), "\(short.output)")
        }
        // Everything that is asked for is signed: nothing to say.
        let all = try export(path, [])
        #expect(all.status == 0 && all.output.hasPrefix("{"), "\(all.output)")
    }
}
