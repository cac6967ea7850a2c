import ArgumentParser
import CoffreClient
import CoffreWire

/// What `connection create` and `connection update` share.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "Name for people.")
    var label: String?
    @Option(help: "me, team or organisation: who finds it, and may read by it.")
    var visibility: String?
    @Option(help: "The team of --visibility team.")
    var team: String?
    @Option(help: "NAME=VALUE, for your own order; may be given more than once.")
    var labels: [String] = []
    @Option(help: "Days after which its passwords are changed, 1 to 365.")
    var rotationDays: Int?
    @Flag(help: "Another person has to agree to each use.")
    var approval = false
    @Option(help: "A difference between rights and database that you accept, as a refusal names it.")
    var accept: [String] = []
    @Flag(help: "Store it without trying it.")
    var noVerify = false

    func members() throws -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        if let label { members.append(.init("label", .string(label))) }
        if let visibility { members.append(.init("visibility", .string(visibility))) }
        if let team { members.append(.init("team", .string(team))) }
        if let rotationDays { members.append(.init("rotation_days", .integer(rotationDays))) }
        if approval { members.append(.init("approval", .bool(true))) }
        if !accept.isEmpty { members.append(.init("accept", .strings(accept))) }
        if noVerify { members.append(.init("verify", .bool(false))) }
        if !labels.isEmpty {
            let pairs = labels.map { $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false) }
            guard pairs.allSatisfy({ $0.count == 2 }) else {
                throw Failure("--labels takes NAME=VALUE", "--labels demande NOM=VALEUR", .usage)
            }
            members.append(.init("labels", .object(pairs.map { .init(String($0[0]), .string(String($0[1]))) })))
        }
        return members
    }
}

extension ConnectionCommand {
    struct Create: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a connection: asks for what is missing, tries it, then stores it.",
            discussion: """
                A field is NAME=VALUE, NAME=@FILE or NAME=- for standard input; secrets take the last two only, and are \
                asked for without echo at a terminal.

                EXAMPLES
                  coffre connection create postgresql production host=db.example.dz port=5432 database=prod_db \\
                             username=iafactory_readonly ssl_mode=verify-full password=-
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "Type of the catalogue, such as postgresql.")
        var type: String
        @Argument(help: "Name of the connection, as paths have it.")
        var name: String
        @Argument(help: "Fields: NAME=VALUE, NAME=@FILE or NAME=-.")
        var fields: [String] = []

        func perform(_ context: Context) async throws {
            let given = try DataArguments.object(fields, literals: .ifHarmless, console: context.console)
            let members =
                try [.init("type", .string(type)), .init("fields", JSONValue(parsing: given))]
                + connection.members()
            let client = try context.client()
            let answer = try await client.write(ConnectionCommand.path(name), JSONValue.object(members).encoded())
            try context.console.show(answer)
        }
    }

    struct Update: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a connection; what decides where it connects voids its secrets.",
            discussion: """
                EXAMPLES
                  coffre connection update production --label "Base de production"
                  coffre connection update production host=db2.example.dz password=-
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "Name or id of the connection.")
        var name: String
        @Argument(help: "Fields: NAME=VALUE, NAME=@FILE or NAME=-.")
        var fields: [String] = []

        func perform(_ context: Context) async throws {
            var members = try connection.members()
            if !fields.isEmpty {
                let given = try DataArguments.object(fields, literals: .ifHarmless, console: context.console)
                members.append(.init("fields", try JSONValue(parsing: given)))
            }
            guard !members.isEmpty else {
                throw Failure("nothing to change was given", "aucune modification n’est demandée", .usage)
            }
            let client = try context.client()
            try context.console.show(
                try await client.write(ConnectionCommand.path(name), JSONValue.object(members).encoded())
            )
        }
    }
}
