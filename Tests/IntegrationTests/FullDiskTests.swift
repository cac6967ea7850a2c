import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// The audit log's disk fills up under a real daemon: a small tmpfs, and system calls that fail.
@Suite(.serialized)
struct FullDiskTests {
    private static func setup(on disk: SmallDisk) -> CoffredProcess.Setup {
        var setup = CoffredProcess.Setup()
        setup.auditFolder = disk.path + "/f"
        setup.segmentBytes = 524_288
        setup.preallocates = true
        return setup
    }

    private static func disk(_ daemon: CoffredProcess, _ root: String) throws -> [String: Any] {
        let status = try daemon.request("GET", "sys/audit/status", token: root).data
        return status["disk"] as? [String: Any] ?? [:]
    }

    private static func wait(for state: String, _ daemon: CoffredProcess, _ root: String) throws {
        try eventually(within: 30, "the disk's state is \(state)") {
            try disk(daemon, root)["state"] as? String == state
        }
    }

    /// Somebody else's bytes, until `left` remain.
    private static func fill(_ disk: SmallDisk, leaving left: Int) throws {
        var now = statvfs()
        guard statvfs(disk.path, &now) == 0 else { throw RunningProcess.Failure(description: "statvfs: \(errno)") }
        let bytes = Int(now.f_bavail) * Int(now.f_frsize) - left
        let file = open(disk.path + "/filler", O_WRONLY | O_CREAT, 0o600)
        defer { close(file) }
        let code = posix_fallocate(file, 0, off_t(bytes))
        guard file >= 0, code == 0 else { throw RunningProcess.Failure(description: "filler: \(code)") }
    }

    private static func reads(_ daemon: CoffredProcess, _ root: String) throws -> UnixHTTP.Answer {
        try daemon.request("GET", "secret/data/a", token: root)
    }

    private static func records(_ operation: String, _ daemon: CoffredProcess) throws -> Int {
        try daemon.records().filter { ($0["what"] as? [String: Any])?["op"] as? String == operation }.count
    }

    @Test func aFullDiskRefusesSecretsLetsAdministratorsInAndRecovers() throws {
        let disk = try SmallDisk(megabytes: 12)
        let (daemon, root) = try CoffredProcess.unsealed(Self.setup(on: disk))
        #expect(try daemon.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#).status == 200)
        try eventually("space has been set aside") { try Self.disk(daemon, root)["reserve"] as? String == "held" }
        #expect(FileManager.default.fileExists(atPath: daemon.auditFolder + "/spare"))
        #expect(try Self.disk(daemon, root)["preallocation"] as? String == "on")

        try Self.fill(disk, leaving: 65_536)
        try Self.wait(for: "critical", daemon, root)
        let refused = try Self.reads(daemon, root)
        #expect(refused.status == 500)
        let sentence = try #require(refused.errors.first)
        #expect(sentence.hasPrefix("the audit log's disk is nearly full: 0 MiB"))
        #expect(
            sentence.hasSuffix("left below \(daemon.auditFolder); free space or prune; secrets are refused until then")
        )
        #expect(try daemon.request("POST", "secret/data/b", token: root, body: #"{"data":{}}"#).status == 500)
        try eventually("the journal has it") { daemon.output.contains("secrets are refused until there is space") }

