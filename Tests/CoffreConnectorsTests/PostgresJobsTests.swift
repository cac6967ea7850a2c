import CoffreConnectors
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@Suite(.enabled(if: PostgresServer.isInstalled, "PostgreSQL 15 is not installed"), .serialized)
struct PostgresJobsTests {
    private let server: PostgresServer
    private let jobs: PostgresJobs

    init() throws {
        server = try Servers.plain.get()
        jobs = PostgresJobs(policy: try EgressPolicy(allow: ["127.0.0.0/8"]))
    }

    private func job(
        _ kind: BrokerJob.Kind,
        _ login: String? = nil,
        statements: [String] = [],
        validUntil: Int64? = nil,
        tls: BrokerJob.TLS = .disable
    ) -> BrokerJob {
        BrokerJob(
            kind: kind,
            host: "127.0.0.1",
            port: server.port,
            database: "postgres",
            user: server.user,
            tls: tls,
            login: login,
            statements: statements,
            validUntil: validUntil,
            publicKey: [UInt8](repeating: 1, count: 32),
            connectTimeoutSeconds: 5,
            statementTimeoutSeconds: 10
        )
    }

    private func perform(
        _ job: BrokerJob,
        password: String? = nil,
        loginPassword: String? = nil,
        with jobs: PostgresJobs? = nil
    ) throws -> BrokerAnswer {
        let admin = Array((password ?? server.password).utf8)
        let login = loginPassword.map { Array($0.utf8) }
        return try admin.withUnsafeBytes { admin in
            try (login ?? []).withUnsafeBytes { other in
                var body = [UInt8](
                    repeating: 0,
                    count: job.encodedSize(adminPasswordBytes: admin.count, loginPasswordBytes: login?.count)
                )
                try body.withUnsafeMutableBytes {
                    _ = try job.encode(adminPassword: admin, loginPassword: login == nil ? nil : other, into: $0)
                }
                return try body.withUnsafeBytes { (jobs ?? self.jobs).perform(try BrokerJobView(decoding: $0)) }
            }
        }
    }

    private func quoted(_ name: String) -> String { "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\"" }

    private func exists(_ login: String) throws -> Bool {
        let name = login.replacingOccurrences(of: "'", with: "''")
        return try server.sql("SELECT count(*) FROM pg_roles WHERE rolname = E'\(name)'") == "1"
    }

    private func code(_ answer: BrokerAnswer) -> BrokerFailure.Code? {
        guard case .failed(let failure) = answer else { return nil }
        return failure.code
    }

    private func create(_ login: String, _ password: String, more: [String] = []) throws -> BrokerAnswer {
        let verifier = try server.verifier(of: password)
        return try perform(
            job(.create, login, statements: ["CREATE ROLE \(quoted(login)) LOGIN PASSWORD '\(verifier)'"] + more),
            loginPassword: password
        )
    }

    @Test func aServerIsVerified() throws {
        let answer = try perform(job(.verify))
        guard case .done(let version, let tls, 0) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(version?.hasPrefix("15.") == true)
        #expect(tls == nil)
    }

    @Test(arguments: [
        "v_plain", "a\"b", "a'b", "a; DROP TABLE t", "%I%s", "Großer Name", "x\\y", "pg catalog", "-1", "$$",
        String(repeating: "n", count: 63),
    ])
    func aLoginLivesAndIsGoneWhateverItsName(login: String) throws {
        let password = "P-\(UUID().uuidString)'\"\\"
        guard case .done = try create(login, password) else {
            Issue.record("not created")
            return
        }
        #expect(try server.sql("SELECT current_user", as: (login, password)) == login)
        #expect(code(try perform(job(.renew, login, validUntil: 1_999_999_999))) == nil)
        let name = login.replacingOccurrences(of: "'", with: "''")
        let end = try server.sql(
            "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = '\(name)'"
        )
        #expect(end == "1999999999")
        #expect(code(try perform(job(.revoke, login))) == nil)
        #expect(try !exists(login))
        #expect(code(try perform(job(.revoke, login))) == nil)
        #expect(!server.log.contains(password))
        #expect(!server.log.contains(server.password))
    }

    @Test func theEndOfALifeIsSetAlsoWhereStatementsSayNothingOfIt() throws {
        let verifier = try server.verifier(of: "pw")
        func end() throws -> String {
            try server.sql("SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = 'mortal'")
        }
        let statements = ["CREATE ROLE mortal LOGIN PASSWORD '\(verifier)'"]
        let create = job(.create, "mortal", statements: statements, validUntil: 1_999_999_990)
        #expect(code(try perform(create, loginPassword: "pw")) == nil)
        #expect(try end() == "1999999990")
        let renew = job(
            .renew,
            "mortal",
            statements: ["COMMENT ON ROLE mortal IS 'renewed'"],
            validUntil: 1_999_999_999
        )
        #expect(code(try perform(renew)) == nil)
        #expect(try end() == "1999999999")
        #expect(code(try perform(job(.revoke, "mortal"))) == nil)
    }

