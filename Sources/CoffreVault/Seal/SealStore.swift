internal import CoffreCrypto
package import CoffreStorage
internal import CoffreWire
internal import Synchronization

/// How a vault opens: public facts, and the root key wrapped once or twice.
package struct SealRecord: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case shamir
        case credential
    }

    package let type: Kind
    /// 16 bytes; part of every row's associated data.
    package let vaultID: [UInt8]
    package let shares: Int
    package let threshold: Int
    /// The root key under the unseal key.
    let wrappedRoot: [UInt8]
    /// The root key under the recovery key, for `credential`.
    let wrappedForRecovery: [UInt8]?

    /// What the wrapping is bound to: a changed record does not unwrap.
    static func context(_ type: Kind, shares: Int, threshold: Int, recovery: Bool) -> String {
        "coffre seal 1 \(type.rawValue) \(threshold)/\(shares) \(recovery ? "recovery" : "unseal")"
    }

    package var encoded: [UInt8] {
        var members: [JSONValue.Member] = [
            .init("format", .integer(1)), .init("type", .string(type.rawValue)),
            .init("vault", .string(Hex.encode(vaultID))), .init("shares", .integer(shares)),
            .init("threshold", .integer(threshold)), .init("root", .string(Base64.encode(wrappedRoot))),
        ]
        if let wrappedForRecovery { members.append(.init("recovery", .string(Base64.encode(wrappedForRecovery)))) }
        return JSONValue.object(members).encoded()
    }

    package init(
        type: Kind,
        vaultID: [UInt8],
        shares: Int,
        threshold: Int,
        wrappedRoot: [UInt8],
        wrappedForRecovery: [UInt8]?
    ) {
        self.type = type
        self.vaultID = vaultID
        self.shares = shares
        self.threshold = threshold
        self.wrappedRoot = wrappedRoot
        self.wrappedForRecovery = wrappedForRecovery
    }

    /// - Throws: ``BarrierError`` `.corrupt`.
    package init(decoding bytes: [UInt8]) throws(BarrierError) {
        guard let value = try? JSONValue(parsing: bytes), value["format"]?.integer == 1,
            let type = value["type"]?.string.flatMap({ Kind(rawValue: $0) }),
            let vault = value["vault"]?.string.flatMap({ Hex.decode(Array($0.utf8)) }), vault.count == 16,
            let shares = value["shares"]?.integer, let threshold = value["threshold"]?.integer,
            (1...255).contains(shares), (1...shares).contains(threshold),
            let root = value["root"]?.string.flatMap({ Base64.decode(Array($0.utf8)) })
        else { throw BarrierError(.corrupt, "the seal record of the database cannot be read: restore a backup") }
        self.init(
            type: type,
            vaultID: vault,
            shares: Int(shares),
            threshold: Int(threshold),
            wrappedRoot: root,
            wrappedForRecovery: value["recovery"]?.string.flatMap { Base64.decode(Array($0.utf8)) }
        )
    }
}

