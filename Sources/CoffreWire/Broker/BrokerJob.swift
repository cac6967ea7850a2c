/// One self-contained piece of work for coffre-broker, without its secrets.
///
/// The secrets (the administrator's password, the new login's password) are lent to ``encode(adminPassword:loginPassword:into:)``
/// and never stored here.
public struct BrokerJob: Sendable, Equatable {
    /// What to do.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Log in, look at version and encryption, leave.
        case verify = 1
        /// Run the statements in one transaction, then prove the new login by using it.
        case create = 2
        /// Remove the login and end its sessions. A login that is not there is a success.
        case revoke = 3
        /// Prolong the login.
        case renew = 4
        /// Run the statements, which give a login that is there another password, then prove it by using it.
        case setPassword = 5
        /// Bring a group role to a plan and make a login that is a member of it: the task is a ``GrantProvision``.
        case provision = 6
        /// Drop a group role.
        case retire = 7
        /// Look at the server. The answer is not kept: whoever asks can ask again.
        case inspect = 8
        /// List Coffre's roles of the server. The answer is not kept.
        case audit = 9
        /// End the sessions of several logins, take their statistics, remove them. One that is not there is a success.
        case withdraw = 10
        /// Hold a login and its group role against a plan. The answer is not kept: whoever asks can ask again.
        case check = 11

        /// Whether the job is about one login.
        var hasLogin: Bool {
            switch self {
            case .create, .revoke, .renew, .setPassword, .provision, .check: true
            case .verify, .retire, .inspect, .audit, .withdraw: false
            }
        }

        /// Whether the job carries the password of its login, to prove it.
        var hasLoginPassword: Bool { self == .create || self == .setPassword || self == .provision }

