import ArgumentParser
import CoffreClient
import CoffreWire

extension ConnectionCommand {
    struct Test: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try a connection: latency, TLS, schemas, tables and rows.",
            discussion: """
                EXAMPLES
                  coffre connection test production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            let console = context.console
            let answer = try await context.client().write(ConnectionCommand.path(name) + "/test", nil)
            let report = answer.data ?? .object([])
            let administration = report["administration"] ?? .null
            let works = report["works"]?.bool == true && administration["works"]?.bool != false
            if console.format == .table { ConnectionReport(report).show(console) } else { console.json(report) }
            guard works else { throw ExitCode(ExitStatus.error.rawValue) }
        }
    }

    struct Rotate: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change the stored passwords of a connection now, at its server and here.",
            discussion: """
                EXAMPLES
                  coffre connection rotate production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            _ = try await context.client().write(ConnectionCommand.path(name) + "/rotate", nil)
            context.console.confirm(Message("\(name): passwords changed", "\(name) : mots de passe changés"))
        }
    }

    struct Reconcile: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hold a server against the leases of a connection, and mend what differs.",
            discussion: """
                It happens by itself every hour.

                EXAMPLES
                  coffre connection reconcile production --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            try context.console.show(
                try await context.client().write(ConnectionCommand.path(name) + "/reconcile", nil)
            )
        }
    }
}

/// The result of a test, as a person reads it.
struct ConnectionReport {
    private let report: JSONValue

    init(_ report: JSONValue) { self.report = report }

    func show(_ console: Console) {
        guard report["works"]?.bool == true else { return console.line(failure(report, console)) }
        func line(_ english: String, _ french: String) { console.line(Message(english, french)) }
        let latency = milliseconds(report["latency_us"])
        line(console.green("Works"), console.green("Fonctionne"))
        line("Latency: \(latency) ms", "Latence : \(latency) ms")
        let tls = Console.cell(report["tls"] ?? .null)
        let isOn = report["tls"]?.string != nil
        line("TLS: \(isOn ? tls : "none")", "TLS : \(isOn ? tls : "aucun")")
        let names = (report["schemas"]?.array ?? []).compactMap { $0["name"]?.string }
        let schemas = escapedForTerminal(names.joined(separator: ", "))
        line("Schemas: \(schemas)", "Schémas : \(schemas)")
        let tables = report["tables"]?.integer ?? 0
        line("Tables: \(tables)", "Tables : \(tables)")
        for row in report["rows"]?.array ?? [] { console.line("  " + self.row(row, console)) }
        if let warning = report["warning"]?.string {
            line(
                "Warning: \(warning)",
                "Attention : ce compte est superutilisateur ; utilisez un compte limité à ce que la connexion doit faire"
            )
        }
        guard let administration = report["administration"] else {
            return line(
                "No administration account: short-lived logins cannot be made.",
                "Pas de compte d’administration : aucun identifiant éphémère possible."
            )
        }
        guard administration["works"]?.bool == true else { return console.line(failure(administration, console)) }
        line("Administration account: works", "Compte d’administration : fonctionne")
    }

    private func failure(_ part: JSONValue, _ console: Console) -> String {
        let text = part["failure"]?[console.language == .french ? "fr" : "en"]?.string ?? ""
        return console.red(Message("Does not work: ", "Ne fonctionne pas : ").text(console.language))
            + escapedForTerminal(text)
    }

    private func row(_ row: JSONValue, _ console: Console) -> String {
        let name = escapedForTerminal("\(row["schema"]?.string ?? "").\(row["table"]?.string ?? "")")
        let how = row["how"]?.string ?? ""
        guard let rows = row["rows"]?.integer else {
            let reasons = [
                "denied": Message("no right to read it", "lecture non autorisée"),
                "missing": Message("not there", "introuvable"),
            ]
            let reason = reasons[how] ?? Message("not counted", "non comptée")
            return "\(name): \(reason.text(console.language))"
        }
        let about = how == "exact" ? "" : Message("about ", "environ ").text(console.language)
        return "\(name): \(about)\(rows) "
            + Message(rows == 1 ? "row" : "rows", rows == 1 ? "ligne" : "lignes").text(console.language)
    }

    private func milliseconds(_ value: JSONValue?) -> String {
        let microseconds = value?.integer ?? 0
        return "\(microseconds / 1000).\(microseconds % 1000 / 100)"
    }
}

struct RotationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotation",
        abstract: "See how old stored passwords are, and when they are changed.",
        subcommands: [Status.self]
    )

    struct Status: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List age, due date and last result of each stored password.",
            discussion: """
                EXAMPLES
                  coffre rotation status
                  coffre rotation status --format json
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            let found = try await context.client().read("connectors/rotations").data ?? .object([])
            guard console.format == .table else { return console.json(found) }
            let titles = [
                Message("Connection", "Connexion"), Message("Secret", "Secret"), Message("Age, days", "Âge, jours"),
                Message("Due", "Échéance"), Message("Next attempt", "Prochain essai"), Message("State", "État"),
            ]
            let rows = (found["rotations"]?.array ?? []).map { row in
                ["connection", "secret", "age_days", "due", "next_attempt"].map { Console.cell(row[$0] ?? .null) }
                    + [Self.state(row).text(console.language)]
            }
            console.table(titles.map { $0.text(console.language) }, rows)
            guard case .number(let percent)? = found["compliance"]?["percent"] else { return }
            console.line(
                Message(
                    "Within their limit over 30 days: \(percent) % of credential-days",
                    "Dans leur délai sur 30 jours : \(percent) % des jours-identifiants"
                )
            )
        }

        private static func state(_ row: JSONValue) -> Message {
            if row["is_unsure"]?.bool == true {
                return Message("unsure which password is in force", "mot de passe en vigueur incertain")
            }
            if let failure = row["failure"]?.string {
                let text = escapedForTerminal(failure)
                return Message("failed: \(text)", "échec : \(text)")
            }
            return row["automatic"]?.bool == true
                ? Message("by itself", "automatique") : Message("by hand", "manuelle")
        }
    }
}

