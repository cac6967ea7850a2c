package import CoffreWire

extension Catalogue {
    /// The answer to `connectors/catalogue`: the shelves, and what a list of connectors shows, without their forms.
    static func list(_ asOf: String, _ categories: [Category], _ connectors: [Connector]) -> JSONValue {
        .object([
            "as_of": .string(asOf),
            "categories": .array(categories.map { .object(["id": .string($0.id), "label": $0.label.json]) }),
            "connectors": .array(connectors.map(\.entry)),
        ])
    }
}

extension Connector {
    /// One connector in a list.
    package var entry: JSONValue {
        .object([
            "id": .string(id), "label": label.json, "summary": summary.json, "category": .string(category),
            "auth": .strings(auth.map(\.rawValue)), "rotation": .string(rotation.kind.rawValue),
            "revocation": .string(revocation.kind.rawValue), "health_check": .string(healthCheck.kind.rawValue),
            "confidence": .string(confidence.rawValue),
        ])
    }
}

extension Bilingual {
    var json: JSONValue { .object(["en": .string(english), "fr": .string(french)]) }
}

extension JSONValue {
    static func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }

    static func number(_ value: Int64?) -> JSONValue { value.map { .integer($0) } ?? .null }
}

extension [(String, JSONValue)] {
    var object: JSONValue { .object(map { JSONValue.Member($0.0, $0.1) }) }
}
