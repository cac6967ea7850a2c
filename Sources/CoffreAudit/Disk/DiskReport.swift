/// What is known of the log's disk.
package struct DiskReport: Sendable, Equatable {
    /// How space is set aside.
    package enum Preallocation: String, Sendable {
        case on, off
        /// The file system has no fallocate(2).
        case unsupported
        /// It has, and may run out of space all the same (btrfs, ZFS).
        case copyOnWrite = "copy_on_write"
    }

    package enum Reserve: String, Sendable {
        case held, released, none
    }

    package var level = DiskLevel.normal
    package var freeBytes = 0
    package var totalBytes = 0
    /// Files that may still be made; nil where that is not limited.
    package var freeFiles: Int?
    /// At the present growth; nil while that is not known, and when the log does not grow.
    package var daysLeft: Int?
    /// Bytes.
    package var growthPerDay: Int?
    package var reserve = Reserve.none
    package var preallocation = Preallocation.off
    /// What went wrong at the last look; nil when nothing did.
    package var failure: AuditError?

    package init() {}
}

/// Something about the log's disk that operators must hear.
package struct DiskNotice: Sendable {
    package enum Weight: Sendable {
        case notice, warning, error
    }

    package let weight: Weight
    /// A constant sentence.
    package let message: String
    package let facts: [String: String]
}