/// Makes vaults and opens them.
package final class SealStore: Sendable {
    private let barrier: Barrier
    private let record: Mutex<SealRecord?>
    /// The unseal key of `credential`, once it has opened or made the vault.
    private let known = Mutex<SharedSecret?>(nil)
    private var credential: SharedSecret? { known.withLock { $0 } }

    /// Reads the seal record, if there is one.
    /// - Throws: ``BarrierError`` `.corrupt`, `.storage`.
    package init(store: any KeyValueStore, barrier: Barrier) throws(BarrierError) {
        self.barrier = barrier
        let bytes: [UInt8]?
        do throws(StorageError) { bytes = try store.meta(.seal) } catch { throw BarrierError(error) }
        record = Mutex(try bytes.map { bytes throws(BarrierError) in try SealRecord(decoding: bytes) })
    }

    package var status: SealRecord? { record.withLock { $0 } }

    package var isInitialized: Bool { status != nil }

    /// Makes a vault: keys, seal record and first rows in one transaction, so that a crash leaves all or nothing.
    /// - Parameters:
    ///   - shares: parts of the unseal key, or of the recovery key when there is a credential.
    ///   - threshold: how many restore it.
    ///   - credential: 32 bytes; nil for `shamir`.
    ///   - firstRows: what the vault holds from the start.
    /// - Returns: the shares. The barrier is open afterwards.
    func initialize(
        shares: Int,
        threshold: Int,
        credential: SharedSecret?,
        firstRows: [BarrierMutation]
    ) async throws(BarrierError) -> [SharedSecret] {
        let vault = Random.bytes(16)
        let type: SealRecord.Kind = credential == nil ? .shamir : .credential
        let new: SealRecord
        let keyring: [UInt8]
        let parts: [SharedSecret]
        do throws(CryptoError) {
            let root = SecretBytes.randomKey(count: 32)
            let split = SharedSecret(SecretBytes.randomKey(count: 32))
            func wrap(_ key: SharedSecret, recovery: Bool) throws(CryptoError) -> [UInt8] {
                let context = SealRecord.context(type, shares: shares, threshold: threshold, recovery: recovery)
                let wrapping = try key.withSecret { key throws(CryptoError) in try WrappingKey(key, vault: vault) }
                return try root.withBytes { root throws(CryptoError) in try wrapping.wrap(root, context: context) }
            }
            new = SealRecord(
                type: type,
                vaultID: vault,
                shares: shares,
                threshold: threshold,
                wrappedRoot: try wrap(credential ?? split, recovery: false),
                wrappedForRecovery: credential == nil ? nil : try wrap(split, recovery: true)
            )
            do throws(BarrierError) {
                keyring = try barrier.create(rootKey: root, vault: vault)
            } catch {
                throw CryptoError(.libraryFailure, error.message)
            }
            parts = split.withSecret { ShamirSharing.split($0, shares: shares, threshold: threshold) }
        } catch {
            throw BarrierError(.corrupt, "the vault's keys cannot be made: \(error.message)")
        }
        do throws(BarrierError) {
            _ = try await barrier.commit(firstRows, meta: [.seal: new.encoded, .keyring: keyring])
        } catch {
            barrier.seal()
            throw error
        }
        record.withLock { $0 = new }
        known.withLock { $0 = credential }
        return parts
    }

    /// Opens with the key that operators' shares gave: the unseal key, or the recovery key.
    /// - Throws: ``BarrierError`` `.wrongKey`, `.corrupt`, `.storage`.
    func unseal(combined key: SharedSecret) throws(BarrierError) {
        guard let record = status else { throw BarrierError(.corrupt, "Vault is not initialized") }
        try open(
            record,
            key,
            record.wrappedForRecovery ?? record.wrappedRoot,
            isRecovery: record.wrappedForRecovery != nil
        )
    }

    /// Opens with the credential.
    /// - Throws: ``BarrierError`` `.wrongKey`, `.corrupt`, `.storage`.
    func unseal(credential key: SharedSecret) throws(BarrierError) {
        guard let record = status, record.type == .credential else {
            throw BarrierError(.wrongKey, "this vault was made with the shamir seal: set [seal] type accordingly")
        }
        try open(record, key, record.wrappedRoot, isRecovery: false)
        known.withLock { $0 = key }
    }

    // MARK: new shares

    /// A seal record with new shares of a new key around the same root key.
    /// - Parameter old: the key that the present shares give: the unseal key, or the recovery key.
    /// - Returns: the record, which counts from ``adopt(_:)`` on, and its shares.
    /// - Throws: ``BarrierError`` `.wrongKey`, `.corrupt`.
    func newShares(
        combined old: SharedSecret,
        shares: Int,
        threshold: Int
    ) throws(BarrierError) -> (SealRecord, [SharedSecret]) {
        guard let record = status else { throw BarrierError(.corrupt, "Vault is not initialized") }
        let isRecovery = record.wrappedForRecovery != nil
        let root = try rootKey(record, old, record.wrappedForRecovery ?? record.wrappedRoot, isRecovery: isRecovery)
        let split = SharedSecret(SecretBytes.randomKey(count: 32))
        do throws(CryptoError) {
            let wrapping = try split.withSecret { key throws(CryptoError) in
                try WrappingKey(key, vault: record.vaultID)
            }
            let context = SealRecord.context(record.type, shares: shares, threshold: threshold, recovery: isRecovery)
            let wrapped = try root.withBytes { root throws(CryptoError) in try wrapping.wrap(root, context: context) }
            var wrappedRoot = wrapped
            if isRecovery {
                // The credential stays: what it opens is bound to the new numbers as well.
                guard let credential else {
                    throw CryptoError(.authenticationFailed, "the credential is not at hand")
                }
                let own = try credential.withSecret { key throws(CryptoError) in
                    try WrappingKey(key, vault: record.vaultID)
                }
                let context = SealRecord.context(record.type, shares: shares, threshold: threshold, recovery: false)
                wrappedRoot = try root.withBytes { root throws(CryptoError) in try own.wrap(root, context: context) }
            }
            let new = SealRecord(
                type: record.type,
                vaultID: record.vaultID,
                shares: shares,
                threshold: threshold,
                wrappedRoot: wrappedRoot,
                wrappedForRecovery: isRecovery ? wrapped : nil
            )
            return (new, split.withSecret { ShamirSharing.split($0, shares: shares, threshold: threshold) })
        } catch {
            throw BarrierError(.corrupt, "new shares cannot be made: \(error.message)")
        }
    }

    /// From here on the new shares open the vault, and the old ones no longer do: one durable transaction.
    func adopt(_ new: SealRecord) async throws(BarrierError) -> UInt64 {
        let generation = try await barrier.commit([], meta: [.seal: new.encoded])
        record.withLock { $0 = new }
        return generation
    }

    /// Whether `key`, which shares gave, is the one that `record` was made with.
    func accepts(combined key: SharedSecret, _ record: SealRecord) -> Bool {
        let wrapped = record.wrappedForRecovery ?? record.wrappedRoot
        do throws(BarrierError) {
            _ = try rootKey(record, key, wrapped, isRecovery: record.wrappedForRecovery != nil)
            return true
        } catch {
            return false
        }
    }

    private func open(
        _ record: SealRecord,
        _ key: SharedSecret,
        _ wrapped: [UInt8],
        isRecovery: Bool
    ) throws(BarrierError) {
        try barrier.open(rootKey: rootKey(record, key, wrapped, isRecovery: isRecovery), vault: record.vaultID)
    }

    private func rootKey(
        _ record: SealRecord,
        _ key: SharedSecret,
        _ wrapped: [UInt8],
        isRecovery: Bool
    ) throws(BarrierError) -> SecretBytes {
        let context = SealRecord.context(
            record.type,
            shares: record.shares,
            threshold: record.threshold,
            recovery: isRecovery
        )
        do throws(CryptoError) {
            let wrapping = try key.withSecret { key throws(CryptoError) in try WrappingKey(key, vault: record.vaultID) }
            return try wrapping.unwrap(wrapped, context: context)
        } catch {
            throw BarrierError(.wrongKey, "the key does not open this vault")
        }
    }
}
