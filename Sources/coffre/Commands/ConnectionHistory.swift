import ArgumentParser
import CoffreClient
import CoffreWire

extension ConnectionCommand {
    struct History: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell what the logins of a connection ran, as far as its server counts it.",
            discussion: """
                PostgreSQL counts where the extension pg_stat_statements is installed; a statement is shown by a digest, \
                never itself. Figures that the server does not give are not measured.

                EXAMPLES
                  coffre connection history production
                  coffre connection history production --limit 1000 --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Rows to show, the newest, 1 to 1000.")
        var limit: Int = 20
        @Option(help: "Rows older than this number, the `next` of the page before.")
        var before: Int?
        @Argument(help: "Name or id of the connection.")
        var name: String

        func validate() throws {
            guard (1...1000).contains(limit) else { throw ValidationError("--limit takes 1 to 1000") }
        }

        func perform(_ context: Context) async throws {
            let console = context.console
            let query = [("limit", "\(limit)")] + (before.map { [("before", "\($0)")] } ?? [])
            let path = ConnectionCommand.path(name) + "/stats"
            let found = try await context.client().send(.get, path, query: query).data ?? .object([])
            guard console.format == .table else { return console.json(found) }
            guard found["is_measured"]?.bool == true else {
                return console.line(
                    Message(
                        "Not measured: no login has ended yet, or the server keeps no such statistics (pg_stat_statements).",
                        "Non mesuré : aucun identifiant n’a encore pris fin, ou le serveur ne compte pas (pg_stat_statements)."
                    )
                )
            }
            let (calls, rows) = (found["calls"]?.integer ?? 0, found["returned_rows"]?.integer ?? 0)
            let logins = found["logins"]?.integer ?? 0
            console.line(
                Message(
                    "In 30 days: \(calls) statements and \(rows) rows by \(logins) logins.",
                    "En 30 jours : \(calls) requêtes et \(rows) lignes par \(logins) identifiants."
                )
            )
            let titles = [
                Message("Login ended", "Fin de l’identifiant"), Message("Login", "Identifiant"),
                Message("Statement", "Requête"), Message("Times", "Fois"), Message("Rows", "Lignes"),
                Message("Time, µs", "Durée, µs"),
            ]
            console.table(
                titles.map { $0.text(console.language) },
                (found["statements"]?.array ?? []).map { row in
                    ["time", "login", "statement", "calls", "rows", "microseconds"].map {
                        Console.cell(row[$0] ?? .null)
                    }
                }
            )
        }
    }
}
