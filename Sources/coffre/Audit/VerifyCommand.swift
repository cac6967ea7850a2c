import ArgumentParser
import CoffreAudit
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Verify a log, or a copy of one, from its files alone.",
            discussion: """
                A verification of the log of a running daemon is recorded there, with its result and root.

                Exit status: 0 when everything fits together, 5 when something does not, 1 when the folder cannot be read, \
                64 when it is not the folder of a log, or the keys are not those of a log: that is no verification.

                EXAMPLES
                  coffre audit verify
                  coffre audit verify --format json /media/copy/coffre-audit
                  coffre audit verify --checkpoint kept-in-march.txt --trust log.vkey
                """
        )
        @Option(help: "table or json.")
        var format: OutputFormat = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Option(
            name: .customLong("checkpoint"),
            help: "A checkpoint that you kept: the log must still hold everything it covers.",
            completion: .file()
        )
        var checkpointFile: String?
        @Option(
            name: .customLong("trust"),
            help: "Your own copy of log.vkey. Without it the keys in the folder are believed.",
            completion: .file()
        )
        var keyFile: String?
        @Option(help: "Segments that are verified at the same time. Default: as many as there are processors.")
        var jobs: Int = LogVerifier.allJobs
        @OptionGroup var recording: RecordingOptions
        @Argument(help: AuditCommand.folderHelp, completion: .directory)
        var directory = ""

        func validate() throws {
            guard (1...64).contains(jobs) else { throw ValidationError("--jobs takes 1 to 64") }
        }

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            let context = recording.context(console)
            if directory.isEmpty { directory = await context.auditFolder(asksDaemon: !recording.unrecorded) }
            try await context.reporting { try await verify(console, context) }
        }

        private func verify(_ console: Console, _ context: Context) async throws {
            let meter = ProgressLine(console.language)
            let keys = try keyFile.map(Input.trustedKeys)
            let recorder = try await LogRecorder(directory, recording, context, mayBeRefused: true)
            let checkpoint = try checkpointFile.map { try Input.file($0, for: "--checkpoint") }
            let report: VerificationReport
            do {
                let verifier = LogVerifier(
                    directory: directory,
                    trustedKeys: keys,
                    checkpoint: checkpoint,
                    jobs: jobs
                )
                report = try verifier.verify { progress in
                    let count = progress.records
                    meter.show(Message("\(count) records verified", "\(count) enregistrements vérifiés"))
                }
                meter.clear()
            } catch {
                meter.clear()
                let folder = escapedForTerminal(directory)
                throw Failure(error, Message("cannot verify \(folder)", "vérification impossible de \(folder)"))
            }
            let finding = report.findings.first.map { String("\($0.file): \($0.reason)".prefix(160)) } ?? ""
            var excuse = recorder.excuse
            do {
                try await recorder.record(
                    "verify",
                    [
                        .init("valid", .bool(report.isValid)), .init("size", .integer(report.records)),
                        .init("root", .string(report.rootHash)), .init("finding", .string(finding)),
                    ]
                )
            } catch let error as ClientError where error.code == .denied {
                excuse = LogRecorder.refused
            } catch {
                // What was found is worth more than the record of it.
                console.show(report, of: directory, excuse: Message("not recorded", "non consigné"))
                throw error
            }
            console.show(report, of: directory, excuse: excuse)
            if !report.isValid { throw ExitCode(ExitStatus.auditFailed.rawValue) }
        }
    }
}

extension Console {
    /// - Parameter excuse: why it is not recorded; nil when it is.
    fileprivate func show(_ report: VerificationReport, of directory: String, excuse: Message?) {
        guard format == .table else { return json(report.json(isRecorded: excuse == nil)) }
        let text = { (message: Message) in message.text(language) }
        let result =
            report.isValid
            ? green(text(Message("valid", "valide"))) : red(text(Message("NOT VALID", "NON VALIDE")))
        table(
            [text(Message("Key", "Clé")), text(Message("Value", "Valeur"))],
            [
                [text(Message("Result", "Résultat")), result],
                [text(Message("Log", "Journal")), escapedForTerminal(report.origin)],
                [text(Message("Folder", "Dossier")), escapedForTerminal(directory)],
                [text(Message("Records", "Enregistrements")), String(report.records)],
                [text(Message("Segments", "Segments")), String(report.segments)],
                [text(Message("Pruned records", "Enregistrements purgés")), String(report.prunedRecords)],
                [text(Message("Epochs", "Époques")), String(report.epochs)],
                [text(Message("Open segment", "Segment ouvert")), yes((report.openSegment != nil))],
                [
                    text(Message("Checkpoint covers", "Couverts par le point de contrôle")),
                    report.checkpointSize.map { String($0) } ?? text(Message("none yet", "aucun")),
                ],
                [text(Message("First record", "Premier")), escapedForTerminal(report.firstTime)],
                [text(Message("Last record", "Dernier")), escapedForTerminal(report.lastTime)],
                [text(Message("Root hash", "Empreinte racine")), escapedForTerminal(report.rootHash)],
                [text(Message("Recorded", "Consigné")), excuse.map(text) ?? yes(true)],
            ]
        )
        for finding in report.findings {
            let record = finding.record.map { text(Message(", record \($0)", ", enregistrement \($0)")) } ?? ""
            line("\(red("!")) \(escapedForTerminal(finding.file))\(record): \(escapedForTerminal(finding.reason))")
        }
        if (report.openSegment != nil) && report.isValid {
            line(
                Message(
                    "The last segment is open: its records are chained and not sealed yet.",
                    "Le dernier segment est ouvert : ses enregistrements sont chaînés, pas encore scellés."
                )
            )
        }
    }
}

extension VerificationReport {
    fileprivate func json(isRecorded: Bool) -> JSONValue {
        .object([
            "valid": .bool(isValid), "origin": .string(origin), "records": .integer(records),
            "segments": .integer(segments), "epochs": .integer(epochs), "pruned_segments": .integer(prunedSegments),
            "pruned_records": .integer(prunedRecords),
            "open_segment": .bool(openSegment != nil), "first_time": .string(firstTime),
            "last_time": .string(lastTime), "root_hash": .string(rootHash),
            "checkpoint_size": checkpointSize.map { .integer($0) } ?? .null, "recorded": .bool(isRecorded),
            "findings": .array(
                findings.map {
                    .object([
                        "file": .string($0.file), "record": $0.record.map { .integer($0) } ?? .null,
                        "reason": .string($0.reason),
                    ])
                }
            ),
        ])
    }
}
