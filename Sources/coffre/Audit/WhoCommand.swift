import ArgumentParser
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Who: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show whose a pseudonym is; recorded.",
            discussion: """
                The card says it: kind, and uid or name. Once it is erased nobody can say it any more (exit status 4). \
                A card that is wrong is put right with: coffre write sys/audit/subject/SID @file.json, {"card": {...}}

                With --disclose also what a stranger needs to check the card: SHA-256 over the 16 bytes of the salt \
                and the text is the commitment, which a subject.register or subject.update record carries.

                EXAMPLES
                  coffre audit who s-0123456789abcdefghijkl
                  coffre audit who s-0123456789abcdefghijkl --disclose --format json
                  coffre audit who s-0123456789abcdefghijkl --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Show the salt, the card's text and the commitment as well.")
        var disclose = false
        @Argument(help: "The pseudonym.")
        var sid: String

        func perform(_ context: Context) async throws {
            let query = disclose ? [("disclose", "true")] : []
            let answer = try await context.client().send(.get, "sys/audit/subject/\(sid)", query: query).data
            guard context.console.format == .table else { return context.console.json(answer ?? .object([])) }
            context.console.members((disclose ? answer : answer?["card"]) ?? .object([]))
        }
    }
}
