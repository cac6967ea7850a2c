internal import CPostgres
internal import CoffreCrypto
internal import CoffreWire
internal import Glibc

/// One connection to a PostgreSQL server over libpq, with a deadline on every step. Belongs to one thread.
final class PostgresConnection {
    /// Where and as whom; the address is one that the egress policy permitted.
    struct Target {
        var host: String
        var address: NetworkAddress
        var port: UInt16
        var database: String
        var user: String
        var tls: BrokerJob.TLS
        var minimumTLS: BrokerJob.MinimumTLS
        /// Path of a PEM file.
        var rootCertificatePath: String
        var statementTimeoutSeconds: UInt32
    }

    private let connection: OpaquePointer
    private let statementTimeout: Duration
    /// When the last statement must be done, whatever each of them may take; nil for no such limit.
    var end: ContinuousClock.Instant?

    /// Connects and logs in.
    /// - Parameter password: lent for the call; libpq keeps a copy of its own until the connection ends.
    /// - Throws: ``BrokerFailure``.
    init(
        _ target: Target,
        password: UnsafeRawBufferPointer,
        deadline: ContinuousClock.Instant
    ) throws(BrokerFailure) {
        // Server-side limit first, ours a little later, so that it is the server that stops a statement.
        statementTimeout = .seconds(Int(target.statementTimeoutSeconds) + 2)
        let started = Self.start(Self.settings(target), password: password)
        guard let started else { throw BrokerFailure(.unavailable) }
        connection = started
        // Without a receiver of our own libpq prints the server's notices to standard error.
        PQsetNoticeReceiver(connection, { _, _ in }, nil)
        PQsetErrorVerbosity(connection, PQERRORS_SQLSTATE)
        try finishConnecting(deadline)
    }

    deinit { PQfinish(connection) }

    private static func settings(_ target: Target) -> [(String, String)] {
        let nowhere = "/nonexistent/coffre"
        let mode: String
        switch target.tls {
        case .verifyFull: mode = "verify-full"
        case .require: mode = "require"
        case .disable: mode = "disable"
        }
        // A server that nobody has verified may ask for the password itself, or for MD5 of it, which it can try at leisure.
        // libpq can be forbidden to answer from version 16 on (PostgreSQL manual, "require_auth").
        let canRefuse = target.tls != .verifyFull && PQlibVersion() >= 160_000
        return (canRefuse ? [("require_auth", "!password,!md5")] : []) + [
            ("host", target.host), ("hostaddr", target.address.description), ("port", String(target.port)),
            ("dbname", target.database), ("user", target.user),
            ("sslmode", mode), ("sslrootcert", target.rootCertificatePath),
            ("ssl_min_protocol_version", target.minimumTLS == .tls13 ? "TLSv1.3" : "TLSv1.2"),
            // Files that libpq would otherwise look for in a home folder.
            ("passfile", "/dev/null"), ("sslcert", nowhere), ("sslkey", nowhere), ("sslcrl", nowhere),
            ("gssencmode", "disable"), ("target_session_attrs", "any"), ("client_encoding", "UTF8"),
            ("application_name", "coffre-broker"), ("fallback_application_name", "coffre-broker"),
            ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
            ("tcp_user_timeout", "30000"),
            ("options", "-c statement_timeout=\(target.statementTimeoutSeconds)s -c lock_timeout=10s"),
        ]
    }

    private static func start(_ settings: [(String, String)], password: UnsafeRawBufferPointer) -> OpaquePointer? {
        var owned: [UnsafeMutablePointer<CChar>?] = []
        defer { owned.forEach { free($0) } }
        func keep(_ text: String) -> UnsafePointer<CChar>? {
            let copy = strdup(text)
            owned.append(copy)
            return UnsafePointer(copy)
        }
        var keywords = settings.map { keep($0.0) }
        var values = settings.map { keep($0.1) }
        let terminated = SecretBytes(count: password.count + 1) { target in
            target.copyMemory(from: password)
            target[password.count] = 0  // A slot is not zeroed when it is taken.
        }
        return terminated.withBytes { secret in
            keywords.append(keep("password"))
            values.append(secret.baseAddress?.assumingMemoryBound(to: CChar.self))
            keywords.append(nil)
            values.append(nil)
            return PQconnectStartParams(keywords, values, 0)  // 0: a database name is a name, never a connection string
        }
    }

