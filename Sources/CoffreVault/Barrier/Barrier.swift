package import CoffreCrypto
package import CoffreStorage
internal import Synchronization

/// The line below which everything is ciphertext, names included.
///
/// A row is addressed by keyed hashes of its parent and of its name; both cells are bound to that place and to the row's
/// version. Every transaction renews the generation and a keyed hash over all rows.
package final class Barrier: Sendable {
    /// The keys and counters of an open barrier.
    struct Opened: Sendable {
        let vault: OpenVault
        let root: WrappingKey
        var state: TransactionState
        /// Of the transaction that is being written.
        var proposed: TransactionState?
        /// Terms below this one are erased at the end of the re-encryption pass under way.
        var passTerm: UInt32?
        var isReplacingKeyring = false
    }

    let store: any KeyValueStore
    let opened = Mutex<Opened?>(nil)
    /// Held from `prepare` to `finish`: opening waits for a transaction that began before the seal, and sees what it wrote.
    let turn = WakeUp()

    /// A term is replaced long before 2^32 encryptions under random nonces (NIST SP 800-38D §8.3).
    static let encryptionsPerTerm: UInt64 = 1 << 30

    package init(store: any KeyValueStore) {
        self.store = store
        turn.signal()
    }

    package var isSealed: Bool { opened.withLock { $0 == nil } }

    /// Number of the last durable transaction, nil while sealed.
    package var generation: UInt64? { opened.withLock { $0?.state.generation } }

    // MARK: opening and sealing

    /// Makes the first keyring; nothing is on disk before the first commit.
    /// - Returns: the wrapped keyring, for the commit that makes the vault.
    package func create(rootKey: borrowing SecretBytes, vault: [UInt8]) throws(BarrierError) -> [UInt8] {
        do throws(CryptoError) {
            let root = try WrappingKey(rootKey, vault: vault)
            let keyring = try Keyring.make()
            let wrapped = try keyring.wrapped(by: root)
            install(Opened(vault: OpenVault(id: vault, keyring), root: root, state: TransactionState()))
            store.setSealer(self)
            return wrapped
        } catch {
            throw BarrierError(.corrupt, "the keyring cannot be made: \(error.message)")
        }
    }

    /// Opens with the root key.
    /// - Throws: ``BarrierError`` `.wrongKey`, `.corrupt`, `.storage`.
    package func open(rootKey: borrowing SecretBytes, vault: [UInt8]) throws(BarrierError) {
        turn.wait()
        defer { turn.signal() }
        let (wrapped, meta): ([UInt8]?, [UInt8]?)
        do throws(StorageError) {
            (wrapped, meta) = (try store.meta(.keyring), try store.meta(.transaction))
        } catch {
            throw BarrierError(error)
        }
        guard let wrapped, let meta else { throw BarrierError(.corrupt, "the keyring is missing: restore a backup") }
        do throws(CryptoError) {
            let root = try WrappingKey(rootKey, vault: vault)
            let keyring = try Keyring.unwrap(wrapped, by: root)
            let state = try TransactionState(unwrapping: meta, by: keyring, vault: vault)
            install(Opened(vault: OpenVault(id: vault, keyring), root: root, state: state))
        } catch {
            throw BarrierError(.wrongKey, "the key does not open this vault")
        }
        store.setSealer(self)
    }

    /// Wipes every key. Calls that are under way fail with `.sealed`.
    package func seal() {
        store.setSealer(nil)
        install(nil)
    }

    private func install(_ new: Opened?) {
        let old = opened.withLock { opened in
            let old = opened
            opened = new
            return old
        }
        old?.vault.close()
    }

    func keys() throws(BarrierError) -> (keyring: Keyring, vault: OpenVault) {
        guard let vault = opened.withLock({ $0?.vault }) else { throw .sealed }
        return (try vault.keyring(), vault)
    }

    // MARK: reading

    package func get(_ key: BarrierKey) throws(BarrierError) -> BarrierEntry? {
        let (keyring, vault) = try keys()
        let address = BarrierAddress.row(key, keyring.addressKey)
        let row: StoredRow?
        do throws(StorageError) { row = try store.get(address) } catch { throw BarrierError(error) }
        guard let row else { return nil }
        let value = try decrypt(row.value, .value, address, row.version, keyring, vault)
        return BarrierEntry(version: row.version, value: value)
    }

    /// The version of a row, which each writing of it raises; nil when there is none. Nothing is decrypted: whoever has read that
    /// version knows what it says.
    func version(of key: BarrierKey) throws(BarrierError) -> UInt64? {
        let address = BarrierAddress.row(key, try keys().keyring.addressKey)
        do throws(StorageError) { return try store.get(address)?.version } catch { throw BarrierError(error) }
    }

    /// Names below `parent`, sorted by bytes.
    package func names(in namespace: StorageNamespace, parent: [UInt8]) throws(BarrierError) -> [[UInt8]] {
        try rows(in: namespace, parent: parent, limit: .max, includesValues: false).map(\.name)
            .sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Entries below `parent`, at most `limit`, in no particular order.
    package func entries(
        in namespace: StorageNamespace,
        parent: [UInt8],
        limit: Int
    ) throws(BarrierError) -> [(name: [UInt8], entry: BarrierEntry)] {
        var entries: [(name: [UInt8], entry: BarrierEntry)] = []
        for row in try rows(in: namespace, parent: parent, limit: limit, includesValues: true) {
            guard let value = row.value else { continue }
            entries.append((row.name, BarrierEntry(version: row.version, value: value)))
        }
        return entries
    }

    private func rows(
        in namespace: StorageNamespace,
        parent: [UInt8],
        limit: Int,
        includesValues: Bool
    ) throws(BarrierError) -> [(name: [UInt8], version: UInt64, value: SharedSecret?)] {
        let (keyring, vault) = try keys()
        let parentHash = BarrierAddress.parent(namespace, parent, keyring.addressKey)
        var result: [(name: [UInt8], version: UInt64, value: SharedSecret?)] = []
        var last: RowHash?
        while result.count < limit {
            let page: [(name: RowHash, row: StoredRow)]
            do throws(StorageError) {
                page = try store.range(
                    namespace: namespace.rawValue,
                    parent: parentHash,
                    after: last,
                    limit: min(1000, limit - result.count),
                    includesValues: includesValues
                )
            } catch { throw BarrierError(error) }
            for (name, row) in page {
                let address = RowAddress(namespace: namespace.rawValue, parent: parentHash, name: name)
                let label = try decrypt(row.label, .label, address, row.version, keyring, vault)
                let value =
                    includesValues ? try decrypt(row.value, .value, address, row.version, keyring, vault) : nil
                result.append((label.withBytes { Array($0) }, row.version, value))
            }
            guard let final = page.last, page.count == 1000 else { break }
            last = final.name
        }
        return result
    }

    func decrypt(
        _ cell: [UInt8],
        _ field: BarrierRow.Field,
        _ address: RowAddress,
        _ version: UInt64,
        _ keyring: Keyring,
        _ vault: OpenVault
    ) throws(BarrierError) -> SharedSecret {
        let term = try BarrierRow.term(of: cell)
        // A rotation may have come between taking the keyring and reading the row.
        var cipher = keyring.cipher(term)
        if cipher == nil { cipher = try vault.keyring().cipher(term) }
        guard let cipher else {
            throw BarrierError(.corrupt, "a row of the database was made under a key that does not exist any more")
        }
        return try BarrierRow.decrypt(
            cell,
            under: cipher,
            vault: vault.id,
            field: field,
            address: address,
            version: version
        )
    }

    // MARK: writing

    /// Carries out `mutations` in one durable transaction, all or none; concurrent calls share one sync.
    /// - Returns: the generation.
    /// - Throws: ``BarrierError`` `.conflict`, `.sealed`, `.storage`.
    package func commit(_ mutations: [BarrierMutation]) async throws(BarrierError) -> UInt64 {
        try await commit(mutations, meta: [:])
    }

    package func commit(_ mutations: [BarrierMutation], meta: [MetaKey: [UInt8]]) async throws(BarrierError) -> UInt64 {
        let result: Result<UInt64, BarrierError> = await withCheckedContinuation { continuation in
            enqueue(mutations, meta: meta) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Like ``commit(_:)``, and queued when this returns: calls are carried out in the order of their making.
    /// - Parameter completion: runs on the storage's delivery, or at once when the barrier is sealed.
    func enqueue(
        _ mutations: [BarrierMutation],
        meta: [MetaKey: [UInt8]] = [:],
        completion: @escaping @Sendable (Result<UInt64, BarrierError>) -> Void
    ) {
        let changes: [RowChange]
        do throws(BarrierError) {
            let (keyring, vault) = try keys()
            changes = mutations.map { Self.change($0, keyring, vault) }
        } catch {
            completion(.failure(error))
            return
        }
        store.commit(changes, meta: meta) { result in
            completion(result.mapError { $0.code == .closed ? .sealed : BarrierError($0) })
        }
    }

    private static func change(_ mutation: BarrierMutation, _ keyring: Keyring, _ vault: OpenVault) -> RowChange {
        func seal(_ key: BarrierKey, _ address: RowAddress, _ value: SharedSecret) -> RowChange.Seal {
            { version in try encrypt(key.name, value, address, version, vault) }
        }
        switch mutation {
        case .put(let key, let value, let expectation):
            let address = BarrierAddress.row(key, keyring.addressKey)
            return .put(address, expect: expectation.row, seal(key, address, value))
        case .insertIfAbsent(let key, let value):
            let address = BarrierAddress.row(key, keyring.addressKey)
            return .insertIfAbsent(address, seal(key, address, value))
        case .delete(let key, let expectation):
            return
                .delete(BarrierAddress.row(key, keyring.addressKey), expect: expectation.row)
        case .deleteIfChildless(let key, let namespace, let parent):
            return .deleteIfChildless(
                BarrierAddress.row(key, keyring.addressKey),
                namespace: namespace.rawValue,
                parent: BarrierAddress.parent(namespace, parent, keyring.addressKey)
            )
        }
    }

    /// Encrypts both cells. Runs on the storage's thread.
    static func encrypt(
        _ name: [UInt8],
        _ value: SharedSecret,
        _ address: RowAddress,
        _ version: UInt64,
        _ vault: OpenVault
    ) throws(BarrierError) -> (label: [UInt8], value: [UInt8]) {
        // The keyring of this moment, on the storage's thread: the one of the call may have lost its term since.
        let keyring = try vault.keyring()
        let term = keyring.currentTerm
        guard let cipher = keyring.cipher(term) else { throw .sealed }
        let label = try name.withRawBytes { name throws(BarrierError) in
            try BarrierRow.encrypt(
                name,
                under: cipher,
                term: term,
                vault: vault.id,
                field: .label,
                address: address,
                version: version
            )
        }
        let cell = try value.withBytes { value throws(BarrierError) in
            try BarrierRow.encrypt(
                value,
                under: cipher,
                term: term,
                vault: vault.id,
                field: .value,
                address: address,
                version: version
            )
        }
        return (label, cell)
    }

    /// Takes over from an older copy: the next generation lies past everything that the audit log has seen.
    package func advanceGeneration(
        past seen: UInt64,
        with mutations: [BarrierMutation] = []
    ) async throws(BarrierError) -> UInt64 {
        opened.withLock { opened in
            guard let generation = opened?.state.generation, generation < seen else { return }
            opened?.state.generation = seen
        }
        return try await commit(mutations)
    }
}

extension BarrierMutation.Expectation {
    fileprivate var row: RowExpectation {
        switch self {
        case .any: .any
        case .absent: .absent
        case .version(let version): .version(version)
        }
    }
}
