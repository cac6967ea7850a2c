import CoffreWire

extension ConnectorField {
    /// - Throws: ``CatalogueError``.
    init(reading value: JSONValue, at place: String) throws(CatalogueError) {
        let reader = try MemberReader(
            value,
            at: place,
            ["name", "label", "help", "type", "required", "secret", "confidence"],
            optional: [
                "pattern", "check", "values", "minimum", "maximum", "schemes", "pem", "default", "example",
            ]
        )
        name = try reader.identifier("name", separator: "_")
        label = try reader.bilingual("label")
        help = try reader.bilingual("help")
        kind = try reader.word("type", Kind.self)
        isRequired = try reader.bool("required")
        isSecret = try reader.bool("secret")
        certainty = try reader.word("confidence", Certainty.self)
        pattern =
            reader.value("pattern") == nil
            ? nil : try FieldPattern(try reader.text("pattern"), at: "\(reader.place)/pattern")
        check = reader.value("check") == nil ? nil : try reader.word("check", Check.self)
        values = reader.value("values") == nil ? [] : try reader.someTexts("values")
        schemes = reader.value("schemes") == nil ? [] : try reader.someTexts("schemes")
        pemLabels = reader.value("pem") == nil ? [] : try reader.someTexts("pem")
        range = try Self.range(reader)
        defaultValue = reader.value("default")
        example = reader.value("example")
        try checkKind(reader)
        try checkValues(reader)
    }

    private static func range(_ reader: MemberReader) throws(CatalogueError) -> ClosedRange<Int64>? {
        guard reader.value("minimum") != nil || reader.value("maximum") != nil else { return nil }
        let (least, most) = (try reader.integer("minimum"), try reader.integer("maximum"))
        guard least <= most else { throw reader.failure("minimum", "is above the maximum") }
        return least...most
    }

    /// What belongs to a kind is there, and nothing else is.
    private func checkKind(_ reader: MemberReader) throws(CatalogueError) {
        let belongs = [
            ("values", !values.isEmpty, kind == .choice), ("minimum", range != nil, kind == .integer),
            ("schemes", !schemes.isEmpty, kind == .url), ("pem", !pemLabels.isEmpty, kind == .pem),
        ]
        for (name, isThere, isNeeded) in belongs where isThere != isNeeded {
            throw reader.failure(name, "does not go with the type")
        }
        guard [.string, .url, .email, .host].contains(kind) || pattern == nil, kind == .string || check == nil else {
            throw reader.failure("type", "takes no pattern or check")
        }
        guard schemes.allSatisfy({ ["https", "http"].contains($0) }) else {
            throw reader.failure("schemes", "https or http")
        }
    }

    /// Default and example pass, and no secret has either.
    private func checkValues(_ reader: MemberReader) throws(CatalogueError) {
        guard !isSecret || (defaultValue == nil && example == nil) else {
            throw reader.failure("example", "a secret has none")
        }
        for (name, value) in [("default", defaultValue), ("example", example)] {
            guard let value else { continue }
            let isWritten: Bool
            switch kind {
            case .integer: isWritten = value.integer != nil
            case .boolean: isWritten = value.bool != nil
            default: isWritten = value.string?.isEmpty == false
            }
            let passes = value.encoded().withUnsafeBytes { bytes in
                (try? JSONView(bytes)).map { problem(with: $0) == nil } ?? false
            }
            guard isWritten, passes else { throw reader.failure(name, "does not pass its own field") }
        }
    }
}
