import Testing

@testable import CoffreCatalogue

struct SearchTests {
    @Test(arguments: [
        ("google", ["google-cloud", "google-drive", "google-sheets", "gmail"]), ("CASNOS", ["casnos"]),
        ("algérie poste", ["baridimob"]), ("ALGERIE POSTE", ["baridimob"]), ("registre du commerce", ["enie-cadastre"]),
        ("commercial register", ["enie-cadastre"]), ("bases de données mysql", ["mysql", "mariadb"]),
        ("payroll", ["adp", "gusto"]), ("paie du personnel", ["adp"]), ("douanes", ["douanes-dz"]),
        ("iam keys", ["aws", "aws-s3"]), ("clés iam", ["aws", "aws-s3"]), ("no such thing", []),
        ("microsoft messagerie", ["microsoft-teams"]), ("electricite", ["sonelgaz"]),
    ])
    func aSearchKnowsBothLanguagesAndNoAccents(words: String, ids: [String]) {
        let found = Catalogue.shared.search(words).map(\.id)
        #expect(found.starts(with: ids) && (ids.isEmpty ? found.isEmpty : true), "\(found)")
    }

    @Test func aSearchWithoutWordsFindsEverythingAndALongOneEnds() {
        #expect(Catalogue.shared.search("  ").count == 64)
        #expect(Catalogue.shared.search(String(repeating: "é ", count: 100_000)).count < 64 * 2)
        #expect(Catalogue.shared.search(String(repeating: "x", count: 100_000)).isEmpty)
    }

    @Test(arguments: ["databases", "Bases de données", "BASES DE DONNEES", "Databases"])
    func aShelfIsKnownByItsNames(name: String) {
        #expect(Catalogue.shared.category(named: name)?.id == "databases")
    }

    @Test func foldingTakesAccentsHoweverTheyAreWritten() {
        #expect(folded("  Œuvre d'E\u{301}té — ÇA, là!") == "oeuvre d ete ca la")
    }
}
