import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// A daemon that is killed, stopped, activated and watched, as real processes.
@Suite(.serialized)
struct KillLoopTests {
    @Test func noAcknowledgedWriteIsLostByTwentyKills() async throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        var acknowledged: [String: Int] = [:]
        for round in 0..<20 {
            let written = await withTaskGroup(of: [String].self) { group in
                for worker in 0..<6 {
                    group.addTask {
                        var done: [String] = []
                        guard var client = try? UnixHTTP(daemon.socket) else { return done }
                        defer { client.close() }
                        for number in 0..<100_000 {
                            let path = "secret/data/r\(round)/w\(worker)/n\(number)"
                            let body = #"{"data":{"n":\#(number)}}"#
                            guard let answer = try? client.request("POST", path, token: root, body: body),
                                answer.status == 200
                            else { return done }
                            done.append(path)
                        }
                        return done
                    }
                }
                group.addTask {
                    let target = "secret/data/r\(round)/w0/n\(5 + round * 3)"
                    try? eventually("writes go through") {
                        try daemon.request("GET", target, token: root).status == 200
                    }
                    try? daemon.kill()
                    return []
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
            #expect(!written.isEmpty)
            for path in written { acknowledged[path] = Int(path.split(separator: "n").last ?? "") }
            try daemon.start()
            try daemon.unseal()
            var client = try UnixHTTP(daemon.socket)
            defer { client.close() }
            for path in written {
                let answer = try client.request("GET", path, token: root)
                #expect(answer.status == 200, "\(path): \(answer.text)")
                #expect((answer.data["data"] as? [String: Any])?["n"] as? Int == acknowledged[path])
            }
        }
        var client = try UnixHTTP(daemon.socket)
        for path in acknowledged.keys { #expect(try client.request("GET", path, token: root).status == 200) }
        client.close()
        try daemon.stop()
        #expect(try daemon.verifyLog() > acknowledged.count * 2)
    }

    @Test func sigtermAnswersWhatIsUnderWay() async throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        // One more writer than answers: whatever was accepted is either answered or not done at all.
        let results = try await withThrowingTaskGroup(of: (String, Bool).self) { group in
            for worker in 0..<8 {
                group.addTask {
                    let path = "secret/data/t\(worker)"
                    var client = try UnixHTTP(daemon.socket)
                    defer { client.close() }
                    var isAnswered = true
                    for round in 0..<100_000 {
                        guard
                            let answer = try? client.request(
                                "POST",
                                path,
                                token: root,
                                body: #"{"data":{"n":\#(round)}}"#
                            )
                        else { break }
                        isAnswered = answer.status == 200
                        if !isAnswered { break }
                    }
                    return (path, isAnswered)
                }
            }
            group.addTask {
                try eventually("writes go through") {
                    try daemon.request("GET", "secret/data/t0?version=20", token: root).status == 200
                }
                #expect(try daemon.stop() == 0)
                return ("", true)
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.filter { !$0.1 }.isEmpty)
        try daemon.verifyLog()
        try daemon.start()
        try daemon.unseal()
        #expect(try daemon.request("GET", "secret/data/t0", token: root).status == 200)
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
