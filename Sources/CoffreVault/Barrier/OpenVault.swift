internal import Synchronization

/// One opening of the barrier, from unseal to seal: work that was queued under it finds its present keyring here, or that
/// it is over.
final class OpenVault: Sendable {
    /// The vault's id, 16 bytes.
    let id: [UInt8]
    private let current: Mutex<Keyring?>

    init(id: [UInt8], _ keyring: Keyring) {
        self.id = id
        current = Mutex(keyring)
    }

    /// - Throws: ``BarrierError`` `.sealed` after `close()`.
    func keyring() throws(BarrierError) -> Keyring {
        guard let keyring = current.withLock({ $0 }) else { throw .sealed }
        return keyring
    }

    /// After a rotation; does nothing when closed.
    func replace(_ new: Keyring) {
        current.withLock { current in
            if current != nil { current = new }
        }
    }

    /// Lets go of the keys.
    func close() { current.withLock { $0 = nil } }
}
