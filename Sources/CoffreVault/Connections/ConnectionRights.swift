/// How much somebody may do with a connection, or with a table of it.
enum ConnectionLevel: String, Sendable, CaseIterable, Comparable {
    /// Nothing. Said of a person, it beats every team.
    case none
    case read
    case readWrite = "read-write"
    /// May also change the connection, its rights, and end it.
    case owner

    static func < (left: ConnectionLevel, right: ConnectionLevel) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .none: 0
        case .read: 1
        case .readWrite: 2
        case .owner: 3
        }
    }
}

/// The name of a schema, table or column as the database spells it. Compared by its bytes: names that only look the same
/// are different names.
struct SQLName: Sendable, Hashable, Comparable, ExpressibleByStringLiteral {
    let text: String

    init(_ text: String) { self.text = text }
    init(stringLiteral text: String) { self.text = text }

    static func == (left: SQLName, right: SQLName) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    static func < (left: SQLName, right: SQLName) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
        hasher.combine(0 as UInt8)
    }

    /// 1 to 63 bytes (NAMEDATALEN - 1), no NUL. Everything else is for the server to quote.
    static func isValid(_ text: String) -> Bool { (1...63).contains(text.utf8.count) && !text.utf8.contains(0) }
}

/// A table by its schema and name.
struct TableName: Sendable, Hashable, Comparable {
    let schema: SQLName
    let name: SQLName

    static func < (left: TableName, right: TableName) -> Bool {
        left.schema == right.schema ? left.name < right.name : left.schema < right.schema
    }
}

/// One cell of the matrix: a table, and what may be done with it.
struct TableRule: Sendable, Equatable {
    let table: TableName
    /// `none` only in the rules of a person or team.
    let level: ConnectionLevel
    /// The columns that may be seen; nil for all of them.
    var columns: [SQLName]?
}

/// What one person, one team or everybody may do.
struct ConnectionGrant: Sendable, Equatable {
    enum Subject: Sendable, Hashable {
        case entity(String)
        case group(String)
        /// Everybody that the vault knows by name.
        case organisation
    }

    let subject: Subject
    let level: ConnectionLevel
    /// Cells of their own; nil for those of the connection.
    var tables: [TableRule]?
}

/// What comes out of all grants for one person, cell by cell.
struct EffectiveRights: Sendable, Equatable {
    struct Cell: Sendable, Equatable {
        /// `read` or `readWrite`.
        var level: ConnectionLevel
        /// Sorted; nil for all columns.
        var columns: [SQLName]?
        /// Those of them that may be written, where the level says so; nil for all.
        var writable: [SQLName]?
        /// Sorted; never seen, whatever `columns` says.
        var masked: [SQLName] = []
    }

    var level = ConnectionLevel.none
    var cells: [TableName: Cell] = [:]

    static let nothing = EffectiveRights()

    /// What two parties may both: a person, and the service that asks for them.
    func shared(with other: EffectiveRights) -> EffectiveRights {
        var both = EffectiveRights()
        both.level = min(level, other.level)
        guard both.level > .none else { return .nothing }
        for (table, mine) in cells {
            guard let theirs = other.cells[table] else { continue }
            both.cells[table] = mine.shared(with: theirs)
        }
        return both
    }

    /// Whether everything that `other` allows is allowed here too.
    func covers(_ other: EffectiveRights) -> Bool {
        guard other.level <= level else { return false }
        return other.cells.allSatisfy { table, asked in
            guard let mine = cells[table], asked.level <= mine.level else { return false }
            // A column that was shown must still be shown.
            guard mine.masked.allSatisfy({ asked.hides($0) }) else { return false }
            func holds(_ asked: EffectiveRights.Cell, _ wanted: [SQLName]?, in columns: [SQLName]?) -> Bool {
                guard let columns else { return true }
                guard let wanted else { return false }
                return wanted.allSatisfy { columns.contains($0) || asked.masked.contains($0) }
            }
            guard holds(asked, asked.columns, in: mine.columns) else { return false }
            return asked.level < .readWrite || holds(asked, asked.writable, in: mine.writable)
        }
    }
}

extension EffectiveRights.Cell {
    /// Whether a column is not seen through this cell.
    fileprivate func hides(_ column: SQLName) -> Bool {
        masked.contains(column) || columns.map { !$0.contains(column) } ?? false
    }

    private static func union(_ one: [SQLName]?, _ other: [SQLName]?) -> [SQLName]? {
        guard let one, let other else { return nil }
        return Set(one).union(other).sorted()
    }

