import ArgumentParser

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Read the audit log where it is kept; no daemon is asked.",
        subcommands: [Verify.self, Checkpoint.self, Tail.self]
    )

    static let defaultDirectory = "/var/lib/coffre-audit"
}
