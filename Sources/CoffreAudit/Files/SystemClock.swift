internal import Glibc

/// The clocks of this machine.
package struct SystemClock: LogClock {
    package let bootID: String

    package init() {
        var id: [UInt8] = []
        let fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        if fd >= 0 {
            var buffer = [UInt8](repeating: 0, count: 64)
            let count = read(fd, &buffer, buffer.count)
            close(fd)
            id = buffer.prefix(max(count, 0)).filter { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }
        // Without /proc the boot is unknown: zeros say so.
        bootID = id.count == 32 ? String(decoding: id, as: UTF8.self) : String(repeating: "0", count: 32)
    }

    package func realMicroseconds() -> Int64 {
        let now = Self.now(CLOCK_REALTIME)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
    }

    package func bootMicroseconds() -> UInt64 {
        let now = Self.now(CLOCK_BOOTTIME)
        return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1000
    }

    package func monotonicNanoseconds() -> UInt64 {
        let now = Self.now(CLOCK_MONOTONIC)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private static func now(_ clock: clockid_t) -> timespec {
        var now = timespec()
        clock_gettime(clock, &now)
        return now
    }
}
