import CoffreTestSupport
import Foundation
import Testing

/// A real systemd, booted in a container, with Coffre installed by `make install`.
struct SystemdBootTests {
    private static let expected = [
        "socket-active", "broker-active", "daemon-waits-for-a-connection", "socket-mode", "socket-activation",
        "daemon-active", "init", "unseal", "unit-reads-a-secret", "other-unit-is-refused",
        "record-names-uid-and-unit", "client-has-no-log", "client-has-no-state", "client-has-no-broker",
        "stranger-has-no-socket", "officer-reads-the-log", "audit-folder-mode", "state-folder-mode",
        "backup-unit-takes-a-snapshot", "snapshot-is-whole", "client-has-no-snapshot", "no-network-interface",
        "own-network-namespace", "no-network-socket", "seccomp-is-on", "memory-is-locked",
        "no-core-file", "instance-starts", "instance-unseals-by-credential", "instance-state-is-closed-to-the-other",
        "instance-log-is-closed-to-the-other", "instance-broker-is-closed-to-the-other",
        "instance-log-belongs-to-its-officers", "instance-stops", "watchdog-is-fed",
        "watchdog-restarts-a-hanging-daemon", "stop-is-clean", "log-verifies", "no-canary-anywhere",
        "root-restores-for-the-daemon", "a-restored-vault-holds-then-serves", "broker-stops",
    ]

    @Test func theInstalledUnitsKeepTheirPromises() throws {
        let folder = try TestFolder("boot")
        let results = folder.file("results")
        let script = PackageFolder.path + "/Tests/Scripts/boot_test.sh"
        let (status, output) = try RunningProcess.run("/bin/bash", [script, results], timeout: 600)
        #expect(status == 0, "\(output.suffix(4000))")
        let text = try String(contentsOfFile: results, encoding: .utf8)
        let lines = Set(text.split(separator: "\n").map(String.init))
        for name in Self.expected {
            let detail = lines.first { $0.hasPrefix("not ok \(name):") } ?? "no result"
            #expect(lines.contains("ok \(name)"), "\(name): \(detail)")
        }
        #expect(lines.contains("done"))
    }
}
