/// How near the log's disk is to being full (specification 3.8).
package enum DiskLevel: Int, Sendable, CaseIterable, Comparable {
    /// More than 30 days are left.
    case normal
    /// 30 days or less.
    case warning
    /// 7 days or less, or less than 5 % of the disk or of its files.
    case alarm
    /// Only what was set aside is left: no secret is handed out.
    case critical
    /// That is used up, or the disk refuses writes: the reserve is given up so that somebody can get in and help.
    case emergency

    package static func < (left: DiskLevel, right: DiskLevel) -> Bool { left.rawValue < right.rawValue }

    /// `normal` … `emergency`.
    package var name: String {
        switch self {
        case .normal: "normal"
        case .warning: "warning"
        case .alarm: "alarm"
        case .critical: "critical"
        case .emergency: "emergency"
        }
    }
}

/// Decides from what is seen on the disk how near the end is. Going up is immediate; coming down needs a distance, so
/// that the state does not flap.
struct DiskState {
    /// What one look found.
    struct Sample {
        var space: DiskSpace
        /// Bytes set aside and not written yet, without the reserve.
        var aheadBytes: Int
        /// Bytes that should be set aside, reserve included, and are not.
        var missingBytes: Int
        /// False where the file system cannot set anything aside: then nothing waits for ``missingBytes`` to be 0.
        var canAllocate: Bool
        /// The disk has refused a write since the last look.
        var wasRefused: Bool
        /// The reserve has been given up and is not back.
        var isReserveReleased: Bool
        /// Bytes that the log grows by in a day; nil when that is not known yet.
        var growthPerDay: Int?

        /// Free bytes that nothing is to be set aside from.
        var spareBytes: Int { max(0, space.freeBytes - missingBytes) }

        var daysLeft: Double? {
            growthPerDay.map { $0 <= 0 ? .infinity : Double(spareBytes) / Double($0) }
        }
    }

    /// What is worth telling.
    enum Event: Equatable {
        case changed(from: DiskLevel, to: DiskLevel)
        /// Still at warning or worse, a day after it was last said.
        case reminder(DiskLevel)
    }

    private(set) var level = DiskLevel.normal
    /// Below this many bytes nothing counts as left.
    let marginBytes: Int
    private var toldAt: UInt64 = 0

    private static let day: UInt64 = 86_400
    /// So few files that the next seal may have no place.
    private static let fewFiles = 64

    /// - Parameter segmentBytes: size at which a segment closes; the margin is a sixteenth of it, 128 KiB to 4 MiB.
    init(segmentBytes: Int) { marginBytes = min(max(segmentBytes / 16, 131_072), 4_194_304) }

    /// - Parameter now: seconds of a clock that nobody sets.
    mutating func observe(_ sample: Sample, at now: UInt64) -> Event? {
        let next = DiskLevel.allCases.last { holds($0, sample) } ?? .normal
        if next != level {
            defer { level = next }
            toldAt = now
            return .changed(from: level, to: next)
        }
        guard level >= .warning, now >= toldAt + Self.day else { return nil }
        toldAt = now
        return .reminder(level)
    }

    private func holds(_ candidate: DiskLevel, _ sample: Sample) -> Bool {
        // A state that is held is left later than it is entered.
        let stays = candidate <= level
        let files = sample.space.files ?? (free: .max, total: 0)
        switch candidate {
        case .normal: return true
        case .warning: return isWithin(stays ? 33 : 30, sample)
        case .alarm:
            let percent = stays ? 6 : 5
            return isWithin(stays ? 8 : 7, sample)
                || sample.spareBytes / 100 < sample.space.totalBytes / 10_000 * percent
                || files.free / 100 < files.total / 10_000 * percent
        case .critical:
            return sample.spareBytes < (stays ? 4 * marginBytes : marginBytes)
                || files.free < (stays ? 2 * Self.fewFiles : Self.fewFiles)
        case .emergency:
            if sample.wasRefused { return true }
            guard stays || sample.isReserveReleased else {
                return sample.aheadBytes < Self.lastBytes && sample.space.freeBytes < Self.lastBytes
            }
            return sample.spareBytes < 4 * marginBytes || sample.canAllocate && sample.missingBytes > 0
        }
    }

    private static let lastBytes = 65_536

    private func isWithin(_ days: Double, _ sample: Sample) -> Bool { sample.daysLeft.map { $0 <= days } ?? false }
}
