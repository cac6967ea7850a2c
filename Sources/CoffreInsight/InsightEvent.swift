/// What the detectors see of one audit record.
package struct InsightEvent: Sendable, Equatable {
    package enum ActorKind: UInt8, Sendable { case user, service, system }

    package enum Operation: UInt8, Sendable, CaseIterable {
        case read, list, write, delete, login, renew, revoke, rotate, policyWrite, identityWrite, auditRead, auditWrite
        case heartbeat, other
    }

    package enum Outcome: UInt8, Sendable {
        /// Done.
        case ok
        /// Refused by a policy, or for its credentials.
        case denied
        /// The remote system failed.
        case error
    }

    /// Nanoseconds since 1970, UTC. May step back; order is by ``sequence``.
    package var time: Int64
    /// Number of the record; consecutive.
    package var sequence: UInt64
    package var kind: ActorKind
    /// Who the token says it is; at a log-in, who is claimed.
    package var actor: String
    /// Who the kernel says it is: a uid in digits, or the pseudonym of a person.
    package var kernel: String
    package var unit: String
    package var teams: [String]
    package var operation: Operation
    package var connector: String
    package var path: String
    package var outcome: Outcome
    /// Public handle of the token; empty when there is none.
    package var token: String
    package var pid: Int64

    package init(
        time: Int64,
        sequence: UInt64,
        kind: ActorKind,
        actor: String,
        kernel: String,
        unit: String,
        teams: [String],
        operation: Operation,
        connector: String,
        path: String,
        outcome: Outcome,
        token: String,
        pid: Int64
    ) {
        self.time = time
        self.sequence = sequence
        self.kind = kind
        self.actor = actor
        self.kernel = kernel
        self.unit = unit
        self.teams = teams
        self.operation = operation
        self.connector = connector
        self.path = path
        self.outcome = outcome
        self.token = token
        self.pid = pid
    }

    /// A secret is asked for: not the vault's own affairs.
    var isUse: Bool {
        guard operation == .read || operation == .list || operation == .write else { return false }
        return !connector.utf8.elementsEqual("auth".utf8) && !connector.utf8.elementsEqual("sys".utf8)
    }
}

extension InsightEvent.Operation {
    /// As the stream's schema writes it.
    package var name: String {
        switch self {
        case .read: "read"
        case .list: "list"
        case .write: "write"
        case .delete: "delete"
        case .login: "login"
        case .renew: "renew"
        case .revoke: "revoke"
        case .rotate: "rotate"
        case .policyWrite: "policy_write"
        case .identityWrite: "identity_write"
        case .auditRead: "audit_read"
        case .auditWrite: "audit_write"
        case .heartbeat: "heartbeat"
        case .other: "other"
        }
    }
}
