internal import CoffreCrypto
internal import Synchronization

/// Signs the tree head and replaces the `checkpoint` file: at every seal, and about once a second while records arrive.
///
/// A checkpoint that cannot be written is no reason to stop serving: the older one stays true, and the next second tries
/// again with a new file. What is wrong is shown in ``AuditHealth``.
final class CheckpointWriter: Sendable {
    /// What is known of the file.
    struct State: Sendable {
        /// Records that the file covers.
        var size: UInt64 = 0
        /// Records at the end of the epoch before: whatever covers more is signed by the open one's key.
        var turnedAt: UInt64 = 0
        /// The signed note that this run wrote last; nil before.
        var note: [UInt8]?
        /// Why the newest attempt failed; nil when it did not.
        var failure: AuditError?
    }

    private let files: any LogFileSystem
    private let signer: LogSigner
    private let state: Mutex<State>

    /// - Parameter size: records that the file covers already.
    init(files: any LogFileSystem, signer: LogSigner, size: UInt64) {
        self.files = files
        self.signer = signer
        state = Mutex(State(size: size))
    }

    var current: State { state.withLock { $0 } }

    /// Makes the file cover `frontier`, all of whose records are durable. Does nothing when it covers that or more.
    func write(_ frontier: Frontier) {
        state.withLock { state in
            guard frontier.size > state.size, frontier.size > state.turnedAt else { return }
            do throws(FileFailure) {
                let note = Checkpoint(frontier).note(signer)
                try files.replace(Checkpoint.path, with: note)
                state = State(size: frontier.size, turnedAt: state.turnedAt, note: note)
            } catch {
                state.failure = error.asAuditError
            }
        }
    }

    /// Changes the epoch's key while nobody signs.
    /// - Parameter size: records at the end of the old epoch.
    func turn(at size: UInt64, _ change: () throws(AuditError) -> Void) throws(AuditError) {
        try state.withLock { state throws(AuditError) in
            try change()
            state.turnedAt = size
        }
    }
}
