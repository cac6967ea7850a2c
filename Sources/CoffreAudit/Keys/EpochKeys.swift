internal import CoffreCrypto
internal import Synchronization

/// The key of the open epoch, and the next one's while a turn is under way. The one before is gone for good.
///
/// Whoever steals the keys today cannot sign what an earlier epoch has signed (specification 3.9).
final class EpochKeys: Sendable {
    static let path = "keys/epoch.key"
    /// Least time between two turns, in microseconds of `CLOCK_BOOTTIME`: a clock that jumps makes one epoch.
    private static let leastMicroseconds: UInt64 = 12 * 3_600_000_000

    // Public: number(8) ‖ day(8) ‖ boot id(32 hex digits, zeros before the first turn) ‖ boot time in microseconds(8),
    // numbers big-endian. Secret: seed of this epoch, of the next one or zeros.
    private static let file = KeyFile(path: path, name: "coffre-epoch-key 1", publicCount: 56, secretCount: 64)

    private struct State {
        var number: UInt64
        /// UTC day on which it began, days since 1970.
        var day: Int64
        var boot: [UInt8]
        var bootMicroseconds: UInt64
        var live: SigningKey
        var pending: SigningKey?
    }

    private let files: any LogFileSystem
    private let material: AuditLogConfiguration.KeyMaterial
    private let state: Mutex<State>

    private init(_ state: State, _ configuration: AuditLogConfiguration) {
        files = configuration.fileSystem
        material = configuration.keys
        self.state = Mutex(state)
    }

    var number: UInt64 { state.withLock { $0.number } }
    /// Signs for the open epoch.
    var live: SigningKey { state.withLock { $0.live } }
    /// The next epoch's key, once it is stored.
    var pending: SigningKey? { state.withLock { $0.pending } }
    /// Days since 1970.
    var day: Int64 { state.withLock { $0.day } }

    /// Reads the file, or makes it when `create`, or out of a log of before epochs turned.
    /// - Throws: ``AuditError`` `.keysUnavailable`, `.system`.
    static func load(
        _ configuration: AuditLogConfiguration,
        _ keys: LogKeys,
        create: Bool
    ) throws(AuditError) -> EpochKeys {
        if let (publicPart, secret) = try file.read(configuration.fileSystem, configuration.keys) {
            let found = EpochKeys(try read(publicPart, secret), configuration)
            if keys.oldEpochSeed != nil {
                try LogKeys.dropOldEpochSeed(configuration.fileSystem, configuration.keys)
            }
            return found
        }
        let live: SigningKey
        if let old = keys.oldEpochSeed {
            live = try key(old, at: 0)
        } else {
            guard create else {
                throw .keysUnavailable(reason: "the epoch's key (\(path)) is missing; restore it from the backup")
            }
            live = SigningKey()
        }
        // Of an old log nobody knows when its epoch began: it turns with the next record.
        let today = RecordTime(microseconds: configuration.clock.realMicroseconds()).day
        let state = State(
            number: 0,
            day: create ? today : 0,
            boot: [UInt8](repeating: 0x30, count: 32),
            bootMicroseconds: 0,
            live: live
        )
        let made = EpochKeys(state, configuration)
        try made.store(state)
        if keys.oldEpochSeed != nil { try LogKeys.dropOldEpochSeed(configuration.fileSystem, configuration.keys) }
        return made
    }

    private static func read(_ publicPart: [UInt8], _ secret: SharedSecret) throws(AuditError) -> State {
        func number(_ offset: Int) -> UInt64 { publicPart[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        let hasNext = secret.withBytes { !$0[32...].allSatisfy { $0 == 0 } }
        return State(
            number: number(0),
            day: Int64(clamping: number(8)),
            boot: Array(publicPart[16..<48]),
            bootMicroseconds: number(48),
            live: try key(secret, at: 0),
            pending: hasNext ? try key(secret, at: 32) : nil
        )
    }

    private static func key(_ secret: SharedSecret, at offset: Int) throws(AuditError) -> SigningKey {
        let seed = secret.withBytes {
            SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + 32]))
        }
        do throws(CryptoError) { return try SigningKey(seed: seed) } catch {
            throw .keysUnavailable(reason: error.message)
        }
    }

    private func store(_ state: State) throws(AuditError) {
        var publicPart: [UInt8] = []
        func add(_ value: UInt64) { withUnsafeBytes(of: value.bigEndian) { publicPart += $0 } }
        add(state.number)
        add(UInt64(clamping: state.day))
        publicPart += state.boot
        add(state.bootMicroseconds)
        let secret = SharedSecret(
            SecretBytes.key(count: Self.file.secretCount) { target in
                target.copyBytes(from: [UInt8](repeating: 0, count: target.count))
                state.live.withSeed { target.copyBytes(from: $0) }
                if let pending = state.pending {
                    let rest = UnsafeMutableRawBufferPointer(rebasing: target[32...])
                    pending.withSeed { rest.copyBytes(from: $0) }
                }
            }
        )
        try Self.file.store(publicPart, secret, files, material)
    }

    /// Whether the first record of `time`'s day must begin a new epoch.
    func isDue(_ time: BatchTime, boot: String) -> Bool {
        state.withLock { state in
            guard time.time.day != state.day else { return false }
            guard state.boot == Array(boot.utf8) else { return true }
            return time.bootMicroseconds >= state.bootMicroseconds &+ Self.leastMicroseconds
        }
    }

    /// The next epoch's key, durable before anything speaks of it.
    func prepareNext() throws(AuditError) -> SigningKey {
        var next = state.withLock { $0 }
        if let pending = next.pending { return pending }
        let key = SigningKey()
        next.pending = key
        try store(next)
        state.withLock { $0.pending = key }
        return key
    }

    /// Ends the open epoch: its key is erased, the pending one takes its place. Everything that the old one signs is
    /// durable.
    func turn(at time: BatchTime, boot: String) throws(AuditError) {
        var next = state.withLock { $0 }
        guard let pending = next.pending else { throw .failed(reason: "no next epoch was prepared") }
        next.number += 1
        next.day = time.time.day
        let boot = Array(boot.utf8)
        next.boot = boot.count == 32 ? boot : [UInt8](repeating: 0x30, count: 32)
        next.bootMicroseconds = time.bootMicroseconds
        next.live = pending
        next.pending = nil
        try store(next)
        state.withLock { $0 = next }
    }
}
