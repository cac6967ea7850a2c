import ArgumentParser
import CoffreClient
import CoffreWire

struct ReadCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "read",
        abstract: "Read a path; on a dynamic engine this issues a credential under a lease.",
        discussion: """
            EXAMPLES
              coffre read database/creds/reports
              coffre read --field key sys/key-status
            """
    )
    @OptionGroup var options: CommonOptions
    @Option(help: "Print one field alone, as it is.")
    var field: String?
    @Argument(help: "Path, as in database/creds/reports.")
    var path: String

    func perform(_ context: Context) async throws {
        try context.console.show(try await context.client().read(path), field: field)
    }
}

struct WriteCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "write",
        abstract: "Write configuration or call an operation.",
        discussion: """
            NAME=TEXT is for what may be seen by everybody; names such as password or token, and URLs with a password \
            in them, are refused there and taken from NAME=- or NAME=@FILE.

            EXAMPLES
              coffre write auth/peer/role/payroll bound_units=payroll.service policies=payroll ttl=1h
              coffre write database/config/erp plugin_name=postgresql-database-plugin username=vault password=-
              coffre write connectors/connections/crm @crm.json
              coffre write --force sys/rotate
            """
    )
    @OptionGroup var options: CommonOptions
    @Option(help: "Print one field of the answer alone, as it is.")
    var field: String?
    @Flag(name: [.short, .long], help: "Send nothing but the request itself.")
    var force = false
    @Flag(help: "Accept any value in the arguments, where every process sees it.")
    var insecureArgv = false
    @Argument(help: "Path to write.")
    var path: String
    @Argument(help: "NAME=TEXT, NAME=-, NAME=@FILE; or one @FILE or - with a whole JSON object.")
    var data: [String] = []

    func validate() throws {
        if data.isEmpty && !force { throw ValidationError("give data, or --force to send none") }
        if !data.isEmpty && force { throw ValidationError("--force sends no data") }
    }

    func perform(_ context: Context) async throws {
        let body =
            force
            ? nil
            : try DataArguments.object(
                data,
                literals: insecureArgv ? .accepted : .ifHarmless,
                console: context.console
            )
        let answer = try await context.client().write(path, body)
        try context.console.show(answer, field: field)
        if answer.json == nil { context.console.confirm(Message("Written: \(path)", "Écrit : \(path)")) }
    }
}

struct ListCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the names below a path.",
        discussion: """
            EXAMPLES
              coffre list database/roles
            """
    )
    @OptionGroup var options: CommonOptions
    @Argument(help: "Path to list.")
    var path: String

    func perform(_ context: Context) async throws {
        let answer = try await context.client().list(path)
        context.console.warn(answer.warnings)
        context.console.show(names: try CoffreClient.keys(of: answer))
    }
}

struct DeleteCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete a path.",
        discussion: """
            EXAMPLES
              coffre delete database/roles/reports
            """
    )
    @OptionGroup var options: CommonOptions
    @Argument(help: "Path to delete.")
    var path: String

    func perform(_ context: Context) async throws {
        let answer = try await context.client().delete(path)
        try context.console.show(answer)
        context.console.confirm(Message("Deleted: \(path)", "Supprimé : \(path)"))
    }
}