    private func finishConnecting(_ deadline: ContinuousClock.Instant) throws(BrokerFailure) {
        var phase = PQstatus(connection)
        guard phase != CONNECTION_BAD else { throw connectFailure(phase) }
        var next = PGRES_POLLING_WRITING
        while true {
            switch next {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_FAILED: throw connectFailure(phase)
            case PGRES_POLLING_WRITING: try wait(Int16(POLLOUT), deadline)
            default: try wait(Int16(POLLIN), deadline)
            }
            next = PQconnectPoll(connection)
            let now = PQstatus(connection)
            if now != CONNECTION_BAD { phase = now }
        }
    }

    /// libpq gives no SQLSTATE for a failed connection but in its message, and no code for its own refusals: what counts
    /// then is how far the connection had come.
    private func connectFailure(_ phase: ConnStatusType) -> BrokerFailure {
        let message = String(cString: PQerrorMessage(connection))
        if let state = PostgresFailure.sqlState(inMessage: message) { return PostgresFailure.failure(sqlState: state) }
        switch phase {
        case CONNECTION_AWAITING_RESPONSE where message.contains("expected authentication request"):
            // Another kind of server: it has not judged the password.
            return BrokerFailure(.reply)
        case CONNECTION_AWAITING_RESPONSE where message.contains("closed the connection"):
            return BrokerFailure(.unavailable)
        case CONNECTION_SSL_STARTUP: return BrokerFailure(.tls)
        case CONNECTION_AWAITING_RESPONSE: return BrokerFailure(.authentication)
        case CONNECTION_AUTH_OK, CONNECTION_SETENV, CONNECTION_OK: return BrokerFailure(.unavailable)
        default: return BrokerFailure(.refused)
        }
    }

