import ArgumentParser
import CoffreClient
import CoffreWire

struct OperatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operator",
        abstract: "Initialise, unseal and seal the vault; back it up, restore it, rehearse that.",
        subcommands: [
            Initialize.self, Unseal.self, Seal.self, Backup.self, Restore.self, RestoreStatus.self, RestoreConfirm.self,
            Drill.self, Snapshot.self,
        ]
    )

    struct Initialize: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "init",
            abstract: "Make the keys of a new vault and print the shares, once.",
            discussion: """
                With a seal that opens by itself (type "credential") the shares are recovery shares.

                EXAMPLES
                  coffre operator init --shares 5 --threshold 3
                  coffre operator init --format json > /media/offline/init.json
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(name: [.long, .customLong("key-shares")], help: "Number of shares, 1 to 255.")
        var shares: Int = 5
        @Option(name: [.long, .customLong("key-threshold")], help: "Shares needed to unseal.")
        var threshold: Int = 3

        func validate() throws {
            guard (1...255).contains(shares) else { throw ValidationError("--shares takes 1 to 255") }
            guard (1...shares).contains(threshold) else { throw ValidationError("--threshold takes 1 to --shares") }
            guard threshold > 1 || shares == 1 else {
                throw ValidationError("a threshold of 1 takes a single share: any holder would open the vault alone")
            }
        }

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let status = try await client.sealStatus()
            guard !status.isInitialized else {
                throw Failure("the vault is initialised already", "le coffre est déjà initialisé")
            }
            let made = try await client.initialize(
                shares: shares,
                threshold: threshold,
                recovery: status.hasRecoveryShares
            )
            show(made, context.console)
        }

        private func show(_ made: CoffreClient.Initialization, _ console: Console) {
            guard console.format == .table else { return console.json(made.json) }
            for (index, key) in made.keysBase64.enumerated() {
                console.line(Message("Unseal share \(index + 1): \(key)", "Part d'ouverture \(index + 1) : \(key)"))
            }
            for (index, key) in made.recoveryKeysBase64.enumerated() {
                console.line(Message("Recovery share \(index + 1): \(key)", "Part de secours \(index + 1) : \(key)"))
            }
            console.line("")
            console.line(Message("Root token: \(made.rootToken)", "Jeton racine : \(made.rootToken)"))
            console.line("")
            console.line(
                Message(
                    """
                    These are shown once and kept nowhere. Give each share to another person, on paper or on a device
                    that is offline; \(threshold) of \(shares) are needed, and fewer open nothing. Without enough of them the
                    secrets are lost for good. Use the root token to set up, then revoke it: coffre token revoke --self
                    """,
                    """
                    Ceci n'est montré qu'une fois et n'est gardé nulle part. Remettez chaque part à une personne différente,
                    sur papier ou sur un support hors ligne ; il en faut \(threshold) sur \(shares), moins n'ouvrent rien. Sans
                    elles les secrets sont perdus. Servez-vous du jeton racine pour la mise en place, puis révoquez-le :
                    coffre token revoke --self
                    """
                )
            )
        }
    }

    struct Unseal: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "unseal",
            abstract: "Give shares until the vault opens.",
            discussion: """
                Asks for one share on the terminal without showing it; otherwise reads shares, one per line, from \
                standard input or from --key-file.

                EXAMPLES
                  coffre operator unseal
                  coffre operator unseal --key-file /media/key/share
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "File with shares, one per line; - for standard input.", completion: .file())
        var keyFile: String?
        @Flag(help: "Forget the shares given so far.")
        var reset = false

        func perform(_ context: Context) async throws {
            let client = try context.client(withToken: false)
            if reset { return context.console.show(try await client.resetUnseal()) }
            var status = try await client.sealStatus()
            guard status.isInitialized else {
                throw Failure(
                    "the vault is not initialised: coffre operator init",
                    "le coffre n'est pas initialisé : coffre operator init",
                    .sealed
                )
            }
            for share in status.isSealed ? try shares(context.console.language) : [] {
                status = try await client.unseal(share: share)
                if !status.isSealed { break }
            }
            context.console.show(status)
        }

        private func shares(_ language: Language) throws -> [String] {
            if keyFile == nil && Input.isTerminal {
                return [try Input.prompt(Message("Share", "Part").text(language))]
            }
            let text = try Input.text(keyFile ?? "-", for: "--key-file")
            let lines = text.split(whereSeparator: \.isWhitespace).map(String.init)
            guard !lines.isEmpty else { throw Failure("no share was given", "aucune part reçue", .usage) }
            return lines
        }
    }

    struct Seal: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "seal",
            abstract: "Seal the vault: keys are wiped, every request is refused until it is unsealed.",
            discussion: """
                EXAMPLES
                  coffre operator seal
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            try await context.client().seal()
            context.console.confirm(Message("The vault is sealed.", "Le coffre est scellé."))
        }
    }
}
