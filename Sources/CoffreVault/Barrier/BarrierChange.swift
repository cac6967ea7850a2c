internal import CoffreCrypto
internal import CoffreStorage

/// A mutation with its address worked out, on the caller's thread.
struct BarrierChange: Sendable {
    private enum Effect: Sendable {
        case put(SharedSecret)
        case insertIfAbsent(SharedSecret)
        case delete
        case deleteIfChildless(namespace: UInt8, parent: StorageHash)
    }

    private let address: StorageAddress
    private let name: [UInt8]
    private let effect: Effect
    private let expectation: BarrierMutation.Expectation

    init(_ mutation: BarrierMutation, keyring: BarrierKeyring) {
        let key = mutation.key
        address = keyring.address(of: key)
        name = key.name
        switch mutation {
        case .put(_, let value, let expect): (effect, expectation) = (.put(value), expect)
        case .delete(_, let expect): (effect, expectation) = (.delete, expect)
        case .insertIfAbsent(_, let value): (effect, expectation) = (.insertIfAbsent(value), .any)
        case .deleteIfChildless(_, let namespace, let parent):
            let hash = keyring.parentHash(namespace, parent)
            (effect, expectation) = (.deleteIfChildless(namespace: namespace.rawValue, parent: hash), .any)
        }
    }

    static func apply(
        _ changes: [BarrierChange],
        to group: inout BarrierGroup,
        in transaction: any StorageTransaction
    ) throws(StorageError) -> StorageVerdict {
        for change in changes where change.expectation != .any {
            let version = try transaction.row(change.address)?.version
            let holds =
                switch change.expectation {
                case .any: true
                case .absent: version == nil
                case .version(let expected): version == expected
                }
            guard holds else { return .rejected(BarrierError.conflict) }
        }
        for change in changes { try change.apply(to: &group, in: transaction) }
        return .accepted
    }

    private func apply(
        to group: inout BarrierGroup,
        in transaction: any StorageTransaction
    ) throws(StorageError) {
        switch effect {
        case .put(let value): try group.put(address, name: name, value: value, in: transaction)
        case .insertIfAbsent(let value):
            guard try transaction.row(address) == nil else { return }
            try group.put(address, name: name, value: value, in: transaction)
        case .delete: try group.delete(address, in: transaction)
        case .deleteIfChildless(let namespace, let parent):
            guard try !transaction.hasRows(namespace: namespace, parent: parent) else { return }
            try group.delete(address, in: transaction)
        }
    }
}

extension BarrierMutation {
    /// The row that the mutation is about.
    package var key: BarrierKey {
        switch self {
        case .put(let key, _, _), .delete(let key, _), .insertIfAbsent(let key, _), .deleteIfChildless(let key, _, _):
            key
        }
    }

    var isWithinLimits: Bool {
        let value =
            switch self {
            case .put(_, let value, _), .insertIfAbsent(_, let value): value.count
            case .delete, .deleteIfChildless: 0
            }
        return value <= Barrier.maximumValueBytes && key.name.count <= Barrier.maximumNameBytes
    }
}
