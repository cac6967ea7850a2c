import ArgumentParser
import CoffreClient
import CoffreWire

struct ConnectionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connection",
        abstract: "Make, share and end connections to databases and services.",
        discussion: """
            A connection has an owner. Teams and people get rights on it, for a database table by table; a person's "none" \
            beats every team. What was issued through it ends as soon as rights no longer allow it.

            EXAMPLES
              coffre connection create postgresql production host=db.example.dz port=5432 database=prod_db \\
                         username=iafactory_readonly ssl_mode=verify-full password=-
              coffre connection permissions production --set @rights.json
              coffre connection delete production --dry-run
            """,
        subcommands: [
            Create.self, Update.self, List.self, Show.self, Permissions.self, Disable.self, Enable.self, Delete.self,
            Restore.self, Connect.self, Test.self, Rotate.self, Reconcile.self, History.self,
        ]
    )

    static func path(_ name: String) -> String { "connectors/connections/\(name)" }
}

extension ConnectionCommand {
    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the connections that you may use.",
            discussion: """
                EXAMPLES
                  coffre connection list --format json
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            let found = try await context.client().list("connectors/connections").data?["key_info"] ?? .object([])
            guard console.format == .table else { return console.json(found) }
            let titles = [
                Message("Name", "Nom"), Message("Type", "Type"), Message("Your rights", "Vos droits"),
                Message("State", "État"), Message("Visible to", "Visible par"), Message("Label", "Libellé"),
            ]
            let rows = (found.members ?? []).map { member in
                [escapedForTerminal(member.key)]
                    + ["type", "level", "state", "visibility", "label"].map {
                        Console.cell(member.value[$0] ?? .null)
                    }
            }
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }

    struct Show: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a connection, without its secrets.",
            discussion: """
                EXAMPLES
                  coffre connection show production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            try context.console.show(try await context.client().read(ConnectionCommand.path(name)))
        }
    }

    struct Permissions: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show who may do what with a connection, or set it.",
            discussion: """
                The document has grants (entity, group or organisation, a level, and tables of its own), tables (what the \
                connection offers), masked (columns that nobody sees) and read_only; what is left out stays. Levels are \
                none, read, read-write and owner.

                EXAMPLES
                  coffre connection permissions production
                  coffre connection permissions production --set @rights.json
                  echo '{"grants":[{"group":"finance","level":"read"}]}' | coffre connection permissions production --set -
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(name: .customLong("set"), help: "The new rights as JSON: @FILE, or - for standard input.")
        var document: String?
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            let path = ConnectionCommand.path(name) + "/permissions"
            guard let document else { return try context.console.show(try await context.client().read(path)) }
            guard document == "-" || document.hasPrefix("@") else {
                throw Failure("--set takes @FILE or -", "--set demande @FICHIER ou -", .usage)
            }
            let body = try DataArguments.object([document], literals: .refused, console: context.console)
            let answer = try await context.client().write(path, body)
            context.console.warn(answer.warnings)
            guard context.console.format == .table else { return context.console.json(answer.data ?? .object([])) }
            let ended = answer.data?["leases_ended"]?.integer ?? 0
            context.console.confirm(
                Message(
                    "\(name): rights changed, \(ended) leases ended",
                    "\(name) : droits modifiés, \(ended) bail(s) révoqué(s)"
                )
            )
        }
    }

    struct Disable: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let nobody use a connection, and end what was issued; everything is kept.",
            discussion: """
                EXAMPLES
                  coffre connection disable production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            _ = try await context.client().write(ConnectionCommand.path(name) + "/disable", nil)
            context.console.confirm(Message("\(name): disabled", "\(name) : désactivée"))
        }
    }

    struct Enable: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a disabled connection be used again.",
            discussion: """
                EXAMPLES
                  coffre connection enable production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            _ = try await context.client().write(ConnectionCommand.path(name) + "/enable", nil)
            context.console.confirm(Message("\(name): enabled", "\(name) : activée"))
        }
    }

    struct Delete: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a connection on both sides; its configuration stays for a restoration.",
            discussion: """
                Logins that it has issued are taken back at the server, then its secrets are wiped. Who used it in the last \
                30 days is shown first.

                EXAMPLES
                  coffre connection delete production --dry-run
                  coffre connection delete production --yes
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Only show who would miss it.")
        var dryRun = false
        @Flag(help: "The server is gone for good: forget what is left there. For administrators.")
        var force = false
        @Flag(help: "Do not ask.")
        var yes = false
        @Argument(help: "Name or id of the connection.")
        var name: String

        func perform(_ context: Context) async throws {
            let console = context.console
            let client = try context.client()
            let path = ConnectionCommand.path(name)
            let consequences = try await client.read(path + "/consequences").data ?? .object([])
            if dryRun || console.format == .table { show(consequences, console) }
            guard !dryRun else { return }
            guard yes || Input.asks(Self.question(name, console.language), for: name) else {
                throw Failure(
                    "nothing was deleted: type the name to confirm, or use --yes",
                    "rien n’a été supprimé : tapez le nom pour confirmer, ou utilisez --yes",
                    .usage
                )
            }
            let answer = try await client.send(.delete, path, query: force ? [("force", "true")] : [])
            console.warn(answer.warnings)
            guard console.format == .table else { return console.json(answer.data ?? .object([])) }
            let state = answer.data?["state"]?.string ?? "deleted"
            console.confirm(
                state == "deleted"
                    ? Message("\(name): deleted", "\(name) : supprimée")
                    : Message("\(name): being removed", "\(name) : suppression en cours")
            )
        }

        private static func question(_ name: String, _ language: Language) -> String {
            Message("Type \(name) to delete it: ", "Tapez \(name) pour la supprimer : ").text(language)
        }

        private func show(_ consequences: JSONValue, _ console: Console) {
            guard console.format == .table else { return console.json(consequences) }
            let leases = consequences["leases"]?.integer ?? 0
            console.line(
                Message("Leases that would end: \(leases)", "Baux qui seraient révoqués : \(leases)")
            )
            let rows = (consequences["users"]?.array ?? []).map {
                [Console.cell($0["subject"] ?? .null), Console.cell($0["records"] ?? .null)]
            }
            guard !rows.isEmpty else {
                return console.line(
                    Message("Nobody used it in the last 30 days.", "Personne ne l’a utilisée depuis 30 jours.")
                )
            }
            console.table(
                [
                    Message("Used in 30 days by", "Utilisée depuis 30 jours par").text(console.language),
                    Message("Times", "Fois").text(console.language),
                ],
                rows
            )
        }
    }

    struct Restore: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new connection of a deleted one; its secrets must be entered again.",
            discussion: """
                EXAMPLES
                  coffre connection restore production
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the deleted connection.")
        var name: String

        func perform(_ context: Context) async throws {
            try context.console.show(
                try await context.client().write(ConnectionCommand.path(name) + "/restore", nil)
            )
        }
    }
}
