import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// A real PostgreSQL, a real broker, a gate, and a coffred that issues logins to them.
final class DatabaseStage: @unchecked Sendable {  // One test drives it; the broker changes under the lock.
    static let creation = """
        CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{{name}}";
        """

    let server: PostgresServer
    let vault: CoffredProcess
    let root: String
    let gate: BrokerGate
    private let brokerConfiguration: String
    private let lock = NSLock()
    private var broker: RunningProcess

    /// - Parameter known: a server that another stage has made ready.
    init(seal: String = "shamir", server known: PostgresServer? = nil, settings: [String] = []) throws {
        server = try known ?? PostgresServer(settings: settings)
        if known == nil { try server.sql("CREATE TABLE clients (id int); INSERT INTO clients VALUES (7)") }
        var setup = CoffredProcess.Setup()
        setup.seal = seal
        vault = try CoffredProcess(setup)
        let socket = vault.folder.file("real")
        brokerConfiguration = try vault.folder.write(
            "broker.toml",
            """
            socket = "\(socket)"
            state_directory = "\(vault.folder.file("broker-state"))"
            coffred_user = "\(geteuid())"
            allow = ["127.0.0.0/8"]
            """
        )
        broker = try Self.startBroker(brokerConfiguration)
        gate = try BrokerGate(at: vault.folder.file("broker"), broker: socket)
        try vault.start()
        root = try vault.initialise().rootToken
        try vault.unseal()
        let url = "postgresql://{{username}}:{{password}}@127.0.0.1:\(server.port)/postgres?sslmode=disable"
        try write(
            "database/config/pg",
            [
                "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url,
                "username": server.user, "password": server.password,
            ]
        )
        try role("app", ttl: "1h")
    }

    func write(_ path: String, _ body: [String: Any]) throws {
        let answer = try vault.request("POST", path, token: root, body: try CoffredProcess.json(body))
        guard answer.status == 204 else {
            throw RunningProcess.Failure(description: "\(path): \(answer.status) \(answer.text)")
        }
    }

    func role(_ name: String, ttl: String, creation: String = DatabaseStage.creation) throws {
        try write(
            "database/roles/\(name)",
            ["db_name": "pg", "creation_statements": creation, "default_ttl": ttl, "max_ttl": "24h"]
        )
    }

    struct Login {
        let user: String
        let password: String
        let lease: String
    }

    /// A login, or the status that refused it; 0 when the daemon went away.
    func issue(_ role: String = "app") -> (login: Login?, status: Int) {
        guard let answer = try? vault.request("GET", "database/creds/\(role)", token: root) else { return (nil, 0) }
        guard answer.status == 200, let user = answer.data["username"] as? String,
            let password = answer.data["password"] as? String, let lease = answer.json["lease_id"] as? String
        else { return (nil, answer.status) }
        return (Login(user: user, password: password, lease: lease), 200)
    }

    func issued(_ role: String = "app") throws -> Login {
        let (login, status) = issue(role)
        return try #require(login, "database/creds/\(role) answered \(status): \(vault.output.suffix(600))")
    }

    func works(_ login: Login) -> Bool {
        (try? server.sql("SELECT id FROM clients", as: (login.user, login.password))) == "7"
    }

    /// Logins of coffred's making that the server still has.
    func logins() throws -> [String] {
        try server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'coffre\\_%' ORDER BY 1")
            .split(separator: "\n").map(String.init)
    }

    /// The most memory that a daemon has held so far, in MiB (proc(5), VmHWM).
    func memory(ofBroker: Bool) throws -> Int {
        let pid = ofBroker ? lock.withLock { broker.pid } : vault.pid
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }) / 1024
    }

    /// Kills the broker where it stands.
    func killBroker() {
        let process = lock.withLock { broker }
        process.signal(SIGKILL)
        _ = try? process.wait()
    }

    func restartBroker() throws {
        killBroker()
        let started = try Self.startBroker(brokerConfiguration)
        lock.withLock { broker = started }
    }

    /// Starts what is dead, and opens the vault.
    func recover() throws {
        gate.open()
        if !lock.withLock({ broker.isRunning }) { try restartBroker() }
        if !vault.isRunning { try vault.start() }
        try vault.unseal()
    }

    private static func startBroker(_ configuration: String) throws -> RunningProcess {
        let process = try RunningProcess(try CoffredProcess.program("coffre-broker"), ["--config", configuration])
        guard process.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "coffre-broker does not listen: \(process.output)")
        }
        return process
    }
}
