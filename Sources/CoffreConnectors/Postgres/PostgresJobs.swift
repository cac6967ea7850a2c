package import CoffreWire

/// Does the jobs of the PostgreSQL connector. Blocking: call it from a thread of one's own.
package struct PostgresJobs: Sendable {
    private let policy: EgressPolicy

    package init(policy: EgressPolicy) { self.policy = policy }

    /// Does one job.
    /// - Parameter view: its secrets are used during the call only.
    /// - Returns: what became of it; never a text of the server.
    package func perform(_ view: BrokerJobView) -> BrokerAnswer {
        do throws(BrokerFailure) {
            switch view.job.kind {
            case .verify: return try verify(view)
            case .create: return try create(view)
            case .revoke: return try revoke(view)
            case .renew: return try renew(view)
            case .setPassword: return try setPassword(view)
            case .provision, .retire, .inspect, .audit, .withdraw, .check: return try perform(task: view)
            }
        } catch {
            return .failed(error)
        }
    }

    private func verify(_ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        let connection = try administrator(view)
        try connection.run("SELECT 1")
        return done(connection)
    }

    private func create(_ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let login = view.job.login, let loginPassword = view.loginPassword else {
            throw BrokerFailure(.malformed)
        }
        var mayExist = false
        do throws(BrokerFailure) {
            let connection = try firstConnection(view)
            return try begun { () throws(BrokerFailure) in
                try connection.run("BEGIN")
                // What was there before is not ours: it is neither changed nor, later, dropped.
                guard try !PostgresLogin(login, connection).exists() else {
                    throw BrokerFailure(.statement, sqlState: "42710")
                }
                // A statement may end the transaction itself, and the answer to COMMIT may get lost.
                mayExist = true
                for statement in view.job.statements {
                    try connection.run(statement)
                    guard connection.isInTransaction else { throw BrokerFailure(.statement, sqlState: "25000") }
                }
                // Whatever the statements say: should everything else fail, the server itself ends the login.
                if let end = view.job.validUntil { try PostgresLogin(login, connection).prolong(to: end) }
                guard try connection.run("COMMIT").tag == "COMMIT" else { throw BrokerFailure(.statement) }
                try prove(login, loginPassword, view)
                return done(connection)
            }
        } catch {
            if mayExist { _ = try? dropAfterFailure(login, view) }
            throw error
        }
    }

    /// The administrator's connection of a job that makes or changes a login. When it fails, the failure tells that nothing
    /// has happened, so that nobody needs to look whether it has.
    func firstConnection(_ view: BrokerJobView) throws(BrokerFailure) -> PostgresConnection {
        do throws(BrokerFailure) {
            return try administrator(view)
        } catch {
            guard !error.isBeforeAnyWork, error.sqlState == nil else { throw error }
            throw BrokerFailure(error.code, sqlState: BrokerFailure.neverConnected)
        }
    }

    /// A failure after that connection must not look like one of it.
    func begun<R>(_ work: () throws(BrokerFailure) -> R) throws(BrokerFailure) -> R {
        do throws(BrokerFailure) {
            return try work()
        } catch {
            guard error.isBeforeAnyWork else { throw error }
            let state = error.sqlState == BrokerFailure.neverConnected ? nil : error.sqlState
            throw BrokerFailure(error.code == .authentication ? .statement : .unavailable, sqlState: state)
        }
    }

    /// Logs in as the new login, runs `question`, and out again.
    /// - Returns: the first column of what it answers.
    @discardableResult
    func prove(
        _ login: String,
        _ password: UnsafeRawBufferPointer,
        _ view: BrokerJobView,
        _ question: String = "SELECT 1",
        _ parameters: [String] = []
    ) throws(BrokerFailure) -> [String?] {
        do throws(BrokerFailure) {
            return try connect(as: login, password: password, view).run(question, parameters).firstColumn
        } catch {
            // Not to be taken for the administrator's own login: the statements made no login that works.
            guard error.code == .authentication || error.code == .rights else { throw error }
            throw BrokerFailure(.statement, sqlState: error.sqlState)
        }
    }

    func dropAfterFailure(_ login: String, _ view: BrokerJobView) throws(BrokerFailure) {
        let login = PostgresLogin(login, try administrator(view))
        if try login.exists() { try login.remove() }
    }

    private func revoke(_ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let name = view.job.login else { throw BrokerFailure(.malformed) }
        let connection = try administrator(view)
        let login = PostgresLogin(name, connection)
        guard try login.exists() else { return done(connection) }
        guard !view.job.statements.isEmpty else {
            return done(connection, sessionsEnded: try login.remove())
        }
        try connection.run("SET search_path = pg_catalog, pg_temp")
        // Statements of others may do less than remove the login: it must not log in again while its sessions end.
        _ = try? login.disable()
        let (sessions, borrowed) = try login.endSessions()
        try connection.run("RESET search_path")
        try transaction(view.job.statements, connection)
        if borrowed { try? login.returnMembership() }
        return done(connection, sessionsEnded: sessions)
    }

    private func renew(_ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let login = view.job.login else { throw BrokerFailure(.malformed) }
        let connection = try administrator(view)
        if !view.job.statements.isEmpty { try transaction(view.job.statements, connection) }
        if let end = view.job.validUntil { try PostgresLogin(login, connection).prolong(to: end) }
        return done(connection)
    }

    private func setPassword(_ view: BrokerJobView) throws(BrokerFailure) -> BrokerAnswer {
        guard let login = view.job.login, let loginPassword = view.loginPassword else {
            throw BrokerFailure(.malformed)
        }
        let connection = try firstConnection(view)
        return try begun { () throws(BrokerFailure) in
            guard try PostgresLogin(login, connection).exists() else {
                throw BrokerFailure(.statement, sqlState: "42704")
            }
            try transaction(view.job.statements, connection)
            try prove(login, loginPassword, view)
            return done(connection)
        }
    }

    private func transaction(_ statements: [String], _ connection: PostgresConnection) throws(BrokerFailure) {
        try connection.run("BEGIN")
        for statement in statements { try connection.run(statement) }
        // Statements may end the transaction themselves; COMMIT outside of one is harmless.
        let tag = try connection.run("COMMIT").tag
        guard tag == "COMMIT" else { throw BrokerFailure(.statement) }
    }

    func done(_ connection: PostgresConnection, sessionsEnded: Int = 0) -> BrokerAnswer {
        .done(
            serverVersion: connection.serverVersion,
            tlsVersion: connection.tlsVersion,
            sessionsEnded: sessionsEnded
        )
    }

    func administrator(_ view: BrokerJobView) throws(BrokerFailure) -> PostgresConnection {
        try connect(as: view.job.user, password: view.adminPassword, view)
    }

    func connect(
        as user: String,
        password: UnsafeRawBufferPointer,
        _ view: BrokerJobView
    ) throws(BrokerFailure) -> PostgresConnection {
        let job = view.job
        let deadline = ContinuousClock.now + .seconds(Int(job.connectTimeoutSeconds))
        let addresses = try NameResolution.addresses(of: job.host, port: job.port, policy: policy)
        let certificates = try CertificateFile(
            job.rootCertificate,
            fallback: job.tls == .verifyFull ? CertificateFile.systemPath : CertificateFile.nonePath
        )
        defer { withExtendedLifetime(certificates) {} }
        var failure = BrokerFailure(.refused)
        for address in addresses {
            let target = PostgresConnection.Target(
                host: job.host,
                address: address,
                port: job.port,
                database: job.database,
                user: user,
                tls: job.tls,
                minimumTLS: job.minimumTLS,
                rootCertificatePath: certificates.path,
                statementTimeoutSeconds: job.statementTimeoutSeconds
            )
            do throws(BrokerFailure) {
                return try PostgresConnection(target, password: password, deadline: deadline)
            } catch {
                failure = error
                // Another address is worth a try only when nobody answered at this one.
                guard error.code == .refused else { throw error }
            }
        }
        throw failure
    }
}
