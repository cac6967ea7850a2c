internal import CoffreCrypto
internal import CoffreStorage
internal import Synchronization

/// Everything that exists between one unseal and the next seal. Its keys are wiped with the last reference.
final class BarrierSession: Sendable {
    struct State: Sendable {
        /// As of the last commit, or one that a commit under way is about to make durable.
        var keyring: BarrierKeyring
        /// As of the last commit.
        var meta: BarrierMeta
        /// The two control cells, as stored.
        var sealCell: [UInt8]
        var keyringCell: [UInt8]
        /// The scrub under way.
        var scrub: BarrierScrub?
        /// The re-encryption pass under way.
        var pass = BarrierReencryption()
    }

    /// 16 bytes.
    let vaultID: [UInt8]
    let rootKey: SharedSecret
    private let state: Mutex<State>

    init(vaultID: [UInt8], rootKey: SharedSecret, state: State) {
        self.vaultID = vaultID
        self.rootKey = rootKey
        self.state = Mutex(state)
    }

    var keyring: BarrierKeyring { state.withLock { $0.keyring } }
    var generation: UInt64 { state.withLock { $0.meta.generation } }
    var current: State { state.withLock { $0 } }

    func update(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }

    /// Opens both cells of a stored row; nil when one of them does not belong there.
    func decrypt(_ row: StorageRow, with keyring: BarrierKeyring) -> (name: SharedSecret, value: SharedSecret)? {
        guard let name = decrypt(row.label, .label, row.address, row.version, with: keyring),
            let value = decrypt(row.value, .value, row.address, row.version, with: keyring)
        else { return nil }
        return (name, value)
    }

    func decrypt(
        _ cell: [UInt8],
        _ field: BarrierPlace.Field,
        _ address: StorageAddress,
        _ version: UInt64,
        with keyring: BarrierKeyring
    ) -> SharedSecret? {
        guard let term = BarrierCell.term(ofCell: cell), let cipher = keyring.cipher(of: term) else { return nil }
        let place = BarrierPlace(vaultID: vaultID, address: address, field: field, version: version)
        guard let plain = BarrierCell.decrypt(cell, at: place, cipher: cipher) else { return nil }
        return SharedSecret(plain)
    }
}
