internal import CoffreCrypto
package import CoffreStorage
internal import Glibc

/// The line below which everything is ciphertext: names become keyed hashes, names and values AES-256-GCM cells.
///
/// Reads block for microseconds on the caller's thread. Writes are group-committed by the storage thread.
package final class Barrier: Sendable {
    package static let maximumValueBytes = 64 << 20
    package static let maximumNameBytes = 64 << 10

    let store: any KeyValueStore
    let core: BarrierCore

    /// - Parameters:
    ///   - store: open, without a hook; the barrier becomes its hook.
    ///   - encryptionLimit: encryptions under one term after which the next group adds a term; 2^31 by default.
    ///   - now: Unix time in seconds, for the age of terms.
    ///   - deliver: called once per committed group with a closure that runs all its completions; by default they run on
    ///     the storage thread.
    package init(
        store: any KeyValueStore,
        encryptionLimit: UInt64 = 1 << 31,
        now: @escaping @Sendable () -> UInt64 = { UInt64(max(0, time(nil))) },
        deliver: @escaping @Sendable (_ completions: @escaping @Sendable () -> Void) -> Void = { $0() }
    ) {
        self.store = store
        core = BarrierCore(encryptionLimit: encryptionLimit, now: now, deliver: deliver)
        store.attach(core)
    }

    package var isSealed: Bool { core.current == nil }

    /// The generation of the last durable transaction; nil while sealed.
    package var generation: UInt64? { core.current?.generation }

    /// 16 bytes, chosen at initialisation; nil while sealed.
    package var vaultID: [UInt8]? { core.current?.vaultID }

    // MARK: Reads

    /// The row's version and content; nil when there is none. Sees every commit that has completed.
    /// - Throws: ``BarrierError`` `.sealed`, `.corrupt`, `.storage`.
    package func get(_ key: BarrierKey) throws(BarrierError) -> BarrierEntry? {
        try read { session, keyring throws(BarrierError) -> BarrierEntry? in
            let address = keyring.address(of: key)
            let found: StorageCell?
            do throws(StorageError) { found = try store.get(address) } catch { throw .storage(error) }
            guard let found else { return nil }
            guard let value = session.decrypt(found.value, .value, address, found.version, with: keyring) else {
                throw .corrupt(address: address.hex)
            }
            return BarrierEntry(version: found.version, value: value)
        }
    }

    /// The names in a folder, sorted bytewise.
    /// - Throws: ``BarrierError`` `.sealed`, `.corrupt`, `.storage`.
    package func names(in namespace: StorageNamespace, parent: [UInt8]) throws(BarrierError) -> [[UInt8]] {
        try read { session, keyring throws(BarrierError) in
            var names: [[UInt8]] = []
            for row in try rows(namespace, parent, .max, keyring) {
                guard let name = session.decrypt(row.label, .label, row.address, row.version, with: keyring) else {
                    throw .corrupt(address: row.address.hex)
                }
                names.append(name.withBytes { Array($0) })
            }
            return names.sorted { $0.lexicographicallyPrecedes($1) }
        }
    }

    /// Rows of a folder with their names, sorted bytewise by name.
    /// - Parameter limit: at most so many; which ones is decided by the keyed hash of their names, not by their order.
    /// - Throws: ``BarrierError`` `.sealed`, `.corrupt`, `.storage`.
    package func entries(
        in namespace: StorageNamespace,
        parent: [UInt8],
        limit: Int = .max
    ) throws(BarrierError) -> [(name: [UInt8], entry: BarrierEntry)] {
        try read { session, keyring throws(BarrierError) in
            var entries: [(name: [UInt8], entry: BarrierEntry)] = []
            for row in try rows(namespace, parent, limit, keyring) {
                guard let (name, value) = session.decrypt(row, with: keyring) else {
                    throw .corrupt(address: row.address.hex)
                }
                entries.append((name.withBytes { Array($0) }, BarrierEntry(version: row.version, value: value)))
            }
            return entries.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        }
    }

    private func rows(
        _ namespace: StorageNamespace,
        _ parent: [UInt8],
        _ limit: Int,
        _ keyring: BarrierKeyring
    ) throws(BarrierError) -> [StorageRow] {
        let hash = keyring.parentHash(namespace, parent)
        do {
            return try store.range(namespace: namespace.rawValue, parent: hash, limit: limit)
        } catch {
            throw .storage(error)
        }
    }

    /// Runs a read under one keyring. A row that does not open is read again when the keyring has changed meanwhile; a read
    /// that a seal has overtaken fails.
    private func read<R>(
        _ body: (BarrierSession, BarrierKeyring) throws(BarrierError) -> R
    ) throws(BarrierError) -> R {
        guard let session = core.current else { throw .sealed }
        var keyring = session.keyring
        while true {
            do throws(BarrierError) {
                let result = try body(session, keyring)
                guard core.current === session else { throw .sealed }
                return result
            } catch {
                let latest = session.keyring
                guard case .corrupt = error, latest !== keyring else { throw error }
                keyring = latest
            }
        }
    }

    // MARK: Writes

    /// Makes all of `mutations` durable, or none of them.
    ///
    /// - Parameter completion: called once, by way of `deliver`, with the generation of the transaction, or with
    ///   ``BarrierError`` `.sealed`, `.conflict`, `.tooLarge`, `.storage`.
    package func commit(
        _ mutations: [BarrierMutation],
        completion: @escaping @Sendable (Result<UInt64, BarrierError>) -> Void
    ) {
        guard let session = core.current else { return completion(.failure(.sealed)) }
        guard mutations.allSatisfy(\.isWithinLimits) else { return completion(.failure(.tooLarge)) }
        let keyring = session.keyring
        let changes = mutations.map { BarrierChange($0, keyring: keyring) }
        store.submit(
            BarrierWork(
                core,
                session,
                body: { group, transaction throws(StorageError) in
                    try BarrierChange.apply(changes, to: &group, in: transaction)
                },
                completion: completion
            )
        )
    }

    /// Makes all of `mutations` durable, or none of them.
    /// - Returns: the generation of the transaction.
    /// - Throws: ``BarrierError`` `.sealed`, `.conflict`, `.tooLarge`, `.storage`.
    @discardableResult
    package func commit(_ mutations: [BarrierMutation]) async throws(BarrierError) -> UInt64 {
        let result = await withCheckedContinuation { continuation in
            commit(mutations) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }
}
