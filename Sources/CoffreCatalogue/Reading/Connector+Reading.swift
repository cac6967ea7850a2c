import CoffreWire

extension Connector {
    /// - Throws: ``CatalogueError``.
    init(reading value: JSONValue, at place: String) throws(CatalogueError) {
        let names = [
            "id", "label", "summary", "category", "confidence", "auth", "fields", "one_of", "oauth", "health_check",
            "rotation", "revocation", "unknown",
        ]
        var reader = try MemberReader(value, at: place, names)
        id = try reader.identifier("id", separator: "-")
        // From here on, places tell the connector by its name.
        reader = try MemberReader(value, at: "catalogue/connectors/\(id)", names)
        label = try reader.bilingual("label")
        summary = try reader.bilingual("summary")
        category = try reader.identifier("category", separator: "-")
        confidence = try reader.word("confidence", Confidence.self)
        auth = try Self.auth(reader)
        fields = try Self.fields(reader)
        oneOf = try Self.groups(reader, fields)
        oauth = try reader.value("oauth").flatMap { (value) throws(CatalogueError) -> ConnectorOAuth? in
            value == .null ? nil : try ConnectorOAuth(reading: value, at: "\(reader.place)/oauth")
        }
        healthCheck = try Self.healthCheck(reader)
        rotation = try Self.way("rotation", RotationKind.self, reader)
        revocation = try Self.way("revocation", RevocationKind.self, reader)
        var unknown: [Bilingual] = []
        for (value, place) in try reader.elements("unknown") {
            unknown.append(try MemberReader.bilingual(value, at: place))
        }
        self.unknown = unknown
        try checkAddresses(reader)
    }

    private static func auth(_ reader: MemberReader) throws(CatalogueError) -> [AuthKind] {
        var kinds: [AuthKind] = []
        for word in try reader.someTexts("auth") {
            guard let kind = AuthKind(rawValue: word) else {
                throw reader.failure("auth", "is none of the known words")
            }
            kinds.append(kind)
        }
        return kinds
    }

    private static func fields(_ reader: MemberReader) throws(CatalogueError) -> [ConnectorField] {
        var fields: [ConnectorField] = []
        for (value, place) in try reader.elements("fields") {
            let field = try ConnectorField(reading: value, at: place)
            guard !fields.contains(where: { $0.name == field.name }) else {
                throw CatalogueError(place, "a name that stands twice")
            }
            fields.append(field)
        }
        guard !fields.isEmpty, fields.count <= 32 else { throw reader.failure("fields", "none, or too many") }
        return fields
    }

    private static func groups(
        _ reader: MemberReader,
        _ fields: [ConnectorField]
    ) throws(CatalogueError) -> [[String]] {
        var groups: [[String]] = []
        for (value, place) in try reader.elements("one_of") {
            guard let names = value.array?.compactMap(\.string), names.count == value.array?.count, names.count > 1,
                Set(names).count == names.count,
                names.allSatisfy({ name in fields.contains { $0.name == name && !$0.isRequired } })
            else { throw CatalogueError(place, "must be two or more optional fields") }
            groups.append(names)
        }
        return groups
    }

    private static func healthCheck(_ reader: MemberReader) throws(CatalogueError) -> HealthCheck {
        let reader = try MemberReader(
            reader.value("health_check") ?? .null,
            at: "\(reader.place)/health_check",
            ["kind", "method", "url", "expect"],
            optional: ["headers", "parameters"]
        )
        let check = HealthCheck(
            kind: try reader.word("kind", HealthKind.self),
            method: try reader.textOrNull("method"),
            url: try reader.textOrNull("url"),
            headers: reader.value("headers") == nil ? nil : try reader.pairs("headers", separator: "-"),
            parameters: reader.value("parameters") == nil ? [] : try reader.pairs("parameters", separator: "_"),
            expect: try reader.bilingual("expect")
        )
        guard (check.kind == .none) == (check.method == nil), (check.method == nil) == (check.url == nil) else {
            throw reader.failure("kind", "method and address do not go with it")
        }
        return check
    }

    private static func way<Kind: RawRepresentable & Sendable>(
        _ name: String,
        _ type: Kind.Type,
        _ reader: MemberReader
    ) throws(CatalogueError) -> Way<Kind> where Kind.RawValue == String {
        let reader = try MemberReader(
            reader.value(name) ?? .null,
            at: "\(reader.place)/\(name)",
            ["kind", "how"]
        )
        return Way(kind: try reader.word("kind", type), how: try reader.bilingual("how"))
    }

    /// Every `{name}` in an address is a field, or learnt.
    private func checkAddresses(_ reader: MemberReader) throws(CatalogueError) {
        let names = Set(fields.map(\.name)).union(oauth?.learns.map(\.name) ?? [])
        for name in oauth?.namedFields ?? [] where field(name) == nil {
            throw CatalogueError(reader.place, "\(name) is spoken of by oauth and is no field")
        }
        for address in [healthCheck.url].compactMap(\.self) + (oauth?.addresses ?? []) {
            for name in try AddressTemplate.names(in: address, at: "\(reader.place)/oauth or health_check") {
                guard names.contains(name) else {
                    throw CatalogueError(reader.place, "{\(name)} in an address is no field and is not learnt")
                }
            }
        }
    }
}

/// An address with `{name}` in it.
enum AddressTemplate {
    /// The names, in order.
    /// - Throws: ``CatalogueError`` when braces do not fit.
    static func names(in address: String, at place: String) throws(CatalogueError) -> [String] {
        var names: [String] = []
        var rest = Substring(address)
        while let open = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            guard rest[open] == "{", let close = rest[open...].firstIndex(of: "}") else {
                throw CatalogueError(place, "braces that do not fit")
            }
            let name = String(rest[rest.index(after: open)..<close])
            names.append(try MemberReader.identifier(.string(name), separator: "_", at: place))
            rest = rest[rest.index(after: close)...]
        }
        return names
    }
}
