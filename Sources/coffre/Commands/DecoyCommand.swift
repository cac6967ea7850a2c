import ArgumentParser
import CoffreClient
import CoffreWire

struct DecoyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decoy",
        abstract: "Lay out secrets that are bait: nobody has a reason to ask for one.",
        discussion: """
            A decoy looks and answers like any secret, but every request for it, granted or refused, is marked in the audit \
            log and found at once. Put it where an intruder would look, and tell nobody.

            EXAMPLES
              coffre decoy create secret/prod/root-db --like postgresql --note "vault of the old site"
              coffre decoy list
            """,
        subcommands: [Create.self, List.self, Show.self, Delete.self]
    )

    enum Kind: String, ExpressibleByArgument, CaseIterable, Sendable {
        case postgresql
        case apiKey = "api-key"
        case password
        case aws
    }

    private static let labels = (
        path: Message("Path", "Chemin"), like: Message("Like", "Imite"), created: Message("Created", "Créé"),
        creator: Message("By", "Par"), note: Message("Note", "Note")
    )

    private static func cells(_ decoy: JSONValue) -> [String] {
        ["like", "created", "created_by", "note"].map { Console.cell(decoy[$0] ?? .null) }
    }

    struct Create: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a decoy: a secret with made-up fields, or one that is there.",
            discussion: """
                The vault makes the fields up: they open nothing. Needs sudo.

                EXAMPLES
                  coffre decoy create secret/prod/root-db --like postgresql
                  coffre decoy create secret/ci/deploy-key --like api-key --note "beside the CI's own"
                  coffre decoy create secret/old/backup --existing   # its value stays as it is
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "What it looks like: postgresql, api-key, password or aws. Default: password.")
        var like: Kind?
        @Option(help: "What it is for, at most 500 bytes; shown by list and show.")
        var note: String?
        @Flag(help: "Make a decoy of the secret that is there, without a change to it.")
        var existing = false
        @Argument(help: "Path of the secret, as in secret/prod/root-db.")
        var path: String

        func validate() throws {
            if existing && like != nil {
                throw ValidationError("--like is for a new secret, --existing for one that is there")
            }
        }

        func perform(_ context: Context) async throws {
            var members: [JSONValue.Member] = []
            if existing { members.append(.init("existing", .bool(true))) }
            if let like { members.append(.init("like", .string(like.rawValue))) }
            if let note { members.append(.init("note", .string(note))) }
            let answer = try await context.client().write("sys/decoys/\(path)", JSONValue.object(members).encoded())
            context.console.warn(answer.warnings)
            guard context.console.format == .table else { return context.console.json(answer.data ?? .object([])) }
            let shown = Console.cell(answer.data?["path"] ?? .string(path))
            context.console.line(Message("Decoy laid out: \(shown)", "Leurre posé : \(shown)"))
        }
    }

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the decoys.",
            discussion: """
                EXAMPLES
                  coffre decoy list
                  coffre decoy list --format json
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            var found: [JSONValue.Member] = []
            do {
                found = try await context.client().read("sys/decoys").data?["key_info"]?.members ?? []
            } catch let error as ClientError where error.code == .notFound {
                // None is an answer too.
            }
            guard console.format == .table else {
                return console.json(
                    .array(found.map { .object([.init("path", .string($0.key))] + ($0.value.members ?? [])) })
                )
            }
            let labels = DecoyCommand.labels
            console.table(
                [labels.path, labels.like, labels.created, labels.creator, labels.note].map {
                    $0.text(console.language)
                },
                found.map { [escapedForTerminal($0.key)] + DecoyCommand.cells($0.value) }
            )
        }
    }

    struct Show: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a decoy, and whether its secret is still there; this is no touch.",
            discussion: """
                EXAMPLES
                  coffre decoy show secret/prod/root-db
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Path of the secret.")
        var path: String

        func perform(_ context: Context) async throws {
            let console = context.console
            let decoy = try await context.client().read("sys/decoys/\(path)").data ?? .object([])
            guard console.format == .table else { return console.json(decoy) }
            let labels = DecoyCommand.labels
            let exists = decoy["exists"]?.bool ?? false
            let titles = [
                labels.path, labels.like, labels.created, labels.creator, labels.note,
                Message("Secret is there", "Secret présent"),
            ]
            let cells = [Console.cell(decoy["path"] ?? .null)] + DecoyCommand.cells(decoy) + [console.yes(exists)]
            console.table(
                [Message("Key", "Clé"), Message("Value", "Valeur")].map { $0.text(console.language) },
                zip(titles, cells).map { [$0.text(console.language), $1] }
            )
        }
    }

    struct Delete: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a decoy and delete the secret behind it.",
            discussion: """
                Needs sudo. What was a true secret before it became a decoy is deleted too: --keep leaves it.

                EXAMPLES
                  coffre decoy delete secret/prod/root-db
                  coffre decoy delete secret/old/backup --keep
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Leave the secret: it is an ordinary one then.")
        var keep = false
        @Argument(help: "Path of the secret.")
        var path: String

        func perform(_ context: Context) async throws {
            try await context.client().deleteDecoy(path, keepsSecret: keep)
            let shown = escapedForTerminal(path)
            context.console.confirm(
                keep
                    ? Message(
                        "No decoy any more, the secret stays: \(shown)",
                        "N’est plus un leurre, le secret reste : \(shown)"
                    )
                    : Message("Decoy and secret deleted: \(shown)", "Leurre et secret supprimés : \(shown)")
            )
        }
    }
}
