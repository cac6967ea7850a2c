internal import Glibc

/// Time that no administrator can set back.
package enum MonotonicTime {
    /// `CLOCK_MONOTONIC` in nanoseconds (clock_gettime(2)): does not count while the machine sleeps.
    package static func now() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// `CLOCK_BOOTTIME` in nanoseconds: counts sleep too, so it is what leases and epochs are measured with.
    package static func sinceBoot() -> UInt64 { read(CLOCK_BOOTTIME) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        // Fails only for a clock that does not exist.
        precondition(clock_gettime(clock, &time) == 0, "the kernel has no such clock")
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The clock of the calendar, and whether anybody keeps it right.
package enum WallClock {
    /// `CLOCK_REALTIME` in nanoseconds since 1970.
    package static func now() -> UInt64 {
        var time = timespec()
        precondition(clock_gettime(CLOCK_REALTIME, &time) == 0, "the kernel has no wall clock")
        return UInt64(max(time.tv_sec, 0)) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Whether systemd-timesyncd has set the clock since boot (systemd-timesyncd.service(8): the file exists). Other
    /// time services do not make that file: false means "not known to be synchronised".
    package static func isSynchronised(marker: String = "/run/systemd/timesync/synchronized") -> Bool {
        access(marker, F_OK) == 0
    }
}
