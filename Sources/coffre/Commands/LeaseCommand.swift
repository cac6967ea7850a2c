import ArgumentParser
import CoffreClient
import CoffreWire

/// `90`, `90s`, `1h30m`, `7d`: whole seconds.
struct DurationArgument: ExpressibleByArgument, Sendable {
    let duration: Duration

    init?(argument: String) {
        if let seconds = Int64(argument), seconds >= 0, seconds <= Self.maximum {
            duration = .seconds(seconds)
            return
        }
        var total: Int64 = 0
        var digits = ""
        for character in argument {
            if character.isASCII && character.isNumber {
                digits.append(character)
                continue
            }
            let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
            guard let unit = units[character], let number = Int64(digits), number <= Self.maximum else { return nil }
            total += number * unit
            guard total <= Self.maximum else { return nil }
            digits = ""
        }
        guard digits.isEmpty, !argument.isEmpty else { return nil }
        duration = .seconds(total)
    }

    private static let maximum: Int64 = 10 * 366 * 86400
}

struct LeaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lease",
        abstract: "Look at, renew and revoke what was issued for a time.",
        subcommands: [Lookup.self, Renew.self, Revoke.self]
    )

    struct Lookup: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell how long a lease has to live.",
            discussion: """
                EXAMPLES
                  coffre lease lookup database/creds/reports/2f6a614c1c2e4f6a8b9d0e1f
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Lease id.")
        var id: String

        func perform(_ context: Context) async throws {
            try context.console.show(try await context.client().lookUpLease(id))
        }
    }

    struct Renew: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Renew a lease; the answer tells its true remaining time.",
            discussion: """
                EXAMPLES
                  coffre lease renew --increment 30m database/creds/reports/2f6a614c1c2e4f6a8b9d0e1f
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Time from now, as in 90, 30m, 1h; the server may grant less.")
        var increment: DurationArgument?
        @Argument(help: "Lease id.")
        var id: String

        func perform(_ context: Context) async throws {
            let answer = try await context.client().renewLease(id, increment: increment?.duration)
            try context.console.show(answer)
        }
    }

    struct Revoke: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a lease: what it gave stops working.",
            discussion: """
                EXAMPLES
                  coffre lease revoke database/creds/reports/2f6a614c1c2e4f6a8b9d0e1f
                  coffre lease revoke --prefix database/creds/reports
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Revoke all leases below this path; needs sudo.")
        var prefix = false
        @Flag(help: "With --prefix: forget the leases even if the other system cannot be reached.")
        var force = false
        @Argument(help: "Lease id, or path with --prefix.")
        var id: String

        func validate() throws {
            if force && !prefix { throw ValidationError("--force goes with --prefix") }
        }

        func perform(_ context: Context) async throws {
            let client = try context.client()
            if prefix {
                try await client.revokeLeases(prefix: id, force: force)
            } else {
                try await client.revokeLease(id)
            }
            context.console.confirm(Message("Revoked: \(id)", "Révoqué : \(id)"))
        }
    }
}
