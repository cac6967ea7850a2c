import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// A daemon that is killed, stopped, activated and watched, as real processes.
@Suite(.serialized)
struct KillLoopTests {
    @Test func noAcknowledgedWriteIsLostByTwentyKills() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        var acknowledged: [String] = []
        for round in 0..<20 {
            let writers: [@Sendable () throws -> [String]] = (0..<6).map { worker in
                { Self.write(daemon, root, "secret/data/r\(round)/w\(worker)") }
            }
            let killer: @Sendable () throws -> [String] = {
                try eventually("writes go through") {
                    try daemon.request("GET", "secret/data/r\(round)/w0/n\(3 + round)", token: root).status == 200
                }
                try daemon.kill()
                return []
            }
            let written = try onThreads(writers + [killer]).flatMap { $0 }
            #expect(written.count > 3 + round)
            try daemon.start()
            try daemon.unseal()
            try Self.expectAll(written, daemon, root)
            acknowledged += written
        }
        try Self.expectAll(acknowledged, daemon, root)
        try daemon.stop()
        #expect(try daemon.verifyLog() > acknowledged.count * 2)
    }

    /// Writes below `folder` until the daemon is gone.
    /// - Returns: what it acknowledged; the value of each is its path.
    private static func write(_ daemon: CoffredProcess, _ root: String, _ folder: String) -> [String] {
        var done: [String] = []
        guard var client = try? UnixHTTP(daemon.socket) else { return done }
        defer { client.close() }
        for number in 0..<100_000 {
            let path = "\(folder)/n\(number)"
            guard let answer = try? client.request("POST", path, token: root, body: #"{"data":{"p":"\#(path)"}}"#),
                answer.status == 200
            else { return done }
            done.append(path)
        }
        return done
    }

    private static func expectAll(_ paths: [String], _ daemon: CoffredProcess, _ root: String) throws {
        var client = try UnixHTTP(daemon.socket)
        defer { client.close() }
        for path in paths {
            let answer = try client.request("GET", path, token: root)
            #expect(answer.status == 200)
            #expect(answer.text.contains("\"\(path)\""))
        }
    }

    @Test func sigtermAnswersWhatIsUnderWay() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let writers: [@Sendable () throws -> [String]] = (0..<8).map { worker in
            { Self.write(daemon, root, "secret/data/t\(worker)") }
        }
        let stopper: @Sendable () throws -> [String] = {
            try eventually("writes go through") {
                try daemon.request("GET", "secret/data/t0/n20", token: root).status == 200
            }
            #expect(try daemon.stop() == 0)
            return []
        }
        let written = try onThreads(writers + [stopper]).flatMap { $0 }
        try daemon.verifyLog()
        let outcomes = try daemon.records().filter { record in
            let isWrite = (record["what"] as? [String: Any])?["op"] as? String == "secret.write"
            return isWrite && record["ph"] as? String == "outcome"
        }
        // Whatever was done was also answered.
        #expect(outcomes.count == written.count)
        try daemon.start()
        try daemon.unseal()
        try Self.expectAll(written, daemon, root)
    }

    @Test func systemdHandsOverItsSocket() throws {
        let folder = try TestFolder("a")
        var setup = CoffredProcess.Setup()
        let activated = folder.file("activated")
        setup.launcher = ["systemd-socket-activate", "-l", activated]
        let daemon = try CoffredProcess(setup)
        try daemon.launch()
        try eventually("the socket exists") { FileManager.default.fileExists(atPath: activated) }
        try eventually(within: 30, "coffred answers") {
            (try? UnixHTTP.once(activated, "GET", "sys/seal-status").status) == 200
        }
        #expect(!FileManager.default.fileExists(atPath: daemon.socket))
        #expect(try daemon.stop() == 0)
    }

    @Test func theServiceManagerHearsOfEachState() throws {
        let folder = try TestFolder("n")
        let listener = try DatagramSocket(folder.file("notify"))
        var setup = CoffredProcess.Setup()
        setup.environment = ["NOTIFY_SOCKET": folder.file("notify"), "WATCHDOG_USEC": "1000000"]
        let daemon = try CoffredProcess.started(setup)
        var heard: [String] = []
        try eventually("READY and two watchdogs") {
            heard += listener.drain()
            return heard.contains { $0.contains("READY=1") } && heard.filter { $0.contains("WATCHDOG=1") }.count > 1
        }
        #expect(try daemon.stop() == 0)
        heard += listener.drain()
        let ready = try #require(heard.firstIndex { $0.contains("READY=1") })
        let stopping = try #require(heard.firstIndex { $0.contains("STOPPING=1") })
        #expect(ready < stopping)
    }

    @Test func aSecretLeavesOnlyAfterItsRecordIsSynced() throws {
        let folder = try TestFolder("x")
        let trace = folder.file("trace")
        var setup = CoffredProcess.Setup()
        setup.launcher = [
            "strace", "-f", "-qq", "-s", "4096", "-o", trace, "-e",
            "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg",
        ]
        let (daemon, root) = try CoffredProcess.unsealed(setup)
        let canary = "canary-\(UUID().uuidString)"
        _ = try daemon.request("POST", "secret/data/c", token: root, body: #"{"data":{"v":"\#(canary)"}}"#)
        for _ in 0..<20 { #expect(try daemon.request("GET", "secret/data/c", token: root).text.contains(canary)) }
        try daemon.request("GET", "sys/seal-status")
        let lines = try String(contentsOfFile: trace, encoding: .utf8).components(separatedBy: "\n")
        // Between two releases lies the write of a record that was synced after it.
        var written = 0
        var synced = 0
        var released = 0
        for line in lines {
            if line.contains("\\\"op\\\":\\\"secret.read\\\"") {
                written += line.components(separatedBy: "\\\"op\\\":\\\"secret.read\\\"").count - 1
                #expect(!line.contains(canary))
            } else if line.contains("sync") && line.hasSuffix("= 0") {
                synced = written
            } else if line.contains(canary) {
                released += 1
                #expect(released <= synced, "\(line.prefix(120))")
            }
        }
        #expect(released == 20)
        try daemon.kill()
    }
}

/// A Unix datagram socket, as the service manager has one.
private final class DatagramSocket {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else { throw RunningProcess.Failure(description: "bind \(path): \(errno)") }
    }

    deinit { close(descriptor) }

    /// What has arrived.
    func drain() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count >= 0 else { return messages }
            messages.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }
}
