import ArgumentParser
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Hold: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep records beyond their time, for as long as a hold is in force.",
            discussion: """
                A hold never ends by itself. On its day of review somebody decides whether it is still needed.

                EXAMPLES
                  coffre audit hold set --connector c-7f3a --reason "claim 2026/118" --review 2027-06-30
                  coffre audit hold set --since 2026-03-01 --until 2026-04-01 --reason "inquiry" --review 2027-01-15
                  coffre audit hold list
                  coffre audit hold clear h-0123456789ab
                """,
            subcommands: [Set.self, List.self, Clear.self]
        )
    }
}

extension AuditCommand.Hold {
    /// A hold for programs: the same members whichever command prints it.
    /// - Parameter hold: what the daemon was given or has, `since` and `until`, `connector` or `subject` among it.
    fileprivate static func document(_ id: JSONValue, _ hold: JSONValue) -> JSONValue {
        let scope = ["since", "until", "connector", "subject"].compactMap { name in
            hold[name].map { JSONValue.Member(name, $0) }
        }
        let rest = ["reason", "review", "record"].map { JSONValue.Member($0, hold[$0] ?? .null) }
        return .object([.init("id", id), .init("scope", .object(scope))] + rest)
    }

    struct Set: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a hold in force.",
            discussion: """
                EXAMPLES
                  coffre audit hold set --subject s-0123456789abcdefghijkl --reason "claim 2026/118" --review 2027-06-30
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "First moment that is held: 7d (ago), 2026-01-31 or 2026-01-31T09:00:00Z.")
        var since: TimeArgument?
        @Option(help: "The moment after the last.")
        var until: TimeArgument?
        @Option(help: "Hold the records of this connection.")
        var connector: String?
        @Option(help: "Hold the records in which this pseudonym occurs.")
        var subject: String?
        @Option(help: "Why; stands in the log. At most 400 bytes.")
        var reason: String
        @Option(help: "The day on which somebody looks at it again: 2027-06-30.")
        var review: String

        func validate() throws {
            let isRange = since != nil && until != nil && connector == nil && subject == nil
            let isOther = since == nil && until == nil && (connector == nil) != (subject == nil)
            guard isRange || isOther else {
                throw ValidationError("a hold is of --since and --until, of a --connector or of a --subject")
            }
        }

        func perform(_ context: Context) async throws {
            var members: [JSONValue.Member] = [.init("reason", .string(reason)), .init("review", .string(review))]
            if let since, let until {
                members.append(.init("since", .string(UTCTime.text(since.microseconds / 1_000_000))))
                members.append(.init("until", .string(UTCTime.text(until.microseconds / 1_000_000))))
            }
            if let connector { members.append(.init("connector", .string(connector))) }
            if let subject { members.append(.init("subject", .string(subject))) }
            let answer = try await context.client().write("sys/audit/holds", JSONValue.object(members).encoded())
            context.console.warn(answer.warnings)
            let made = answer.data ?? .object([])
            guard context.console.format == .json else { return context.console.members(made) }
            let hold = JSONValue.object(members + [.init("record", made["record"] ?? .null)])
            context.console.json(AuditCommand.Hold.document(made["id"] ?? .null, hold))
        }
    }

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the holds in force.",
            discussion: """
                EXAMPLES
                  coffre audit hold list --format json
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            let holds = try await context.client().read("sys/audit/holds").data?["key_info"] ?? .object([])
            guard console.format == .table else {
                let documents = (holds.members ?? []).map { AuditCommand.Hold.document(.string($0.key), $0.value) }
                return console.json(.array(documents))
            }
            let titles = [
                Message("Hold", "Gel"), Message("Of", "Objet"), Message("Review", "Revue"),
                Message("Reason", "Motif"),
            ]
            let rows = (holds.members ?? []).map { member in
                let hold = member.value
                let scope = hold["connector"] ?? hold["subject"]
                let range = "\(Console.cell(hold["since"] ?? .null)) – \(Console.cell(hold["until"] ?? .null))"
                let rest = ["review", "reason"].map { Console.cell(hold[$0] ?? .null) }
                return [escapedForTerminal(member.key), scope.map(Console.cell) ?? range] + rest
            }
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }

    struct Clear: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a hold: what is too old goes at the next pruning.",
            discussion: """
                EXAMPLES
                  coffre audit hold clear h-0123456789ab
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Id of the hold.")
        var id: String

        func perform(_ context: Context) async throws {
            _ = try await context.client().delete("sys/audit/holds/\(id)")
            context.console.confirm(Message("\(id): ended", "\(id) : levée"))
        }
    }
}
