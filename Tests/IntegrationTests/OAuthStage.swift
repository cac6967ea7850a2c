import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc
import Testing

/// A real authorization server, a real broker behind a gate, and a coffred with a connection to it.
final class OAuthStage: @unchecked Sendable {  // One test drives it; the broker changes under the lock.
    static let path = "connectors/connections/forge"
    static let secretCanary = OAuthServer.secret

    let server: OAuthServer
    let vault: CoffredProcess
    let people: ConnectionStage
    let gate: BrokerGate
    private let brokerConfiguration: String
    private let lock = NSLock()
    private var broker: RunningProcess
    /// Tokens that were handed out: they may be in answers, and nowhere else.
    private(set) var handedOut: [String] = []

    private let launcher: [String]

    /// - Parameter salesforce: the server plays login.salesforce.com: the broker finds it under that name, for which the
    ///   test has to be root.
    init(_ setup: OAuthServer.Setup = OAuthServer.Setup(), salesforce: Bool = false) throws {
        server = try OAuthServer(setup)
        vault = try CoffredProcess()
        let socket = vault.folder.file("real")
        brokerConfiguration = try vault.folder.write(
            "broker.toml",
            """
            socket = "\(socket)"
            state_directory = "\(vault.folder.file("broker-state"))"
            coffred_user = "\(geteuid())"
            allow = ["127.0.0.0/8"]
            ca_file = "\(server.authority.certificate)"
            """
        )
        let hosts = try vault.folder.write("hosts", "127.0.0.1 localhost login.salesforce.com\n")
        launcher =
            salesforce
            ? ["unshare", "-m", "sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh"] : []
        broker = try Self.startBroker(brokerConfiguration, launcher)
        gate = try BrokerGate(at: vault.folder.file("broker"), broker: socket)
        try vault.start()
        let root = try vault.initialise().rootToken
        try vault.unseal()
        people = try ConnectionStage(
            vault,
            root,
            people: ["sarah": [], "amine": ["commercial"], "nadia": []]
        )
        try connection(client: "coffre", salesforce: salesforce)
    }

    func connection(client: String, secret: String? = OAuthServer.secret, salesforce: Bool = false) throws {
        let host = salesforce ? "login.salesforce.com" : "127.0.0.1:\(server.port)"
        var fields = ["hostname": host, "client_id": client]
        fields["client_secret"] = secret
        let type = salesforce ? "salesforce" : "gitlab"
        try people.ask("POST", Self.path, ["type": type, "fields": fields], as: "sarah")
    }

    private static func startBroker(_ configuration: String, _ launcher: [String]) throws -> RunningProcess {
        let program = try CoffredProcess.program("coffre-broker")
        let process = try RunningProcess("/usr/bin/env", launcher + [program, "--config", configuration])
        guard process.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "coffre-broker does not listen: \(process.output)")
        }
        return process
    }

    var isBrokerRunning: Bool { lock.withLock { broker.isRunning } }

    func killBroker() {
        let process = lock.withLock { broker }
        process.signal(SIGKILL)
        _ = try? process.wait()
    }

    /// Starts what is dead, and opens the vault.
    func recover() throws {
        gate.open()
        if !lock.withLock({ broker.isRunning }) {
            let started = try Self.startBroker(brokerConfiguration, launcher)
            lock.withLock { broker = started }
        }
        if !vault.isRunning { try vault.start() }
        try vault.unseal()
    }

    // MARK: what people do

    func begin(_ more: [String: Any] = [:], as person: String = "sarah") throws -> UnixHTTP.Answer {
        var body: [String: Any] = ["connection": "forge", "redirect_uri": OAuthServer.redirect, "scopes": ["read"]]
        body.merge(more) { $1 }
        return try people.ask("POST", "connectors/oauth/start", body, as: person)
    }

    /// The parameters that the browser brings back.
    func consent(_ begun: UnixHTTP.Answer, granting: String? = nil, denying: Bool = false) throws -> [String: String] {
        let address = try #require(begun.data["authorization_url"] as? String)
        // The browser has no hosts of its own here.
        let local = address.replacing("https://login.salesforce.com", with: server.origin)
        let location = try server.consent(at: local, granting: granting, denying: denying)
        let items = URLComponents(string: location)?.queryItems ?? []
        var callback = Dictionary(items.map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { $1 })
        if local != address { callback["iss"] = "https://login.salesforce.com" }
        return callback
    }

    @discardableResult
    func connect(_ more: [String: Any] = [:]) throws -> UnixHTTP.Answer {
        let callback = try consent(try begin(more))
        return try people.ask("POST", "connectors/oauth/complete", callback, as: "sarah")
    }

    /// The access token, or the status that refused it; 0 when the daemon went away.
    func token(as person: String? = "sarah") -> (token: String?, status: Int, text: String) {
        let bearer = person.flatMap { people.tokens[$0] } ?? people.root
        guard let answer = try? vault.request("GET", "connectors/creds/forge", token: bearer) else {
            return (nil, 0, "")
        }
        let token = answer.data["access_token"] as? String
        if let token { lock.withLock { handedOut.append(token) } }
        return (token, answer.status, answer.text)
    }

    func works(_ token: String?) throws -> Bool {
        guard let token else { return false }
        return try server.request("/api/me", headers: ["Authorization": "Bearer \(token)"]).status == 200
    }

    /// What is shown of the grant.
    func grant() throws -> [String: Any] {
        try #require(try people.ask("GET", Self.path, as: "sarah").data["oauth"] as? [String: Any])
    }

    func state() throws -> String { try #require(try grant()["state"] as? String) }

    /// Every refresh token that the server has ever given.
    func refreshTokens() throws -> [String] {
        try #require(try server.request("/test/refresh-tokens").json as? [String])
    }

    /// No refresh token, client secret or handed-out token in the log, the database or what the daemons say.
    func expectSecrecy() throws {
        try vault.verifyLog()
        let secrets = try refreshTokens() + lock.withLock { handedOut } + [Self.secretCanary]
        #expect(secrets.count > 1)
        var texts = [vault.output, lock.withLock { broker.output }]
        for folder in [vault.auditFolder, vault.stateFolder, vault.folder.file("broker-state")] {
            for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
                guard let data = FileManager.default.contents(atPath: folder + "/" + name) else { continue }
                texts.append(String(decoding: data, as: UTF8.self))
            }
        }
        for secret in secrets {
            for text in texts where text.utf8.count >= secret.utf8.count { #expect(!text.contains(secret)) }
        }
    }
}