        /// Whether the job has a ``DatabaseTask``.
        var hasTask: Bool { rawValue >= Kind.provision.rawValue }
    }

    /// How the connection is protected.
    public enum TLS: UInt8, Sendable, CaseIterable {
        /// TLS, certificate and name checked.
        case verifyFull = 1
        /// TLS without checking who answers; an explicit choice.
        case require = 2
        /// No TLS; an explicit choice.
        case disable = 3
    }

    /// The oldest TLS that is accepted.
    public enum MinimumTLS: UInt8, Sendable, CaseIterable {
        /// TLS 1.2; an explicit choice.
        case tls12 = 12
        /// TLS 1.3, the default.
        case tls13 = 13
    }

    /// Limits of the fields, in bytes where nothing else is said.
    public enum Limit {
        /// A host name (RFC 1035 §3.1) or address.
        public static let host = 253
        /// A PostgreSQL identifier (NAMEDATALEN - 1).
        public static let identifier = 63
        /// One statement.
        public static let statement = 65_536
        /// Number of statements.
        public static let statements = 64
        /// All statements with their lengths.
        public static let statementsTotal = 524_288
        /// A PEM file.
        public static let certificate = 131_072
        /// A password.
        public static let password = 4096
        /// A time-out, in seconds.
        public static let timeoutSeconds: UInt32 = 600
        /// An encoded task: the largest plan, and a verifier.
        public static let task = GrantPlan.Limit.encoded + 512
    }

    /// What to do.
    public var kind: Kind
    /// Name or address of the server.
    public var host: String
    /// TCP port of the server.
    public var port: UInt16
    /// The database.
    public var database: String
    /// The administrator's login.
    public var user: String
    /// How the connection is protected.
    public var tls: TLS
    /// The oldest TLS that is accepted.
    public var minimumTLS: MinimumTLS
    /// PEM certificates to trust instead of the system's.
    public var rootCertificate: [UInt8]?
    /// The login that the job is about; nil for the kinds that are about none, or name them in their task.
    public var login: String?
    /// What to run, placeholders already filled in; empty means the broker's own way (`.revoke`, `.renew`).
    public var statements: [String]
    /// The end of the login's life in seconds since 1970, for `.create` and `.renew` (set after the statements), and for
    /// `.provision` and `.check`, which need one.
    public var validUntil: Int64?
    /// What to do beyond connecting, for the kinds from `.provision` on.
    public var task: DatabaseTask?
    /// X25519 public key, exactly 32 bytes, that a parked answer is sealed to.
    public var publicKey: [UInt8]
    /// Seconds for resolving, connecting and logging in, 1–600.
    public var connectTimeoutSeconds: UInt32
    /// Seconds for each statement, 1–600.
    public var statementTimeoutSeconds: UInt32

    /// A job. Defaults: TLS verified and at least 1.3, the system's certificates, no statements, 10 s to connect,
    /// 30 s for a statement. Nothing is checked before ``validate()``.
    public init(
        kind: Kind,
        host: String,
        port: UInt16 = 5432,
        database: String,
        user: String,
        tls: TLS = .verifyFull,
        minimumTLS: MinimumTLS = .tls13,
        rootCertificate: [UInt8]? = nil,
        login: String? = nil,
        statements: [String] = [],
        validUntil: Int64? = nil,
        task: DatabaseTask? = nil,
        publicKey: [UInt8],
        connectTimeoutSeconds: UInt32 = 10,
        statementTimeoutSeconds: UInt32 = 30
    ) {
        self.kind = kind
        self.host = host
        self.port = port
        self.database = database
        self.user = user
        self.tls = tls
        self.minimumTLS = minimumTLS
        self.rootCertificate = rootCertificate
        self.login = login
        self.statements = statements
        self.validUntil = validUntil
        self.task = task
        self.publicKey = publicKey
        self.connectTimeoutSeconds = connectTimeoutSeconds
        self.statementTimeoutSeconds = statementTimeoutSeconds
    }

    /// Checks every field against its limit and the fields against each other.
    /// - Throws: ``BrokerWireError`` `.tooLong`, `.invalidField`.
    public func validate() throws(BrokerWireError) {
        try BrokerText.check(host, 1...Limit.host)
        // libpq gives a meaning to slashes, commas and a leading @.
        guard host.utf8.allSatisfy({ Self.isHostCharacter($0) }) else {
            throw BrokerWireError(.invalidField, "the host is neither a name nor an address")
        }
        try BrokerText.check(database, 1...Limit.identifier)
        try BrokerText.check(user, 1...Limit.identifier)
        guard (login != nil) == kind.hasLogin else {
            throw BrokerWireError(.invalidField, "a job about a login names it, another names none")
        }
        if let login { try BrokerText.check(login, 1...Limit.identifier) }
        guard port != 0 else { throw BrokerWireError(.invalidField, "a port is 1 to 65535") }
        guard publicKey.count == 32 else { throw BrokerWireError(.wrongLength, "a public key has 32 bytes") }
        if let rootCertificate, !(1...Limit.certificate).contains(rootCertificate.count) {
            throw BrokerWireError(.tooLong, "the root certificate is empty or above 128 KiB")
        }
        guard statements.count <= Limit.statements else { throw BrokerWireError(.tooLong, "more than 64 statements") }
        for statement in statements { try BrokerText.check(statement, 1...Limit.statement) }
        guard encodedStatementBytes <= Limit.statementsTotal else {
            throw BrokerWireError(.tooLong, "the statements are above 512 KiB")
        }
        switch kind {
        case .verify, .provision, .retire, .inspect, .audit, .withdraw, .check:
            guard statements.isEmpty else { throw BrokerWireError(.invalidField, "this kind of job has no statements") }
        case .create, .setPassword:
            guard !statements.isEmpty else {
                throw BrokerWireError(.invalidField, "a creation and a new password need statements")
            }
        case .revoke: break
        case .renew:
            guard !statements.isEmpty || validUntil != nil else {
                throw BrokerWireError(.invalidField, "a renewal has statements, a new end or both")
            }
        }
        guard kind == .create || kind == .renew || kind == .provision || kind == .check || validUntil == nil else {
            throw BrokerWireError(.invalidField, "a job of this kind has nothing to do with an end")
        }
        try validateTask()
        for seconds in [connectTimeoutSeconds, statementTimeoutSeconds] {
            guard (1...Limit.timeoutSeconds).contains(seconds) else {
                throw BrokerWireError(.invalidField, "a time-out is 1 to 600 seconds")
            }
        }
    }

    private func validateTask() throws(BrokerWireError) {
        guard task?.kind == (kind.hasTask ? kind : nil) else {
            throw BrokerWireError(.invalidField, "the task of a job is of its kind")
        }
        try task?.validate()
        guard kind == .provision || kind == .check else { return }
        try GrantPlan.check(login: login ?? "")
        guard let validUntil, (1...253_402_300_799).contains(validUntil) else {
            throw BrokerWireError(.invalidField, "a provision has an end between 1970 and 9999")
        }
    }

    static func isHostCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x3a, 0x5f: true
        default: false
        }
    }

    var encodedStatementBytes: Int { statements.reduce(0) { $0 + 4 + $1.utf8.count } }
}
