/// The connections of an open vault. Confined to the vault's executor.
final class ConnectionTable {
    private(set) var connections: [String: Connection] = [:]
    /// Of those that are not deleted.
    private var names: [String: String] = [:]

    /// That are not deleted.
    static let mostConnections = 20_000
    static let mostOfOneOwner = 2000

    /// Of those that are not deleted.
    var count: Int { names.count }

    /// Deleted ones too.
    func count(ownedBy owner: String) -> Int { connections.values.count { $0.rights.owner == owner } }

    init(_ connections: [Connection]) {
        for connection in connections { put(connection) }
    }

    subscript(id: String) -> Connection? { connections[id] }

    /// By name or id; names are ASCII.
    func find(_ reference: String) -> Connection? {
        names[reference].flatMap { connections[$0] } ?? connections[reference]
    }

    func isNameFree(_ name: String) -> Bool { names[name] == nil }

    /// Sorted by name; deleted ones last.
    var all: [Connection] {
        connections.values.sorted {
            ($0.deleted == nil ? 0 : 1, $0.name, $0.id) < ($1.deleted == nil ? 0 : 1, $1.name, $1.id)
        }
    }

    /// After the change is durable.
    func put(_ connection: Connection) {
        if let old = connections[connection.id], names[old.name] == old.id { names[old.name] = nil }
        connections[connection.id] = connection
        if connection.state != .deleted { names[connection.name] = connection.id }
    }
}
