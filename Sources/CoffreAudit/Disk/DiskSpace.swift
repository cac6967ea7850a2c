/// What statfs(2) says of the log's file system.
package struct DiskSpace: Sendable {
    /// Bytes that may still be taken.
    package var freeBytes: Int
    package var totalBytes: Int
    /// Files that may still be made, and all; nil where that is not limited.
    package var files: (free: Int, total: Int)?
    /// A block that was set aside may be missing all the same (btrfs, ZFS).
    package var copiesOnWrite: Bool

    package init(freeBytes: Int, totalBytes: Int, files: (free: Int, total: Int)? = nil, copiesOnWrite: Bool = false) {
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
        self.files = files
        self.copiesOnWrite = copiesOnWrite
    }
}

/// What is set aside for the log on its disk.
package struct SpaceSettings: Sendable, Equatable {
    /// Blocks of the open segment and of the next one are set aside. Default true.
    package var preallocates: Bool
    /// Size of the file that is given up when nothing else is left; 0 keeps none. Default 64 MiB.
    package var reserveBytes: Int
    /// Milliseconds between two looks at the disk; nil looks only when asked. Default 1000.
    package var lookMilliseconds: Int?

    package init(preallocates: Bool = true, reserveBytes: Int = 67_108_864, lookMilliseconds: Int? = 1000) {
        self.preallocates = preallocates
        self.reserveBytes = reserveBytes
        self.lookMilliseconds = lookMilliseconds
    }

    /// Nothing is set aside, and the disk is looked at only when asked.
    package static let none = SpaceSettings(preallocates: false, reserveBytes: 0, lookMilliseconds: nil)
}