        // Administration goes on, into what was set aside and to its end.
        try Self.fill(disk, leaving: 0)
        var served = 0
        var client = try UnixHTTP(daemon.socket)
        defer { client.close() }
        for number in 0..<20_000 {
            let answer = try client.request("GET", "sys/policies/acl", token: root)
            guard answer.status == 200 else { break }
            served += 1
            // On a slow machine the reserve is given up before a write is refused: it is not for this loop to use up.
            if number % 20 == 0, try Self.disk(daemon, root)["reserve"] as? String == "released" { break }
        }
        #expect(served > 100)
        try eventually(within: 30, "the reserve lets administrators in") {
            try daemon.request("POST", "auth/token/create", token: root, body: #"{"policies":["default"]}"#).status
                == 200
        }
        try Self.wait(for: "emergency", daemon, root)
        #expect(try Self.disk(daemon, root)["reserve"] as? String == "released")
        #expect(try Self.reads(daemon, root).errors.first?.contains("is full, or refuses writes") == true)
        #expect(try daemon.stop() == 0)
        #expect(try Self.records("reserve.used", daemon) == 1)
        try daemon.verifyLog()

        // The disk is still full: it starts, opens, and knows.
        try daemon.start()
        try daemon.unseal()
        #expect(try Self.disk(daemon, root)["state"] as? String == "emergency")
        #expect(try Self.reads(daemon, root).status == 500)

        unlink(disk.path + "/filler")
        try eventually(within: 30, "secrets flow again") { try Self.reads(daemon, root).status == 200 }
        try eventually("the reserve is back") { try Self.disk(daemon, root)["reserve"] as? String == "held" }
        #expect(try daemon.stop() == 0)
        #expect(try Self.records("reserve.used", daemon) == 1)
        #expect(try Self.records("anomaly.raise", daemon) >= 2)
        try daemon.verifyLog()
    }

    @Test func withoutFreeFilesNothingIsAcknowledgedAndTheLogRecovers() throws {
        let disk = try SmallDisk(megabytes: 12, files: 400)
        let (daemon, root) = try CoffredProcess.unsealed(Self.setup(on: disk))
        #expect(try daemon.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#).status == 200)
        var made = 0
        while true {
            let file = creat(disk.path + "/i\(made)", 0o600)
            guard file >= 0 else { break }
            close(file)
            made += 1
        }
        #expect(errno == ENOSPC)
        try eventually(within: 30, "secrets are refused") { try Self.reads(daemon, root).status == 500 }
        #expect(try Self.reads(daemon, root).errors.first?.contains("and 0 files left below") == true)
        for number in 0..<made { unlink(disk.path + "/i\(number)") }
        try eventually(within: 30, "secrets flow again") { try Self.reads(daemon, root).status == 200 }
        #expect(try daemon.stop() == 0)
        try daemon.verifyLog()
    }

