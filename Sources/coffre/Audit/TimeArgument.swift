import ArgumentParser
import CoffreWire
import Glibc

/// A moment on the command line: `2026-03-31` (its first moment, UTC), `2026-03-31T08:00:00+01:00`, or `90m`, `12h`,
/// `7d` and `4w` ago.
struct TimeArgument: ExpressibleByArgument {
    /// Microseconds since 1970.
    let microseconds: Int64

    init?(argument: String) {
        let units: [Character: Int64] = ["m": 60, "h": 3600, "d": 86_400, "w": 604_800]
        if let unit = argument.last.flatMap({ units[$0] }) {
            guard let count = Int64(argument.dropLast()), (0...1_000_000).contains(count) else { return nil }
            microseconds = max(0, Int64(time(nil)) - count * unit) * 1_000_000
        } else {
            let text = argument.utf8.count == 10 ? argument + "T00:00:00Z" : argument
            guard let seconds = RFC3339.seconds(text), seconds >= 0 else { return nil }
            microseconds = seconds * 1_000_000
        }
    }
}
