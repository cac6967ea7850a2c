/// Why a call to the vault failed. The message is safe to print: it never holds a secret that was sent or received.
public struct ClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a caller can tell apart.
    public enum Code: String, Sendable, CaseIterable {
        /// The path, option or value was refused here, before anything was sent.
        case invalidInput
        /// No daemon answers on the socket (absent, refused, or no right on it).
        case unreachable
        /// The daemon did not answer in the time allowed. What was asked may have happened.
        case timedOut
        /// The calling task was cancelled. What was asked may have happened.
        case cancelled
        /// The connection ended before a whole answer arrived. What was asked may have happened.
        case connectionLost
        /// The answer is larger than ``CoffreClient/Configuration/maximumAnswerSize``.
        case answerTooLarge
        /// The answer is not what the API describes.
        case malformedAnswer
        /// 400.
        case badRequest
        /// 403.
        case denied
        /// 404.
        case notFound
        /// 429.
        case rateLimited
        /// 503: the vault is sealed.
        case sealed
        /// Any other status from 300 on.
        case failed
    }

    /// What happened.
    public let code: Code
    /// HTTP status, when the daemon answered.
    public let status: Int?
    /// The texts of `errors` in the answer, as sent (not escaped for a terminal).
    public let errors: [String]
    /// What was tried, or what to do; one sentence.
    public let detail: String

    /// An error that did not come from the daemon.
    public init(_ code: Code, _ detail: String) {
        self.code = code
        self.status = nil
        self.errors = []
        self.detail = detail
    }

    init(status: Int, errors: [String]) {
        self.status = status
        self.errors = errors
        self.detail = "the daemon answered \(status)"
        self.code =
            switch status {
            case 400: .badRequest
            case 403: .denied
            case 404: .notFound
            case 429: .rateLimited
            case 503: .sealed
            default: .failed
            }
    }

    /// The daemon's own words, or else what was tried.
    public var description: String {
        errors.isEmpty ? detail : errors.joined(separator: "; ")
    }
}
