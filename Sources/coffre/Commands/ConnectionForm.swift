import ArgumentParser
import CoffreCatalogue
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
            guard let connector = Catalogue.shared[type] else { throw Self.unknown(type) }
            let form = try FieldForm(connector).read(fields, context.console, asks: true)
            let members = try [.init("type", .string(type)), .init("fields", form)] + connection.members()
            let client = try context.client()
            let answer = try await client.write(ConnectionCommand.path(name), JSONValue.object(members).encoded())
            context.console.warn(answer.warnings)
            guard context.console.format == .table, let made = answer.data else {
                return context.console.json(answer.data ?? .object([]))
            }
            if let report = made["test"] { ConnectionReport(report).show(context.console) }
            let id = made["id"]?.string ?? ""
            context.console.confirm(Message("\(name): made, id \(id)", "\(name) : créée, id \(id)"))
        }

        private static func unknown(_ type: String) -> Failure {
            let type = escapedForTerminal(type)
            let nearest = Catalogue.shared.nearestID(to: type)
            return Failure(
                "there is no connector \(type)\(nearest.map { "; did you mean \($0)?" } ?? "") (coffre connector list)",
                "aucun connecteur \(type)\(nearest.map { " ; vouliez-vous dire \($0) ?" } ?? "") (coffre connector list)",
                .usage
            )
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

/// The fields of a connection, from arguments and, where some are missing, from the person at the terminal.
struct FieldForm {
    private let connector: Connector

    init(_ connector: Connector) { self.connector = connector }

    /// - Throws: ``Failure`` for a secret in the arguments, or a value that the catalogue refuses.
    func read(_ arguments: [String], _ console: Console, asks: Bool) throws -> JSONValue {
        for argument in arguments {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, connector.field(parts[0])?.isSecret == true else { continue }
            guard parts[1] == "-" || parts[1].hasPrefix("@") else {
                throw Failure(
                    "\(parts[0]) is a secret, and arguments are visible to every process: type \(parts[0])=- or \(parts[0])=@FILE",
                    "\(parts[0]) est un secret, et les arguments sont visibles de tous : tapez \(parts[0])=- ou \(parts[0])=@FICHIER",
                    .usage
                )
            }
        }
        let given = try DataArguments.object(arguments, literals: .ifHarmless, console: console)
        var members = try JSONValue(parsing: given).members ?? []
        if asks, Input.isTerminal { try ask(for: &members, console) }
        let form = JSONValue.object(members)
        try check(form, console)
        return form
    }

    private func ask(for members: inout [JSONValue.Member], _ console: Console) throws {
        for field in connector.fields where field.isRequired {
            guard !members.contains(where: { $0.key == field.name }) else { continue }
            let question = "\(Message(field.label.english, field.label.french).text(console.language)) (\(field.name))"
            let proposal = field.defaultValue.map { $0.string ?? String(decoding: $0.encoded(), as: UTF8.self) }
            let answer = field.isSecret ? try Input.prompt(question) : try Input.ask(question, proposal: proposal)
            members.append(.init(field.name, .string(answer)))
        }
    }

    private func check(_ form: JSONValue, _ console: Console) throws {
        let findings = try form.encoded().withUnsafeBytes { connector.check(try JSONView($0)) }
        let refused = findings.filter { $0.severity == .refuse }
        guard refused.isEmpty else {
            throw Failure(
                refused.map(\.message.english).joined(separator: "; "),
                refused.map(\.message.french).joined(separator: " ; "),
                .usage
            )
        }
        for finding in findings { console.note(Message(finding.message.english, finding.message.french)) }
    }
}