struct ApprovalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approval",
        abstract: "Agree to, or refuse, uses of connections that wait for a second person.",
        subcommands: [List.self, Approve.self, Deny.self]
    )

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the requests that you made or may decide.",
            discussion: """
                EXAMPLES
                  coffre approval list
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            let found = try await context.client().list("connectors/approvals").data?["key_info"] ?? .object([])
            guard console.format == .table else { return console.json(found) }
            let titles = [
                Message("Request", "Demande"), Message("Connection", "Connexion"), Message("By", "Par"),
                Message("State", "État"), Message("Expires", "Expire"),
            ]
            let rows = (found.members ?? []).map { member in
                let request = member.value
                let person = request["request_entity"]?["name"] ?? .null
                return [
                    escapedForTerminal(member.key), Console.cell(request["connection"] ?? .null), Console.cell(person),
                    Console.cell(request["state"] ?? .null), Console.cell(request["expires"] ?? .null),
                ]
            }
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }

    struct Approve: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Agree to one use; nobody agrees to what he asked for himself.",
            discussion: """
                EXAMPLES
                  coffre approval approve 2f6a614c1c2e4f6a8b9d0e1f
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Why, at most 400 bytes; kept with the request.")
        var reason: String = ""
        @Argument(help: "The request, as `approval list` shows it.")
        var request: String

        func perform(_ context: Context) async throws {
            try await ApprovalCommand.decide(request, "approve", reason, context)
            context.console.confirm(Message("\(request): approved", "\(request) : approuvée"))
        }
    }

    struct Deny: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse one use.",
            discussion: """
                EXAMPLES
                  coffre approval deny 2f6a614c1c2e4f6a8b9d0e1f --reason "not during the audit"
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Why, at most 400 bytes; kept with the request.")
        var reason: String = ""
        @Argument(help: "The request, as `approval list` shows it.")
        var request: String

        func perform(_ context: Context) async throws {
            try await ApprovalCommand.decide(request, "deny", reason, context)
            context.console.confirm(Message("\(request): denied", "\(request) : refusée"))
        }
    }

    private static func decide(_ request: String, _ action: String, _ reason: String, _ context: Context) async throws {
        let body = JSONValue.object([.init("reason", .string(reason))]).encoded()
        _ = try await context.client().write("connectors/approvals/\(request)/\(action)", body)
    }
}
