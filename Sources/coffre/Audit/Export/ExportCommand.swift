import ArgumentParser
import CoffreAudit
import CoffreClient
import CoffreWire
import Glibc

extension AuditCommand {
    struct Export: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a proof bundle: records of a time, and what proves them to a stranger.",
            discussion: """
                The bundle is a tar archive. Whoever gets it checks it with verify.py, which lies in it, with Python \
                and the openssl command, against the log's public keys (log.vkey) that you gave him before, on paper \
                or with the contract. What a filter hides stands in it as a hash, so that no record can be left out.

                Times are 2026-03-31 (its first moment, UTC), 2026-03-31T08:00:00+01:00, or 90m, 12h, 7d, 4w ago. \
                The export is recorded in the log before the file gets its name.

                EXAMPLES
                  coffre audit export --since 2026-01-01 --until 2026-04-01 --purpose "audit 2026-T1" --out t1.tar
                  coffre audit export --since 7d --connector c_01h --previous march.checkpoint --out week.tar
                  python3 verify.py --key log.vkey week.tar
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var conditions: RecordConditions
        @Option(
            help: "A checkpoint that the reader has kept: prove that the log continues it.",
            completion: .file()
        )
        var previous: String?
        @Option(
            name: .customLong("trust"),
            help: "Your own copy of log.vkey. Without it the keys in the folder are believed.",
            completion: .file()
        )
        var keyFile: String?
        @Option(help: "Why it is exported; stands in the log and in the bundle. At most 500 bytes.")
        var purpose: String = ""
        @Option(help: "The bundle to write.", completion: .file())
        var out: String
        @Flag(help: "Replace the file if it exists.")
        var force = false
        @Flag(help: "Export although no daemon can record it: from a copy of the log. The bundle says so.")
        var unrecorded = false
        @Argument(help: AuditCommand.folderHelp, completion: .directory)
        var directory = ""

        func validate() throws {
            guard purpose.utf8.count <= 500 else { throw ValidationError("--purpose takes at most 500 bytes") }
        }

        func perform(_ context: Context) async throws {
            guard out != "-" else {
                throw Failure(
                    "--out takes a file: a bundle goes out under its name once the log has recorded it",
                    "--out demande un fichier : le lot reçoit son nom une fois l'export consigné au journal",
                    .usage
                )
            }
            let now = Int64(time(nil))
            let directory = directory.isEmpty ? await context.auditFolder(asksDaemon: !unrecorded) : directory
            try LogPlace(path: directory).require(directory)
            let keys = try keyFile.map(Input.trustedKeys)
            var request = LogExtract.Request(
                since: conditions.since?.microseconds ?? 0,
                until: conditions.until?.microseconds ?? (now + 1) * 1_000_000
            )
            request.filter = conditions.filter
            request.previous = try previous.map { try Input.file($0, for: "--previous") }
            request.trustedKeys = keys
            guard !unrecorded || !SegmentFolder(root: directory).isBeingWritten else {
                throw Failure(
                    "a daemon writes this log: it must record the export, or export a copy of the folder",
                    "un démon écrit ce journal : il doit consigner l'export, ou exportez une copie du dossier",
                    .denied
                )
            }
            let client = unrecorded ? nil : try context.client()
            let partial = try PartialFile(out, overwrites: force)
            do {
                let bundle = BundleWriter(request, purpose: purpose, isRecorded: !unrecorded, time: now)
                let written = try bundle.write(directory, to: partial, ProgressLine(context.console.language))
                if let client { try await record(written, with: client) }
                try partial.commit()
                warn(written, now: now, context.console)
                show(written, context.console)
            } catch {
                partial.discard()
                throw error
            }
        }

        private func record(_ bundle: BundleWriter.Written, with client: CoffreClient) async throws {
            let body = JSONValue.object([
                "first": .integer(bundle.range.lowerBound), "end": .integer(bundle.range.upperBound),
                "shown": .integer(bundle.shown), "size": .integer(bundle.size), "sums": .string(bundle.sums),
                "purpose": .string(purpose),
            ])
            do {
                _ = try await client.write("sys/audit/export", body.encoded())
            } catch {
                guard error.code == .unreachable || error.code == .sealed else { throw error }
                let reason = escapedForTerminal(error.detail)
                throw Failure(
                    "nobody can record the export (\(reason)); for a copy of the log: --unrecorded",
                    "personne ne peut consigner l'export (\(reason)) ; pour une copie du journal : --unrecorded",
                    .unavailable
                )
            }
        }

        /// Says so when the bundle ends before the time that was asked for. Without `--until` that is now, and what was
        /// written in the last minute may well wait for its signature.
        private func warn(_ bundle: BundleWriter.Written, now: Int64, _ console: Console) {
            let isShort =
                conditions.until == nil
                ? bundle.unsignedSince.map { $0 < (now - 60) * 1_000_000 } ?? false
                : bundle.endsAtHead || bundle.unsigned > 0
            guard isShort else { return }
            let reason: Message
            if bundle.unsigned > 0 {
                let count = bundle.unsigned
                reason = Message(
                    "the newest signed head covers no more; \(count) later records of that time are not signed yet, try again",
                    "le dernier point de contrôle signé s'arrête là ; \(count) enregistrements suivants de cette période ne "
                        + "sont pas encore signés, réessayez"
                )
            } else if let until = conditions.until, until.microseconds > now * 1_000_000 {
                reason = Message("--until is still to come", "--until est encore à venir")
            } else {
                reason = Message(
                    "the newest signed head covers no more, and the log holds nothing later",
                    "le dernier point de contrôle signé s'arrête là, et le journal ne contient rien de plus récent"
                )
            }
            let (last, time) = (bundle.range.upperBound - 1, escapedForTerminal(bundle.lastTime))
            console.note(
                Message(
                    "note: the bundle ends earlier than asked, with record \(last) of \(time): \(reason.english)",
                    "note : le lot s'arrête plus tôt que demandé, à l'enregistrement \(last) du \(time) : \(reason.french)"
                )
            )
        }

        private func show(_ bundle: BundleWriter.Written, _ console: Console) {
            if console.format == .json {
                console.json(
                    .object([
                        "file": .string(out), "first": .integer(bundle.range.lowerBound),
                        "end": .integer(bundle.range.upperBound), "shown": .integer(bundle.shown),
                        "checkpoint_size": .integer(bundle.size), "sums_sha256": .string(bundle.sums),
                        "recorded": .bool(!unrecorded),
                    ])
                )
            }
            let last = bundle.range.upperBound - 1
            console.confirm(
                Message(
                    "\(out): records \(bundle.range.lowerBound) to \(last) of \(bundle.size), \(bundle.shown) shown",
                    """
                    \(out) : enregistrements \(bundle.range.lowerBound) à \(last) sur \(bundle.size), \
                    \(bundle.shown) montrés
                    """
                )
            )
            console.confirm(
                Message(
                    "check it: tar xf \(out) && python3 coffre-audit/verify.py --key YOUR-log.vkey \(out)",
                    "vérifiez-le : tar xf \(out) && python3 coffre-audit/verify.py --key VOTRE-log.vkey \(out)"
                )
            )
        }
    }
}
