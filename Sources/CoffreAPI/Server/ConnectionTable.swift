internal import CoffreHost

/// All open connections of one event loop: who must make room, and who has waited too long.
///
/// Not thread-safe: everything happens on the loop.
final class ConnectionTable {
    /// The connections of one uid, those that wait for a request in order of how long.
    final class Share {
        let uid: UInt32
        fileprivate(set) var count = 0
        // A doubly linked list through the connections; the table's array owns them.
        fileprivate unowned(unsafe) var oldest: Connection?
        fileprivate unowned(unsafe) var newest: Connection?

        init(uid: UInt32) { self.uid = uid }
    }

    private(set) var connections: [Connection] = []
    private var shares: [UInt32: Share] = [:]
    let maximum: Int
    /// Connections closed to make room, since the start.
    private(set) var evictions = 0

    init(maximum: Int) { self.maximum = max(maximum, 1) }

    /// Whether one more connection would be one too many.
    var isFull: Bool { connections.count >= maximum }

    func insert(_ connection: Connection, uid: UInt32) {
        let share = shares[uid] ?? Share(uid: uid)
        shares[uid] = share
        share.count += 1
        connection.place = Place(index: connections.count, share: share)
        connections.append(connection)
        startWaiting(connection)
    }

    func remove(_ connection: Connection) {
        guard let place = connection.place else { return }
        stopWaiting(connection)
        connection.place = nil
        let last = connections.removeLast()
        if last !== connection {
            connections[place.index] = last
            last.place?.index = place.index
        }
        place.share.count -= 1
        if place.share.count == 0 { shares[place.share.uid] = nil }
    }

    /// `connection` waits for a request from now on: it may be closed to make room.
    func startWaiting(_ connection: Connection) {
        guard let share = connection.place?.share, connection.place?.isWaiting == false else { return }
        connection.place?.isWaiting = true
        connection.place?.older = share.newest
        connection.place?.newer = nil
        share.newest?.place?.newer = connection
        share.newest = connection
        if share.oldest == nil { share.oldest = connection }
    }

    /// `connection` has a complete request: it is not closed to make room.
    func stopWaiting(_ connection: Connection) {
        guard let place = connection.place, place.isWaiting else { return }
        if let older = place.older { older.place?.newer = place.newer } else { place.share.oldest = place.newer }
        if let newer = place.newer { newer.place?.older = place.older } else { place.share.newest = place.older }
        connection.place?.isWaiting = false
        connection.place?.older = nil
        connection.place?.newer = nil
    }

    /// The connection to close so that another fits: the longest waiting of the uid that holds most connections.
    func takeVictim() -> Connection? {
        var heaviest: Share?
        for share in shares.values where share.oldest != nil && share.count > heaviest?.count ?? 0 { heaviest = share }
        guard let victim = heaviest?.oldest else { return nil }
        evictions += 1
        return victim
    }

    /// Where a connection stands in the table.
    struct Place {
        fileprivate(set) var index: Int
        fileprivate let share: Share
        fileprivate var isWaiting = false
        // Both are in the table as long as they are in the list.
        fileprivate unowned(unsafe) var older: Connection?
        fileprivate unowned(unsafe) var newer: Connection?

        fileprivate init(index: Int, share: Share) {
            self.index = index
            self.share = share
        }
    }
}
