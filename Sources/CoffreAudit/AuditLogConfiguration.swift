package import CoffreCrypto

/// Settings of the audit log.
package struct AuditLogConfiguration: Sendable {
    /// Where the log's private keys rest.
    package enum KeyMaterial: Sendable {
        /// Wrapped by a 32-byte systemd credential (`coffre.audit`).
        case credential(SharedSecret)
        /// In the clear in a file of mode 0600 below `keys/`; the status says so.
        case file
    }

    /// Runs the completions of one batch; the API hops to its event loop here.
    package typealias Delivery = @Sendable (@escaping @Sendable () -> Void) -> Void

    /// Absolute path of the log's folder, created with mode 2750 on first use.
    package var directory: String
    /// The log's name, for example `host/coffre`: 1 to 200 printable ASCII characters without space and `+`. Fixed at
    /// genesis; empty on a later start means "as at genesis".
    package var origin: String
    /// A segment closes when it has grown to this many bytes. Default 64 MiB.
    package var segmentBytes: Int
    /// Version text of this software, for `daemon.start`.
    package var softwareVersion: String
    /// Retention in months, written into genesis. Default 24.
    package var retentionMonths: Int
    package var keys: KeyMaterial
    /// Group that may read the segments (`coffre-audit`); nil keeps the process's group.
    package var group: String?
    /// Called once per batch with a closure that runs all completions of that batch, on the writer's thread.
    package var deliver: Delivery
    /// Records that may wait for the disk. Default 65,536.
    package var queueLimit: Int
    /// Milliseconds between two checkpoints while records arrive; nil writes them at seals alone. Default 1000.
    package var checkpointMilliseconds: Int?
    /// How often the index is brought up to date; nil keeps none. The folder must be a real one then.
    package var indexMilliseconds: Int?
    /// How often sealed segments are compressed, and old ones pruned; nil does neither by itself.
    package var housekeepingMilliseconds: Int?
    /// What is set aside on the disk. Default: nothing, as tests want it; the daemon sets aside what the page says.
    package var space: SpaceSettings
    /// Hears what operators must know of the disk, on the watch's thread.
    package var onDisk: @Sendable (DiskNotice) -> Void
    /// How often the tiles of the tree are brought up to date; nil keeps none. Default 1000.
    package var tileMilliseconds: Int?
    package var clock: any LogClock
    package var fileSystem: any LogFileSystem
    /// Who remembers the log's head outside of it.
    package var outside = OutsideConfiguration()
    /// The log that a new one takes the place of; looked at before genesis alone.
    package var continues: LogContinuation?

    package init(
        directory: String,
        origin: String,
        softwareVersion: String,
        keys: KeyMaterial,
        segmentBytes: Int = 67_108_864,
        retentionMonths: Int = 24,
        group: String? = nil,
        queueLimit: Int = 65_536,
        checkpointMilliseconds: Int? = 1000,
        clock: (any LogClock)? = nil,
        fileSystem: (any LogFileSystem)? = nil,
        indexMilliseconds: Int? = nil,
        housekeepingMilliseconds: Int? = nil,
        space: SpaceSettings = .none,
        onDisk: @escaping @Sendable (DiskNotice) -> Void = { _ in },
        tileMilliseconds: Int? = 1000,
        deliver: @escaping Delivery = { run in run() }
    ) {
        self.directory = directory
        self.origin = origin
        self.segmentBytes = segmentBytes
        self.softwareVersion = softwareVersion
        self.retentionMonths = retentionMonths
        self.keys = keys
        self.group = group
        self.queueLimit = queueLimit
        self.checkpointMilliseconds = checkpointMilliseconds
        self.indexMilliseconds = indexMilliseconds
        self.housekeepingMilliseconds = housekeepingMilliseconds
        self.space = space
        self.onDisk = onDisk
        self.tileMilliseconds = tileMilliseconds
        self.clock = clock ?? SystemClock()
        self.fileSystem = fileSystem ?? PosixFileSystem(root: directory, group: group)
        self.deliver = deliver
    }
}
