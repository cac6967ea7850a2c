import ArgumentParser
import CoffreAudit
import CoffreWire
import Glibc

extension AuditCommand {
    struct Query: AsyncParsableCommand {
        /// How records are printed.
        enum Format: String, ExpressibleByArgument, CaseIterable, Sendable {
            case table, json, csv
        }

        static let configuration = CommandConfiguration(
            abstract: "Look records up: who did what, when.",
            discussion: """
                The index (index.sqlite in the folder) says where records may stand; each one shown is read from the log, \
                and its hash compared with what the next record says of it. What it counts by operation, outcome and \
                connection is held to the seals; by --actor and --path it could hide records, never invent them: \
                --scan leaves it alone and verifies the whole log on the way. Records that are newer than the index \
                are found without it. Questions to the log of a running daemon are recorded there.

                Times are 2026-03-31 (its first moment, UTC), 2026-03-31T08:00:00+01:00, or 90m, 12h, 7d, 4w ago.
                Exit status: 0, also when nothing matches; 5 when a record does not fit the log.

                EXAMPLES
                  coffre audit query --since 7d --actor payroll.service
                  coffre audit query --operation secret.read --outcome denied --format csv > denied.csv
                  coffre audit query --path 'secret/pay/*' --limit 50 --from 184000
                """
        )
        @OptionGroup var conditions: RecordConditions
        @Option(help: "table, json (one line each, as they stand in the log) or csv.")
        var format: Format = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Option(help: "At most so many records; 0 for all.")
        var limit: Int = 100
        @Option(help: "Only records from this number on: where the page before said that there are more.")
        var from: UInt64 = 0
        @Flag(help: "Do not ask the index; verify the log while it is read.")
        var scan = false
        @OptionGroup var recording: RecordingOptions
        @Argument(help: AuditCommand.folderHelp, completion: .directory)
        var directory = ""

        func validate() throws {
            guard (0...1_000_000_000).contains(limit) else { throw ValidationError("--limit takes 0 to 1000000000") }
        }

        mutating func run() async throws {
            let console = Console(format: .table, language: lang ?? Language.preferred(environmentValue))
            let context = recording.context(console)
            if directory.isEmpty { directory = await context.auditFolder(asksDaemon: !recording.unrecorded) }
            try await context.reporting {
                let recorder = try await LogRecorder(directory, recording, context)
                if let excuse = recorder.excuse, !recording.unrecorded { console.note(excuse) }
                try await recorder.record("query", facts)
                let meter = ProgressLine(console.language)
                do throws(AuditError) {
                    if format == .csv { console.write(CSV.line(RecordSummary.header)) }
                    let next = try scan ? scanned(console, meter) : paged(console, meter)
                    meter.clear()
                    if let next {
                        console.note(Message("there are more: --from \(next)", "il y en a d'autres : --from \(next)"))
                    }
                } catch {
                    meter.clear()
                    throw Failure(error, Message("cannot look records up", "recherche impossible"))
                }
            }
        }

        /// What is asked, for the record of it.
        private var facts: [JSONValue.Member] {
            let times = [conditions.since, conditions.until].map { time in
                time.map { UTCTime.text($0.microseconds / 1_000_000) }
            }
            return [
                ("actor", conditions.actor), ("connector", conditions.connector),
                ("operation", conditions.operation?.rawValue), ("outcome", conditions.outcome?.rawValue),
                ("path", conditions.path), ("since", times[0]), ("until", times[1]),
            ].compactMap { name, value in value.map { .init(name, .string($0)) } }
        }

        private var query: AuditQuery {
            var query = AuditQuery()
            query.since = conditions.since?.microseconds ?? 0
            query.until = conditions.until?.microseconds ?? .max
            query.filter = conditions.filter
            query.from = from
            return query
        }

        /// - Returns: where there is more than the limit.
        private func paged(_ console: Console, _ meter: ProgressLine) throws(AuditError) -> UInt64? {
            var query = query
            var (left, next): (Int, UInt64?) = (limit == 0 ? .max : limit, from)
            var isWarned = false
            while let begin = next, left > 0 {
                query.from = begin
                query.limit = min(left, 1000)
                let page = try query.page(directory: directory, isOver: { false }) { number in
                    meter.show(Message("\(number) records read", "\(number) enregistrements lus"))
                }
                meter.clear()
                for line in page.lines { print(line, console) }
                if !isWarned, warn(page, console) { isWarned = true }
                left -= page.lines.count
                next = page.next
            }
            return next
        }

        /// - Returns: whether there was anything to warn of.
        private func warn(_ page: AuditQuery.Page, _ console: Console) -> Bool {
            if let reason = page.distrust.map(escapedForTerminal) {
                console.note(
                    Message(
                        "warning: the index was not believed, the log itself was read (\(reason)); see coffre audit reindex --new",
                        "avertissement : index écarté, le journal même a été lu (\(reason)) ; voir coffre audit reindex --new"
                    )
                )
            }
            for gap in page.gaps {
                console.note(
                    Message(
                        "note: records \(gap.lowerBound) to \(gap.upperBound - 1) are not there; coffre audit verify tells why",
                        "note : enregistrements \(gap.lowerBound) à \(gap.upperBound - 1) absents ; coffre audit verify dit pourquoi"
                    )
                )
            }
            return page.distrust != nil || !page.gaps.isEmpty
        }

        private func scanned(_ console: Console, _ meter: ProgressLine) throws(AuditError) -> UInt64? {
            var (left, next): (Int, UInt64?) = (limit == 0 ? .max : limit, nil)
            try query.scan(
                directory: directory,
                progress: { number in
                    meter.show(Message("\(number) records verified", "\(number) enregistrements vérifiés"))
                },
                visit: { line in
                    guard left > 0 else {
                        next = (try? JSONValue(parsing: line))?["_s"]?.integer.map { UInt64(clamping: $0) }
                        return false
                    }
                    meter.clear()
                    print(line, console)
                    left -= 1
                    return true
                }
            )
            return next
        }

        private func print(_ line: [UInt8], _ console: Console) {
            guard format != .json else { return console.write(line + [0x0a]) }
            guard let record = try? JSONValue(parsing: line) else { return }
            let cells = RecordSummary.cells(record)
            format == .csv ? console.write(CSV.line(cells)) : console.line(cells.joined(separator: "  "))
        }
    }
}
