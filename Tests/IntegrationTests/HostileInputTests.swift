import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Malformed requests, damaged files, full disks: clear errors, and nothing acknowledged is lost.
@Suite(.serialized)
struct HostileInputTests {
    private static let shared = Result { try CoffredProcess.unsealed() }

    private var vault: CoffredProcess { get throws { try Self.shared.get().daemon } }
    private var root: String { get throws { try Self.shared.get().root } }

    @Test(arguments: [
        "{", "[]", "{\"data\":}", "{\"data\":{\"a\":01}}", "{\"data\":{}}x", "{\"data\":{\"a\":\"\u{1}\"}}",
        "{\"data\":[]}",
        "{\"data\":\"x\"}", "{\"data\":null}", "{\"data\":{},\"options\":{\"cas\":{}}}", "\u{feff}{}", "nul",
        "{\"data\":" + String(repeating: "[", count: 20_000),
    ])
    func aBodyThatIsNotWhatItShouldBeIsRefused(_ body: String) throws {
        let answer = try vault.request("POST", "secret/data/h", token: root, body: body)
        #expect(answer.status == 400)
        #expect(answer.errors.count == 1)
        #expect(try vault.request("GET", "secret/data/h", token: root).status == 404)
    }

    @Test(arguments: [
        "secret/data/../data/x", "secret/data/./x", "secret/data/%2e%2e/x", "secret/data/a%00b", "secret/data/%zz",
        "secret/data/a%0ab",
    ])
    func aTrickyPathIsRefused(_ path: String) throws {
        let answer = try vault.request("GET", path, token: root)
        #expect([400, 404].contains(answer.status))
        #expect(answer.status == 400 || answer.text == #"{"errors":[]}"#)
    }

    @Test func verbsAndSizesHaveTheirBounds() throws {
        #expect(try vault.request("BREW", "secret/data/x", token: root).status == 405)
        #expect(try vault.request("PUT", "sys/mounts", token: root, body: "{}").status == 405)
        var client = try UnixHTTP(try vault.socket)
        defer { client.close() }
        try client.send(
            "POST /v1/secret/data/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \(try root)\r\nContent-Length: 99999999999\r\n\r\n"
        )
        #expect(try client.receive().status == 413)
    }