    private func wait(_ events: Int16, _ deadline: ContinuousClock.Instant) throws(BrokerFailure) {
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw BrokerFailure(.timeout) }
            let (seconds, attoseconds) = left.components
            let milliseconds = min(seconds, 3600) * 1000 + attoseconds / 1_000_000_000_000_000 + 1
            var request = pollfd(fd: PQsocket(connection), events: events, revents: 0)
            guard request.fd >= 0 else { throw BrokerFailure(.unavailable) }
            let ready = poll(&request, 1, Int32(milliseconds))
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw BrokerFailure(.unavailable) }
        }
    }

    // MARK: Statements

    /// What a text sent by the simple protocol came to.
    struct Outcome {
        /// The first column of the first 64 rows; nil for NULL.
        var firstColumn: [String?] = []
        /// The last command tag, such as `COMMIT`.
        var tag = ""
        /// All columns of all rows, when they were asked for.
        var rows: [[String?]] = []
    }

    /// How much of a result is taken, rows and bytes; nil where only the first column of few rows counts.
    struct Room {
        var rows: Int
        var bytes: Int
    }

    /// Runs `text`, which may hold several statements, and returns when all of them are done.
    /// - Throws: ``BrokerFailure`` of the first statement that failed.
    @discardableResult
    func run(_ text: String) throws(BrokerFailure) -> Outcome {
        guard PQsendQuery(connection, text) == 1 else { throw BrokerFailure(.unavailable) }
        return try collect(nil)
    }

    /// Runs one statement with `parameters` for `$1`…, as text.
    @discardableResult
    func run(_ text: String, _ parameters: [String]) throws(BrokerFailure) -> Outcome {
        try send(text, parameters)
        return try collect(nil)
    }

    /// Runs one statement with `parameters` for `$1`…, and returns all of its rows.
    /// - Throws: ``BrokerFailure``, `.reply` when there is more than `room` allows.
    func rows(_ text: String, _ parameters: [String?] = [], room: Room) throws(BrokerFailure) -> [[String?]] {
        try send(text, parameters)
        return try collect(room).rows
    }

    private func send(_ text: String, _ parameters: [String?]) throws(BrokerFailure) {
        let copies = parameters.map { $0.map { strdup($0) } ?? nil }
        defer { copies.forEach { free($0) } }
        let values = copies.map { $0.map { UnsafePointer($0) } }
        guard PQsendQueryParams(connection, text, Int32(values.count), nil, values, nil, nil, 0) == 1 else {
            throw BrokerFailure(.unavailable)
        }
    }

    private func collect(_ room: Room?) throws(BrokerFailure) -> Outcome {
        let latest = ContinuousClock.now + statementTimeout
        let deadline = end.map { min($0, latest) } ?? latest
        // A hostile server may send rows without end: take them one by one and keep few.
        PQsetSingleRowMode(connection)
        var outcome = Outcome()
        var failure: BrokerFailure?
        var rows = 0
        var bytes = 0
        while true {
            try flush(deadline)
            while PQisBusy(connection) == 1 {
                try wait(Int16(POLLIN), deadline)
                guard PQconsumeInput(connection) == 1 else { throw BrokerFailure(.unavailable) }
            }
            guard let result = PQgetResult(connection) else { break }
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_SINGLE_TUPLE:
                rows += 1
                guard let room else {
                    guard rows <= 100_000 else { throw BrokerFailure(.statement) }
                    if outcome.firstColumn.count < 64 { outcome.firstColumn.append(Self.value(result, 0)) }
                    continue
                }
                let row = (0..<PQnfields(result)).map { Self.value(result, $0) }
                bytes += row.reduce(0) { $0 + ($1?.utf8.count ?? 0) }
                guard rows <= room.rows, bytes <= room.bytes else { throw BrokerFailure(.reply) }
                outcome.rows.append(row)
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK: outcome.tag = String(cString: PQcmdStatus(result))
            case PGRES_EMPTY_QUERY: break
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH: throw BrokerFailure(.statement)
            default:
                let state = PQresultErrorField(result, 67).map { String(cString: $0) }  // PG_DIAG_SQLSTATE is 'C'
                failure = failure ?? PostgresFailure.failure(ofStatement: state)
            }
        }
        if let failure { throw failure }
        return outcome
    }

    private func flush(_ deadline: ContinuousClock.Instant) throws(BrokerFailure) {
        while true {
            switch PQflush(connection) {
            case 0: return
            case 1: try wait(Int16(POLLOUT | POLLIN), deadline)
            default: throw BrokerFailure(.unavailable)
            }
            guard PQconsumeInput(connection) == 1 else { throw BrokerFailure(.unavailable) }
        }
    }

    private static func value(_ result: OpaquePointer?, _ column: Int32) -> String? {
        guard PQnfields(result) > column, PQntuples(result) > 0, PQgetisnull(result, 0, column) == 0,
            let value = PQgetvalue(result, 0, column)
        else { return nil }
        return String(
            decoding: UnsafeRawBufferPointer(start: value, count: Int(PQgetlength(result, 0, column))),
            as: UTF8.self
        )
    }

    /// Whether a transaction is open and none of its statements failed.
    var isInTransaction: Bool { PQtransactionStatus(connection) == PQTRANS_INTRANS }

    /// Whether the connection has not been lost.
    var isUsable: Bool { PQstatus(connection) == CONNECTION_OK }

    /// As the server calls itself; untrusted.
    var serverVersion: String? { PQparameterStatus(connection, "server_version").map { String(cString: $0) } }

    /// `TLSv1.3`, or nil without TLS.
    var tlsVersion: String? {
        PQsslInUse(connection) == 1 ? PQsslAttribute(connection, "protocol").map { String(cString: $0) } : nil
    }
}
