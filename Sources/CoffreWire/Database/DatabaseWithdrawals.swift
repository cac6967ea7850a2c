/// What became of logins that were to be removed, and what they had done as far as the server's statistics tell.
/// Untrusted: numbers of the server's making.
public struct DatabaseWithdrawals: Sendable, Equatable {
    /// Most logins of one job.
    public static let maximumLogins = 100
    /// Most statements that are told of, of all logins together.
    public static let maximumStatements = 1000

    /// A statement that a login ran, as pg_stat_statements counts it.
    public struct Statement: Sendable, Equatable {
        /// The server's number of the statement (`queryid`); nil when the administrator may not see it.
        public let id: Int64?
        /// How often it was run.
        public let calls: UInt64
        /// Rows returned or changed.
        public let rows: UInt64
        /// Microseconds of execution.
        public let microseconds: UInt64

        /// One statement.
        public init(id: Int64?, calls: UInt64, rows: UInt64, microseconds: UInt64) {
            self.id = id
            self.calls = calls
            self.rows = rows
            self.microseconds = microseconds
        }
    }

    /// One login.
    public struct Login: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Sessions that were ended.
        public let sessionsEnded: UInt32
        /// Why it is still there; nil when it is gone, or was already.
        public let failure: BrokerFailure?
        /// What it ran; empty when nothing is known.
        public let statements: [Statement]

        /// One login.
        public init(name: String, sessionsEnded: Int = 0, failure: BrokerFailure? = nil, statements: [Statement] = []) {
            self.name = name
            self.sessionsEnded = UInt32(clamping: sessionsEnded)
            self.failure = failure
            self.statements = statements
        }
    }

    /// Whether the server keeps such statistics and let them be read.
    public let isMeasured: Bool
    /// In the order of the job.
    public let logins: [Login]

    /// What is above the limits is left out.
    public init(isMeasured: Bool, logins: [Login]) {
        self.isMeasured = isMeasured
        var room = Self.maximumStatements
        self.logins = logins.prefix(Self.maximumLogins).map { login in
            let kept = Array(login.statements.prefix(room))
            room -= kept.count
            return Login(
                name: login.name,
                sessionsEnded: Int(login.sessionsEnded),
                failure: login.failure,
                statements: kept
            )
        }
    }

    func encode() -> [UInt8] {
        var writer = BrokerListWriter()
        writer.append(isMeasured)
        writer.append(count: logins.count)
        for login in logins {
            writer.append(login.name)
            writer.append(login.sessionsEnded)
            writer.append(login.failure != nil)
            if let failure = login.failure {
                writer.append(failure.code.rawValue)
                writer.append(failure.sqlState)
            }
            writer.append(count: login.statements.count)
            for statement in login.statements {
                writer.append(statement.id.map { UInt64(bitPattern: $0) })
                writer.append(statement.calls)
                writer.append(statement.rows)
                writer.append(statement.microseconds)
            }
        }
        return writer.bytes
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerListReader(bytes)
        isMeasured = try reader.flag()
        var logins: [Login] = []
        var room = Self.maximumStatements
        for _ in 0..<(try reader.count(atMost: Self.maximumLogins)) {
            let name = try reader.text(1...BrokerJob.Limit.identifier)
            let sessions: UInt32 = try reader.number()
            let failure = try reader.flag() ? try Self.failure(&reader) : nil
            var statements: [Statement] = []
            for _ in 0..<(try reader.count(atMost: room)) {
                statements.append(
                    Statement(
                        id: try reader.optionalNumber(UInt64.self).map { Int64(bitPattern: $0) },
                        calls: try reader.number(),
                        rows: try reader.number(),
                        microseconds: try reader.number()
                    )
                )
            }
            room -= statements.count
            logins.append(
                Login(name: name, sessionsEnded: Int(sessions), failure: failure, statements: statements)
            )
        }
        try reader.finish()
        self.logins = logins
    }

    private static func failure(_ reader: inout BrokerListReader) throws(BrokerWireError) -> BrokerFailure {
        guard let code = BrokerFailure.Code(rawValue: try reader.number()) else {
            throw BrokerWireError(.invalidField, "a withdrawal has no known failure code")
        }
        let state = try reader.optionalText(5...5)
        guard state.map({ BrokerFailure.isState(Array($0.utf8)) }) ?? true else {
            throw BrokerWireError(.invalidField, "a withdrawal has no valid SQLSTATE")
        }
        return BrokerFailure(code, sqlState: state)
    }
}
