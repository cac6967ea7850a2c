package import CoffreCrypto
package import CoffreStorage
internal import Synchronization

/// The line below which everything is ciphertext, names included.
///
/// A row is addressed by keyed hashes of its parent and of its name; both cells are bound to that place and to the row's
/// version. Every transaction renews the generation and a keyed hash over all rows.
package final class Barrier: Sendable {
    /// The keys and counters of an open barrier.
    private struct Opened: Sendable {
        let vault: [UInt8]
        let root: WrappingKey
        var keyring: Keyring
        var state: TransactionState
        /// Of the transaction that is being written.
        var proposed: TransactionState?
    }

    private let store: any KeyValueStore
    private let opened = Mutex<Opened?>(nil)

    /// A term is replaced long before 2^32 encryptions under random nonces (NIST SP 800-38D §8.3).
    static let encryptionsPerTerm: UInt64 = 1 << 30

    package init(store: any KeyValueStore) { self.store = store }

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
            opened.withLock { $0 = Opened(vault: vault, root: root, keyring: keyring, state: TransactionState()) }
            store.setSealer(self)
            return wrapped
        } catch {
            throw BarrierError(.corrupt, "the keyring cannot be made: \(error.message)")
        }
    }

    /// Opens with the root key.
    /// - Throws: ``BarrierError`` `.wrongKey`, `.corrupt`, `.storage`.
    package func open(rootKey: borrowing SecretBytes, vault: [UInt8]) throws(BarrierError) {
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
            let state = try TransactionState(unwrapping: meta, by: root)
            opened.withLock { $0 = Opened(vault: vault, root: root, keyring: keyring, state: state) }
        } catch {
            throw BarrierError(.wrongKey, "the key does not open this vault")
        }
        store.setSealer(self)
    }

    /// Wipes every key. Calls that are under way fail with `.sealed`.
    package func seal() {
        store.setSealer(nil)
        opened.withLock { $0 = nil }
    }

    private func keys() throws(BarrierError) -> (keyring: Keyring, vault: [UInt8]) {
        guard let found = opened.withLock({ $0.map { ($0.keyring, $0.vault) } }) else { throw .sealed }
        return found
    }

    // MARK: reading

    package func get(_ key: BarrierKey) throws(BarrierError) -> BarrierEntry? {
        let (keyring, vault) = try keys()
        let address = Self.address(key, keyring)
        let row: StoredRow?
        do throws(StorageError) { row = try store.get(address) } catch { throw BarrierError(error) }
        guard let row else { return nil }
        let value = try decrypt(row.value, .value, address, row.version, keyring, vault)
        return BarrierEntry(version: row.version, value: value)
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
        let parentHash = Self.parentHash(namespace, parent, keyring)
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

    private func decrypt(
        _ cell: [UInt8],
        _ field: BarrierRow.Field,
        _ address: RowAddress,
        _ version: UInt64,
        _ keyring: Keyring,
        _ vault: [UInt8]
    ) throws(BarrierError) -> SharedSecret {
        guard let cipher = keyring.cipher(try BarrierRow.term(of: cell)) else {
            throw BarrierError(.corrupt, "a row of the database was made under a key that does not exist any more")
        }
        return try BarrierRow.decrypt(
            cell,
            under: cipher,
            vault: vault,
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

    func commit(_ mutations: [BarrierMutation], meta: [MetaKey: [UInt8]]) async throws(BarrierError) -> UInt64 {
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

    private static func change(_ mutation: BarrierMutation, _ keyring: Keyring, _ vault: [UInt8]) -> RowChange {
        func seal(_ key: BarrierKey, _ address: RowAddress, _ value: SharedSecret) -> RowChange.Seal {
            { version in try encrypt(key.name, value, address, version, keyring, vault) }
        }
        switch mutation {
        case .put(let key, let value, let expectation):
            let address = address(key, keyring)
            return .put(address, expect: expectation.row, seal(key, address, value))
        case .insertIfAbsent(let key, let value):
            let address = address(key, keyring)
            return .insertIfAbsent(address, seal(key, address, value))
        case .delete(let key, let expectation): return .delete(address(key, keyring), expect: expectation.row)
        case .deleteIfChildless(let key, let namespace, let parent):
            return .deleteIfChildless(
                address(key, keyring),
                namespace: namespace.rawValue,
                parent: parentHash(namespace, parent, keyring)
            )
        }
    }

    private static func encrypt(
        _ name: [UInt8],
        _ value: SharedSecret,
        _ address: RowAddress,
        _ version: UInt64,
        _ keyring: Keyring,
        _ vault: [UInt8]
    ) throws(BarrierError) -> (label: [UInt8], value: [UInt8]) {
        let term = keyring.currentTerm
        guard let cipher = keyring.cipher(term) else { throw .sealed }
        let label = try name.withRawBytes { name throws(BarrierError) in
            try BarrierRow.encrypt(
                name,
                under: cipher,
                term: term,
                vault: vault,
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
                vault: vault,
                field: .value,
                address: address,
                version: version
            )
        }
        return (label, cell)
    }

    /// Takes over from an older copy: the next generation lies past everything that the audit log has seen.
    package func advanceGeneration(past seen: UInt64) async throws(BarrierError) -> UInt64 {
        opened.withLock { opened in
            guard let generation = opened?.state.generation, generation < seen else { return }
            opened?.state.generation = seen
        }
        return try await commit([])
    }

    // MARK: addresses

    private static func address(_ key: BarrierKey, _ keyring: Keyring) -> RowAddress {
        RowAddress(
            namespace: key.namespace.rawValue,
            parent: parentHash(key.namespace, key.parent, keyring),
            name: hash(keyring, 0x6e, key.namespace, key.parent, key.name)
        )
    }

    private static func parentHash(_ namespace: StorageNamespace, _ parent: [UInt8], _ keyring: Keyring) -> RowHash {
        hash(keyring, 0x70, namespace, parent, [])
    }

    /// First 16 bytes of `HMAC-SHA-256(K, kind ‖ namespace ‖ length of parent(4, BE) ‖ parent ‖ name)`.
    private static func hash(
        _ keyring: Keyring,
        _ kind: UInt8,
        _ namespace: StorageNamespace,
        _ parent: [UInt8],
        _ name: [UInt8]
    ) -> RowHash {
        let length = UInt32(parent.count)
        let head: [UInt8] = [
            kind, namespace.rawValue, UInt8(truncatingIfNeeded: length >> 24), UInt8(truncatingIfNeeded: length >> 16),
            UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length),
        ]
        let digest = keyring.addressKey.authenticate { update in
            head.withUnsafeBytes { update($0) }
            parent.withUnsafeBytes { update($0) }
            name.withUnsafeBytes { update($0) }
        }
        return digest.withUnsafeBytes { RowHash($0) } ?? RowHash(high: 0, low: 0)
    }

    // MARK: upkeep

    /// Whether the current term has been used enough.
    package var needsRotation: Bool { opened.withLock { ($0?.state.encryptions ?? 0) >= Self.encryptionsPerTerm } }

    /// Whether rows may lie under older terms.
    package var hasOldTerms: Bool { opened.withLock { ($0?.keyring.terms.count ?? 0) > 1 } }

    /// Adds a term: what is written from now on goes under a new key.
    package func rotate() async throws(BarrierError) {
        try await replaceKeyring { keyring throws(CryptoError) in try keyring.addingTerm() }
    }

    private func replaceKeyring(_ make: (Keyring) throws(CryptoError) -> Keyring) async throws(BarrierError) {
        let (new, wrapped): (Keyring, [UInt8])
        do throws(CryptoError) {
            guard let (old, root) = opened.withLock({ $0.map { ($0.keyring, $0.root) } }) else {
                throw CryptoError(.libraryFailure, "sealed")
            }
            new = try make(old)
            wrapped = try new.wrapped(by: root)
        } catch {
            throw BarrierError(.sealed, "the keyring cannot be changed: \(error.message)")
        }
        // The keyring is on disk before anything is written under its new term.
        _ = try await commit([], meta: [.keyring: wrapped])
        opened.withLock { opened in
            if opened?.keyring.currentTerm != new.currentTerm { opened?.state.encryptions = 0 }
            opened?.keyring = new
        }
    }

    /// Writes up to `limit` rows of older terms anew; when none is left, erases those terms.
    /// - Returns: whether there may be more to do.
    package func reencryptStep(after start: RowAddress?, limit: Int) async throws(BarrierError) -> RowAddress? {
        let (keyring, vault) = try keys()
        guard keyring.terms.count > 1 else { return nil }
        let page: [(address: RowAddress, row: StoredRow)]
        do throws(StorageError) { page = try store.scan(after: start, limit: limit) } catch {
            throw BarrierError(error)
        }
        var changes: [RowChange] = []
        for (address, row) in page where try BarrierRow.term(of: row.value) != keyring.currentTerm {
            let label = try decrypt(row.label, .label, address, row.version, keyring, vault).withBytes { Array($0) }
            let value = try decrypt(row.value, .value, address, row.version, keyring, vault)
            changes.append(
                .put(address, expect: .version(row.version)) { version in
                    try Self.encrypt(label, value, address, version, keyring, vault)
                }
            )
        }
        // A row that changed meanwhile is under the new term already: each goes alone.
        for change in changes {
            let result: Result<UInt64, StorageError> = await withCheckedContinuation { continuation in
                store.commit([change], meta: [:]) { continuation.resume(returning: $0) }
            }
            if case .failure(let error) = result, error.code != .conflict { throw BarrierError(error) }
        }
        if let last = page.last, page.count == limit { return last.address }
        try await replaceKeyring { keyring throws(CryptoError) in try keyring.keepingTerms([]) }
        return nil
    }

    /// Recomputes the hash over all rows and compares it with the one that every transaction keeps.
    ///
    /// Reads the whole database at one moment and blocks meanwhile: call it on a thread of its own.
    /// - Throws: ``BarrierError`` `.corrupt` when rows were changed behind the vault's back.
    package func scrub() throws(BarrierError) {
        guard let (keyring, root) = opened.withLock({ $0.map { ($0.keyring, $0.root) } }) else { throw .sealed }
        var sum = SetHash()
        let meta: [UInt8]?
        do throws(StorageError) {
            meta = try store.readSnapshot { sum.add(SetHash.element($0, $1, key: keyring.setKey)) }
        } catch { throw BarrierError(error) }
        let state: TransactionState
        do throws(CryptoError) {
            state = try TransactionState(unwrapping: meta ?? [], by: root)
        } catch {
            throw BarrierError(.corrupt, "the database's own account of its rows does not open: restore a backup")
        }
        guard sum == state.setHash else {
            throw BarrierError(.corrupt, "rows of the database were changed, added or removed from outside")
        }
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

extension Barrier: TransactionSealer {
    package func prepare(_ effects: [RowEffect]) throws -> (meta: [UInt8], generation: UInt64) {
        guard let current = opened.withLock({ $0 }) else { throw BarrierError.sealed }
        var state = current.state
        state.generation += 1
        for effect in effects {
            if let old = effect.old {
                state.setHash.remove(SetHash.element(effect.address, old, key: current.keyring.setKey))
            }
            if let new = effect.new {
                state.setHash.add(SetHash.element(effect.address, new, key: current.keyring.setKey))
                state.encryptions += 2
            }
        }
        let proposed = state
        let meta = try proposed.wrapped(by: current.root)
        opened.withLock { $0?.proposed = proposed }
        return (meta, proposed.generation)
    }

    package func finish(isDurable: Bool) {
        opened.withLock { opened in
            if isDurable, let proposed = opened?.proposed { opened?.state = proposed }
            opened?.proposed = nil
        }
    }
}

/// What the encrypted meta row holds.
struct TransactionState: Sendable, Equatable {
    private static let context = "coffre transaction 1"

    var generation: UInt64 = 0
    var setHash = SetHash()
    /// Cells encrypted under the current term.
    var encryptions: UInt64 = 0

    init() {}

    /// `generation(8, BE) ‖ set hash(32) ‖ encryptions(8, BE)`, wrapped.
    func wrapped(by root: WrappingKey) throws(CryptoError) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: generation.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: setHash.bytes)
        withUnsafeBytes(of: encryptions.bigEndian) { bytes.append(contentsOf: $0) }
        return try bytes.withRawBytes { bytes throws(CryptoError) in try root.wrap(bytes, context: Self.context) }
    }

    init(unwrapping wrapped: [UInt8], by root: WrappingKey) throws(CryptoError) {
        let bytes = try root.unwrap(wrapped, context: Self.context).withBytes { Array($0) }
        guard bytes.count == 48, let hash = SetHash(bytes[8..<40]) else {
            throw CryptoError(.invalidLength, "the meta row has no valid form")
        }
        generation = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        setHash = hash
        encryptions = bytes[40...].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