    @Test func aHalfRequestHoldsUpNobody() throws {
        let open = try (0..<20).map { _ in try UnixHTTP(try vault.socket) }
        for client in open { try client.send("POST /v1/secret/data/x HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"da") }
        #expect(try vault.request("GET", "sys/mounts", token: root).status == 200)
        for client in open { client.close() }
        #expect(try vault.request("GET", "sys/mounts", token: root).status == 200)
    }

    @Test func secretsStandInNoFileAndNoMessage() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let canary = "canary" + UUID().uuidString
        let body = #"{"data":{"v":"\#(canary)"}}"#
        #expect(try daemon.request("POST", "secret/data/\(canary)-name", token: root, body: body).status == 200)
        #expect(try daemon.request("GET", "secret/data/\(canary)-name", token: root).status == 200)
        _ = try daemon.request("POST", "secret/data/x", token: root, body: #"{"data":{"v":"\#(canary)}}"#)
        _ = try daemon.request("GET", "secret/data/\(canary)-stranger", token: "s.\(canary)")
        _ = try daemon.request("PUT", "sys/unseal", body: #"{"key":"\#(canary)"}"#)
        #expect(try daemon.folder.contains("\"v\":\"\(canary)") == [])
        #expect(try daemon.folder.contains(canary, below: daemon.stateFolder) == [])
        #expect(try daemon.folder.contains("s.\(canary)") == [])
        #expect(try daemon.folder.contains("\(canary)-stranger") == [])
        #expect(try daemon.folder.contains(root) == [])
        for share in try daemon.keys.shares { #expect(try daemon.folder.contains(share) == []) }
        #expect(!daemon.output.contains(canary))
        #expect(!daemon.output.contains(root))
    }

    @Test func aCrashLeavesNoCore() throws {
        let daemon = try CoffredProcess.started()
        let limits = try String(contentsOfFile: "/proc/\(daemon.pid)/limits", encoding: .utf8)
        let core = try #require(limits.components(separatedBy: "\n").first { $0.hasPrefix("Max core file size") })
        #expect(core.split(separator: " ").filter { $0 == "0" }.count == 2, "\(core)")
        #expect(Glibc.kill(daemon.pid, SIGABRT) == 0)
        try eventually("the daemon is gone") { !daemon.isRunning }
        let files = try FileManager.default.subpathsOfDirectory(atPath: daemon.folder.path)
        #expect(files.filter { $0.contains("core.") || $0.hasSuffix("core") } == [])
    }

    @Test func aLooseStateFolderIsRefused() throws {
        let daemon = try CoffredProcess.started()
        try daemon.stop()
        chmod(daemon.stateFolder, 0o755)
        let process = try daemon.launch()
        #expect(try process.wait() == 1)
        try eventually("the reason is said") { daemon.output.contains("chmod 700 \(daemon.stateFolder)") }
    }

    @Test func aSecondDaemonOnTheSameStateLeavesWith69() throws {
        let daemon = try CoffredProcess.started()
        let second = try RunningProcess.run(
            try CoffredProcess.program("coffred"),
            ["--config", daemon.configuration]
        )
        #expect(second.status == 69)
        #expect(second.output.contains("another process"))
        #expect(try daemon.request("GET", "sys/seal-status").status == 200)
    }

    @Test func anUnknownKeyIsNamedWithItsLine() throws {
        var setup = CoffredProcess.Setup()
        setup.extraConfiguration = "colour = \"blue\""
        let daemon = try CoffredProcess(setup)
        let lines = try String(contentsOfFile: daemon.configuration, encoding: .utf8).components(separatedBy: "\n")
        let line = try #require(lines.firstIndex { $0.contains("colour") }) + 1
        let process = try daemon.launch()
        #expect(try process.wait() == 78)
        #expect(process.says("coffre.toml:\(line):"))
        #expect(process.says("colour"))
    }

    @Test func aDamagedRowIsAClearErrorAndNothingElse() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        _ = try daemon.request("POST", "secret/data/a", token: root, body: #"{"data":{"v":1}}"#)
        try daemon.stop()
        let script = """
            import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); r=c.execute("SELECT name,value FROM row WHERE ns=7").fetchone()
            v=bytearray(r[1]); v[30]^=1; c.execute("UPDATE row SET value=? WHERE ns=7 AND name=?",(bytes(v),r[0])); c.commit()
            """
        let change = try RunningProcess.run("/usr/bin/env", ["python3", "-c", script, daemon.database])
        try #require(change.status == 0, "\(change.output)")
        try daemon.start()
        try daemon.unseal()
        let answer = try daemon.request("GET", "secret/data/a", token: root)
        #expect(answer.status == 500)
        #expect(answer.errors.first?.contains("damaged or was moved") == true)
        #expect(try daemon.request("POST", "secret/data/b", token: root, body: #"{"data":{}}"#).status == 200)
        try daemon.stop()
        try daemon.verifyLog()
    }

    @Test func anOldCopyIsHeldUntilAnOperatorConfirms() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        _ = try daemon.request("POST", "secret/data/old", token: root, body: #"{"data":{"v":1}}"#)
        try daemon.stop()
        let copy = daemon.folder.file("copy")
        try FileManager.default.copyItem(atPath: daemon.stateFolder, toPath: copy)
        try daemon.start()
        try daemon.unseal()
        _ = try daemon.request("POST", "secret/data/new", token: root, body: #"{"data":{"v":1}}"#)
        try daemon.stop()
        try FileManager.default.removeItem(atPath: daemon.stateFolder)
        try FileManager.default.moveItem(atPath: copy, toPath: daemon.stateFolder)
        try daemon.start()
        try daemon.unseal()
        let held = try daemon.request("GET", "secret/data/old", token: root)
        #expect(held.status >= 500)
        #expect(held.errors.first?.contains("sys/restore/confirm") == true)
        #expect(try daemon.request("GET", "sys/health").status == 503)
        #expect(try daemon.request("PUT", "sys/restore/confirm").status == 204)
        #expect(try daemon.request("GET", "secret/data/old", token: root).status == 200)
        #expect(try daemon.request("GET", "secret/data/new", token: root).status == 404)
        #expect(try daemon.request("PUT", "sys/restore/confirm").status == 400)
        try daemon.restart()
        #expect(try daemon.request("GET", "secret/data/old", token: root).status == 200)
        try daemon.stop()
        try daemon.verifyLog()
    }

    @Test(.enabled(if: geteuid() == 0), arguments: ["state", "audit"])
    func aFullDiskIsSaidAndSurvived(_ which: String) throws {
        let disk = try SmallDisk(megabytes: 3)
        var setup = CoffredProcess.Setup()
        setup.segmentBytes = 262_144
        if which == "state" { setup.stateFolder = disk.path + "/f" } else { setup.auditFolder = disk.path + "/f" }
        let (daemon, root) = try CoffredProcess.unsealed(setup)
        var written: [String] = []
        var refused: UnixHTTP.Answer?
        let value = String(repeating: "x", count: which == "state" ? 20_000 : 10)
        for number in 0..<20_000 {
            let path = "secret/data/n\(number)"
            let answer = try daemon.request("POST", path, token: root, body: #"{"data":{"v":"\#(value)"}}"#)
            guard answer.status == 200 else {
                refused = answer
                break
            }
            written.append(path)
        }
        let failure = try #require(refused)
        #expect(failure.status == 500)
        #expect(failure.errors.first?.isEmpty == false)
        #expect(!written.isEmpty)
        if which == "state" {
            #expect(try daemon.request("GET", written[0], token: root).status == 200, "reads go on")
        }
        try disk.grow(megabytes: 30)
        try eventually(within: 30, "writes go on") {
            try daemon.request("POST", "secret/data/after", token: root, body: #"{"data":{}}"#).status == 200
        }
        for _ in 0..<2 {
            for path in written {
                // For some seconds after a refusal the disk is not believed.
                try eventually(within: 30, "\(path) is read") {
                    try daemon.request("GET", path, token: root).status == 200
                }
            }
            try daemon.restart()
        }
        try daemon.stop()
        try daemon.verifyLog()
    }
}

/// A tmpfs of a few megabytes.
final class SmallDisk {
    let path: String
    private let folder: TestFolder

    /// - Parameter files: how many files fit; as many as the kernel likes when nil.
    init(megabytes: Int, files: Int? = nil) throws {
        folder = try TestFolder("disk")
        path = folder.file("m")
        mkdir(path, 0o755)
        let limit = files.map { ",nr_inodes=\($0)" } ?? ""
        try Self.mount(["-t", "tmpfs", "-o", "size=\(megabytes)m" + limit, "tmpfs", path])
    }

    func grow(megabytes: Int) throws { try Self.mount(["-o", "remount,size=\(megabytes)m", path]) }

    private static func mount(_ arguments: [String]) throws {
        let result = try RunningProcess.run("/usr/bin/env", ["mount"] + arguments)
        guard result.status == 0 else { throw RunningProcess.Failure(description: "mount: \(result.output)") }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }
}
