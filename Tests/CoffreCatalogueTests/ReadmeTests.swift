import CoffreCatalogue
import CoffreTestSupport
import Foundation
import Testing

/// The one generated table of the README is what the catalogue says.
struct ReadmeTests {
    private static let header = "| Connector | Category | Sign-in | Rotation | Revocation | Confidence |"

    private static let rows = Catalogue.shared.connectors.map { connector in
        let labels = Catalogue.shared.labels
        let cells: [String?] = [
            connector.label.english, Catalogue.shared.category(connector.category)?.label.english,
            connector.auth.map { labels.auth[$0.rawValue]?.english ?? "" }.joined(separator: ", "),
            labels.rotation[connector.rotation.kind.rawValue]?.english,
            labels.revocation[connector.revocation.kind.rawValue]?.english,
            labels.confidence[connector.confidence.rawValue]?.english,
        ]
        return "| " + cells.map { $0 ?? "" }.joined(separator: " | ") + " |"
    }

    @Test func theMatrixOfConnectorsIsThatOfTheCatalogue() throws {
        let readme = try String(contentsOfFile: PackageFolder.path + "/README.md", encoding: .utf8)
        let lines = readme.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let start = try #require(lines.firstIndex(of: Self.header))
        let table = Array(lines[(start + 2)...].prefix { $0.hasPrefix("|") })
        for (row, line) in zip(Self.rows, table) { #expect(line == row) }
        #expect(table.count == Self.rows.count)
    }
}
