import ArgumentParser
import CoffreInsight
import Glibc

struct AnomalyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "anomaly",
        abstract: "See who behaves unlike itself, say what became of it, or read a stream of audit events.",
        discussion: """
            EXAMPLES
              coffre anomaly list
              coffre anomaly explain 48213
              coffre anomaly ack 48213 --reason "asked Karim"
              zcat events.jsonl.gz | coffre anomaly replay - | jq -r .reason_en
            """,
        subcommands: [
            List.self, Show.self, Explain.self, Acknowledge.self, Close.self, Mute.self, Status.self, Replay.self,
        ]
    )
}

extension AnomalyCommand {
    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a stream of events and print what is unlike the habit, as JSON Lines.",
            discussion: """
                Each line of FILE is an event: {"time","seq","actor":{"kind","id","uid","unit","teams"},"operation",
                "connector","path","outcome","token_accessor","client_pid"}. Each line of the output is a finding: {"actor",
                "kind","reason","reason_en","records","score","severity","time"}. The stream is read once, in order; nothing
                later changes what was said before.

                --context names what is known beforehand: {"timezone" or "utc_offset","weekend","actors","secrets","teams"}.

                A line that is no event is left out and named on standard error; the exit status is 1 then.

                With --csv, FILE is a series: a header "timestamp,value" and rows such as "2026-01-07 08:12:03,14.5" (UTC, or
                RFC 3339). Each row comes back with a third column, anomaly_score, from 0 (as ever) to 1. Nothing is told of
                the first 100 rows.

                EXAMPLES
                  coffre anomaly replay events.jsonl --context context.json > findings.jsonl
                  coffre anomaly replay events.jsonl --state detector.state   # go on where the last run stopped
                  tail -f -n +1 requests.csv | coffre anomaly replay --csv - | awk -F, '$3 > 0.4'
                """
        )
        @Option(help: "File with what is known of identities, secrets and teams (JSON).", completion: .file())
        var context: String?
        @Option(
            help: "File that keeps what was learnt: read when it is there, written at the end.",
            completion: .file()
        )
        var state: String?
        @Flag(help: "Score the numbers of a series (CSV) instead of events.")
        var csv = false
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Argument(help: "File of events, one JSON object a line; - for standard input.", completion: .file())
        var file: String

        func validate() throws {
            guard !csv || context == nil && state == nil else {
                throw ValidationError("--csv takes neither --context nor --state")
            }
        }

        mutating func run() async throws {
            let console = Console(format: .json, language: lang ?? Language.preferred(environmentValue))
            do {
                if csv {
                    var series = SeriesReplay(console)
                    guard try series.run(file) else { throw ExitCode(ExitStatus.error.rawValue) }
                    return
                }
                let known = try context.map { try AnomalyContext.read($0) } ?? InsightContext()
                guard try replay(known, console) else { throw ExitCode(ExitStatus.error.rawValue) }
            } catch let failure as Failure {
                console.note(failure.message)
                throw ExitCode(failure.status.rawValue)
            }
        }

        /// - Returns: whether every line was an event.
        private func replay(_ known: InsightContext, _ console: Console) throws -> Bool {
            let detector = try detector(known)
            let reader = try LineReader(file)
            let progress = ProgressLine(console.language)
            var (number, bad, found) = (UInt64(0), UInt64(0), 0)
            var output: [UInt8] = []
            var due = detector.nextSequence
            try reader.forEach(
                { line in
                    number += 1
                    if number.isMultiple(of: 65_536) {
                        let (number, found) = (number, found)
                        progress.show(
                            Message(
                                "\(number) events, \(found) findings",
                                "\(number) événements, \(found) signalements"
                            )
                        )
                    }
                    guard !line.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) else { return }
                    guard let event = InsightLine.parse(line) else {
                        bad += 1
                        if bad <= 10 {
                            progress.clear()
                            console.note(
                                Message("line \(number) is no event", "la ligne \(number) n’est pas un événement")
                            )
                        }
                        return
                    }
                    if let known = due, event.sequence < known {
                        console.note(
                            Message(
                                "the first event, \(event.sequence), was read before: --state goes on after \(known - 1)",
                                "le premier événement, \(event.sequence), a déjà été lu : --state continue après \(known - 1)"
                            )
                        )
                    }
                    due = nil
                    for finding in detector.consume(event) {
                        found += 1
                        output += finding.line + [0x0a]
                    }
                },
                afterRead: {
                    // Who reads a pipe hears of it at once.
                    guard !output.isEmpty else { return }
                    console.write(output)
                    output.removeAll(keepingCapacity: true)
                }
            )
            progress.clear()
            console.write(output)
            if bad > 0 {
                console.note(
                    Message(
                        "\(bad) of \(number) lines are no events",
                        "\(bad) lignes sur \(number) ne sont pas des événements"
                    )
                )
            }
            if let state {
                let saved = try PartialFile(state, overwrites: true)
                try detector.saved().withUnsafeBytes { try saved.write($0) }
                try saved.commit()
            }
            return bad == 0
        }

        private func detector(_ known: InsightContext) throws -> Detector {
            guard let state, access(state, F_OK) == 0 else {
                // Fixed: the same stream says the same on every day. Who chooses names that collide fools a replay at most.
                return Detector(context: known, key0: 0x636f_6666_7265_2d72, key1: 0x6570_6c61_792d_6b65)
            }
            let bytes = try Input.file(state, for: "--state")
            do throws(ArchiveError) {
                return try Detector(restoring: bytes, context: known)
            } catch {
                throw Failure(
                    "\(state): \(error.message): move it away to begin anew",
                    "\(state) : état illisible (\(error.message)) : déplacez-le pour recommencer"
                )
            }
        }
    }
}
