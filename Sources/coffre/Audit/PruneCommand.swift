import ArgumentParser
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Prune: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete records that are older than the retention, or say which would be.",
            discussion: """
                The daemon does this by itself every ten minutes. Whole segments go, each under a prune record; what stays \
                proves that they were there. A segment is old enough when the wall clock and the time that the log \
                itself has counted both say so; an officer who knows the clock to be right says so with --approve.

                EXAMPLES
                  coffre audit prune --dry-run
                  coffre audit prune
                  coffre audit prune --approve "clock checked against the DPO's watch, ticket 4711"
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Only say what would be deleted.")
        var dryRun = false
        @Option(help: "Vouch for the wall clock, and say why; stands in the log. At most 500 bytes.")
        var approve: String?

        func validate() throws {
            if let approve, approve.isEmpty || approve.utf8.count > 500 {
                throw ValidationError("--approve takes a reason of 1 to 500 bytes")
            }
        }

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let meter = ProgressLine(context.console.language)
            var pruned: [JSONValue] = []
            var last: JSONValue?
            repeat {
                let body = approve.map { JSONValue.object([.init("approve", .string($0))]).encoded() }
                let answer =
                    dryRun ? try await client.read("sys/audit/prune") : try await client.write("sys/audit/prune", body)
                last = answer.data
                pruned += last?["pruned"]?.array ?? []
                let count = pruned.count
                meter.show(Message("\(count) segments deleted", "\(count) segments supprimés"))
            } while !dryRun && last?["more"] == .bool(true)
            meter.clear()
            show(pruned, last, context.console)
        }

        private func show(_ pruned: [JSONValue], _ last: JSONValue?, _ console: Console) {
            let held = last?["held"]?.array ?? []
            let next = last?["next"] ?? .null
            let missing = last?["missing_seconds"] ?? .integer(0)
            guard console.format == .table else {
                return console.json(
                    .object([
                        .init("dry_run", .bool(dryRun)), .init("pruned", .array(pruned)), .init("held", .array(held)),
                        .init("next", next), .init("missing_seconds", missing),
                    ])
                )
            }
            let column = { (segment: JSONValue?, name: String) in segment?[name].map(Console.cell) ?? "-" }
            let header = [Message("First", "Premier"), Message("Last", "Dernier"), Message("Until", "Jusqu'au")]
            let rows = pruned.map { [column($0, "first"), column($0, "last"), column($0, "until")] }
            if !rows.isEmpty { console.table(header.map { $0.text(console.language) }, rows) }
            for entry in held {
                let (first, last) = (column(entry["segment"], "first"), column(entry["segment"], "last"))
                let holds = column(entry, "holds")
                console.line(
                    Message(
                        "records \(first) to \(last) are old enough and held by \(holds)",
                        "les enregistrements \(first) à \(last) sont assez anciens et retenus par \(holds)"
                    )
                )
            }
            let count = pruned.count
            console.line(
                dryRun
                    ? Message("\(count) segments would be deleted", "\(count) segments seraient supprimés")
                    : Message("\(count) segments deleted", "\(count) segments supprimés")
            )
            if case .number(let text) = missing, let seconds = UInt64(text), seconds > 0 {
                let days = (seconds + 86_399) / 86_400
                console.line(
                    Message(
                        "the log itself has counted \(days) days less than the wall clock says: see --approve",
                        "le journal lui-même a compté \(days) jours de moins que l'horloge : voir --approve"
                    )
                )
            }
        }
    }
}
