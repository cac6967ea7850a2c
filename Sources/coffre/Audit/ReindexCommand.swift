import ArgumentParser
import CoffreAudit
import CoffreWire

extension AuditCommand {
    struct Reindex: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the index of a log anew, or bring it up to date.",
            discussion: """
                The daemon does this by itself. Needed for a copy of a log, or after an index was damaged. What is done \
                stays done when it is interrupted. Records are taken by 4096: the newest are read from the log itself. \
                The index takes about 20 to 40 bytes a record.

                EXAMPLES
                  coffre audit reindex /media/copy/coffre-audit
                  coffre audit reindex --new
                """
        )
        @Flag(name: .customLong("new"), help: "Begin again from the first record.")
        var isNew = false
        @Option(help: "table or json.")
        var format: OutputFormat = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @OptionGroup var recording: RecordingOptions
        @Argument(help: AuditCommand.folderHelp, completion: .directory)
        var directory = ""

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            let context = recording.context(console)
            if directory.isEmpty { directory = await context.auditFolder(asksDaemon: !recording.unrecorded) }
            try await context.reporting {
                let recorder = try await LogRecorder(directory, recording, context)
                let count = try index(console)
                try await recorder.record("reindex", [.init("size", .integer(count))])
                if format == .json {
                    console.json(.object(["indexed": .integer(count), "recorded": .bool(recorder.isRecording)]))
                }
                console.confirm(Message("\(count) records are indexed", "\(count) enregistrements sont indexés"))
                if let excuse = recorder.excuse { console.confirm(excuse) }
            }
        }

        private func index(_ console: Console) throws(Failure) -> UInt64 {
            let meter = ProgressLine(console.language)
            defer { meter.clear() }
            do throws(AuditError) {
                let indexer = LogIndexer(directory: directory)
                if isNew { try indexer.remove() }
                return try indexer.catchUp { number in
                    meter.show(Message("\(number) records indexed", "\(number) enregistrements indexés"))
                    return true
                }
            } catch {
                throw Failure(error, Message("cannot index", "indexation impossible"))
            }
        }
    }
}
