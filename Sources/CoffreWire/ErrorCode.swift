/// The closed list of reasons for which a request fails, with the HTTP status that Vault clients expect.
///
/// Clients map few codes to exceptions, so no others are used.
public enum ErrorCode: String, Sendable, CaseIterable {
    /// Malformed or unacceptable input.
    case badRequest = "bad_request"
    /// Missing, unknown or expired token, or no right.
    case permissionDenied = "denied"
    /// Nothing there.
    case notFound = "not_found"
    /// The path exists, the verb does not.
    case methodNotAllowed = "method"
    /// The body is too large.
    case tooLarge = "too_large"
    /// The content type of a patch is wrong.
    case unsupportedMediaType = "media_type"
    /// Over a budget.
    case rateLimited = "rate_limited"
    /// The audit log cannot be written.
    case auditUnavailable = "audit_unavailable"
    /// The storage refused: disk full, input/output error.
    case storageUnavailable = "storage_unavailable"
    /// A row does not open or does not parse.
    case storageCorrupt = "storage_corrupt"
    /// The broker is not there, or did not answer in time.
    case brokerUnavailable = "broker_unavailable"
    /// The target system refused or failed.
    case upstream = "upstream"
    /// A bug.
    case internalError = "internal"
    /// The vault is sealed.
    case sealed = "sealed"
    /// The vault is in hold mode after an older copy of its database was found.
    case restored = "restored"

    /// The HTTP status of this reason.
    public var status: Int {
        switch self {
        case .badRequest: 400
        case .permissionDenied: 403
        case .notFound: 404
        case .methodNotAllowed: 405
        case .tooLarge: 413
        case .unsupportedMediaType: 415
        case .rateLimited: 429
        case .upstream: 400
        case .brokerUnavailable: 502
        case .auditUnavailable, .storageUnavailable, .storageCorrupt, .internalError: 500
        case .sealed, .restored: 503
        }
    }
}
