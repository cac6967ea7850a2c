import Foundation
import Testing

/// `coffre connector`, as typed. No daemon listens, and none is looked for.
struct ConnectorStories {
    private func run(_ arguments: String..., language: String = "C") throws -> CommandLine.Result {
        try CommandLine(socketPath: "/nonexistent", environment: ["LC_ALL": language]).run(["connector"] + arguments)
    }

    @Test func theListNamesEveryConnectorInTheLanguageAskedFor() throws {
        let english = try run("list")
        let lines = english.output.split(separator: "\n")
        #expect(english.status == 0 && english.errors.isEmpty)
        #expect(lines.count == 65)
        #expect(lines.first?.split(separator: " ").map(String.init).first == "Type")
        #expect(lines.contains { $0.hasPrefix("postgresql ") && $0.contains("a login per lease") })
        let french = try run("list", language: "fr_DZ.UTF-8").output.split(separator: "\n")
        #expect(french.contains { $0.hasPrefix("postgresql ") && $0.contains("Bases de données") })
        #expect(try run("list", "--lang", "fr").output.split(separator: "\n") == french)
    }

    @Test(arguments: ["finance", "Finance et comptabilité", "FINANCE ET COMPTABILITE", "Finance and accounting"])
    func aListOfOneCategoryTakesItsIdOrName(category: String) throws {
        let result = try run("list", "--category", category, "--format", "csv")
        let ids = result.output.split(separator: "\r\n").dropFirst().map { $0.prefix { $0 != "," } }
        #expect(ids == ["paypal", "pc-compta", "quickbooks", "sage", "stripe", "winbooks", "xero"])
    }

    @Test func aCategoryThatIsNoneIsWrongUsage() throws {
        let result = try run("list", "--category", "a\u{1b}b", language: "fr_FR")
        #expect(result.status == 64 && result.output.isEmpty)
        #expect(result.errors.hasPrefix("coffre: pas de catégorie a\\u{1B}b ; il y a databases, "))
    }

    @Test func columnsOfACSVAreTheSameInEveryLanguage() throws {
        let english = try run("search", "baridimob", "--format", "csv").output
        #expect(
            english
                == "id,name,category,auth,rotation,revocation,health_check,confidence\r\n"
                + "baridimob,BaridiMob API (Algérie Poste),algeria,api_key,manual,local_only,none,low\r\n"
        )
        #expect(try run("search", "baridimob", "--format", "csv", "--lang", "fr").output == english)
    }

    @Test func aSearchTakesWordsOfBothLanguages() throws {
        let found = try run("search", "base", "de", "donnees", "mysql", "--format", "json")
        let list = try #require(try JSONSerialization.jsonObject(with: Data(found.output.utf8)) as? [[String: Any]])
        #expect(list.compactMap { $0["id"] as? String } == ["mysql", "mariadb"])
        let none = try run("search", "nothing like this")
        #expect(none == .init(output: "", errors: "coffre: nothing in the catalogue has these words\n", status: 0))
        #expect(try run("search", "nothing like this", "--format", "json").output == "[]\n")
    }

    @Test func aConnectorIsShownWithItsFieldsAndWhatIsNotKnown() throws {
        let result = try run("show", "baridimob", language: "fr_DZ.UTF-8")
        #expect(result.status == 0 && result.errors.isEmpty)
        #expect(result.output.hasPrefix("BaridiMob API (Algérie Poste): Comptes CCP : paiements et soldes\n\nChamp "))
        #expect(result.output.contains("\nrip_key "))
        #expect(result.output.contains("\nCe qui n'est pas connu\n- "))
        let english = try run("show", "xero")
        #expect(english.output.contains("\nToken               https://identity.xero.com/connect/token\n"))
        #expect(english.output.contains("\nMind\n- "))
        #expect(try run("show", "mongodb").output.contains("\nAt least one of: connection_string, host.\n"))
    }

    @Test func theFormIsJSONAndTheFieldsAreCSV() throws {
        let form = try run("show", "postgresql", "--format", "json").output
        let object = try #require(try JSONSerialization.jsonObject(with: Data(form.utf8)) as? [String: Any])
        #expect(object["$id"] as? String == "urn:coffre:connector:postgresql")
        #expect((object["required"] as? [String])?.contains("port") == true)
        let fields = try run("show", "redis", "--format", "csv").output.split(separator: "\r\n")
        #expect(fields.first == "field,label,type,required,secret,confidence,default")
        #expect(fields.contains("port,Port,integer,true,false,certain,6379"))
        #expect(fields.contains("password,Password,string,true,true,certain,"))
    }

    @Test(arguments: [
        ("postgres", "coffre: there is no connector postgres; did you mean postgresql?\n"),
        ("\u{1b}[2J", "coffre: there is no connector \\u{1B}[2J\n"),
    ])
    func aConnectorThatIsNoneIsNotThere(type: String, errors: String) throws {
        #expect(try run("show", type) == .init(output: "", errors: errors, status: 4))
    }

    @Test(arguments: [["list", "--format", "xml"], ["show"], ["search"], ["show", "slack", "--lang", "de"]])
    func wrongUsageIsSaid(arguments: [String]) throws {
        let result = try CommandLine().run(["connector"] + arguments)
        #expect(result.status == 64 && result.output.isEmpty && !result.errors.isEmpty)
    }
}
