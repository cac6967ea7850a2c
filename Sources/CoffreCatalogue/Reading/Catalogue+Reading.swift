import CoffreWire

extension Catalogue {
    /// Reads a catalogue: JSON of the format 1, as in `Sources/CCoffreCatalogue/catalogue.json`.
    ///
    /// What is not understood is refused: an unknown member or word, a missing one, an example that does not pass, a name in
    /// an address that nothing gives a value to.
    /// - Throws: ``CatalogueError`` with the place.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(CatalogueError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: bytes)
        } catch {
            throw CatalogueError("", error.message)
        }
        let reader = try MemberReader(
            value,
            at: "catalogue",
            ["format", "as_of", "categories", "labels", "quirks", "connectors"]
        )
        guard try reader.integer("format") == 1 else { throw reader.failure("format", "is not 1") }
        let asOf = try reader.text("as_of")
        let isMonth = asOf.utf8.count == 7 && asOf.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2d }
        guard isMonth else { throw reader.failure("as_of", "must be a month") }
        let categories = try Self.categories(reader)
        let quirks = try Self.quirks(reader)
        var connectors: [Connector] = []
        for (value, place) in try reader.elements("connectors") {
            let connector = try Connector(reading: value, at: place)
            if let last = connectors.last, !last.id.utf8.lexicographicallyPrecedes(connector.id.utf8) {
                throw CatalogueError(place, "connectors must be sorted by id, each once")
            }
            guard categories.contains(where: { $0.id == connector.category }) else {
                throw CatalogueError(place + "/category", "is none of the known words")
            }
            for quirk in connector.oauth?.quirks ?? [] where quirks[quirk] == nil {
                throw CatalogueError(place + "/oauth/quirks", "is none of the known words")
            }
            connectors.append(connector)
        }
        self.init(
            asOf: asOf,
            categories: categories,
            labels: try Self.labels(reader),
            quirks: quirks,
            connectors: connectors
        )
    }

    private static func categories(_ reader: MemberReader) throws(CatalogueError) -> [Category] {
        var categories: [Category] = []
        for (value, place) in try reader.elements("categories") {
            let reader = try MemberReader(value, at: place, ["id", "label"])
            let id = try reader.identifier("id", separator: "-")
            guard !categories.contains(where: { $0.id == id }) else { throw CatalogueError(place, "stands twice") }
            categories.append(Category(id: id, label: try reader.bilingual("label")))
        }
        return categories
    }

    private static func quirks(_ reader: MemberReader) throws(CatalogueError) -> [String: Bilingual] {
        var quirks: [String: Bilingual] = [:]
        guard let members = reader.value("quirks")?.members else {
            throw reader.failure("quirks", "must be an object")
        }
        for member in members {
            let place = "\(reader.place)/quirks"
            let key = try MemberReader.identifier(.string(member.key), separator: "_", at: place)
            let text = try MemberReader.bilingual(member.value, at: "\(place)/\(key)")
            guard quirks.updateValue(text, forKey: key) == nil else {
                throw CatalogueError(place, "\(key) stands twice")
            }
        }
        return quirks
    }

    private static func labels(_ reader: MemberReader) throws(CatalogueError) -> Labels {
        let kinds = ["auth", "confidence", "health_check", "revocation", "rotation"]
        let labels = try MemberReader(reader.value("labels") ?? .null, at: "\(reader.place)/labels", kinds)
        func names<Word: CaseIterable & RawRepresentable>(
            _ kind: String,
            _ type: Word.Type
        ) throws(CatalogueError) -> [String: Bilingual] where Word.RawValue == String {
            let words = Word.allCases.map(\.rawValue)
            let names = try MemberReader(labels.value(kind) ?? .null, at: "\(labels.place)/\(kind)", words)
            var result: [String: Bilingual] = [:]
            for word in words { result[word] = try names.bilingual(word) }
            return result
        }
        return Labels(
            auth: try names("auth", Connector.AuthKind.self),
            rotation: try names("rotation", Connector.RotationKind.self),
            revocation: try names("revocation", Connector.RevocationKind.self),
            healthCheck: try names("health_check", Connector.HealthKind.self),
            confidence: try names("confidence", Connector.Confidence.self)
        )
    }
}
