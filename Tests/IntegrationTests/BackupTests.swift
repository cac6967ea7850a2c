import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Snapshots of a running vault.
@Suite(.serialized)
struct BackupTests {
    @Test func aSnapshotUnderWritesHoldsAllThatWasAcknowledgedBefore() throws {
        let stage = try BackupStage()
        let (vault, root) = (stage.vault, stage.root)
        let canary = "canary-\(UUID().uuidString)"
        _ = try vault.request("POST", "secret/data/\(canary)", token: root, body: #"{"data":{"v":"\#(canary)"}}"#)
        try stage.fill(megabytes: 2)
        let acknowledged = Acknowledged()
        let writers: [@Sendable () throws -> String] = (0..<16).map { worker in
            {
                var client = try UnixHTTP(vault.socket)
                defer { client.close() }
                for number in 0..<100_000 where !acknowledged.isOver {
                    let path = "secret/data/w\(worker)/n\(number)"
                    let answer = try client.request("POST", path, token: root, body: #"{"data":{"p":"\#(path)"}}"#)
                    #expect(answer.status == 200)
                    acknowledged.add(path)
                }
                return ""
            }
        }
        let taker: @Sendable () throws -> String = {
            try eventually("writes go through") { acknowledged.count > 200 }
            acknowledged.mark()
            defer { acknowledged.end() }
            return try stage.backup()
        }
        let snapshot = try #require(try onThreads(writers + [taker]).last)
        let before = acknowledged.marked
        #expect(before.count >= 200)
        #expect(acknowledged.count > before.count, "writes went on meanwhile")

        let bytes = try #require(FileManager.default.contents(atPath: snapshot))
        #expect(bytes.range(of: Data(canary.utf8)) == nil)
        #expect(bytes.range(of: Data(root.utf8)) == nil)
        // A stranger's tools can look into it.
        let sums = try RunningProcess.run(
            "/bin/sh",
            [
                "-c", "cd \"$1\" && tar xf snapshot.tar && sha256sum -c SHA256SUMS && cat manifest.json", "sh",
                stage.files.path,
            ]
        )
        #expect(sums.status == 0, "\(sums.output)")
        #expect(sums.output.contains("coffre.db: OK"))
        #expect(sums.output.contains(#""origin":"test.example/coffre""#))
        #expect(try stage.leftovers().isEmpty)

        try stage.restore(snapshot)
        let held = try vault.request("GET", before[0], token: root)
        #expect(held.status == 503)
        let status = try stage.coffre(["operator", "restore-status", "--verify", "--format", "json"])
        #expect(status.output.contains(#""rows_verified": true"#), "\(status.output)")
        #expect(status.output.contains(#""same_log": true"#))
        #expect(try stage.coffre(["operator", "restore-confirm"]).status == 0)
        var client = try UnixHTTP(vault.socket)
        defer { client.close() }
        for path in before {
            let answer = try client.request("GET", path, token: root)
            #expect(answer.status == 200 && answer.text.contains(path))
        }
        #expect(try vault.request("GET", "secret/data/\(canary)", token: root).text.contains(canary))
        try vault.stop()
        try vault.verifyLog()
        let taken = try vault.records().filter { ($0["what"] as? [String: Any])?["op"] as? String == "backup.take" }
        #expect(taken.count == 2)
        let details = (taken.last?["what"] as? [String: Any])?["det"] as? [String: Any]
        #expect(details?["bytes"] as? Int == bytes.count)
        #expect(details?["generation"] as? Int != nil)
    }

    @Test func everyTruncationAndFlippedBitIsRefused() throws {
        let stage = try BackupStage()
        let snapshot = try stage.backup()
        let whole = try #require(FileManager.default.contents(atPath: snapshot))
        let damaged = stage.files.file("damaged.tar")
        func isRefused(_ bytes: Data) throws -> Bool {
            try bytes.write(to: URL(fileURLWithPath: damaged))
            let result = try stage.coffre(["operator", "snapshot", "inspect", damaged])
            #expect(result.output.contains("cannot be used"), "\(result.output)")
            return result.status == 1
        }
        #expect(try stage.coffre(["operator", "snapshot", "inspect", snapshot]).status == 0)
        for length in stride(from: 0, to: whole.count, by: 4096) { #expect(try isRefused(whole.prefix(length))) }
        #expect(try isRefused(whole.dropLast()))
        #expect(try isRefused(whole + [0]))
        // Every part: headers, manifest, database, list of hashes, padding, end.
        let manifest = (0..<1536).filter { $0 % 61 == 0 }
        let rest = stride(from: 1536, to: whole.count, by: whole.count / 40)
        let ending = stride(from: whole.count - 2560, to: whole.count, by: 97)
        for position in manifest + rest + ending {
            var changed = whole
            changed[position] ^= 1 << UInt8(position % 8)
            #expect(try isRefused(changed), "bit of byte \(position)")
        }
        try stage.vault.stop()
        let before = FileManager.default.contents(atPath: stage.vault.database)
        let result = try stage.coffre(["operator", "restore", "--state-directory", stage.vault.stateFolder, damaged])
        #expect(result.status == 1)
        #expect(FileManager.default.contents(atPath: stage.vault.database) == before)
        #expect(try stage.leftovers().isEmpty)
    }

    @Test func aKilledDaemonLeavesNoSnapshotBehind() throws {
        let stage = try BackupStage()
        try stage.fill(megabytes: 4)
        let copy = stage.vault.stateFolder + "/coffre.db.snapshot"
        for moment in ["made", "sent"] {
            let target = stage.files.file("snapshot.tar")
            let backup = try RunningProcess(
                try CoffredProcess.program("coffre"),
                ["operator", "backup", target],
                environment: stage.environment
            )
            try eventually("the snapshot is being \(moment)") {
                moment == "made" ? FileManager.default.fileExists(atPath: copy) : Self.size(target + ".partial") > 0
            }
            try stage.vault.kill()
            let status = try backup.wait()
            // The last bytes may have been on their way: then the file is whole.
            if status == 0 { #expect(try stage.coffre(["operator", "snapshot", "inspect", target]).status == 0) }
            #expect((status == 0) == FileManager.default.fileExists(atPath: target))
            #expect(!FileManager.default.fileExists(atPath: target + ".partial"))
            unlink(target)
            try stage.vault.start()
            try stage.vault.unseal()
            #expect(try stage.leftovers().isEmpty)
        }
        #expect(try stage.coffre(["operator", "snapshot", "inspect", try stage.backup()]).status == 0)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGKILL])
    func aStoppedCommandLeavesNoFile(signal: Int32) throws {
        let stage = try BackupStage()
        try stage.fill(megabytes: 4)
        let target = stage.files.file("snapshot.tar")
        let backup = try RunningProcess(
            try CoffredProcess.program("coffre"),
            ["operator", "backup", target],
            environment: stage.environment
        )
        try eventually("bytes arrive") { Self.size(target + ".partial") >= 0 }
        backup.signal(signal)
        #expect(try backup.wait() == 128 + signal)
        #expect(!FileManager.default.fileExists(atPath: target))
        if signal != SIGKILL { #expect(!FileManager.default.fileExists(atPath: target + ".partial")) }
        // The daemon notices that nobody reads, and the next one works and takes over what was left.
        try eventually("the next backup works") { try stage.coffre(["operator", "backup", target]).status == 0 }
        #expect(!FileManager.default.fileExists(atPath: target + ".partial"))
        #expect(try stage.leftovers().isEmpty)
        #expect(try stage.coffre(["operator", "backup", target]).output.contains("--force"))
        // Killed between its two names: the whole file stays, the other name goes.
        #expect(link(target, target + ".partial") == 0)
        let whole = FileManager.default.contents(atPath: target)
        let other = stage.files.file("snapshot.tar.partial")
        #expect(other == target + ".partial")
        #expect(try stage.coffre(["operator", "backup", target]).status == 64)
        #expect(FileManager.default.contents(atPath: target) == whole)
        #expect(try stage.coffre(["operator", "backup", "--force", target]).status == 0)
        #expect(try stage.vault.request("GET", "sys/health").status == 200)
    }

    private static func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int ?? -1
    }

    @Test func aFileThatCannotGrowIsAClearError() throws {
        let stage = try BackupStage()
        let target = stage.files.file("snapshot.tar")
        let result = try RunningProcess.run(
            "/usr/bin/prlimit",
            ["--fsize=8000", try CoffredProcess.program("coffre"), "operator", "backup", target],
            environment: stage.environment
        )
        #expect(result.status == 1)
        #expect(result.output.contains("cannot write") && result.output.contains("File too large"), "\(result.output)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: stage.files.path) == ["token"])
    }

    @Test(.enabled(if: geteuid() == 0)) func aFullStateDiskIsAClearError() throws {
        let disk = try SmallDisk(megabytes: 10)
        var setup = CoffredProcess.Setup()
        setup.stateFolder = disk.path + "/f"
        let stage = try BackupStage(setup)
        let target = stage.files.file("snapshot.tar")
        let result = try stage.coffre(["operator", "backup", target])
        #expect(result.status == 1)
        #expect(result.output.contains("free some space"), "\(result.output)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: stage.files.path) == ["token"])
        #expect(try stage.leftovers().isEmpty)
        #expect(
            try stage.vault.request("POST", "secret/data/a", token: stage.root, body: #"{"data":{}}"#).status == 200
        )
    }

    @Test func aSlowReaderHoldsNeitherMemoryNorOthers() throws {
        let stage = try BackupStage()
        try stage.fill(megabytes: 6)
        let before = try Self.residentKilobytes(stage.vault.pid)
        var slow = try UnixHTTP(stage.vault.socket)
        defer { slow.close() }
        try slow.send("GET /v1/sys/storage/snapshot HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \(stage.root)\r\n\r\n")
        try eventually("the copy is made and its name gone") {
            let records = try stage.vault.records()
            return records.contains {
                ($0["what"] as? [String: Any])?["op"] as? String == "backup.take" && $0["ph"] as? String == "outcome"
            }
        }
        #expect(try stage.leftovers().isEmpty)
        var slowest = 0.0
        for number in 0..<200 {
            let start = Date()
            let path = "secret/data/beside\(number)"
            #expect(try stage.vault.request("POST", path, token: stage.root, body: #"{"data":{}}"#).status == 200)
            slowest = max(slowest, Date().timeIntervalSince(start))
        }
        #expect(slowest < 1)
        let second = try stage.vault.request("GET", "sys/storage/snapshot", token: stage.root)
        #expect(second.status == 429)
        #expect(try Self.residentKilobytes(stage.vault.pid) - before < 12_000)
        let answer = try slow.receive()
        #expect(answer.status == 200)
        #expect(answer.headers["content-type"] == "application/octet-stream")
        #expect(answer.body.count > 4_000_000)
        // A connection goes on as usual afterwards.
        #expect(try slow.request("GET", "sys/mounts", token: stage.root).status == 200)
        #expect(try stage.coffre(["operator", "backup", stage.files.file("snapshot.tar")]).status == 0)
    }

    private static func residentKilobytes(_ pid: Int32) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return Int(line?.split(whereSeparator: { !$0.isNumber }).first ?? "") ?? 0
    }

    @Test func onlyWhoHasTheRightTakesASnapshot() throws {
        let stage = try BackupStage()
        let plain = #"path "sys/storage/snapshot" { capabilities = ["read", "update"] }"#
        let token = try stage.vault.token(policy: plain, named: "plain", root: stage.root)
        #expect(try stage.vault.request("GET", "sys/storage/snapshot", token: token).status == 403)
        let full = #"path "sys/storage/snapshot" { capabilities = ["read", "sudo"] }"#
        let taker = try stage.vault.token(policy: full, named: "taker", root: stage.root)
        #expect(try stage.vault.request("GET", "sys/storage/snapshot", token: taker).status == 200)
        #expect(try stage.vault.request("POST", "sys/storage/snapshot", token: taker).status == 403)
        #expect(try stage.vault.request("DELETE", "sys/storage/snapshot", token: stage.root).status == 405)
    }

    @Test(.enabled(if: geteuid() == 0)) func theJobNeedsNoTokenAndMayDoNothingElse() throws {
        let stage = try BackupStage()
        let policy = try String(contentsOfFile: CoffredProcess.packageFolder + "/policies/backup.hcl", encoding: .utf8)
        _ = try stage.vault.token(policy: policy, named: "backup", root: stage.root)
        let role = #"{"bound_uids":[65533],"policies":["backup"]}"#
        #expect(try stage.vault.request("POST", "auth/peer/role/backup", token: stage.root, body: role).status == 204)
        chmod(stage.vault.socket, 0o666)
        chmod(stage.files.path, 0o711)
        let folder = stage.files.file("kept")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        chown(folder, 65_533, 65_534)
        func asJob(_ arguments: [String], uid: Int = 65_533) throws -> (status: Int32, output: String) {
            try RunningProcess.run(
                "/usr/bin/setpriv",
                ["--reuid=\(uid)", "--regid=65534", "--clear-groups", "--inh-caps=-all", try Self.reachable(stage)]
                    + arguments,
                environment: ["COFFRE_SOCKET": stage.vault.socket, "LC_ALL": "C"]
            )
        }
        let taken = try asJob(["operator", "backup", "--keep", "14", folder])
        #expect(taken.status == 0, "\(taken.output)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 1)
        #expect(try asJob(["kv", "get", "secret/a"]).status == 3)
        #expect(try asJob(["operator", "restore-confirm"]).status == 3)
        #expect(try asJob(["operator", "backup", "-"], uid: 65_532).status == 3)
    }

    /// The command line where any user may run it.
    private static func reachable(_ stage: BackupStage) throws -> String {
        let copy = stage.files.file("coffre")
        if !FileManager.default.fileExists(atPath: copy) {
            try FileManager.default.copyItem(atPath: try CoffredProcess.program("coffre"), toPath: copy)
            chmod(copy, 0o755)
        }
        return copy
    }

    @Test func aFolderKeepsTheNewest() throws {
        let stage = try BackupStage()
        let folder = stage.files.file("kept")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        for day in 10...15 { _ = try stage.files.write("kept/coffre-202601\(day)T031500Z.tar", "old") }
        _ = try stage.files.write("kept/coffre-20260101T000000Z.tar.partial", "killed")
        _ = try stage.files.write("kept/notes.txt", "mine")
        #expect(try stage.coffre(["operator", "backup", "--keep", "3", folder]).status == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names.count == 4)
        #expect(Array(names.prefix(2)) == ["coffre-20260114T031500Z.tar", "coffre-20260115T031500Z.tar"])
        #expect(names.last == "notes.txt")
        let newest = folder + "/" + names[2]
        #expect(try stage.coffre(["operator", "snapshot", "inspect", newest]).status == 0)
        let facts = try FileManager.default.attributesOfItem(atPath: newest)
        #expect(facts[.posixPermissions] as? Int == 0o600)
    }
}

/// Paths that were acknowledged, and which of them before a moment.
private final class Acknowledged: @unchecked Sendable {  // Guarded by the lock.
    private let lock = NSLock()
    private var paths: [String] = []
    private var before: [String] = []
    private var over = false

    func add(_ path: String) { lock.withLock { paths.append(path) } }
    func mark() { lock.withLock { before = paths } }
    func end() { lock.withLock { over = true } }
    var count: Int { lock.withLock { paths.count } }
    var marked: [String] { lock.withLock { before } }
    var isOver: Bool { lock.withLock { over } }
}
