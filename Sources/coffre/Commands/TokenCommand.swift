import ArgumentParser
import CoffreClient
import CoffreWire

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Create, look at, renew and revoke tokens.",
        discussion: "A token is never an argument: name it by its accessor, or put it in a file.",
        subcommands: [Lookup.self, Renew.self, Revoke.self, Create.self, Login.self, Capabilities.self]
    )

    /// Which token: the one in use unless one of these is given.
    struct Target: ParsableArguments {
        @Option(help: "Accessor of the token; not secret.")
        var accessor: String?
        @Option(help: "File that holds the token; - for standard input.", completion: .file())
        var of: String?

        func validate() throws {
            if accessor != nil && of != nil { throw ValidationError("give --accessor or --of, not both") }
        }

        var isGiven: Bool { accessor != nil || of != nil }

        func reference() throws -> CoffreClient.TokenReference {
            if let accessor { return .accessor(accessor) }
            if let of { return .token(try ClientToken(try Input.text(of, for: "--of"))) }
            return .own
        }
    }

    struct Lookup: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show policies and remaining time of a token.",
            discussion: """
                The token itself is not shown.

                EXAMPLES
                  coffre token lookup
                  coffre token lookup --accessor 8609694a1c2e4f6a8b9d0e1f
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var target: Target

        func perform(_ context: Context) async throws {
            let answer = try await context.client().lookUpToken(try target.reference())
            let console = context.console
            console.warn(answer.warnings)
            // `id` is the token: the one who asks has it already, and a screen needs no copy.
            let shown = JSONValue.object((answer.data?.members ?? []).filter { $0.key != "id" })
            if console.format == .json { console.json(shown) } else { console.members(shown) }
        }
    }

    struct Renew: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a token more time.",
            discussion: """
                EXAMPLES
                  coffre token renew --increment 8h
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var target: Target
        @Option(help: "Time from now, as in 90, 30m, 8h; the server may grant less.")
        var increment: DurationArgument?

        func perform(_ context: Context) async throws {
            let answer = try await context.client()
                .renewToken(try target.reference(), increment: increment?.duration)
            let console = context.console
            console.warn(answer.warnings)
            let shown = JSONValue.object((answer.auth?.members ?? []).filter { $0.key != "client_token" })
            if console.format == .json { console.json(shown) } else { console.members(shown) }
        }
    }

    struct Revoke: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a token, its children and their leases.",
            discussion: """
                EXAMPLES
                  coffre token revoke --self
                  coffre token revoke --accessor 8609694a1c2e4f6a8b9d0e1f
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var target: Target
        @Flag(name: .customLong("self"), help: "The token in use.")
        var own = false

        func validate() throws {
            guard own != target.isGiven else { throw ValidationError("give --self, --accessor or --of, one of them") }
        }

        func perform(_ context: Context) async throws {
            try await context.client().revokeToken(try target.reference())
            context.console.confirm(Message("The token is revoked.", "Le jeton est révoqué."))
        }
    }

    struct Create: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create a token below the one in use.",
            discussion: """
                EXAMPLES
                  coffre token create --policy reports --ttl 8h
                  coffre token create --policy backup --period 24h --field client_token > /run/backup/token
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(name: .customLong("policy"), help: "A policy; may be repeated.")
        var policies: [String] = []
        @Option(help: "Time to live, as in 1h.")
        var ttl: DurationArgument?
        @Option(help: "Longest life with renewals.")
        var explicitMaxTTL: DurationArgument?
        @Option(help: "Renewable for ever, each time for this long.")
        var period: DurationArgument?
        @Option(help: "How it is called in lists and in the log.")
        var displayName: String?
        @Option(help: "Number of uses; unlimited by default.")
        var numUses: Int?
        @Option(help: "service or batch.")
        var type: String?
        @Flag(help: "It outlives the token that made it.")
        var orphan = false
        @Flag(help: "Leave the policy default out.")
        var noDefaultPolicy = false
        @Option(help: "Print one field alone, as it is.")
        var field: String?

        func perform(_ context: Context) async throws {
            var members: [JSONValue.Member] = []
            if !policies.isEmpty { members.append(.init("policies", .strings(policies))) }
            for (name, value) in [("ttl", ttl), ("explicit_max_ttl", explicitMaxTTL), ("period", period)] {
                if let value { members.append(.init(name, .string("\(value.duration.components.seconds)s"))) }
            }
            if let displayName { members.append(.init("display_name", .string(displayName))) }
            if let numUses { members.append(.init("num_uses", .integer(numUses))) }
            if let type { members.append(.init("type", .string(type))) }
            if orphan { members.append(.init("no_parent", .bool(true))) }
            if noDefaultPolicy { members.append(.init("no_default_policy", .bool(true))) }
            let answer = try await context.client()
                .write("auth/token/create", JSONValue.object(members).encoded())
            try context.console.show(answer, field: field)
        }
    }

    struct Capabilities: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell what you may do on paths.",
            discussion: """
                EXAMPLES
                  coffre token capabilities secret/data/app/db database/creds/reports
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Paths as the API has them: secret/data/app/db.")
        var paths: [String]

        func perform(_ context: Context) async throws {
            let answer = try await context.client().capabilities(paths: paths)
            let members = (answer.data?.members ?? []).filter { $0.key != "capabilities" || paths.contains($0.key) }
            if context.console.format == .json {
                context.console.json(.object(members))
            } else {
                let header = [Message("Path", "Chemin"), Message("Capabilities", "Droits")]
                context.console.table(
                    header.map { $0.text(context.console.language) },
                    members.map { [escapedForTerminal($0.key), Console.cell($0.value)] }
                )
            }
        }
    }
}
