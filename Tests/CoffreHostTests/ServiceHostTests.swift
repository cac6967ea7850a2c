import CoffreHost
import Foundation
import Logging
import Testing

struct ServiceHostTests {
    @Test
    func hardeningForbidsDumpsAndOpenFiles() async {
        await #expect(processExitsWith: .success) {
            try ProcessHardening.apply()
            var core = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &core)
            let status = try String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8)
            let isTight = umask(0) == 0o027
            exit(
                !ProcessHardening.isDumpable && core.rlim_max == 0 && isTight && status.contains("NoNewPrivs:\t1")
                    ? 0 : 1
            )
        }
    }

    @Test
    func theSoftLimitOfDescriptorsRisesToTheHardOne() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = 64
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            exit(ResourceLimits.raiseOpenFiles() == Int(limit.rlim_max) ? 0 : 1)
        }
    }

    @Test
    func systemdHearsStateAndOneLineOfStatus() async {
        await #expect(processExitsWith: .success) {
            let path = NSTemporaryDirectory() + "/coffre-notify-\(getpid())"
            unlink(path)
            let receiver = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.size)
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(receiver, $0, length) }
            }
            guard bound == 0 else { exit(2) }
            setenv("NOTIFY_SOCKET", path, 1)
            setenv("WATCHDOG_USEC", "20000000", 1)
            unsetenv("WATCHDOG_PID")
            let notifier = ServiceNotifier()
            notifier.ready(status: "sealed\nREADY=0")
            notifier.watchdog()
            notifier.stopping()
            let messages = (0..<3).map { _ in
                var buffer = [UInt8](repeating: 0, count: 512)
                let count = recv(receiver, &buffer, buffer.count, 0)
                return String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
            }
            unlink(path)
            let expected = ["READY=1\nSTATUS=sealed READY=0", "WATCHDOG=1", "STOPPING=1"]
            exit(messages == expected && notifier.watchdogInterval == .seconds(10) ? 0 : 1)
        }
    }

    @Test
    func withoutSystemdNothingIsInheritedAndNobodyIsNotified() async {
        await #expect(processExitsWith: .success) {
            for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC"] { unsetenv(name) }
            let notifier = ServiceNotifier()
            notifier.ready(status: "nobody hears")
            let inherited = try InheritedSocket.takeAll()
            exit(notifier.watchdogInterval == nil && inherited.isEmpty ? 0 : 1)
        }
    }

    @Test
    func inheritedSocketsArriveWithTheirNames() async {
        await #expect(processExitsWith: .success) {
            let path = NSTemporaryDirectory() + "/coffre-inherit-\(getpid())"
            let socket = try ListeningSocket(path: path).release()
            guard socket.descriptor == 3 || dup2(socket.descriptor, 3) == 3 else { exit(2) }
            setenv("LISTEN_FDS", "1", 1)
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDNAMES", "coffred.socket", 1)
            let taken = try InheritedSocket.takeAll()
            let adopted = try ListeningSocket(adopting: 3).release()
            unlink(path)
            let isRight =
                taken.map(\.name) == ["coffred.socket"] && taken.map(\.descriptor) == [3]
                && adopted.descriptor == 3
            exit(isRight && getenv("LISTEN_FDS") == nil ? 0 : 1)
        }
    }

    @Test
    func anInheritedFileIsRefused() async {
        await #expect(processExitsWith: .success) {
            let file = open("/dev/null", O_RDONLY)
            guard file == 3 || dup2(file, 3) == 3 else { exit(2) }
            setenv("LISTEN_FDS", "1", 1)
            setenv("LISTEN_PID", "\(getpid())", 1)
            do {
                _ = try InheritedSocket.takeAll()
            } catch let error as HostError {
                exit(error.code == .wrongKind ? 0 : 1)
            }
            exit(1)
        }
    }

    @Test
    func usersAndGroupsAreFoundByNameOrNumber() throws {
        let root = try ServiceUsers.user(named: "root")
        #expect(root.uid == 0)
        #expect(root.gid == 0)
        #expect(try ServiceUsers.user(named: "0").gid == 0)
        #expect(try ServiceUsers.group(named: "root") == 0)
        #expect(try ServiceUsers.group(named: "54321") == 54_321)
    }

    @Test(arguments: ["no-such-user-here", "", "4294967295", "-1"])
    func unknownNamesAreNotFound(name: String) {
        #expect(throws: HostError.self) { try ServiceUsers.user(named: name) }
        #expect(throws: HostError.self) { try ServiceUsers.group(named: name) }
    }

    @Test
    func clocksAdvanceAndTimeSyncIsAFile() {
        let first = MonotonicTime.now()
        #expect(MonotonicTime.now() >= first)
        #expect(MonotonicTime.sinceBoot() >= first)
        #expect(WallClock.now() > 1_600_000_000_000_000_000)
        #expect(WallClock.isSynchronised(marker: "/proc/self/status"))
        #expect(!WallClock.isSynchronised(marker: "/nonexistent"))
    }

    private func event(_ message: Logger.Message) -> LogEvent {
        LogEvent(
            level: .warning,
            message: message,
            error: nil,
            metadata: nil,
            source: "test",
            file: "f",
            function: "g",
            line: 1
        )
    }

    @Test
    func aLineForPeopleStaysOneLine() {
        let handler = JournalLogHandler(label: "l", identifier: "coffred", destination: .text(descriptor: -1))
        let line = String(
            decoding: handler.textLine(event("said\n\u{1B}[31m"), [("who", "a\nb")]),
            as: UTF8.self
        )
        #expect(line.hasSuffix(" warning coffred: said\\n?[31m who=a\\nb\n"))
        #expect(line.filter { $0 == "\n" }.count == 1)
    }

    @Test
    func theJournalGetsMetadataAsFields() {
        let handler = JournalLogHandler(label: "vault", identifier: "coffred", destination: .journal)
        let fields = handler.journalFields(event("sealed"), [("seal-type", "shamir")])
            .map { String(decoding: $0, as: UTF8.self) }
        #expect(
            fields == [
                "MESSAGE=sealed seal-type=shamir", "PRIORITY=4", "SYSLOG_IDENTIFIER=coffred", "COFFRE_LOGGER=vault",
                "COFFRE_SEAL_TYPE=shamir",
            ]
        )
    }
}
