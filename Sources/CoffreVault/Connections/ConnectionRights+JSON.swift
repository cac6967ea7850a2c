internal import CoffreWire

/// The form in which rights are stored, sent and shown.
extension ConnectionRights {
    /// Most cells of one list of tables, most grants, most columns of a cell.
    static let mostTables = 2000
    static let mostGrants = 1000
    static let mostColumns = 1600

    var json: JSONValue {
        [
            "owner": .string(owner),
            "audience": audience.map { ConnectionGrant(subject: $0, level: .read).json } ?? .null,
            "grants": .array(grants.map(\.json)),
            "tables": .array(tables.map(\.json)),
            "masked": .array(
                masked.sorted { $0.key < $1.key }.map { table, columns in
                    [
                        "schema": .string(table.schema.text), "table": .string(table.name.text),
                        "columns": .strings(columns.map(\.text)),
                    ]
                }
            ), "read_only": .bool(isReadOnly),
        ]
    }

    /// Nil when `value` is not what ``json`` makes.
    init?(json value: JSONValue) {
        guard let owner = value["owner"]?.string, let grants = value["grants"]?.array,
            let tables = value["tables"]?.array, let masked = value["masked"]?.array,
            let isReadOnly = value["read_only"]?.bool
        else { return nil }
        self.owner = owner
        audience = value["audience"].flatMap { ConnectionGrant(json: $0) }?.subject
        self.isReadOnly = isReadOnly
        for value in grants {
            guard let grant = ConnectionGrant(json: value) else { return nil }
            self.grants.append(grant)
        }
        for value in tables {
            guard let rule = TableRule(json: value) else { return nil }
            self.tables.append(rule)
        }
        for value in masked {
            guard let table = TableName(json: value), let columns = value["columns"]?.array else { return nil }
            self.masked[table] = columns.compactMap(\.string).map { SQLName($0) }
        }
    }
}

extension TableName {
    init?(json value: JSONValue) {
        guard let schema = value["schema"]?.string, let name = value["table"]?.string, SQLName.isValid(schema),
            SQLName.isValid(name)
        else { return nil }
        self.init(schema: SQLName(schema), name: SQLName(name))
    }
}

extension TableRule {
    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("schema", .string(table.schema.text)), .init("table", .string(table.name.text)),
            .init("level", .string(level.rawValue)),
        ]
        if let columns { members.append(.init("columns", .strings(columns.map(\.text)))) }
        return .object(members)
    }

    init?(json value: JSONValue) {
        guard let table = TableName(json: value),
            let level = value["level"]?.string.flatMap({ ConnectionLevel(rawValue: $0) }), level != .owner
        else { return nil }
        let columns = value["columns"]?.array?.compactMap(\.string)
        self.init(table: table, level: level, columns: columns.map { $0.map { SQLName($0) } })
    }
}

extension ConnectionGrant {
    var json: JSONValue {
        var members: [JSONValue.Member]
        switch subject {
        case .entity(let id): members = [.init("entity", .string(id))]
        case .group(let id): members = [.init("group", .string(id))]
        case .organisation: members = [.init("organisation", .bool(true))]
        }
        members.append(.init("level", .string(level.rawValue)))
        if let tables { members.append(.init("tables", .array(tables.map(\.json)))) }
        return .object(members)
    }

    init?(json value: JSONValue) {
        guard let level = value["level"]?.string.flatMap({ ConnectionLevel(rawValue: $0) }) else { return nil }
        if let id = value["entity"]?.string {
            subject = .entity(id)
        } else if let id = value["group"]?.string {
            subject = .group(id)
        } else {
            guard value["organisation"]?.bool == true else { return nil }
            subject = .organisation
        }
        self.level = level
        if let list = value["tables"]?.array {
            let rules = list.compactMap { TableRule(json: $0) }
            guard rules.count == list.count else { return nil }
            tables = rules
        }
    }
}

extension EffectiveRights {
    /// What a lease keeps, and what a caller is told.
    var json: JSONValue {
        [
            "level": .string(level.rawValue),
            "tables": .array(
                cells.sorted { $0.key < $1.key }.map { table, cell in
                    var members: [JSONValue.Member] = [
                        .init("schema", .string(table.schema.text)), .init("table", .string(table.name.text)),
                        .init("level", .string(cell.level.rawValue)),
                    ]
                    if let columns = cell.columns { members.append(.init("columns", .strings(columns.map(\.text)))) }
                    if cell.level == .readWrite, let writable = cell.writable {
                        members.append(.init("writable", .strings(writable.map(\.text))))
                    }
                    if !cell.masked.isEmpty { members.append(.init("masked", .strings(cell.masked.map(\.text)))) }
                    return .object(members)
                }
            ),
        ]
    }

    init?(json value: JSONValue) {
        guard let level = value["level"]?.string.flatMap({ ConnectionLevel(rawValue: $0) }),
            let tables = value["tables"]?.array
        else { return nil }
        self.level = level
        for value in tables {
            guard let rule = TableRule(json: value) else { return nil }
            let masked = (value["masked"]?.array ?? []).compactMap(\.string).map { SQLName($0) }
            let writable = value["writable"]?.array?.compactMap(\.string).map { SQLName($0) }
            cells[rule.table] = Cell(
                level: rule.level,
                columns: rule.columns,
                writable: rule.level == .readWrite ? writable : [],
                masked: masked
            )
        }
    }
}
