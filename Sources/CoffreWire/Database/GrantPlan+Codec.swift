extension GrantPlan {
    private enum Tag {
        static let group: UInt8 = 1
        static let readOnly: UInt8 = 2
        static let tables: UInt8 = 3
        static let accepted: UInt8 = 4
    }

    /// The encoded plan. One plan has one encoding, so a digest of it tells plans apart.
    ///
    /// Fields as everywhere in the protocol. A table is `schema ‖ name ‖ verbs(1)` and a list of columns for each verb
    /// that has one; two bits of `verbs` each for reading, inserting and updating (0 none, 1 all, 2 a list), one for
    /// deleting. A text is `length(2, big endian) ‖ UTF-8`, a list `count(2, big endian) ‖ items`.
    public func encode() -> [UInt8] {
        var tables = BrokerListWriter()
        tables.append(count: self.tables.count)
        for table in self.tables {
            tables.append(table.schema)
            tables.append(table.name)
            let verbs = table.read.bits | table.insert.bits << 2 | table.update.bits << 4 | (table.delete ? 0x40 : 0)
            tables.append(verbs)
            for case .only(let names) in [table.read, table.insert, table.update] {
                tables.append(count: names.count)
                for name in names { tables.append(name) }
            }
        }
        var accepted = BrokerListWriter()
        accepted.append(count: self.accepted.count)
        for item in self.accepted {
            accepted.append(item.kind.rawValue)
            accepted.append(item.object)
        }
        let fields: [(UInt8, [UInt8])] = [
            (Tag.group, Array(group.utf8)), (Tag.readOnly, [isReadOnly ? 1 : 0]),
            (Tag.tables, tables.bytes), (Tag.accepted, accepted.bytes),
        ]
        return fields.flatMap { [$0.0] + UInt32($0.1.count).bigEndianBytes + $0.1 }
    }

    /// Reads an encoded plan.
    /// - Throws: ``BrokerWireError`` on anything that ``encode()`` does not write.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        guard bytes.count <= Limit.encoded else { throw BrokerWireError(.tooLong, "the plan is above 768 KiB") }
        var reader = BrokerFieldReader(bytes)
        let group = try reader.text(Tag.group, atMost: BrokerJob.Limit.identifier)
        let readOnly = try reader.number(Tag.readOnly, bytes: 1)
        guard readOnly <= 1 else { throw BrokerWireError(.invalidField, "a flag is 0 or 1") }
        let tables = try Self.tables(reader.required(Tag.tables, atMost: Limit.encoded))
        let accepted = try Self.accepted(reader.required(Tag.accepted, atMost: Limit.encoded))
        try reader.finish()
        // In order already, or it is not what is written: what is not in order would encode to other bytes.
        guard
            ByteOrder.areAscending(tables, { ByteOrder.isAscending(($0.schema, $0.name), ($1.schema, $1.name)) }),
            ByteOrder.areAscending(accepted, Acceptance.isAscending)
        else { throw BrokerWireError(.invalidField, "a plan is not in order") }
        try self.init(group: group, tables: tables, isReadOnly: readOnly == 1, accepted: accepted)
    }

    private static func tables(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) -> [Table] {
        var reader = BrokerListReader(field)
        let count = try reader.count(atMost: Limit.tables)
        var tables: [Table] = []
        for _ in 0..<count {
            let schema = try reader.text(1...BrokerJob.Limit.identifier)
            let name = try reader.text(1...BrokerJob.Limit.identifier)
            let verbs = try reader.number(UInt8.self)
            guard verbs & 0x80 == 0 else { throw BrokerWireError(.invalidField, "unknown verb of a plan") }
            let read = try columns(verbs & 3, &reader)
            let insert = try columns(verbs >> 2 & 3, &reader)
            let update = try columns(verbs >> 4 & 3, &reader)
            tables.append(
                try Table(
                    schema: schema,
                    name: name,
                    read: read,
                    insert: insert,
                    update: update,
                    delete: verbs & 0x40 != 0
                )
            )
        }
        try reader.finish()
        return tables
    }

    private static func columns(_ bits: UInt8, _ reader: inout BrokerListReader) throws(BrokerWireError) -> Columns {
        switch bits {
        case 0: return .none
        case 1: return .all
        case 2:
            let count = try reader.count(atMost: Limit.columns)
            var names: [String] = []
            for _ in 0..<count { names.append(try reader.text(1...BrokerJob.Limit.identifier)) }
            guard ByteOrder.areAscending(names, ByteOrder.isAscending) else {
                throw BrokerWireError(.invalidField, "a plan is not in order")
            }
            return .only(names)
        default: throw BrokerWireError(.invalidField, "unknown columns of a plan")
        }
    }

    private static func accepted(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) -> [Acceptance] {
        var reader = BrokerListReader(field)
        let count = try reader.count(atMost: Limit.accepted)
        var accepted: [Acceptance] = []
        for _ in 0..<count {
            guard let kind = GrantDifference.Kind(rawValue: try reader.number(UInt8.self)) else {
                throw BrokerWireError(.invalidField, "unknown kind of difference")
            }
            accepted.append(try Acceptance(kind, object: try reader.optionalText(1...Limit.acceptedObject)))
        }
        try reader.finish()
        return accepted
    }
}

extension GrantPlan.Columns {
    fileprivate var bits: UInt8 {
        switch self {
        case .none: 0
        case .all: 1
        case .only: 2
        }
    }
}
