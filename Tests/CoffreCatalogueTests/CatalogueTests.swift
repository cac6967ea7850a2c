import CoffreWire
import Testing

@testable import CoffreCatalogue

struct CatalogueTests {
    private static let ids = [
        "adp", "algerie-telecom", "asana", "aws", "aws-s3", "azure", "bamboohr", "baridimob", "bitbucket", "box",
        "casnos", "cnas", "discord", "djezzy", "docker-hub", "douanes-dz", "dropbox", "enie-cadastre", "factorial",
        "github", "gitlab", "gmail", "google-cloud", "google-drive", "google-sheets", "gusto", "hubspot", "jenkins",
        "jira", "linkedin", "mariadb", "microsoft-teams", "mobilis", "monday", "mongodb", "mysql", "notion", "odoo",
        "onedrive", "ooredoo", "oracle-db", "outlook", "paypal", "pc-compta", "postgresql", "quickbooks", "redis",
        "sage", "salesforce", "sap", "satim", "sharepoint", "slack", "sonelgaz", "sql-server", "sqlite", "stripe",
        "telegram", "trello", "whatsapp-business", "winbooks", "workday", "xero", "zoho-crm",
    ]

    @Test func theConnectorsOfTheProductGuideAreThereAndNoOthers() {
        #expect(Catalogue.shared.connectors.map(\.id) == Self.ids)
        #expect(Self.ids.count == 64)
    }

    @Test func eachShelfHoldsWhatTheProductGuidePutsThere() {
        let counts = Catalogue.shared.categories.map { category in
            Catalogue.shared.connectors.count { $0.category == category.id }
        }
        #expect(counts == [8, 7, 7, 11, 7, 5, 11, 8])
    }

    @Test func theListIsWhatIsSentForTheCatalogue() throws {
        let list = try JSONValue(parsing: Catalogue.shared.listJSON)
        #expect(list["connectors"]?.array?.compactMap { $0["id"]?.string } == Self.ids)
        #expect(list["categories"]?.array?.count == 8)
        let slack = try #require(list["connectors"]?.array?.first { $0["id"]?.string == "slack" })
        #expect(slack["label"]?["fr"]?.string == "Slack")
        #expect(slack["auth"]?.array?.compactMap(\.string) == ["oauth2_authorization_code", "bot_token"])
    }

    @Test(arguments: Catalogue.shared.connectors)
    func aSecretIsCalledSecret(connector: Connector) {
        let words = ["password", "secret", "token", "private_key", "connection_string", "wallet", "encryption_key"]
        let notSecret = ["token_domain"]
        for field in connector.fields where words.contains(where: field.name.contains) {
            #expect(field.isSecret || notSecret.contains(field.name), "\(field.name)")
        }
    }

    @Test(arguments: Catalogue.shared.connectors)
    func whatIsNotKnownOfAPoorlyKnownServiceIsSaid(connector: Connector) {
        if connector.confidence != .high { #expect(!connector.unknown.isEmpty) }
        if connector.confidence == .low {
            #expect(connector.oauth == nil && connector.healthCheck.kind == .none)
            #expect(connector.rotation.kind == .manual && connector.revocation.kind == .localOnly)
        }
    }

    @Test(arguments: Catalogue.shared.connectors)
    func waysOfSigningInAgreeWithWhatIsKnownOfOAuth(connector: Connector) {
        let consents = connector.auth.contains(.authorizationCode) || connector.auth.contains(.oauth1)
        #expect(consents == (connector.oauth?.authorizationURL != nil))
        if connector.auth.contains(.device) { #expect(connector.oauth?.deviceURL != nil) }
        if connector.rotation.kind == .oauthRefresh { #expect(connector.oauth != nil) }
        if connector.revocation.kind == .oauthRevoke, connector.id != "monday" {
            #expect(connector.oauth?.revocationURL != nil)
        }
    }

    @Test func everyQuirkIsUsed() {
        let used = Set(Catalogue.shared.connectors.flatMap { $0.oauth?.quirks ?? [] })
        #expect(used == Set(Catalogue.shared.quirks.keys))
    }

    @Test(arguments: [
        ("postgres", "postgresql"), ("gogle-drive", "google-drive"), ("slakc", "slack"), ("x", nil), ("", nil),
        (String(repeating: "a", count: 100_000), nil),
    ])
    func aMisspeltIdFindsItsNeighbour(id: String, near: String?) {
        #expect(Catalogue.shared.nearestID(to: id) == near)
    }
}
