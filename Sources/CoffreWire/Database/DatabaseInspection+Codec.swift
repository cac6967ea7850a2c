extension DatabaseInspection {
    private enum Tag {
        static let serverVersion: UInt8 = 1
        static let tlsVersion: UInt8 = 2
        static let serverTLSVersion: UInt8 = 3
        static let figures: UInt8 = 4
        static let schemas: UInt8 = 5
        static let counts: UInt8 = 6
        static let page: UInt8 = 7
    }

    private static let names = 1...BrokerJob.Limit.identifier

    /// Versions are cut to 64 printable ASCII characters; whatever is above a limit, or no name, is left out.
    func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        func append(_ tag: UInt8, _ field: [UInt8]) { bytes += [tag] + UInt32(field.count).bigEndianBytes + field }
        let versions = [
            (Tag.serverVersion, serverVersion), (Tag.tlsVersion, tlsVersion), (Tag.serverTLSVersion, serverTLSVersion),
        ]
        for (tag, text) in versions { if let text { append(tag, BrokerAnswer.cutVersion(text)) } }
        var figures = BrokerListWriter()
        figures.append(connectMicroseconds)
        figures.append(roundTripMicroseconds)
        figures.append(validUntil.map { UInt64(bitPattern: $0) })
        figures.append(isSuperuser)
        figures.append(mayCreateRoles)
        figures.append(tables)
        append(Tag.figures, figures.bytes)
        append(Tag.schemas, encodedSchemas())
        append(Tag.counts, encodedCounts())
        append(Tag.page, page.map(Self.encode) ?? [])
        return bytes
    }

    private func encodedSchemas() -> [UInt8] {
        let told = schemas.filter { Self.isName($0.name) }.prefix(Limit.schemas)
        var writer = BrokerListWriter()
        writer.append(schemasAreTruncated || told.count < schemas.count)
        writer.append(count: told.count)
        for schema in told {
            writer.append(schema.name)
            writer.append(schema.tables)
        }
        return writer.bytes
    }

    private func encodedCounts() -> [UInt8] {
        let told = counts.prefix(DatabaseQuestion.maximumCounts)
        var writer = BrokerListWriter()
        writer.append(count: told.count)
        for count in told {
            switch count {
            case .exact(let rows):
                writer.append(UInt8(1))
                writer.append(rows)
            case .estimate(let rows):
                writer.append(UInt8(2))
                writer.append(rows)
            case .denied: writer.append(UInt8(3))
            case .missing: writer.append(UInt8(4))
            case .unknown: writer.append(UInt8(5))
            }
        }
        return writer.bytes
    }

    private static func encode(_ page: Page) -> [UInt8] {
        var told: [Table] = []
        var names = 0
        var isCut = false
        for table in page.tables {
            let isSound =
                isName(table.name) && table.columns.count <= GrantPlan.Limit.columns
                && table.columns.allSatisfy(isName)
            guard isSound else { continue }
            names += 1 + table.columns.count
            isCut = names > Limit.names
            if isCut { break }
            told.append(table)
        }
        var writer = BrokerListWriter()
        writer.append(page.isTruncated || isCut)
        writer.append(count: told.count)
        for table in told {
            writer.append(table.name)
            writer.append(table.kind.rawValue)
            writer.append(count: table.columns.count)
            for column in table.columns { writer.append(column) }
        }
        return writer.bytes
    }

    private static func isName(_ text: String) -> Bool { names.contains(text.utf8.count) && !text.utf8.contains(0) }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        self.init()
        var reader = BrokerFieldReader(bytes)
        serverVersion = try BrokerAnswer.version(&reader, Tag.serverVersion)
        tlsVersion = try BrokerAnswer.version(&reader, Tag.tlsVersion)
        serverTLSVersion = try BrokerAnswer.version(&reader, Tag.serverTLSVersion)
        var figures = BrokerListReader(try reader.required(Tag.figures, atMost: 64))
        connectMicroseconds = try figures.number()
        roundTripMicroseconds = try figures.number()
        validUntil = try figures.optionalNumber(UInt64.self).map { Int64(bitPattern: $0) }
        isSuperuser = try figures.flag()
        mayCreateRoles = try figures.flag()
        tables = try figures.number()
        try figures.finish()
        try readSchemas(reader.required(Tag.schemas, atMost: BrokerFrame.maximumBodyBytes))
        try readCounts(reader.required(Tag.counts, atMost: BrokerFrame.maximumBodyBytes))
        let page = try reader.required(Tag.page, atMost: BrokerFrame.maximumBodyBytes)
        if !page.isEmpty { self.page = try Self.page(page) }
        try reader.finish()
    }

    private mutating func readSchemas(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerListReader(field)
        schemasAreTruncated = try reader.flag()
        for _ in 0..<(try reader.count(atMost: Limit.schemas)) {
            schemas.append(Schema(name: try reader.text(Self.names), tables: try reader.number()))
        }
        try reader.finish()
    }

    private mutating func readCounts(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerListReader(field)
        for _ in 0..<(try reader.count(atMost: DatabaseQuestion.maximumCounts)) {
            switch try reader.number(UInt8.self) {
            case 1: counts.append(.exact(try reader.number()))
            case 2: counts.append(.estimate(try reader.number()))
            case 3: counts.append(.denied)
            case 4: counts.append(.missing)
            case 5: counts.append(.unknown)
            default: throw BrokerWireError(.invalidField, "unknown way of counting")
            }
        }
        try reader.finish()
    }

    private static func page(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) -> Page {
        var reader = BrokerListReader(field)
        var page = Page(tables: [], isTruncated: try reader.flag())
        var total = 0
        for _ in 0..<(try reader.count(atMost: Limit.names)) {
            let name = try reader.text(names)
            guard let kind = TableKind(rawValue: try reader.number(UInt8.self)) else {
                throw BrokerWireError(.invalidField, "unknown kind of table")
            }
            let count = try reader.count(atMost: GrantPlan.Limit.columns)
            total += 1 + count
            guard total <= Limit.names else { throw BrokerWireError(.tooLong, "a page has too many names") }
            var columns: [String] = []
            for _ in 0..<count { columns.append(try reader.text(names)) }
            page.tables.append(Table(name: name, kind: kind, columns: columns))
        }
        try reader.finish()
        return page
    }
}
