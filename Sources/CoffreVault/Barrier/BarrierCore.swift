internal import CoffreStorage
internal import Synchronization

/// The barrier's part that the storage thread calls: it turns groups of work into generations.
final class BarrierCore: StorageGroupHook {
    typealias Deliver = @Sendable (_ completions: @escaping @Sendable () -> Void) -> Void

    private let session = Mutex<BarrierSession?>(nil)
    /// The group under way; only the storage thread uses it.
    private let group = Mutex<BarrierGroup?>(nil)
    private let deliverHook: Deliver
    private let encryptionLimit: UInt64
    let now: @Sendable () -> UInt64

    init(encryptionLimit: UInt64, now: @escaping @Sendable () -> UInt64, deliver: @escaping Deliver) {
        self.encryptionLimit = encryptionLimit
        self.now = now
        deliverHook = deliver
    }

    var current: BarrierSession? { session.withLock { $0 } }

    /// Takes the keys away; they are wiped here when nobody else is using them.
    func seal() {
        let old = session.withLock { session in
            let old = session
            session = nil
            return old
        }
        _ = consume old
    }

    /// Gives the keys, unless another unseal came first.
    func installIfSealed(_ new: BarrierSession) {
        session.withLock { session in
            if session == nil { session = new }
        }
    }

    /// Runs `body` on the group under way, on the storage thread; false when `expected` is no longer the session.
    func withGroup(
        of expected: BarrierSession,
        _ body: (inout BarrierGroup) throws(StorageError) -> StorageVerdict
    ) throws(StorageError) -> StorageVerdict {
        guard current === expected else { return .rejected(BarrierError.sealed) }
        return try group.withLock { group throws(StorageError) in
            var running = group ?? BarrierGroup(expected)
            guard running.session === expected else { return .rejected(BarrierError.sealed) }
            group = nil  // so that the state is not copied while it changes
            defer { group = running }
            return try body(&running)
        }
    }

    // MARK: StorageGroupHook

    func groupWillBegin() { group.withLock { $0 = nil } }

    func groupWillCommit(in transaction: any StorageTransaction, changed: Bool) throws(StorageError) -> UInt64 {
        try group.withLock { group throws(StorageError) in
            guard var running = group else { return 0 }
            group = nil
            defer { group = running }
            guard changed || running.hasNewKeyring || running.hasNewSeal else { return running.state.meta.generation }
            // A term rests well before 2^32 random nonces (SP 800-38D §8.3).
            if running.state.meta.encryptions >= encryptionLimit { _ = try running.rotate(at: now()) }
            return try running.finish(in: transaction)
        }
    }

    func groupDidEnd(_ end: StorageGroupEnd) {
        let ended = group.withLock { group in
            let ended = group
            group = nil
            return ended
        }
        ended?.end(end)
    }

    func deliver(_ completions: @escaping @Sendable () -> Void) { deliverHook(completions) }
}
