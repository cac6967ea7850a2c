import ArgumentParser
import CoffreAudit
import CoffreWire

extension AuditCommand {
    struct Checkpoint: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the newest signed head of the log, to be kept outside this machine.",
            discussion: """
                Whoever keeps it can show later that nothing it covers was changed or cut off:
                coffre audit verify --checkpoint FILE. The signatures are checked before anything is shown.

                Exit status: 0, 5 when it is not signed by this log, 1 when there is none or it cannot be read, 64 when this \
                is not the folder of a log.

                EXAMPLES
                  coffre audit checkpoint > 2026-03-31.checkpoint
                  coffre audit checkpoint --format json
                """
        )
        @Option(help: "table (the note itself) or json.")
        var format: OutputFormat = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Option(
            name: .customLong("trust"),
            help: "Your own copy of log.vkey. Without it the keys in the folder are believed.",
            completion: .file()
        )
        var keyFile: String?
        @OptionGroup var recording: RecordingOptions
        @Argument(help: AuditCommand.folderHelp, completion: .directory)
        var directory = ""

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            let context = recording.context(console)
            if directory.isEmpty { directory = await context.auditFolder(asksDaemon: !recording.unrecorded) }
            try await context.reporting { try await show(console, context) }
        }

        private func show(_ console: Console, _ context: Context) async throws {
            let keys = try keyFile.map(Input.trustedKeys)
            let recorder = try await LogRecorder(directory, recording, context)
            let head: SignedHead
            do {
                head = try SignedHead.newest(directory: directory, trustedKeys: keys)
            } catch {
                throw Failure(error, Message("no checkpoint", "pas de point de contrôle"))
            }
            try await recorder.record(
                "checkpoint",
                [.init("size", .integer(head.size)), .init("root", .string(head.rootHash))]
            )
            guard format == .table else {
                return console.json(
                    .object([
                        "origin": .string(head.origin), "size": .integer(head.size),
                        "root_hash": .string(head.rootHash), "recorded": .bool(recorder.isRecording),
                        "note": .string(String(decoding: head.note, as: UTF8.self)),
                    ])
                )
            }
            // The note itself, byte for byte: it is meant to be kept in a file.
            console.write(head.note)
        }
    }
}
