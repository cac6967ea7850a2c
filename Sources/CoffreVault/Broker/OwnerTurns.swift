internal import CoffreWire

/// Whose connection's turn it is: one visit of each at a time, so many in all and a part of them for one owner. Whoever owns
/// connections to servers that take their time waits for those servers alone; nobody else does.
struct OwnerTurns {
    private let limit: Int
    private let limitOfOwner: Int
    private var lines: [String: Line<String>] = [:]
    /// Owners with a line, in the order in which it is their turn.
    private var owners = Line<String>()
    private var waiting: Set<String> = []
    /// Connections that are being visited, and their owners.
    private var busy: [String: String] = [:]
    private var busyOfOwner: [String: Int] = [:]
    /// Of these, the ones that are to be visited once more.
    private var again: Set<String> = []

    /// - Parameters:
    ///   - limit: visits at a time.
    ///   - limitOfOwner: of these, for one owner.
    init(limit: Int, limitOfOwner: Int) {
        self.limit = limit
        self.limitOfOwner = limitOfOwner
    }

    /// The connection is to be visited; that it waits already is enough.
    mutating func append(_ connection: String, of owner: String) {
        guard busy[connection] == nil else {
            again.insert(connection)
            return
        }
        guard waiting.insert(connection).inserted else { return }
        if lines[owner] == nil { owners.append(owner) }
        lines[owner, default: Line()].append(connection)
    }

    /// The next connection, until ``end(_:)`` says that its visit is over; nil when none may begin now.
    mutating func next() -> String? {
        guard busy.count < limit else { return nil }
        for _ in 0..<lines.count {
            guard let owner = owners.popFirst() else { return nil }
            guard busyOfOwner[owner] ?? 0 < limitOfOwner, let connection = lines[owner]?.popFirst() else {
                owners.append(owner)
                continue
            }
            if lines[owner]?.isEmpty == false { owners.append(owner) } else { lines[owner] = nil }
            waiting.remove(connection)
            busy[connection] = owner
            busyOfOwner[owner, default: 0] += 1
            return connection
        }
        return nil
    }

    /// Whether a visit of it is under way.
    func isBusy(_ connection: String) -> Bool { busy[connection] != nil }

    mutating func end(_ connection: String) {
        guard let owner = busy.removeValue(forKey: connection) else { return }
        busyOfOwner[owner] = busyOfOwner[owner].flatMap { $0 > 1 ? $0 - 1 : nil }
        if again.remove(connection) != nil { append(connection, of: owner) }
    }
}
