import ArgumentParser
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Erase: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Erase the card that says whose a pseudonym is, for ever.",
            discussion: """
                The records stay and still prove themselves; nobody can say any more whose they are. A backup of the \
                card must be gone within 30 days; one that comes back is dropped and recorded. Somebody whose card \
                was erased gets another pseudonym when seen again.

                The reason is request (the person asked for it), error, excessive or order. No name may stand in the \
                log, so there is no other; --ticket says where the rest is written.

                EXAMPLES
                  coffre audit erase s-0123456789abcdefghijkl --reason request --ticket DPO-118
                  coffre audit erase s-0123456789abcdefghijkl --reason order --yes --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "request, error, excessive or order.")
        var reason: String
        @Option(help: "Where it is written down; stands in the log. Digits, letters and - _ . / #, at most 64.")
        var ticket: String?
        @Flag(help: "Do not ask.")
        var yes = false
        @Argument(help: "The pseudonym.")
        var sid: String

        func validate() throws {
            guard ["request", "error", "excessive", "order"].contains(reason) else {
                throw ValidationError("--reason is request, error, excessive or order")
            }
        }

        func perform(_ context: Context) async throws {
            let console = context.console
            if !yes { try confirm(console) }
            var members: [JSONValue.Member] = [.init("subject", .string(sid)), .init("reason", .string(reason))]
            if let ticket { members.append(.init("ticket", .string(ticket))) }
            let client = try context.client()
            let answer = try await client.write("sys/audit/erase", JSONValue.object(members).encoded())
            guard console.format == .table else { return console.json(answer.data ?? .object([])) }
            let record = Console.cell(answer.data?["record"] ?? .null)
            let name = escapedForTerminal(sid)
            console.line(
                Message(
                    "\(name): erased, see record \(record)",
                    "\(name) : effacé, voir l'enregistrement \(record)"
                )
            )
        }

        private func confirm(_ console: Console) throws {
            guard Input.isTerminal else {
                throw Failure(
                    "nobody can be asked here whether \(sid) shall be erased: --yes",
                    "personne à qui demander si \(sid) doit être effacé : --yes",
                    .usage
                )
            }
            let question = Message(
                "This cannot be undone. Type the pseudonym again to erase its card",
                "Ceci est irréversible. Retapez le pseudonyme pour effacer sa fiche"
            )
            guard Input.asks(question.text(console.language), for: sid) else {
                throw Failure("nothing was erased", "rien n'a été effacé")
            }
        }
    }
}
