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
                and its hash compared with what the next record says of it. An index can hide records, never invent \
                them: --scan leaves it alone and verifies the whole log on the way. Records that are newer than the \
                index are found without it.

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
        @Argument(help: "Audit folder.", completion: .directory)
        var directory: String = AuditCommand.defaultDirectory

        func validate() throws {
            guard (0...1_000_000_000).contains(limit) else { throw ValidationError("--limit takes 0 to 1000000000") }
        }

        mutating func run() async throws {
            let language = lang ?? Language.preferred(environmentValue)
            let console = Console(format: .table, language: language)
            let meter = ProgressLine(language)
            do throws(AuditError) {
                try show(console, meter)
            } catch {
                meter.clear()
                let reason = escapedForTerminal(error.message)
                console.note(Message("cannot look records up: \(reason)", "recherche impossible : \(reason)"))
                if case .damaged = error { throw ExitCode(ExitStatus.auditFailed.rawValue) }
                throw ExitCode(ExitStatus.error.rawValue)
            }
        }

        private func show(_ console: Console, _ meter: ProgressLine) throws(AuditError) {
            var query = AuditQuery()
            query.since = conditions.since?.microseconds ?? 0
            query.until = conditions.until?.microseconds ?? .max
            query.filter = conditions.filter
            query.isScan = scan
            if format == .csv { console.write(CSV.line(RecordSummary.header.map(\.english))) }
            var (left, next): (Int, UInt64?) = (limit == 0 ? .max : limit, from)
            while let begin = next, left > 0 {
                query.from = begin
                query.limit = min(left, 1000)
                let page = try query.page(directory: directory, isOver: { false }) { number in
                    meter.show(Message("\(number) records read", "\(number) enregistrements lus"))
                }
                meter.clear()
                for line in page.lines { print(line, console) }
                left -= page.lines.count
                next = page.next
            }
            if let next {
                console.note(Message("there are more: --from \(next)", "il y en a d'autres : --from \(next)"))
            }
        }

        private func print(_ line: [UInt8], _ console: Console) {
            guard format != .json else { return console.write(line + [0x0a]) }
            guard let record = try? JSONValue(parsing: line) else { return }
            let cells = RecordSummary.cells(record)
            format == .csv ? console.write(CSV.line(cells)) : console.line(cells.joined(separator: "  "))
        }
    }

    struct Reindex: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the index of a log anew, or bring it up to date.",
            discussion: """
                The daemon does this by itself. Needed for a copy of a log, or after an index was damaged. What is done \
                stays done when it is interrupted.

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
        @Argument(help: "Audit folder.", completion: .directory)
        var directory: String = AuditCommand.defaultDirectory

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            let meter = ProgressLine(console.language)
            do throws(AuditError) {
                let indexer = LogIndexer(directory: directory)
                if isNew { try indexer.remove() }
                let count = try indexer.catchUp { number in
                    meter.show(Message("\(number) records indexed", "\(number) enregistrements indexés"))
                    return true
                }
                meter.clear()
                if format == .json { console.json(["indexed": .integer(count)]) }
                console.confirm(Message("\(count) records are indexed", "\(count) enregistrements sont indexés"))
            } catch {
                meter.clear()
                let reason = escapedForTerminal(error.message)
                console.note(Message("cannot index: \(reason)", "indexation impossible : \(reason)"))
                if case .damaged = error { throw ExitCode(ExitStatus.auditFailed.rawValue) }
                throw ExitCode(ExitStatus.error.rawValue)
            }
        }
    }
}
