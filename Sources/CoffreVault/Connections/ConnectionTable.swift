/// The connections of an open vault. Confined to the vault's executor.
final class ConnectionTable {
    private(set) var connections: [String: Connection] = [:]
    /// Of those that are not deleted.
    private var names: [String: String] = [:]
    /// Of those, which have an account.
    private var accounts: [[UInt8]: Set<String>] = [:]
    private var sorted: [Connection]?

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

    /// Whether another connection has this account too: changing its password in one would lock the other out.
    func isShared(_ account: [UInt8], by id: String) -> Bool { accounts[account]?.contains { $0 != id } ?? false }

    func isNameFree(_ name: String) -> Bool { names[name] == nil }

    /// Sorted by name; deleted ones last. Sorted anew after a change.
    var all: [Connection] {
        if let sorted { return sorted }
        let all = connections.values.sorted {
            ($0.deleted == nil ? 0 : 1, $0.name, $0.id) < ($1.deleted == nil ? 0 : 1, $1.name, $1.id)
        }
        sorted = all
        return all
    }

    /// After the change is durable.
    func put(_ connection: Connection) {
        if let old = connections[connection.id] {
            if names[old.name] == old.id { names[old.name] = nil }
            for account in old.accounts {
                accounts[account]?.remove(old.id)
                if accounts[account]?.isEmpty ?? false { accounts[account] = nil }
            }
        }
        connections[connection.id] = connection
        sorted = nil
        guard connection.state != .deleted else { return }
        names[connection.name] = connection.id
        for account in connection.accounts { accounts[account, default: []].insert(connection.id) }
    }
}