    /// What two cells allow both.
    fileprivate func shared(with other: EffectiveRights.Cell) -> EffectiveRights.Cell {
        func common(_ one: [SQLName]?, _ two: [SQLName]?) -> [SQLName]? {
            guard let one else { return two }
            guard let two else { return one }
            return Set(one).intersection(two).sorted()
        }
        let level = min(level, other.level)
        return EffectiveRights.Cell(
            level: level,
            columns: common(columns, other.columns),
            writable: level == .readWrite ? common(writable, other.writable) : [],
            masked: Set(masked).union(other.masked).sorted()
        )
    }

    /// What either of two cells allows: a person may be in several teams.
    fileprivate func joined(with other: EffectiveRights.Cell) -> EffectiveRights.Cell {
        var joined = self
        joined.level = max(level, other.level)
        joined.columns = Self.union(columns, other.columns)
        // A right to read more is no right to write more.
        switch (level, other.level) {
        case (.readWrite, .readWrite): joined.writable = Self.union(writable, other.writable)
        case (_, .readWrite): joined.writable = other.writable
        default: break
        }
        return joined
    }
}

/// Everything that decides who may do what with one connection.
struct ConnectionRights: Sendable, Equatable {
    /// Who has it: `owner` without further ado.
    var owner = ""
    /// Who may find it and read by it besides: a team or everybody; nil for its owner alone.
    var audience: ConnectionGrant.Subject?
    var grants: [ConnectionGrant] = []
    /// The cells that hold where a grant has none of its own. What is not here is not reachable.
    var tables: [TableRule] = []
    /// Columns that nobody sees, by table.
    var masked: [TableName: [SQLName]] = [:]
    /// Nobody writes, whatever a cell says.
    var isReadOnly = false

    /// The rights of a person in teams.
    ///
    /// A person's own `none` beats everything else, for the connection and for a cell. Otherwise each grant gives the
    /// smaller of its level and the cell's, and the grants add up.
    /// - Parameters:
    ///   - entity: id of the person or service; empty for nobody in particular.
    ///   - groups: ids of all groups, inherited ones too.
    func effective(entity: String, groups: Set<String>) -> EffectiveRights {
        guard !entity.isEmpty else { return .nothing }
        var rights = EffectiveRights()
        var refused: Set<TableName> = []
        let audience = audience.map { ConnectionGrant(subject: $0, level: .read) }
        for grant in grants + (audience.map { [$0] } ?? []) where concerns(grant, entity, groups) {
            if case .entity = grant.subject {
                if grant.level == .none { return .nothing }
                for rule in grant.tables ?? [] where rule.level == .none { refused.insert(rule.table) }
            }
            add(grant.level, grant.tables ?? tables, to: &rights)
        }
        if owner.utf8.elementsEqual(entity.utf8) { add(.owner, tables, to: &rights) }
        for table in refused { rights.cells[table] = nil }
        for (table, columns) in masked { rights.cells[table]?.masked = columns }
        return rights
    }

    /// The level of ``effective(entity:groups:)``, without its cells.
    func level(entity: String, groups: Set<String>) -> ConnectionLevel {
        guard !entity.isEmpty else { return .none }
        var level = owner.utf8.elementsEqual(entity.utf8) ? ConnectionLevel.owner : .none
        for grant in grants where concerns(grant, entity, groups) {
            if case .entity = grant.subject, grant.level == .none { return .none }
            level = max(level, grant.level)
        }
        if level < .read, let audience, concerns(ConnectionGrant(subject: audience, level: .read), entity, groups) {
            level = .read
        }
        return level
    }

    /// The rights of an administrator of the vault: those of an owner.
    var ofAdministrator: EffectiveRights {
        var rights = EffectiveRights()
        add(.owner, tables, to: &rights)
        for (table, columns) in masked { rights.cells[table]?.masked = columns }
        return rights
    }

    private func concerns(_ grant: ConnectionGrant, _ entity: String, _ groups: Set<String>) -> Bool {
        switch grant.subject {
        case .entity(let id): id.utf8.elementsEqual(entity.utf8)
        case .group(let id): groups.contains(id)
        case .organisation: true
        }
    }

    private func add(_ level: ConnectionLevel, _ rules: [TableRule], to rights: inout EffectiveRights) {
        rights.level = max(rights.level, level)
        let most = min(level, isReadOnly ? .read : .readWrite)
        guard most > .none else { return }
        for rule in rules where rule.level > .none {
            let granted = min(most, rule.level)
            let cell = EffectiveRights.Cell(
                level: granted,
                columns: rule.columns,
                writable: granted == .readWrite ? rule.columns : []
            )
            rights.cells[rule.table] = rights.cells[rule.table]?.joined(with: cell) ?? cell
        }
    }
}
