/// The three clocks that a record needs, injected for tests.
package protocol LogClock: Sendable {
    /// Microseconds since 1970-01-01T00:00:00Z (`CLOCK_REALTIME`).
    func realMicroseconds() -> Int64
    /// Microseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    func bootMicroseconds() -> UInt64
    /// Nanoseconds of `CLOCK_MONOTONIC`, the clock of ``AuditDraft/acceptedAt``.
    func monotonicNanoseconds() -> UInt64
    /// The boot id, 32 hex digits.
    var bootID: String { get }
}
