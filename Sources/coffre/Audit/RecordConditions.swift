import ArgumentParser
import CoffreAudit

/// The options that choose records: of a time, and by who, what and how.
struct RecordConditions: ParsableArguments {
    @Option(help: "First moment: 7d (ago), 2026-01-31 or 2026-01-31T09:00:00Z. Default: the beginning of the log.")
    var since: TimeArgument?
    @Option(help: "The moment after the last, as in --since (d, h, m, w). Default: now.")
    var until: TimeArgument?
    @Option(help: "Only records by or for this pseudonym (s-...), or by this systemd unit.")
    var actor: String?
    @Option(help: "Only records of this connection.")
    var connector: String?
    @Option(help: "Only records of this path; a * at its end stands for anything.")
    var path: String?
    @Option(help: "Only records of this operation, such as secret.read.")
    var operation: AuditOperation?
    @Option(help: "Only records with this outcome: granted, denied, error or rate_limited.")
    var outcome: AuditDraft.Outcome?

    func validate() throws {
        if let since, let until, since.microseconds >= until.microseconds {
            throw ValidationError("--until is not after --since")
        }
    }

    var filter: RecordFilter {
        var filter = RecordFilter()
        filter.actor = actor
        filter.connector = connector
        filter.path = path
        filter.operation = operation
        filter.outcome = outcome
        return filter
    }
}

extension AuditOperation: ExpressibleByArgument {}
extension AuditDraft.Outcome: ExpressibleByArgument {}
