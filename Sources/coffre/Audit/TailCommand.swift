import ArgumentParser
import CoffreWire
import Glibc

extension AuditCommand {
    struct Tail: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the newest records.",
            discussion: """
                Reads the segments that are not compressed yet. Nothing is verified: that is audit verify.

                EXAMPLES
                  coffre audit tail -n 50
                  coffre audit tail -f --format json /var/lib/coffre-audit | jq -c .what
                """
        )
        @Option(help: "table or json (the lines as they stand in the log).")
        var format: OutputFormat = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Option(name: [.customShort("n"), .long], help: "Number of records.")
        var lines: Int = 10
        @Flag(name: .shortAndLong, help: "Go on with records as they are appended.")
        var follow = false
        @Argument(help: "Audit folder.", completion: .directory)
        var directory: String = AuditCommand.defaultDirectory

        func validate() throws {
            guard (0...1_000_000).contains(lines) else { throw ValidationError("-n takes 0 to 1000000") }
        }

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            do {
                try await tail(SegmentFolder(root: directory), console)
            } catch let failure as Failure {
                console.note(failure.message)
                throw ExitCode(failure.status.rawValue)
            }
        }

        private func tail(_ folder: SegmentFolder, _ console: Console) async throws {
            let listing = try folder.list()
            let newest = listing.segments.last
            var reader = try newest.map(open)
            var shown = reader?.last(lines) ?? []
            for segment in listing.segments.dropLast().reversed() where shown.count < lines {
                shown = try open(segment).last(lines - shown.count) + shown
            }
            if shown.count < lines && listing.hasCompressed {
                console.note(
                    Message(
                        "note: older segments are compressed (zstdcat reads them)",
                        "note : les segments plus anciens sont compressés (zstdcat les lit)"
                    )
                )
            }
            for line in shown { print(line, console) }
            var current = newest
            while follow {
                let newer = try folder.list().segments.first { segment in
                    current.map { $0.utf8.lexicographicallyPrecedes(segment.utf8) } ?? true
                }
                // The old segment is read to its end after the new one exists: nothing is appended to it any more.
                for line in reader?.appended() ?? [] { print(line, console) }
                if let newer {
                    current = newer
                    reader = try open(newer)
                } else {
                    try await Task.sleep(for: .milliseconds(300))
                }
            }
        }

        private func open(_ segment: String) throws -> SegmentReader {
            guard let reader = SegmentReader(segment) else { throw unreadable(segment) }
            return reader
        }

        private func unreadable(_ segment: String) -> Failure {
            Failure("cannot read \(segment)", "lecture impossible de \(segment)")
        }

        private func print(_ line: [UInt8], _ console: Console) {
            guard console.format == .table else { return console.write(line + [0x0a]) }
            guard let record = try? JSONValue(parsing: line) else {
                return console.line(escapedForTerminal(String(decoding: line, as: UTF8.self)))
            }
            console.line(RecordSummary.cells(record).joined(separator: "  "))
        }
    }
}
