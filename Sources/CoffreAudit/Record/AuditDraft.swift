/// A record before it has a number: what the vault says happened or is about to happen.
package struct AuditDraft: Sendable {
    /// A read or denial is one record; a change is an intent before and an outcome after.
    package enum Phase: String, Sendable, CaseIterable {
        case single, intent, outcome
    }

    package enum Outcome: String, Sendable, CaseIterable {
        case granted, denied, error
        case rateLimited = "rate_limited"
    }

    package var operation: AuditOperation
    package var phase: Phase
    package var outcome: Outcome
    /// A short code such as `permission_denied`.
    package var error: String?
    /// 16 characters that link the records of one request.
    package var correlation: String
    /// Sequence numbers of earlier records; an outcome names its intent.
    package var references: [UInt64]
    /// The storage generation after the change, on outcome records.
    package var generation: UInt64?
    /// `CLOCK_MONOTONIC` in nanoseconds when the request was complete; 0 when the daemon acts by itself.
    package var acceptedAt: UInt64
    package var who: AuditWho
    package var what: AuditWhat
    package var why: AuditWhy

    package init(
        _ operation: AuditOperation,
        phase: Phase = .single,
        outcome: Outcome,
        error: String? = nil,
        correlation: String,
        references: [UInt64] = [],
        generation: UInt64? = nil,
        acceptedAt: UInt64,
        who: AuditWho,
        what: AuditWhat = AuditWhat(),
        why: AuditWhy = .none
    ) {
        self.operation = operation
        self.phase = phase
        self.outcome = outcome
        self.error = error
        self.correlation = correlation
        self.references = references
        self.generation = generation
        self.acceptedAt = acceptedAt
        self.who = who
        self.what = what
        self.why = why
    }
}
