internal import CoffreCrypto

/// What expires when. Only the near future is in memory; the rest waits in minute buckets of the storage.
///
/// Confined to the vault's executor.
final class LeaseSchedule {
    enum Item: Hashable, Sendable {
        case token(Digest)
        case lease(String)
        /// A wrapping token, or the trace of one.
        case wrap(Digest)
        /// A static role whose password is due: mount id and name.
        case rotation(String)
        /// An OAuth grant of a connection: its id.
        case grant(String)

        init?(name: [UInt8]) {
            switch name.first {
            case 0x74:
                guard let digest = Digest(name.dropFirst()) else { return nil }
                self = .token(digest)
            case 0x77:
                guard let digest = Digest(name.dropFirst()) else { return nil }
                self = .wrap(digest)
            case 0x72: self = .rotation(String(decoding: name.dropFirst(), as: UTF8.self))
            case 0x67: self = .grant(String(decoding: name.dropFirst(), as: UTF8.self))
            case 0x6c: self = .lease(String(decoding: name.dropFirst(), as: UTF8.self))
            default: return nil
            }
        }

        private var name: [UInt8] {
            switch self {
            case .token(let hash): [0x74] + hash.bytes
            case .wrap(let hash): [0x77] + hash.bytes
            case .rotation(let role): [0x72] + Array(role.utf8)
            case .grant(let id): [0x67] + Array(id.utf8)
            case .lease(let id): [0x6c] + Array(id.utf8)
            }
        }

        /// The marker row of this item in the bucket of `time`.
        func key(at time: Timestamp) -> BarrierKey {
            BarrierKey(namespace: .expiry, parent: LeaseSchedule.bucket(minute: time.seconds / 60), name: name)
        }
    }

    /// The value of rows whose name says everything.
    static let marker = SharedSecret(copying: [0x31])

    static func bucket(minute: Int64) -> [UInt8] { Array("minute/\(minute)".utf8) }

    private var due: [(time: Timestamp, item: Item)] = []  // a binary heap, earliest first
    /// Every bucket up to this minute is in memory.
    var loadedThrough: Int64 = .min

    /// Remembers `item` if its bucket has been loaded already; otherwise the bucket's turn will come.
    func schedule(_ item: Item, at time: Timestamp) {
        if time.seconds / 60 <= loadedThrough { push(item, at: time) }
    }

    func push(_ item: Item, at time: Timestamp) {
        due.append((time, item))
        var child = due.count - 1
        while child > 0, due[child].time < due[(child - 1) / 2].time {
            due.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The next item that is due at `now`, removed.
    func popDue(at now: Timestamp) -> Item? {
        guard let first = due.first, first.time <= now else { return nil }
        due.swapAt(0, due.count - 1)
        due.removeLast()
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < due.count else { break }
            let smaller = left + 1 < due.count && due[left + 1].time < due[left].time ? left + 1 : left
            guard due[smaller].time < due[parent].time else { break }
            due.swapAt(smaller, parent)
            parent = smaller
        }
        return first.item
    }
}
