import CoffreCatalogue
import CoffreWire
import Testing

/// Forms are JSON Schemas of the draft 2020-12 that another program can read.
struct FormTests {
    /// Keywords of the draft that forms use, with what their values are.
    private static func isKeyword(_ key: String, _ value: JSONValue) -> Bool {
        switch key {
        case "title", "description": value.string?.isEmpty == false
        case "type": ["string", "integer", "boolean"].contains(value.string)
        case "enum", "examples": value.array?.isEmpty == false
        case "minimum", "maximum", "maxLength": value.integer != nil
        case "pattern": value.string.map { $0.hasPrefix("^") && $0.hasSuffix("$") } ?? false
        case "format": ["uri", "email"].contains(value.string)
        case "contentMediaType": ["application/json", "application/x-pem-file"].contains(value.string)
        case "writeOnly": value.bool == true
        case "default": value != .null
        case "x-coffre": value.members != nil
        default: false
        }
    }

    @Test(arguments: Catalogue.shared.connectors)
    func aFormIsAJSONSchema(connector: Connector) throws {
        let form = try JSONValue(parsing: connector.formJSON)
        #expect(form["$schema"]?.string == "https://json-schema.org/draft/2020-12/schema")
        #expect(form["$id"]?.string == "urn:coffre:connector:\(connector.id)")
        #expect(form["type"]?.string == "object")
        #expect(form["additionalProperties"]?.bool == false)
        let known = [
            "$schema", "$id", "title", "description", "type", "properties", "required", "additionalProperties", "allOf",
            "x-coffre",
        ]
        #expect(form.members?.allSatisfy { known.contains($0.key) } == true)
        let properties = try #require(form["properties"]?.members)
        #expect(properties.map(\.key) == connector.fields.map(\.name))
        let required = (form["required"]?.array ?? []).compactMap(\.string)
        #expect(required == connector.fields.filter(\.isRequired).map(\.name))
        for group in form["allOf"]?.array ?? [] {
            let names = group["anyOf"]?.array?.compactMap { $0["required"]?.array?.first?.string } ?? []
            #expect(names.count > 1 && names.allSatisfy { connector.field($0) != nil })
        }
        for property in properties {
            for keyword in property.value.members ?? [] {
                #expect(Self.isKeyword(keyword.key, keyword.value), "\(property.key) \(keyword.key)")
            }
        }
    }

    @Test(arguments: Catalogue.shared.connectors)
    func aFieldTellsAUserInterfaceHowToAskForIt(connector: Connector) throws {
        let properties = try #require(connector.form["properties"]?.members)
        for (order, (property, field)) in zip(properties, connector.fields).enumerated() {
            let hints = try #require(property.value["x-coffre"])
            #expect(hints["order"]?.integer == Int64(order))
            for text in ["label", "help"] {
                #expect(hints[text]?["en"]?.string?.isEmpty == false && hints[text]?["fr"]?.string?.isEmpty == false)
            }
            #expect(ConnectorField.Certainty.allCases.map(\.rawValue).contains(hints["confidence"]?.string ?? ""))
            #expect(hints["widget"]?.string == field.widget)
            #expect((property.value["writeOnly"]?.bool ?? false) == field.isSecret)
            if field.isSecret {
                #expect(property.value["default"] == nil && property.value["examples"] == nil)
                #expect(["password", "textarea"].contains(field.widget))
            }
        }
    }

    @Test func onlyACertainPatternIsOneForOtherReaders() throws {
        let form = try Catalogue.connector("aws").form
        #expect(form["properties"]?["external_id"]?["pattern"]?.string != nil)
        #expect(form["properties"]?["access_key_id"]?["pattern"] == nil)
        #expect(form["properties"]?["access_key_id"]?["x-coffre"]?["pattern"]?.string != nil)
    }

    @Test func aPortHasItsBounds() throws {
        let port = try #require(Catalogue.connector("postgresql").form["properties"]?["port"])
        #expect(port["type"]?.string == "integer")
        #expect(port["minimum"]?.integer == 1 && port["maximum"]?.integer == 65535)
        #expect(port["default"]?.integer == 5432)
    }

    @Test func aFormCarriesWhatIsKnownOfTheService() throws {
        let hints = try #require(Catalogue.connector("xero").form["x-coffre"])
        #expect(hints["category"]?.string == "finance")
        #expect(hints["oauth"]?["token_url"]?.string == "https://identity.xero.com/connect/token")
        #expect(hints["oauth"]?["refresh_grace_seconds"]?.integer == 1800)
        #expect(hints["oauth"]?["quirks"]?.array?.contains("single_use_refresh") == true)
        #expect(hints["rotation"]?["kind"]?.string == "oauth_refresh")
        #expect(hints["revocation"]?["how"]?["fr"]?.string?.isEmpty == false)
        #expect(hints["unknown"]?.array?.isEmpty == false)
        #expect(try Catalogue.connector("sqlite").form["x-coffre"]?["oauth"] == .null)
    }
}
