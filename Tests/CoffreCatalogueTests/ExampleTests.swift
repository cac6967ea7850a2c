import CoffreCatalogue
import CoffreWire
import Testing

/// Examples pass, and dummies of the real form pass where the catalogue gives no example because the field is secret.
struct ExampleTests {
    @Test(arguments: Catalogue.shared.connectors)
    func examplesAndDefaultsPassTheirOwnFields(connector: Connector) throws {
        for field in connector.fields {
            for value in [field.example, field.defaultValue].compactMap(\.self) {
                #expect(try connector.check(field.name, value).isEmpty, "\(field.name)")
            }
            if !field.isSecret, field.pattern != nil || field.check != nil { #expect(field.example != nil) }
        }
    }

    private static func of(_ count: Int, _ piece: String = "0") -> String { String(repeating: piece, count: count) }

    private static let uuid = "aaaabbbb-1111-2222-3333-ccccdddd4444"
    private static let hex32 = of(4, "0123abcd")
    private static let pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"

    /// What such secrets look like, put together so that no scanner takes one for real.
    private static let dummies: [(String, String, String)] = [
        ("mongodb", "connection_string", "mongodb+srv://reader:pw@cluster0.example.net/prod"),
        ("google-drive", "client_secret", "GOCSPX-" + of(28, "x")), ("gmail", "client_secret", of(24, "a")),
        ("google-sheets", "client_secret", of(24, "_")), ("dropbox", "client_secret", of(15, "a")),
        ("box", "client_secret", of(32, "A")), ("aws", "secret_access_key", of(20, "a/")),
        ("aws-s3", "secret_access_key", of(20, "+Z")), ("slack", "client_secret", hex32),
        ("slack", "bot_token", "xoxb-" + of(12) + "-" + of(12) + "-x"), ("slack", "bot_token", "xoxe.xoxb-" + of(4)),
        ("whatsapp-business", "access_token", "EAA" + of(16, "x")), ("whatsapp-business", "app_secret", hex32),
        ("telegram", "bot_token", of(10, "1") + ":" + of(35, "x")),
        ("discord", "bot_token", of(24, "x") + "." + of(6, "x") + "." + of(27, "x")),
        ("discord", "client_secret", of(32, "a")), ("salesforce", "client_secret", of(64, "A")),
        ("salesforce", "client_secret", of(19, "1")), ("hubspot", "client_secret", uuid),
        ("hubspot", "private_app_token", "pat-eu1-" + uuid), ("zoho-crm", "client_secret", of(42)),
        ("odoo", "api_key", of(40, "6")), ("asana", "client_secret", hex32),
        ("asana", "personal_access_token", "2/" + of(16, "1") + "/" + of(16, "2") + ":" + hex32),
        ("asana", "personal_access_token", "1/" + of(16, "1") + ":" + hex32), ("trello", "api_secret", hex32 + hex32),
        ("trello", "token", "ATTA" + of(72, "a")), ("monday", "client_secret", hex32),
        ("monday", "api_token", "eyJhbGci.eyJ0aWQi.c2ln"), ("notion", "client_secret", "secret_" + of(43, "x")),
        ("notion", "integration_token", "ntn_" + of(46, "x")), ("notion", "integration_token", "secret_" + of(43, "x")),
        ("stripe", "api_key", "rk" + "_live_" + of(24)), ("stripe", "api_key", "sk" + "_test_" + of(24)),
        ("stripe", "webhook_secret", "whsec_" + of(32, "x")), ("paypal", "client_secret", "E" + of(79, "x")),
        ("bamboohr", "api_key", of(40, "5")), ("adp", "client_secret", uuid), ("adp", "client_private_key", pem),
        ("baridimob", "api_key", "bmob_live_" + of(18, "x")), ("github", "client_secret", of(40, "a")),
        ("github", "personal_access_token", "github_pat_" + of(40, "x")),
        ("github", "personal_access_token", "ghp_" + of(36, "x")), ("github", "private_key", pem),
        ("gitlab", "client_secret", "gloas-" + hex32 + hex32),
        ("gitlab", "personal_access_token", "glpat-" + of(20, "x")),
        ("bitbucket", "client_secret", of(32, "A")), ("jenkins", "api_token", "11" + hex32),
        ("docker-hub", "access_token", "dckr_pat_" + of(27, "x")),
        ("docker-hub", "access_token", "dckr_oat_" + of(32, "x")),
        ("google-cloud", "service_account_key", #"{"type": "service_account"}"#),
    ]

    @Test(arguments: dummies)
    func aSecretOfTheRealFormPasses(id: String, name: String, value: String) throws {
        let connector = try Catalogue.connector(id)
        #expect(connector.field(name)?.isSecret == true)
        #expect(try connector.check(name, .string(value)).isEmpty)
    }

    @Test func everySecretWithAFormHasADummy() {
        let known = Set(Self.dummies.map { "\($0.0)/\($0.1)" })
        for connector in Catalogue.shared.connectors {
            for field in connector.fields where field.isSecret && field.pattern != nil {
                #expect(known.contains("\(connector.id)/\(field.name)"))
            }
        }
    }

    @Test(arguments: Catalogue.shared.connectors)
    func aFormThatIsFilledInPasses(connector: Connector) throws {
        let members = connector.fields.compactMap { field -> JSONValue.Member? in
            let dummy = Self.dummies.first { $0.0 == connector.id && $0.1 == field.name }.map { JSONValue.string($0.2) }
            let value = field.example ?? dummy ?? (field.kind == .string ? "anything" : nil)
            return value.map { .init(field.name, $0) }
        }
        let text = String(decoding: JSONValue.object(members).encoded(), as: UTF8.self)
        #expect(try connector.check(text).isEmpty)
    }
}
