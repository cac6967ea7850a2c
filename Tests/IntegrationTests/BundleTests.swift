import CoffreAudit
import CoffreTestSupport
import Foundation
import Synchronization
import Testing

/// Proof bundles: made from the log of a running vault, checked with Python and openssl, and with nothing of ours.
struct BundleTests {
    private static func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let result = try RunningProcess.run(try CoffredProcess.program("coffre"), arguments)
        return (result.status, result.output)
    }

    /// A vault with some records, and how the command reaches it.
    private static func vault() throws -> (daemon: CoffredProcess, options: [String]) {
        let (daemon, root) = try CoffredProcess.unsealed()
        let token = daemon.folder.file("token")
        try Data(root.utf8).write(to: URL(filePath: token))
        for number in 0..<6 {
            let body = #"{"data":{"k":"canary-\#(number)"}}"#
            _ = try daemon.request("POST", "secret/data/app/\(number)", token: root, body: body)
        }
        let options = ["--socket", daemon.socket, "--token-file", token]
        try settle(daemon, root)
        return (daemon, options)
    }

    /// Waits until the signed head covers everything.
    private static func settle(_ daemon: CoffredProcess, _ root: String, over size: Int = 12) throws {
        try eventually("a checkpoint over what was done") {
            let status = try daemon.request("GET", "sys/audit/status", token: root).data
            // Asking is recorded as well.
            return (status["checkpoint_size"] as? Int ?? 0) > size
        }
    }

    /// Unpacks the bundle and runs the verifier that lies in it.
    private static func check(_ bundle: String, key: String, _ more: [String] = []) throws -> (
        status: Int32, output: String
    ) {
        let folder = bundle + ".d"
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        #expect(try RunningProcess.run("/usr/bin/tar", ["xf", bundle, "-C", folder]).status == 0)
        let sums = ["-c", "cd '\(folder)/coffre-audit' && sha256sum --quiet --strict -c SHA256SUMS"]
        #expect(try RunningProcess.run("/bin/sh", sums).status == 0)
        let script = folder + "/coffre-audit/verify.py"
        let result = try RunningProcess.run("/usr/bin/python3", [script, "--key", key] + more + [bundle])
        return (result.status, result.output)
    }

    /// Case 3, for a stranger: today's keys sign another history, and the ends of earlier epochs do not lead into it.
    @Test func todaysKeysCannotWriteAnotherYesterdayIntoABundle() throws {
        let folder = try TestFolder("forge")
        let (log, bundle) = (folder.file("log"), folder.file("forged.tar"))
        let driver = try CoffredProcess.program("coffre-log-driver")
        #expect(try RunningProcess.run(driver, ["run", log, "records=6", "days=3"]).status == 0)
        let verify = PackageFolder.path + "/Sources/coffre/Audit/Export/Bundle/verify.py"
        let forge = PackageFolder.path + "/Tests/Scripts/forge_bundle.py"
        let forged = try RunningProcess.run("/usr/bin/python3", [forge, verify, log, bundle])
        #expect(forged.status == 0, "\(forged.output)")
        let result = try RunningProcess.run("/usr/bin/python3", [verify, "--key", log + "/log.vkey", bundle])
        #expect(result.status == 1 && result.output.contains("epoch 0 ended"), "\(result.output)")
        let foreign = try RunningProcess.run(try GoProgram.path("verify_bundle"), [log + "/log.vkey", bundle])
        #expect(foreign.status != 0, "\(foreign.output)")
    }

    @Test func aStrangerChecksABundleAndEveryChangeOfItIsFound() throws {
        let (daemon, options) = try Self.vault()
        let key = daemon.folder.file("own.vkey")
        try FileManager.default.copyItem(atPath: daemon.auditFolder + "/log.vkey", toPath: key)
        let bundle = daemon.folder.file("bundle.tar")
        let path = ["--path", "secret/app/*", "--operation", "secret.write", "--purpose", "contrôle"]
        let arguments =
            ["audit", "export", "--format", "json", "--out", bundle] + path + options + [daemon.auditFolder]
        let made = try Self.coffre(arguments)
        #expect(made.status == 0, "\(made.output)")
        let facts = try #require(try JSONSerialization.jsonObject(with: Data(made.output.utf8)) as? [String: Any])
        #expect(facts["shown"] as? Int == 12)  // an intent and an outcome each
        let verdict = try Self.check(bundle, key: key)
        #expect(verdict.status == 0 && verdict.output.contains("VALID"), "\(verdict.output)")
        #expect(verdict.output.contains("12 are shown"))
        #expect(verdict.output.contains(facts["sums_sha256"] as? String ?? "-"))

        // The log says who handed out what, and the bundle's own hash.
        let what = try daemon.records().compactMap { $0["what"] as? [String: Any] }
        let record = try #require(what.last { $0["op"] as? String == "audit.export" })
        let details = try #require(record["det"] as? [String: Any])
        #expect(details["sums"] as? String == facts["sums_sha256"] as? String)
        #expect(details["purpose"] as? String == "contrôle" && details["shown"] as? Int == 12)

        // Another log's keys, the bundle's own checkpoint for keys, no keys.
        let other = try CoffredProcess.unsealed().daemon
        let foreign = try Self.check(bundle, key: other.auditFolder + "/log.vkey")
        #expect(foreign.status == 1 && foreign.output.contains("unknown log"))
        #expect(try Self.check(bundle, key: bundle + ".d/coffre-audit/checkpoint").status == 2)

        let script = PackageFolder.path + "/Tests/Scripts/mutate_bundle.py"
        let verifier = PackageFolder.path + "/Sources/coffre/Audit/Export/Bundle/verify.py"
        let all = ProcessInfo.processInfo.environment["COFFRE_SOAK"] == nil ? [] : ["all"]
        let mutants = try RunningProcess.run("/usr/bin/python3", [script, verifier, key, bundle] + all, timeout: 500)
        #expect(mutants.status == 0, "\(mutants.output)")
        #expect(Int(mutants.output.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 20_000)
    }

    @Test func softwareThatIsNotOursFindsEveryChangeToo() throws {
        let (daemon, options) = try Self.vault()
        let bundle = daemon.folder.file("bundle.tar")
        let kept = daemon.folder.file("kept")
        try FileManager.default.copyItem(atPath: daemon.auditFolder + "/checkpoint", toPath: kept)
        let size = try Self.checkpointSize(kept)
        _ = try daemon.request(
            "POST",
            "secret/data/app/more",
            token: daemon.keys.rootToken,
            body: #"{"data":{"a":"b"}}"#
        )
        try Self.settle(daemon, daemon.keys.rootToken, over: size + 2)
        let more = ["--previous", kept, "--path", "secret/app/more"] + options + [daemon.auditFolder]
        let made = try Self.coffre(["audit", "export", "--out", bundle] + more)
        #expect(made.status == 0, "\(made.output)")

        let key = daemon.auditFolder + "/log.vkey"
        let verifier = try GoProgram.path("verify_bundle")
        let verdict = try RunningProcess.run(verifier, [key, bundle, "mutate"], timeout: 300)
        #expect(verdict.status == 0 && verdict.output.hasPrefix("valid"), "\(verdict.output)")

        // verify.py shows that the log continues what was kept, and convicts a keeper's checkpoint of another log.
        let own = try Self.check(bundle, key: key, ["--kept", kept])
        #expect(own.status == 0 && own.output.contains("over \(size) records"), "\(own.output)")
        let without = daemon.folder.file("without.tar")
        let plain = ["audit", "export", "--since", "1h", "--out", without] + options + [daemon.auditFolder]
        #expect(try Self.coffre(plain).status == 0)
        let unproven = try Self.check(without, key: key, ["--kept", kept])
        #expect(unproven.status == 1 && unproven.output.contains("--previous"))
    }

    /// A clock that somebody else moves.
    private final class MovedClock: LogClock {
        private let days = Mutex<Int64>(20_000)
        let bootID = String(repeating: "5", count: 32)

        func nextDay() { days.withLock { $0 += 1 } }
        func realMicroseconds() -> Int64 { days.withLock { $0 } * 86_400_000_000 }
        func bootMicroseconds() -> UInt64 { UInt64(realMicroseconds()) }
        func monotonicNanoseconds() -> UInt64 { UInt64(realMicroseconds()) }
    }

    /// A log of five days in `folder`, and the checkpoint of its second.
    private static func fiveDays(_ folder: String) throws -> [UInt8] {
        let clock = MovedClock()
        let configuration = AuditLogConfiguration(
            directory: folder,
            origin: "days.example/coffre",
            softwareVersion: "1",
            keys: .file,
            checkpointMilliseconds: nil,
            clock: clock
        )
        var kept: [UInt8] = []
        for day in 0..<5 {
            let log = try AuditLog.open(configuration)
            log.heartbeat([("day", .int(Int64(day)))])
            log.close()
            if day == 1 { kept = try #require(log.checkpoint) }
            clock.nextDay()
        }
        return kept
    }

    @Test func aBundleOfManyDaysCarriesTheEndOfEachKeyAndNoneCanBeForged() throws {
        let folder = try TestFolder()
        let log = folder.file("audit")
        let kept = folder.file("kept")
        try Data(try Self.fiveDays(log)).write(to: URL(filePath: kept))
        let bundle = folder.file("bundle.tar")
        let made = try Self.coffre(["audit", "export", "--unrecorded", "--previous", kept, "--out", bundle, log])
        #expect(made.status == 0, "\(made.output)")
        let key = log + "/log.vkey"
        let verdict = try Self.check(bundle, key: key, ["--kept", kept])
        #expect(verdict.status == 0 && verdict.output.contains("VALID"), "\(verdict.output)")
        let names = try RunningProcess.run("/usr/bin/tar", ["tf", bundle]).output
        #expect(names.split(separator: "\n").count { $0.contains("/epochs/") } == 4)
        let foreign = try RunningProcess.run(
            try GoProgram.path("verify_bundle"),
            [key, bundle, "mutate"],
            timeout: 300
        )
        #expect(foreign.status == 0 && foreign.output.hasPrefix("valid"), "\(foreign.output)")
        let script = PackageFolder.path + "/Tests/Scripts/mutate_bundle.py"
        let verifier = PackageFolder.path + "/Sources/coffre/Audit/Export/Bundle/verify.py"
        let mutants = try RunningProcess.run("/usr/bin/python3", [script, verifier, key, bundle, "lies"], timeout: 500)
        #expect(mutants.status == 0, "\(mutants.output)")
    }

    private static func checkpointSize(_ file: String) throws -> Int {
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        return try #require(Int(lines[1]))
    }

    @Test func nothingIsExportedWithoutARecordOfIt() throws {
        let (daemon, options) = try Self.vault()
        let bundle = daemon.folder.file("bundle.tar")
        let nobody = try daemon.token(policies: ["default"], root: daemon.keys.rootToken)
        let poor = daemon.folder.file("poor")
        try Data(nobody.utf8).write(to: URL(filePath: poor))
        let export = ["audit", "export", "--out", bundle]
        let denied = try Self.coffre(export + ["--socket", daemon.socket, "--token-file", poor, daemon.auditFolder])
        #expect(denied.status == 3)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: daemon.folder.path).allSatisfy { !$0.contains(".tar") }
        )
        let refusals = try daemon.records().filter { record in
            (record["what"] as? [String: Any])?["op"] as? String == "audit.export"
        }
        #expect(refusals.count == 1 && (refusals[0]["out"] as? [String: Any])?["code"] as? String == "denied")

        // What no export says of itself is refused.
        let sums = String(repeating: "0", count: 64)
        for body in [
            #"{"first":0,"end":1,"shown":2,"size":2,"sums":"\#(sums)"}"#, #"{"first":1,"end":1,"shown":0,"size":2}"#,
            #"{"first":0,"end":1,"shown":1,"size":99999999,"sums":"\#(sums)"}"#, #"{"first":-1}"#, "{}",
            #"{"first":0,"end":1,"shown":1,"size":2,"sums":"\#(sums.dropLast())G"}"#,
        ] {
            let answer = try daemon.request("POST", "sys/audit/export", token: daemon.keys.rootToken, body: body)
            #expect(answer.status == 400)
        }

        let missing = ["--since", "2031-01-01"] + options + [daemon.auditFolder]
        #expect(try Self.coffre(export + missing).output.contains("of that time"))
        #expect(try Self.coffre(export + ["--since", "yesterday"] + options).status == 64)
        _ = try daemon.stop()
        let dead = try Self.coffre(export + options + [daemon.auditFolder])
        #expect(dead.status == 69 && dead.output.contains("--unrecorded"), "\(dead.output)")
        #expect(!FileManager.default.fileExists(atPath: bundle))
        #expect(try Self.coffre(export + ["--unrecorded", daemon.auditFolder]).status == 0)
        let verdict = try Self.check(bundle, key: daemon.auditFolder + "/log.vkey")
        #expect(verdict.status == 0 && verdict.output.contains(#""recorded": false"#), "\(verdict.output)")
        #expect(try Self.coffre(export + ["--unrecorded", daemon.auditFolder]).status == 64)
        #expect(try Self.coffre(export + ["--unrecorded", "--force", daemon.auditFolder]).status == 0)
    }
}
