internal import CoffreAudit
package import CoffreWire

/// Why a request fails: a code, a sentence that is safe to send, and a cause for the journal.
package struct VaultError: Error, Sendable {
    package let code: ErrorCode
    /// Safe to log and to send to the caller; may be empty (a bare 404).
    package let message: String
    /// For the journal, never for the caller.
    package let cause: (any Error)?
    /// For the record alone: what the caller is not told.
    private(set) var note: RecordNote?

    /// A reason of its own, and facts, in the record of a refusal that looks to its caller like any other.
    struct RecordNote: Sendable {
        let error: String
        let details: [AuditWhat.Detail]
    }

    package init(_ code: ErrorCode, _ message: String = "", cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The one text for a missing token, a bad token and a missing right.
    static let permissionDenied = VaultError(.permissionDenied, "permission denied")
    /// A token was used by another uid or unit than the one it is bound to.
    static func boundToken(_ details: [AuditWhat.Detail]) -> VaultError {
        var error = permissionDenied
        error.note = RecordNote(error: "token_bound", details: details)
        return error
    }

    static let sealed = VaultError(.sealed, "Vault is sealed")
    static let notFound = VaultError(.notFound)
    static let unsupportedOperation = VaultError(.methodNotAllowed, "unsupported operation")

    static func badRequest(_ message: String) -> VaultError { VaultError(.badRequest, message) }

    /// What the broker said, where it was the broker that failed.
    var brokerFailure: BrokerFailure? { cause as? BrokerFailure }

    /// Maps what lower modules throw; bugs keep their cause for the journal.
    init(mapping error: any Error) {
        switch error {
        case let error as VaultError: self = error
        case let error as JSONError: self = .badRequest("error parsing JSON: \(error.message)")
        case let error as AuditError:
            let sentence = error.sentenceForCallers ?? "the audit log cannot be written, so nothing is answered"
            self = VaultError(.auditUnavailable, sentence, cause: error)
        case let error as BarrierError: self = VaultError(barrier: error)
        default: self = VaultError(.internalError, "internal error", cause: error)
        }
    }
}
