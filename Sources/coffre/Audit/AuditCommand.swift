import ArgumentParser

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Read, verify and export the audit log where it is kept.",
        subcommands: [
            Status.self, Verify.self, Checkpoint.self, Export.self, Query.self, Why.self, Tail.self, Reindex.self,
            Prune.self, Hold.self, Who.self, Erase.self,
        ]
    )

    static let defaultDirectory = "/var/lib/coffre-audit"
    static let folderHelp: ArgumentHelp =
        "Audit folder. Default: that of the daemon that answers, else /var/lib/coffre-audit."
}