    @Test(arguments: [false, true])
    func revokingEndsSessionsAlsoWithStatementsOfOthers(custom: Bool) throws {
        let login = "busy_\(custom)"
        guard case .done = try create(login, "pw", more: ["GRANT SELECT ON pg_authid TO \(login)"]) else {
            Issue.record("not created")
            return
        }
        let sessions = try (0..<3).map { _ in try server.session("SELECT pg_sleep(600)", as: (login, "pw")) }
        try eventually("three sessions") {
            try server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login)'") == "3"
        }
        let statements = custom ? ["REVOKE SELECT ON pg_authid FROM \(login)"] : []
        guard case .done(_, _, let ended) = try perform(job(.revoke, login, statements: statements)) else {
            Issue.record("not revoked")
            return
        }
        #expect(ended == 3)
        for session in sessions { #expect(try session.wait() != 0) }
        #expect(throws: RunningProcess.Failure.self) { try server.sql("SELECT 1", as: (login, "pw")) }
        #expect(try exists(login) == custom)
    }

    @Test func anAdministratorWithoutSuperuserCanDoIt() throws {
        try server.sql("SET log_statement = none; CREATE ROLE steward LOGIN CREATEROLE PASSWORD 'stew'")
        try server.sql("CREATE TABLE IF NOT EXISTS stewards(); ALTER TABLE stewards OWNER TO steward")
        let verifier = try server.verifier(of: "pw")
        var job = job(
            .create,
            "by_steward",
            statements: ["CREATE ROLE by_steward LOGIN PASSWORD '\(verifier)'; GRANT SELECT ON stewards TO by_steward"]
        )
        job.user = "steward"
        #expect(code(try perform(job, password: "stew", loginPassword: "pw")) == nil)
        let session = try server.session("SELECT pg_sleep(600)", as: ("by_steward", "pw"))
        try eventually("a session") {
            try server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'by_steward'") == "1"
        }
        var revoke = self.job(.revoke, "by_steward")
        revoke.user = "steward"
        guard case .done(_, _, let ended) = try perform(revoke, password: "stew") else {
            Issue.record("not revoked")
            return
        }
        #expect(ended == 1)
        #expect(try session.wait() != 0)
        #expect(try !exists("by_steward"))
    }

    @Test func whatALoginOwnsIsNeitherDeletedNorHandedOver() throws {
        let more = ["CREATE SCHEMA owned AUTHORIZATION owner_login", "CREATE TABLE owned.t(x int)"]
        guard case .done = try create("owner_login", "pw", more: more) else {
            Issue.record("not created")
            return
        }
        #expect(try perform(job(.revoke, "owner_login")) == .failed(BrokerFailure(.statement, sqlState: "2BP01")))
        #expect(try server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'owner_login'") == "f")
        #expect(try server.sql("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'owned'") == "owner_login")
        #expect(code(try perform(job(.revoke, "owner_login", statements: ["DROP SCHEMA owned CASCADE"]))) == nil)
        #expect(code(try perform(job(.revoke, "owner_login"))) == nil)
        #expect(try !exists("owner_login"))
    }

    @Test func aLoginThatDoesNotWorkLeavesNothing() throws {
        let verifier = try server.verifier(of: "another")
        let answer = try perform(
            job(.create, "broken", statements: ["CREATE ROLE broken LOGIN PASSWORD '\(verifier)'"]),
            loginPassword: "pw"
        )
        #expect(code(answer) == .statement)
        #expect(try !exists("broken"))
    }

    @Test(arguments: [
        ["CREATE ROLE half LOGIN", "SELECT nonsense"], ["CREATE ROLE half LOGIN; COMMIT; SELECT nonsense"],
        ["CREATE ROLE half LOGIN", "COMMIT"], ["CREATE ROLE half LOGIN", "ROLLBACK"],
        ["CREATE ROLE half LOGIN", "COPY pg_class TO STDOUT"], ["CREATE ROLE half LOGIN", "COPY pg_class FROM STDIN"],
        ["CREATE ROLE half LOGIN", "SELECT generate_series(1, 200000)"],
    ])
    func statementsThatFailLeaveNothing(statements: [String]) throws {
        let answer = try perform(job(.create, "half", statements: statements), loginPassword: "pw")
        #expect(code(answer) == .statement)
        #expect(try !exists("half"))
    }

    @Test func aLoginThatWasThereBeforeIsLeftAlone() throws {
        try server.sql("CREATE ROLE elder")
        let answer = try perform(job(.create, "elder", statements: ["ALTER ROLE elder LOGIN"]), loginPassword: "pw")
        #expect(answer == .failed(BrokerFailure(.statement, sqlState: "42710")))
        #expect(try server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'elder'") == "f")
    }

