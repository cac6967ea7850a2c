import CoffreHost
import Foundation
import Testing

struct PeerCredentialsTests {
    private func withPair<R>(_ body: (Int32) throws -> R) throws -> R {
        var pair: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { pair.forEach { close($0) } }
        return try body(pair[0])
    }

    private func withProc<R>(_ cgroup: String, pid: Int32 = getpid(), _ body: (String) throws -> R) throws -> R {
        let root = NSTemporaryDirectory() + "/coffre-proc-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: "\(root)/\(pid)", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try cgroup.write(toFile: "\(root)/\(pid)/cgroup", atomically: true, encoding: .utf8)
        return try body(root)
    }

    @Test
    func theKernelNamesThisProcess() throws {
        try withPair { descriptor in
            let peer = try PeerCredentials(ofConnection: descriptor)
            #expect(peer.pid == getpid())
            #expect(peer.uid == getuid())
            #expect(peer.gid == getgid())
            #expect(peer.isAlive)
            var own = [gid_t](repeating: 0, count: 1024)
            let count = getgroups(1024, &own)
            #expect(peer.groups == own.prefix(Int(max(count, 0))).sorted())
        }
    }

    @Test(arguments: [PeerCredentials.ProcessSource.automatic, .pidOnly])
    func theUnitIsPinnedOnlyUnderAProcessDescriptor(source: PeerCredentials.ProcessSource) throws {
        try withProc("0::/system.slice/backup.service\n") { proc in
            try withPair { descriptor in
                let peer = try PeerCredentials(ofConnection: descriptor, source: source, procDirectory: proc)
                #expect(peer.unit == "backup.service")
                #expect(peer.isUnitPinned == peer.hasProcessDescriptor)
                if source == .pidOnly { #expect(!peer.hasProcessDescriptor) }
            }
        }
    }

    @Test
    func aMissingCgroupFileMeansNoUnit() throws {
        try withPair { descriptor in
            let peer = try PeerCredentials(ofConnection: descriptor, procDirectory: "/nonexistent")
            #expect(peer.unit == nil)
            #expect(!peer.isUnitPinned)
        }
    }

    @Test
    func aDescriptorThatIsNoSocketIsRefused() throws {
        let file = open("/dev/null", O_RDONLY)
        defer { close(file) }
        #expect(throws: HostError.self) { try PeerCredentials(ofConnection: file) }
    }

    /// A child connects and exits: its unit no longer counts, though its number may be used again.
    @Test
    func aProcessThatHasExitedIsNotAlive() throws {
        let directory = NSTemporaryDirectory() + "/coffre-peer-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let listener = try ListeningSocket(path: "\(directory)/s").release()
        defer { close(listener.descriptor) }
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        child.arguments = [
            "-c",
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)",
            "\(directory)/s",
        ]
        try child.run()
        var entry = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&entry, 1, 10_000) == 1)
        let connection = accept(listener.descriptor, nil, nil)
        let peer = try PeerCredentials(ofConnection: connection)
        #expect(peer.pid == child.processIdentifier)
        #expect(peer.isAlive)
        close(connection)
        child.waitUntilExit()
        if peer.hasProcessDescriptor { #expect(!peer.isAlive) }
    }
}
