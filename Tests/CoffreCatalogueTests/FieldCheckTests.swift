import CoffreCatalogue
import CoffreWire
import Testing

/// Values of forms: what is refused, what is doubted, and what both say.
struct FieldCheckTests {
    private static func severities(_ id: String, _ name: String, _ value: JSONValue) throws -> [FieldFinding.Severity] {
        let findings = try Catalogue.connector(id).check(name, value)
        #expect(findings.allSatisfy { $0.field == name && $0.message.english.hasPrefix(name + " ") })
        return findings.map(\.severity)
    }

    private static let withPort = Catalogue.shared.connectors.filter { $0.field("port") != nil }

    @Test(
        arguments: withPort,
        [JSONValue.number("70000"), "70000", .number("0"), .number("-1"), "5432x", .number("1e3")]
    )
    func aPortOutOfRangeIsRefusedByName(connector: Connector, port: JSONValue) throws {
        let findings = try connector.check("port", port)
        #expect(findings.map(\.field) == ["port"])
        #expect(findings.first?.severity == .refuse)
        #expect(findings.first?.message.english == "port takes a whole number from 1 to 65535")
        #expect(findings.first?.message.french == "port attend un nombre entier de 1 à 65535")
    }

    @Test(arguments: withPort, [JSONValue.number("1"), .number("65535"), "5432"])
    func aPortInRangeIsTaken(connector: Connector, port: JSONValue) throws {
        #expect(try connector.check("port", port).isEmpty)
    }