    /// Every write to the open segment fails for a while, as on a disk that says no for another reason.
    @Test(arguments: ["EDQUOT", "EFBIG", "EROFS", "ENOSPC"])
    func aWriteThatIsRefusedIsNoAnswerAndPasses(error: String) throws {
        var setup = CoffredProcess.Setup()
        setup.preallocates = true
        setup.segmentBytes = 1_048_576
        let (daemon, root) = try CoffredProcess.unsealed(setup)
        #expect(try daemon.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#).status == 200)
        let segment = try #require(
            FileManager.default.subpathsOfDirectory(atPath: daemon.auditFolder).first { $0.hasSuffix(".jsonl") }
        )
        let pid = daemon.pid
        let tracer = try RunningProcess(
            "/usr/bin/strace",
            [
                "-f", "-qq", "-p", "\(pid)", "-P", daemon.auditFolder + "/" + segment, "-e", "trace=pwrite64", "-e",
                "inject=pwrite64:error=\(error)", "-o", "/dev/null",
            ]
        )
        try eventually("strace has attached to coffred") { try Self.isTraced(pid) }
        let before = try daemon.records().count
        let first = try Self.reads(daemon, root)
        #expect(first.status == 500)
        #expect(!first.text.contains("\"v\""))
        try eventually("the disk's state is known") {
            try Self.reads(daemon, root).errors.first?.contains("is full, or refuses writes") == true
        }
        #expect(try daemon.records().count == before, "nothing was written")
        try Self.end(tracer, of: pid)
        try eventually(within: 30, "secrets flow again") { try Self.reads(daemon, root).status == 200 }
        #expect(daemon.isRunning)
        #expect(try daemon.stop() == 0)
        try daemon.verifyLog()
    }

    /// A daemon that dies at the n-th call by which space is set aside, taken over or given back.
    @Test func aDaemonKilledWhileItSetsSpaceAsideLosesNothing() throws {
        var setup = CoffredProcess.Setup()
        setup.preallocates = true
        setup.segmentBytes = 65_536
        let daemon = try CoffredProcess(setup)
        try daemon.start()
        let root = try daemon.initialise().rootToken
        var acknowledged: [String] = []
        var deaths = 0
        for number in 1...9 {
            try daemon.unseal()
            let pid = daemon.pid
            let tracer = try RunningProcess(
                "/usr/bin/strace",
                [
                    "-f", "-qq", "-p", "\(pid)", "-e", "trace=fallocate,renameat2,ftruncate,fstatfs", "-e",
                    "inject=fallocate,renameat2,ftruncate,fstatfs:signal=SIGKILL:when=\(number)", "-o", "/dev/null",
                ]
            )
            try eventually("strace has attached to coffred") { try Self.isTraced(pid) }
            if var client = try? UnixHTTP(daemon.socket) {
                for write in 0..<400 {
                    let path = "secret/data/r\(number)/n\(write)"
                    let answer = try? client.request("POST", path, token: root, body: #"{"data":{}}"#)
                    guard answer?.status == 200 else { break }
                    acknowledged.append(path)
                }
                client.close()
            }
            if (try? eventually(within: 3, "it dies", { !daemon.isRunning })) != nil { deaths += 1 }
            tracer.signal(SIGKILL)
            _ = try tracer.wait(timeout: 10)
            try daemon.kill()
            try daemon.start()
        }
        #expect(deaths >= 7)
        try daemon.unseal()
        for path in acknowledged { #expect(try daemon.request("GET", path, token: root).status == 200) }
        #expect(try daemon.stop() == 0)
        #expect(try daemon.verifyLog() > 2 * acknowledged.count)
    }

    @Test(arguments: [
        ("reserve_bytes = 1048576", "reserve_bytes = 10"), ("preallocate = false", "preallocate = \"yes\""),
    ])
    func aWrongSettingIsNamed(right: String, wrong: String) throws {
        let daemon = try CoffredProcess()
        let text = try String(contentsOfFile: daemon.configuration, encoding: .utf8)
        #expect(text.contains(right))
        try text.replacing(right, with: wrong).write(toFile: daemon.configuration, atomically: true, encoding: .utf8)
        let process = try daemon.launch()
        #expect(try process.wait() == 78)
        #expect(process.says("audit.\(try #require(wrong.split(separator: " ").first))"))
    }

    /// Ends a fault. A tracer that is killed between a call and its answer would leave an answer that no disk gives
    /// (ENOSYS), so the daemon is stopped first: then no call is under way.
    private static func end(_ tracer: RunningProcess, of pid: Int32) throws {
        kill(pid, SIGSTOP)
        var seen = 0
        try eventually("every thread of coffred stands still") {
            seen = try areStopped(pid) ? seen + 1 : 0
            return seen > 60
        }
        tracer.signal(SIGKILL)
        _ = try tracer.wait(timeout: 10)
        kill(pid, SIGCONT)
    }

    private static func areStopped(_ pid: Int32) throws -> Bool {
        let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
        return tasks.allSatisfy { task in
            let status = (try? String(contentsOfFile: "/proc/\(pid)/task/\(task)/status", encoding: .utf8)) ?? ""
            return status.contains("State:\tT") || status.contains("State:\tt")
        }
    }

    private static func isTraced(_ pid: Int32) throws -> Bool {
        let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
        return tasks.allSatisfy { task in
            let status = (try? String(contentsOfFile: "/proc/\(pid)/task/\(task)/status", encoding: .utf8)) ?? ""
            return !status.contains("TracerPid:\t0\n")
        }
    }
}
