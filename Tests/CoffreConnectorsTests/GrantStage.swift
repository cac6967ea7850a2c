import CoffreConnectors
import CoffreCrypto
import CoffreTestSupport
import CoffreVault
import CoffreWire
import Foundation
import Testing

/// Everything that issues logins by a plan. One after another: they look at rights of the whole server.
@Suite(.enabled(if: PostgresServer.isInstalled, "PostgreSQL 15 is not installed"), .serialized)
struct GrantTests {}

/// A database of its own on the shared server, and the broker's jobs on it.
struct GrantStage {
    static let password = "P4ss-\(UUID().uuidString)"
    static let verifier = Result {
        try ScramVerifier.make(password: Array(password.utf8).withUnsafeBytes { SharedSecret(copying: $0) })
    }
    private static let trust = Result { try WebTrust(minimumTLS: .tls13, certificates: nil) }

    let server: PostgresServer
    let database: String
    /// The group role of this stage.
    let group: String
    /// Where the jobs connect; another port is a proxy's.
    var port: UInt16
    var user: String
    var administratorPassword: String
    /// Every database of the server lets everybody in and make temporary tables, unless its owner says otherwise.
    var accepted = ["temp", "connect"]
    var connectTimeout: UInt32 = 5
    var statementTimeout: UInt32 = 20

    /// - Parameter setup: run in the new database.
    init(_ setup: String = "", database: String? = nil) throws {
        server = try Servers.plain.get()
        let mark = String(UInt32.random(in: 0 ... .max), radix: 36)
        self.database = database ?? "d_\(mark)"
        group = "coffre_g_\(mark)"
        port = server.port
        user = server.user
        administratorPassword = server.password
        try server.sql("CREATE DATABASE \(GrantStage.quoted(self.database)) TEMPLATE template0")
        if !setup.isEmpty { try sql(setup) }
    }

    /// The tables of the product guide, in small.
    static let guide = """
        CREATE TABLE clients (id serial PRIMARY KEY, nom text, email text);
        CREATE TABLE factures (id bigint GENERATED ALWAYS AS IDENTITY, client int, montant numeric);
        CREATE TABLE produits (id int, nom text, prix numeric);
        CREATE TABLE salaires (id int, nom text, montant int);
        INSERT INTO clients (nom, email) VALUES ('Sonatrach', 'a@b'), ('Cevital', 'c@d');
        INSERT INTO factures (client, montant) VALUES (1, 850000);
        INSERT INTO produits VALUES (1, 'Chaise', 12);
        INSERT INTO salaires VALUES (1, 'Amina', 95000);
        """

    static func quoted(_ name: String) -> String { "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\"" }

    static func table(
        _ name: String,
        schema: String = "public",
        read: GrantPlan.Columns = .none,
        insert: GrantPlan.Columns = .none,
        update: GrantPlan.Columns = .none,
        delete: Bool = false
    ) throws -> GrantPlan.Table {
        try GrantPlan.Table(schema: schema, name: name, read: read, insert: insert, update: update, delete: delete)
    }

    @discardableResult
    func sql(_ text: String, as login: String? = nil) throws -> String {
        try server.sql(text, database: database, as: login.map { ($0, Self.password) })
    }

    /// Whether the server lets `login` run `text`; a syntax error or the like is a failure of the test.
    func may(_ text: String, as login: String) throws -> Bool {
        do {
            try sql(text, as: login)
            return true
        } catch let failure as RunningProcess.Failure {
            let refusals = ["permission denied", "must be superuser", "read-only transaction"]
            let isDenied = refusals.contains { failure.description.contains($0) }
            guard isDenied else { throw failure }
            return false
        }
    }

    func plan(
        _ tables: [GrantPlan.Table],
        readOnly: Bool = true,
        accepted: [String]? = nil
    ) throws -> GrantPlan {
        let accepted = try (accepted ?? self.accepted).map { try GrantPlan.Acceptance($0) }
        return try GrantPlan(group: group, tables: tables, isReadOnly: readOnly, accepted: accepted)
    }

    static func freshLogin() -> String { "coffre_" + String(UInt64.random(in: 0 ... .max), radix: 36) + "_l" }

    func provision(_ plan: GrantPlan, _ login: String, validUntil: Int64 = 1_999_999_999) throws -> BrokerAnswer {
        let provision = try GrantProvision(plan: plan, verifier: Self.verifier.get())
        return try perform(.provision(provision), login: login, validUntil: validUntil)
    }

    /// A login that works, or a failure of the test.
    func issued(_ plan: GrantPlan) throws -> String {
        let login = Self.freshLogin()
        let answer = try provision(plan, login)
        guard case .done = answer else { throw RunningProcess.Failure(description: "\(answer)") }
        return login
    }

    func perform(_ task: DatabaseTask, login: String? = nil, validUntil: Int64? = nil) throws -> BrokerAnswer {
        try perform(job(task.kind, login: login, validUntil: validUntil, task: task))
    }

    func revoke(_ login: String) throws -> BrokerAnswer {
        try perform(job(.revoke, login: login, validUntil: nil, task: nil))
    }

    private func job(
        _ kind: BrokerJob.Kind,
        login: String?,
        validUntil: Int64?,
        task: DatabaseTask?
    ) -> BrokerJob {
        BrokerJob(
            kind: kind,
            host: "127.0.0.1",
            port: port,
            database: database,
            user: user,
            tls: .disable,
            login: login,
            validUntil: validUntil,
            task: task,
            publicKey: [UInt8](repeating: 1, count: 32),
            connectTimeoutSeconds: connectTimeout,
            statementTimeoutSeconds: statementTimeout
        )
    }

    func perform(_ job: BrokerJob, password: String? = nil) throws -> BrokerAnswer {
        let jobs = BrokerJobs(policy: try EgressPolicy(allow: ["127.0.0.0/8"]), trust: try Self.trust.get())
        let admin = Array((password ?? administratorPassword).utf8)
        let login = job.kind == .provision || job.kind == .create ? Array(Self.password.utf8) : nil
        var body = [UInt8](
            repeating: 0,
            count: job.encodedSize(adminPasswordBytes: admin.count, loginPasswordBytes: login?.count)
        )
        try admin.withUnsafeBytes { admin in
            try (login ?? []).withUnsafeBytes { other in
                try body.withUnsafeMutableBytes {
                    _ = try job.encode(adminPassword: admin, loginPassword: login == nil ? nil : other, into: $0)
                }
            }
        }
        let result = try body.withUnsafeBytes { jobs.perform(try BrokerWork(decoding: $0)) }
        guard case .open(let answer) = result else {
            throw RunningProcess.Failure(description: "an answer of another kind")
        }
        // What the broker says must pass its own codec.
        let back = try answer.encode().withUnsafeBytes { try BrokerAnswer(decoding: $0) }
        #expect(back == answer)
        return answer
    }

    func exists(_ role: String) throws -> Bool {
        try server.sql("SELECT count(*) FROM pg_roles WHERE rolname = '\(role)'") == "1"
    }

    /// The differences as `kind:object`, empty for every other answer.
    static func differences(_ answer: BrokerAnswer) -> [String] {
        guard case .differs(let differences) = answer else { return [] }
        return differences.list.map { "\($0.kind.name):\($0.object)" }
    }
}

extension BrokerAnswer {
    var isDone: Bool {
        guard case .done = self else { return false }
        return true
    }

    var failure: BrokerFailure? {
        guard case .failed(let failure) = self else { return nil }
        return failure
    }
}