    @Test(arguments: [
        ("postgresql", "ssl_mode", JSONValue.string("verify_full")), ("postgresql", "host", "db:5432"),
        ("postgresql", "host", "-db"), ("postgresql", "host", "a..b"), ("postgresql", "host", "a b"),
        ("postgresql", "host", .number("5")), ("mongodb", "tls", "yes"), ("mongodb", "tls", .number("1")),
        ("satim", "api_url", "http://test2.satim.dz/"), ("satim", "api_url", "https://u:p@test2.satim.dz/"),
        ("satim", "api_url", "https://"), ("satim", "api_url", "https://a b/"),
        ("satim", "api_url", "https://a:70000/"),
        ("satim", "api_url", "javascript:alert(1)"), ("satim", "api_url", "https://a\\@b/"),
        ("satim", "api_url", "https://[::1"), ("satim", "api_url", "https://[a]/"), ("satim", "api_url", "HTTPS//a"),
        ("jira", "email", "benali"), ("jira", "email", "a@b"), ("jira", "email", "a@b@c.dz"),
        ("jira", "email", "a b@c.dz"),
        ("google-cloud", "service_account_key", "[]"), ("google-cloud", "service_account_key", "{\"a\":1"),
        ("google-cloud", "project_id", "UPPER"), ("azure", "tenant_id", "common"), ("sqlite", "path", "/etc/passwd"),
        ("sqlite", "path", "a/../../b"), ("sqlite", "path", "./a"), ("sqlite", "path", "a//b"),
        ("sqlite", "path", "a\\b"),
        ("adp", "client_certificate", "-----BEGIN CERTIFICATE-----"),
        ("adp", "client_certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END PRIVATE KEY-----"),
        ("adp", "client_certificate", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"),
        ("adp", "client_certificate", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"),
        ("adp", "client_certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----x"),
        ("adp", "client_certificate", "x-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
        ("adp", "client_private_key", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
        ("redis", "database_index", .number("-1")), ("telegram", "bot_token", .object([:])),
    ])
    func whatCannotBeIsRefused(id: String, name: String, value: JSONValue) throws {
        #expect(try Self.severities(id, name, value) == [.refuse])
    }

    @Test(arguments: [
        ("stripe", "api_key", "anything"), ("slack", "bot_token", "xapp-1"), ("aws", "access_key_id", "BKIA"),
        ("aws", "region", "eusc-de-east-1x"), ("baridimob", "ccp_number", "99999999999"),
        ("baridimob", "api_key", "live_x"),
        ("cnas", "employer_number", "16-00"), ("mobilis", "msisdn", "0770000000"), ("satim", "terminal_id", "E1"),
        ("sharepoint", "site_url", "https://intranet.example.dz/"), ("telegram", "bot_token", "1:x"),
    ])
    func whatLacksAnUncertainFormIsTakenWithAWarning(id: String, name: String, value: String) throws {
        let findings = try Catalogue.connector(id).check(name, .string(value))
        #expect(findings.map(\.severity) == [.warn])
        #expect(findings.first?.message.english.hasSuffix("accepted, because that rule is not certain") == true)
        #expect(findings.first?.message.french.hasSuffix("car cette règle n'est pas certaine") == true)
        #expect(findings.allSatisfy { !$0.message.english.contains(value) && !$0.message.french.contains(value) })
    }

    @Test(arguments: [
        ("postgresql", "host", "10.0.0.7"), ("postgresql", "host", "fd00::7"), ("postgresql", "host", "db"),
        ("odoo", "server_url", "http://odoo:8069/x?y#z"), ("odoo", "server_url", "https://[fd00::7]:443/"),
        ("satim", "api_url", "https://test2.satim.dz/payment/rest"), ("jira", "email", "a.b+c@x.y.dz"),
        ("google-cloud", "service_account_key", " {\"type\":\"service_account\"}"), ("mongodb", "tls", "false"),
        ("adp", "client_certificate", "\n-----BEGIN CERTIFICATE-----\r\nMI+/\r\nIB==\r\n-----END CERTIFICATE-----\r\n"),
        (
            "azure", "client_certificate",
            "-----BEGIN CERTIFICATE-----\nMI\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMI\n-----END PRIVATE KEY-----\n"
        ),
        ("sqlite", "path", "données/été.db"), ("sqlite", "path", "..a/b.."),
    ])
    func whatIsRightPasses(id: String, name: String, value: String) throws {
        #expect(try Self.severities(id, name, .string(value)).isEmpty)
    }

    @Test func aMemberThatIsNoFieldIsRefusedAndItsNeighbourNamed() throws {
        let connector = try Catalogue.connector("postgresql")
        let findings = try connector.check(
            #"{"pasword":"x","zzzzzz":1,"s3cret value!":2,"password":"a","password":"b"}"#,
            isWhole: false
        )
        #expect(
            findings.map(\.message.english) == [
                "pasword is no field of postgresql; did you mean password?", "zzzzzz is no field of postgresql",
                "a member is no field of postgresql", "password stands twice",
            ]
        )
        #expect(findings.allSatisfy { $0.severity == .refuse })
    }

    @Test(arguments: Catalogue.shared.connectors)
    func everyRequiredFieldThatIsMissingIsNamed(connector: Connector) throws {
        let names = connector.fields.filter(\.isRequired).map(\.name)
        let groups = connector.oneOf.map { $0[0] }
        #expect(try connector.check("{}").map(\.field) == names + groups)
        let empty = JSONValue.object(connector.fields.map { .init($0.name, $0.isRequired ? "" : .null) })
        #expect(try connector.check(String(decoding: empty.encoded(), as: UTF8.self)).map(\.field) == names + groups)
        #expect(try connector.check("{}", isWhole: false).isEmpty)
    }

    @Test(arguments: ["mongodb", "azure", "oracle-db"])
    func oneOfAGroupIsEnough(id: String) throws {
        let connector = try Catalogue.connector(id)
        let group = try #require(connector.oneOf.first)
        for name in group {
            #expect(try !connector.check(#"{"\#(name)":"x"}"#).contains { $0.message.english.contains(" or ") })
        }
        #expect(try connector.check("{}").contains { $0.field == group[0] && $0.message.english.contains(" or ") })
    }

    @Test(arguments: ["[]", "null", "1", "\"x\""])
    func aFormIsAnObject(text: String) throws {
        #expect(try Catalogue.connector("slack").check(text).map(\.severity) == [.refuse])
    }

    @Test func sizesAreBounded() throws {
        let connector = try Catalogue.connector("postgresql")
        let longest = String(repeating: "x", count: ConnectorField.maximumValueBytes)
        #expect(try connector.check("password", .string(longest)).isEmpty)
        #expect(try connector.check("password", .string(longest + "x")).map(\.severity) == [.refuse])
        let token = String(repeating: "1", count: FieldPattern.maximumInputBytes + 1)
        #expect(try Catalogue.connector("github").check("app_id", .string(token)).map(\.severity) == [.refuse])
        #expect(try Catalogue.connector("slack").check("bot_token", .string(token)).map(\.severity) == [.warn])
        let many = (0..<200).map { #""f\#($0)":1"# }.joined(separator: ",")
        #expect(try connector.check("{\(many)}").count == 1)
    }

    @Test(arguments: Catalogue.shared.connectors)
    func noFindingHoldsAValue(connector: Connector) throws {
        for value in ["Zq7/marker\u{e9}", "-----BEGIN Zq7/marker", "https://u:Zq7/marker@h/", "{\"Zq7/marker\":"] {
            let form = JSONValue.object(connector.fields.map { .init($0.name, .string(value)) })
            for finding in try connector.check(String(decoding: form.encoded(), as: UTF8.self)) {
                #expect(!finding.message.english.contains("Zq7") && !finding.message.french.contains("Zq7"))
                #expect(connector.field(finding.field) != nil)
            }
        }
    }

    @Test func aFindingIsSentInBothLanguages() throws {
        let finding = try #require(try Catalogue.connector("slack").check("bot_token", "x").first)
        let json = finding.json
        #expect(json["field"]?.string == "bot_token" && json["severity"]?.string == "warn")
        #expect(json["message"]?["en"]?.string == finding.message.english)
        #expect(json["message"]?["fr"]?.string == finding.message.french)
    }

    @Test(arguments: Catalogue.shared.connectors)
    func formsFullOfNonsenseAreChecked(connector: Connector) throws {
        var random = Seeded(UInt64(connector.id.utf8.count + 7))
        let pieces = [
            "-----BEGIN ", "PRIVATE KEY", "-----", "://", "https", "@", ":", "[", "]", "..", "/", #"\u0000"#, "9", "é",
            #"\\"#, "{", "😀",
        ]
        let names = connector.fields.map(\.name) + ["nonsense", ""]
        for _ in 0..<40 {
            let members = (0..<8).map { _ in
                let text = (0..<Int.random(in: 0...12, using: &random))
                    .map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
                let value =
                    [#""\#(text)""#, "null", "-0", "1e999", "[]", "{}", "true"].randomElement(using: &random) ?? "0"
                return #""\#(names.randomElement(using: &random) ?? "")":\#(value)"#
            }
            let form = "{" + members.joined(separator: ",") + "}"
            guard let findings = try? connector.check(form) else { continue }
            #expect(findings.allSatisfy { $0.field.isEmpty || names.contains($0.field) })
        }
    }
}
