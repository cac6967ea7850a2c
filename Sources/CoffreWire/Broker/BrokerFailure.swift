/// Why a job failed, coarse on purpose: the caller must not learn more about a network than that.
public struct BrokerFailure: Error, Sendable, Equatable {
    /// The closed list of causes.
    public enum Code: UInt8, Sendable, CaseIterable {
        /// The host has no address.
        case dns = 1
        /// Nothing listens there, or the way is blocked.
        case refused = 2
        /// The broker's configuration does not allow this address.
        case egressDenied = 3
        /// No TLS, or a certificate that does not verify.
        case tls = 4
        /// The server does not accept login or password.
        case authentication = 5
        /// The login lacks a right.
        case rights = 6
        /// The time allowed was not enough; what was begun may have happened.
        case timeout = 7
        /// The server refuses a statement.
        case statement = 8
        /// The server, or the broker, cannot take work now; what was begun may have happened.
        case unavailable = 9
        /// The job itself is not valid.
        case malformed = 10
        /// The server answered what cannot be used: too long, or not in its protocol.
        case reply = 11
    }

    /// The cause.
    public let code: Code
    /// The server's SQLSTATE (five of `0-9A-Z`), where it gave one; nil otherwise.
    public let sqlState: String?

    /// A failure; an `sqlState` that is not five of `0-9A-Z` is left out.
    public init(_ code: Code, sqlState: String? = nil) {
        self.code = code
        self.sqlState = sqlState.flatMap { Self.isState(Array($0.utf8)) ? $0 : nil }
    }

    /// The SQLSTATE of a job that ended before it was let in (ISO 9075, "SQL-client unable to establish SQL-connection").
    public static let neverConnected = "08001"

    /// Whether nobody was let in, so that nothing was changed. What fails later has other codes, on the way as well; for
    /// jobs that make or change a login.
    public var isBeforeAnyWork: Bool {
        switch code {
        case .dns, .refused, .egressDenied, .tls, .authentication, .malformed: true
        case .rights, .timeout, .statement, .unavailable, .reply: sqlState == Self.neverConnected
        }
    }

    static func isState(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.count == 5 && bytes.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
    }

    /// A sentence for people; holds no name, address or text of the server.
    public var sentence: String {
        if let known = sqlState.flatMap(Self.sentence) { return known }
        return switch code {
        case .dns: "the server's name has no address"
        case .refused: "nothing answers at the server's address"
        case .egressDenied: "the broker may not connect there: add the address to allow in its configuration"
        case .tls: "the server offers no TLS that can be trusted: check sslmode and the root certificate"
        case .authentication: "the server does not accept the user name or password"
        case .rights: "the login lacks a right for this: grant it, or use another login"
        case .timeout: "the server did not answer in time"
        case .statement: "the server refuses a statement: check the statements of the role"
        case .unavailable: "the server or the broker cannot take work now: try again later"
        case .malformed: "the job is not valid"
        case .reply: "the server's answer is too long, or not in the protocol that is expected of it"
        }
    }

    /// What the server itself says of one case (PostgreSQL, appendix A), where the code alone would not help.
    private static func sentence(sqlState: String) -> String? {
        switch sqlState {
        case "28P01": "the server does not accept user name or password: check both, and whether VALID UNTIL has passed"
        case "28000": "the server does not let this login in: check pg_hba.conf, and whether the role may log in"
        case "3D000": "the server has no database of this name"
        case "53300": "the server has no room for another connection: raise max_connections, or end sessions"
        case "57P03": "the server is starting or stopping: try again later"
        case "2BP01": "the role still owns something or has members: hand over what it owns, then try again"
        default: nil
        }
    }
}
