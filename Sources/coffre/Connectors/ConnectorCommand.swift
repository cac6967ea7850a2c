import ArgumentParser
import CoffreCatalogue

struct ConnectorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connector",
        abstract: "Look into the catalogue of connectors, without the daemon.",
        subcommands: [List.self, Show.self, Search.self]
    )

    /// How the catalogue is printed.
    enum Format: String, ExpressibleByArgument, CaseIterable, Sendable {
        case table, json, csv
    }

    /// Options of every command about the catalogue.
    struct Options: ParsableArguments {
        @Option(help: "table, json or csv.")
        var format: Format = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
    }

    struct List: CatalogueCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the connectors.",
            discussion: """
                What each kind of system is called, how it signs in, how its credentials are renewed and taken back, and how
                far that is sure. Nothing is asked of the daemon or of a network.

                EXAMPLES
                  coffre connector list
                  coffre connector list --category finance
                  coffre connector list --category 'Bases de données' --format csv > databases.csv
                """
        )
        @OptionGroup var options: Options
        @Option(help: "Only this category: its id, or its name in English or French.")
        var category: String?

        func perform(_ report: CatalogueReport) throws(Failure) {
            var connectors = Catalogue.shared.connectors
            if let category {
                guard let found = Catalogue.shared.category(named: category) else {
                    let ids = Catalogue.shared.categories.map(\.id).joined(separator: ", ")
                    let name = escapedForTerminal(category)
                    throw Failure(
                        "there is no category \(name); there are \(ids)",
                        "pas de catégorie \(name) ; il y a \(ids)",
                        .usage
                    )
                }
                connectors = connectors.filter { $0.category == found.id }
            }
            report.show(connectors)
        }
    }

    struct Search: CatalogueCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find connectors by words, in English or French.",
            discussion: """
                Each word must stand somewhere in id, name, description, category or way of signing in; capitals and accents
                do not matter. Exit status: 0, also when nothing is found.

                EXAMPLES
                  coffre connector search google
                  coffre connector search base de donnees
                  coffre connector search payroll --format json
                """
        )
        @OptionGroup var options: Options
        @Argument(help: "Words that must all be there.")
        var words: [String]

        func perform(_ report: CatalogueReport) throws(Failure) {
            let found = Catalogue.shared.search(words.joined(separator: " "))
            if found.isEmpty {
                report.console.note(
                    Message("nothing in the catalogue has these words", "rien au catalogue n'a ces mots")
                )
            }
            report.show(found)
        }
    }

    struct Show: CatalogueCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the form of a connector, and what is known of its service.",
            discussion: """
                Fields that a connection needs, what of them is secret, and how sure their form is; how the connection is
                tried, renewed and revoked; what is not known. json is the form as JSON Schema, as the daemon gives it at
                connectors/catalogue/TYPE; csv has one line per field.

                EXAMPLES
                  coffre connector show postgresql
                  coffre connector show baridimob --lang fr
                  coffre connector show github --format json | jq .required
                """
        )
        @OptionGroup var options: Options
        @Argument(help: "Id of the connector.", completion: .list(Catalogue.shared.connectors.map(\.id)))
        var type: String

        func perform(_ report: CatalogueReport) throws(Failure) {
            guard let connector = Catalogue.shared[type] else {
                let name = escapedForTerminal(type)
                guard let near = Catalogue.shared.nearestID(to: type) else {
                    throw Failure("there is no connector \(name)", "pas de connecteur \(name)", .notFound)
                }
                throw Failure(
                    "there is no connector \(name); did you mean \(near)?",
                    "pas de connecteur \(name) ; vouliez-vous dire \(near) ?",
                    .notFound
                )
            }
            report.show(connector)
        }
    }
}

/// A command about the catalogue; errors become a sentence on standard error and an exit status.
protocol CatalogueCommand: AsyncParsableCommand {
    var options: ConnectorCommand.Options { get }
    func perform(_ report: CatalogueReport) throws(Failure)
}

extension CatalogueCommand {
    mutating func run() async throws {
        let language = options.lang ?? Language.preferred(environmentValue)
        let report = CatalogueReport(options.format, language)
        do throws(Failure) {
            try perform(report)
        } catch {
            report.console.note(error.message)
            throw ExitCode(error.status.rawValue)
        }
    }
}
