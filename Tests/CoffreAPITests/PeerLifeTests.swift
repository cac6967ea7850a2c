import CoffreAPI
import CoffreHost
import CoffreVault
import Foundation
import NIOCore
import Testing

@Suite(.serialized)
struct PeerLifeTests {
    /// Connects as a service, then hands the connection to a child and exits before the second request.
    private static let script = """
        import os, socket, sys
        def ask():
            s.sendall(b"GET /v1/a HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            s.recv(4096)
        sys.stdin.readline()
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        ask()
        if os.fork():
            os._exit(0)
        # All of them, however many the tests beside this one have open: the exit is noticed by the last one's end.
        os.closerange(3, s.fileno())
        os.closerange(s.fileno() + 1, 1 << 20)
        sys.stdin.readline()
        ask()
        """

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")))
    func aUnitEndsWithTheProcessThatConnected() async throws {
        let proc = NSTemporaryDirectory() + "/coffre-proc-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: proc) }
        var configuration = APIServerConfiguration()
        configuration.procDirectory = proc
        try await ServerFixture.with(configuration) { fixture in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
            process.arguments = ["-c", Self.script, fixture.path]
            let input = Pipe()
            process.standardInput = input
            try process.run()
            let folder = "\(proc)/\(process.processIdentifier)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try "0::/system.slice/backup.service\n".write(toFile: "\(folder)/cgroup", atomically: true, encoding: .utf8)
            try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
            process.waitUntilExit()
            try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
            try await fixture.eventually { fixture.performer.principals.count == 2 }
            let principals = fixture.performer.principals
            #expect(principals.first?.unit == "backup.service")
            guard principals.first?.isUnitPinned == true else { return }  // Kernels before 6.5 cannot tell.
            #expect(principals.last?.unit == nil)
            #expect(principals.last?.isUnitPinned == false)
            #expect(principals.last?.uid == principals.first?.uid)
        }
    }

    @Test
    func theServerOutlivesAShortageOfDescriptors() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 120, rlim_max: 120)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { exit(2) }
            let fixture = try await ServerFixture(performer: FakePerformer())
            guard try await fixture.server.statistics()?.maximumConnections == 16 else { exit(3) }
            // The client has its descriptor already when none is left to accept with.
            let client = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var hoard: [Int32] = []
            while case let descriptor = dup(2), descriptor >= 0 { hoard.append(descriptor) }
            let late = try RawClient(fixture.path, descriptor: client)
            late.send("GET /v1/late HTTP/1.1\r\nHost: x\r\n\r\n")
            // The loop has met the shortage once this has run twice.
            for _ in 0..<2 {
                try await fixture.server.eventLoop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
            }
            guard try await fixture.server.statistics()?.connections == 0 else { exit(4) }
            hoard.forEach { close($0) }
            exit(await late.receive()?.body == "GET late 0" ? 0 : 1)
        }
    }

    @Test
    func noSourceFileMakesAnswersWithoutARecord() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources")
        let files = try #require(FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil))
        var naming: [String] = []
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            if text.contains("Unrecorded") || text.contains(".unrecorded(") { naming.append(file.lastPathComponent) }
        }
        #expect(naming == ["RequestPerformer.swift"])
    }
}
