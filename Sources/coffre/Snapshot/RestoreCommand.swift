import ArgumentParser
import CoffreWire
import Glibc

/// Options of commands that work on files, without the daemon.
struct OfflineOptions: ParsableArguments {
    @Option(help: "table or json.")
    var format: OutputFormat = .table
    @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
    var lang: Language?

    var console: Console {
        Console(format: format, language: lang ?? Language.preferred(environmentValue))
    }
}

/// A command that asks no daemon; failures become a sentence and an exit status.
protocol OfflineCommand: AsyncParsableCommand {
    var options: OfflineOptions { get }
    func perform(_ console: Console) async throws
}

extension OfflineCommand {
    mutating func run() async throws {
        let console = options.console
        do {
            try await perform(console)
        } catch let failure as Failure {
            console.note(failure.message)
            throw ExitCode(failure.status.rawValue)
        }
    }
}

extension OperatorCommand {
    struct Restore: OfflineCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore",
            abstract: "Put a snapshot in the place of the database, while the daemon is stopped.",
            discussion: """
                The snapshot is checked first: hashes, form, tables, every page. The old database is kept beside it as \
                coffre.db.before-restore-TIME. As root, the command works as the user that the folder belongs to. \
                The vault then starts in hold mode: see restore-status and restore-confirm.

                EXAMPLES
                  coffre operator restore --state-directory /var/lib/coffre /media/backup/coffre.tar
                  (after systemctl stop coffred.socket coffred.service; then start the socket, unseal, restore-status)
                """
        )
        @OptionGroup var options: OfflineOptions
        @Option(help: "The daemon's state folder.", completion: .directory)
        var stateDirectory: String
        @Flag(help: "Also over the database of another vault, or one that cannot be read.")
        var force = false
        @Argument(help: "The snapshot.", completion: .file())
        var file: String

        func perform(_ console: Console) throws {
            let snapshot = try SnapshotFile(file)
            try actAsOwner(of: stateDirectory)
            let (manifest, kept) = try snapshot.install(in: stateDirectory, force: force)
            guard console.format == .table else {
                return console.json([
                    "manifest": manifest.json, "kept": kept.map { .string($0) } ?? .null, "hold": .bool(true),
                ])
            }
            let time = UTCTime.text(manifest.created)
            console.line(
                Message(
                    "Restored: the vault of \(time), generation \(manifest.generation).",
                    "Restauré : le coffre du \(time), génération \(manifest.generation)."
                )
            )
            if let kept {
                console.line(Message("The old database: \(kept)", "L'ancienne base : \(kept)"))
            }
            console.line(
                Message(
                    """
                    Next: start coffred and unseal it. It serves nothing (hold mode) until an operator has looked at what the
                    audit log knows and this snapshot does not (coffre operator restore-status) and confirms
                    (coffre operator restore-confirm): then all that was revoked since is revoked again first.
                    """,
                    """
                    Ensuite : démarrez coffred et ouvrez-le. Il ne sert rien (mode retenu) tant qu'un opérateur n'a pas vu ce que
                    le journal d'audit sait et que cet instantané ignore (coffre operator restore-status), puis confirmé
                    (coffre operator restore-confirm) : tout ce qui a été révoqué depuis l'est alors d'abord à nouveau.
                    """
                )
            )
        }

        /// Files of the daemon must belong to its user.
        private func actAsOwner(of folder: String) throws {
            var facts = stat()
            guard geteuid() == 0, stat(folder, &facts) == 0, facts.st_uid != 0 else { return }
            guard setgroups(0, nil) == 0, setgid(facts.st_gid) == 0, setuid(facts.st_uid) == 0 else {
                let reason = String(cString: strerror(errno))
                throw Failure(
                    "cannot act as uid \(facts.st_uid), who owns \(folder): \(reason)",
                    "impossible d'agir comme uid \(facts.st_uid), propriétaire de \(folder) : \(reason)"
                )
            }
        }
    }

    struct Snapshot: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "snapshot",
            abstract: "Look at snapshots.",
            subcommands: [Inspect.self]
        )

        struct Inspect: OfflineCommand {
            static let configuration = CommandConfiguration(
                commandName: "inspect",
                abstract: "Check a snapshot's form and hashes and print its manifest.",
                discussion: """
                    Whether this vault made it is checked when it opens. It is a tar archive: tar tvf FILE works too.

                    EXAMPLES
                      coffre operator snapshot inspect /media/backup/coffre.tar
                    """
            )
            @OptionGroup var options: OfflineOptions
            @Argument(help: "The snapshot.", completion: .file())
            var file: String

            func perform(_ console: Console) throws {
                let manifest = try SnapshotFile(file).check().manifest
                guard console.format == .table else { return console.json(manifest.json) }
                let text = { (message: Message) in message.text(console.language) }
                console.table(
                    [text(Message("Key", "Clé")), text(Message("Value", "Valeur"))],
                    [
                        [text(Message("Hashes", "Empreintes")), console.green(text(Message("valid", "valides")))],
                        [text(Message("Taken", "Pris le")), UTCTime.text(manifest.created)],
                        [text(Message("Vault", "Coffre")), manifest.vault],
                        [text(Message("Generation", "Génération")), String(manifest.generation)],
                        [text(Message("Database", "Base")), "\(manifest.databaseBytes)"],
                        ["SHA-256", manifest.databaseHash],
                        [text(Message("Seal type", "Type de scellé")), escapedForTerminal(manifest.sealType)],
                        [text(Message("Audit log", "Journal")), escapedForTerminal(manifest.logOrigin)],
                        [text(Message("Log records", "Enregistrements")), String(manifest.logSize)],
                        [text(Message("Made by", "Fait par")), "coffred \(escapedForTerminal(manifest.software))"],
                    ]
                )
            }
        }
    }
}
