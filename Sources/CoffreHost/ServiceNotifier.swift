internal import CSystemd
internal import Glibc

/// Tells systemd how the service is (sd_notify(3)). Outside a `Type=notify` unit every call does nothing.
package struct ServiceNotifier: Sendable {
    /// How often ``watchdog()`` should be called: half of `WatchdogSec=` (sd_watchdog_enabled(3)); nil when it is off.
    package let watchdogInterval: Duration?

    /// Reads `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    package init() {
        var microseconds: UInt64 = 0
        watchdogInterval =
            sd_watchdog_enabled(0, &microseconds) > 0 && microseconds > 1
            ? .microseconds(Int64(clamping: microseconds / 2)) : nil
    }

    /// The service answers from now on.
    package func ready(status: String? = nil) { send("READY=1", status) }

    /// The service is on its way out.
    package func stopping(status: String? = nil) { send("STOPPING=1", status) }

    /// One line for `systemctl status`.
    package func status(_ text: String) { send(nil, text) }

    /// The service is alive: call it from the thread whose liveness counts.
    package func watchdog() { send("WATCHDOG=1", nil) }

    private func send(_ state: String?, _ status: String?) {
        var lines: [String] = []
        if let state { lines.append(state) }
        if let status {
            // One assignment a line: control characters would begin another.
            let oneLine = String(String.UnicodeScalarView(status.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
            lines.append("STATUS=\(oneLine)")
        }
        // A refusal means that nobody listens, which is not an error of the service.
        _ = sd_notify(0, lines.joined(separator: "\n"))
    }
}
