package import CoffreVault

/// Why a request is refused before the vault sees it.
package struct HTTPFault: Error, Equatable {
    package let reason: RefusedRequest.Reason
    /// 400, 404, 405, 408, 413, 429, 431 or 505.
    package let status: Int
    /// Safe to send: names no byte of the request. Empty for OpenBao's bare `{"errors":[]}`.
    package let message: String

    init(_ reason: RefusedRequest.Reason, _ status: Int, _ message: String) {
        self.reason = reason
        self.status = status
        self.message = message
    }

    static func malformed(_ message: String) -> HTTPFault { HTTPFault(.malformed, 400, message) }
    static func badPath(_ message: String) -> HTTPFault { HTTPFault(.badPath, 400, message) }

    static let noRoute = HTTPFault(.badPath, 404, "")
    static let method = HTTPFault(.methodNotAllowed, 405, "")
    static let bodyTooLarge = HTTPFault(.bodyTooLarge, 413, "the request body is too large")
    static let noBodyMemory = HTTPFault(
        .bodyTooLarge,
        429,
        "too many large requests are being received; try again in a moment"
    )
    static let requestLineTooLong = HTTPFault(.headersTooLarge, 431, "the request line is too long")
    static let headersTooLarge = HTTPFault(.headersTooLarge, 431, "the request headers are too large")
    static let timeout = HTTPFault(.timeout, 408, "the request did not arrive in time")
    static let version = HTTPFault(.badVersion, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
}