    @Test func failuresHaveTheRightCode() throws {
        #expect(code(try perform(job(.verify), password: "wrong")) == .authentication)
        var job = job(.verify)
        job.user = "nobody_here"
        #expect(code(try perform(job)) == .authentication)
        job = self.job(.verify)
        job.port = try PostgresServer.freePort()
        #expect(code(try perform(job)) == .refused)
        job = self.job(.verify)
        job.host = "nothing.invalid"
        #expect(code(try perform(job)) == .dns)
        job = self.job(.verify)
        job.database = "host=10.0.0.1 dbname=x"
        #expect(try perform(job) == .failed(BrokerFailure(.statement, sqlState: "3D000")))
        #expect(code(try perform(self.job(.verify, tls: .require))) == .tls)
        #expect(code(try perform(self.job(.verify, tls: .verifyFull))) == .tls)
        let closed = PostgresJobs(policy: try EgressPolicy(allow: []))
        #expect(code(try perform(self.job(.verify), with: closed)) == .egressDenied)
        try server.sql("SET log_statement = none; CREATE ROLE plain_user LOGIN PASSWORD 'plain'")
        job = self.job(.create, "x", statements: ["CREATE ROLE x LOGIN"])
        job.user = "plain_user"
        #expect(
            try perform(job, password: "plain", loginPassword: "p")
                == .failed(BrokerFailure(.rights, sqlState: "42501"))
        )
        job = self.job(.renew, "x", statements: ["SELECT pg_sleep(60)"])
        job.statementTimeoutSeconds = 1
        #expect(code(try perform(job)) == .timeout)
        #expect(code(try perform(self.job(.renew, "not_there", validUntil: 1))) == .statement)
    }

    /// Who reads a failure knows whether a login may have come into being.
    @Test func aFailureTellsWhetherAnythingWasBegun() throws {
        func failure(_ job: BrokerJob, password: String? = nil) throws -> BrokerFailure? {
            guard case .failed(let failure) = try perform(job, password: password, loginPassword: "p") else {
                return nil
            }
            return failure
        }
        var job = job(.create, "never_made", statements: ["CREATE ROLE never_made LOGIN PASSWORD 'p'"])
        #expect(try failure(job, password: "wrong")?.isBeforeAnyWork == true)
        let listener = try SilentListener()
        job.port = listener.port
        job.connectTimeoutSeconds = 1
        #expect(try failure(job) == BrokerFailure(.timeout, sqlState: BrokerFailure.neverConnected))
        #expect(try failure(job)?.isBeforeAnyWork == true)
        // A statement that says what a server says at the door.
        for state in ["28P01", "08001"] {
            let raise = "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '\(state)'; END $$"
            let found = try failure(self.job(.create, "never_made", statements: [raise]))
            #expect(found?.isBeforeAnyWork == false, "\(state)")
        }
        // A login that is made and does not let itself in.
        let closed = self.job(.create, "never_made", statements: ["CREATE ROLE never_made NOLOGIN"])
        #expect(try failure(closed)?.isBeforeAnyWork == false)
    }

    @Test func aServerThatNeverAnswersRunsIntoTheDeadline() throws {
        let listener = try SilentListener()
        var job = job(.verify)
        job.port = listener.port
        job.connectTimeoutSeconds = 1
        let begin = ContinuousClock.now
        #expect(code(try perform(job)) == .timeout)
        #expect(ContinuousClock.now - begin < .seconds(5))
    }

    @Test func encryptionIsVerifiedByNameAndAuthority() throws {
        let encrypted = try Servers.encrypted.get()
        let authority = Array(try #require(encrypted.authority).utf8)
        var job = job(.verify, tls: .verifyFull)
        job.port = encrypted.port
        job.rootCertificate = authority
        func answer(_ job: BrokerJob) throws -> BrokerAnswer { try perform(job, password: encrypted.password) }
        for host in ["127.0.0.1", "localhost"] {
            job.host = host
            guard case .done(_, "TLSv1.3", 0) = try answer(job) else {
                Issue.record("no TLS 1.3 to \(host)")
                continue
            }
        }
        job.host = "127.0.0.2"  // The same server by an address that its certificate does not have.
        #expect(code(try answer(job)) == .tls)
        job.host = "localhost"
        job.rootCertificate = nil
        #expect(code(try answer(job)) == .tls)
        job.rootCertificate = Array("not a certificate".utf8)
        #expect(code(try answer(job)) == .tls)
        job.rootCertificate = nil
        job.tls = .require
        guard case .done(_, "TLSv1.3", 0) = try answer(job) else {
            Issue.record("require needs no authority")
            return
        }
    }
}
