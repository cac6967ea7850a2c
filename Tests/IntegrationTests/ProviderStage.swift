import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// `providers.py` under the names of real providers, a real broker that finds it there, and a coffred. Needs root.
final class ProviderStage: @unchecked Sendable {  // One test drives it.
    static let hosts = [
        "oauth2.googleapis.com", "www.googleapis.com", "login.salesforce.com", "acme.my.salesforce.com",
        "login.microsoftonline.com", "management.azure.com", "trello.com", "api.trello.com", "auth.atlassian.com",
        "api.atlassian.com", "identity.xero.com", "api.xero.com", "slack.com", "api.dropboxapi.com", "github.com",
        "api.github.com",
    ]
    static let address = "127.0.0.9"
    static let secret = "provider-client-secret"
    static let redirect = "http://127.0.0.1:8400/callback"

    let vault: CoffredProcess
    let people: ConnectionStage
    let folder: TestFolder
    private let authority: TestAuthority
    private let server: RunningProcess
    private let broker: RunningProcess
    /// What was entered or handed out: it may be in answers, and nowhere else.
    private var secrets = [ProviderStage.secret]

    init() throws {
        folder = try TestFolder("providers")
        authority = try TestAuthority(hosts: Self.hosts)
        server = try RunningProcess(
            try CoffredProcess.python(),
            [PackageFolder.path + "/Tests/Scripts/providers.py", folder.path, "--cert", authority.server]
        )
        guard server.says("listening", within: 30) else {
            throw RunningProcess.Failure(description: "providers.py: \(server.output)")
        }
        vault = try CoffredProcess()
        let configuration = try vault.folder.write(
            "broker.toml",
            """
            socket = "\(vault.folder.file("broker"))"
            state_directory = "\(vault.folder.file("broker-state"))"
            coffred_user = "\(geteuid())"
            allow = ["127.0.0.0/8"]
            ca_file = "\(authority.certificate)"
            """
        )
        let names = "127.0.0.1 localhost\n\(Self.address) \(Self.hosts.joined(separator: " "))\n"
        let hosts = try vault.folder.write("hosts", names)
        let mount = "mount --bind \(hosts) /etc/hosts && exec \"$@\""
        broker = try RunningProcess(
            "/usr/bin/env",
            ["unshare", "-m", "sh", "-c", mount, "sh", try CoffredProcess.program("coffre-broker"), "--config"]
                + [configuration]
        )
        guard broker.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "coffre-broker does not listen: \(broker.output)")
        }
        try vault.start()
        let root = try vault.initialise().rootToken
        try vault.unseal()
        people = try ConnectionStage(vault, root, people: ["sarah": [], "amine": []])
    }

    deinit { server.signal(SIGKILL) }

    @discardableResult
    func connection(_ name: String, _ type: String, _ fields: [String: String]) throws -> UnixHTTP.Answer {
        try people.ask("POST", "connectors/connections/" + name, ["type": type, "fields": fields], as: "sarah")
    }

    @discardableResult
    func start(_ name: String, _ more: [String: Any] = [:], expect: [Int] = [200]) throws -> UnixHTTP.Answer {
        let body: [String: Any] = ["connection": name, "redirect_uri": Self.redirect]
        return try people.ask("POST", "connectors/oauth/start", body.merging(more) { $1 }, as: "sarah", expect: expect)
    }

    /// A consent by code, where the server takes `code-NAME` from anybody.
    @discardableResult
    func consent(_ name: String, _ code: String, _ more: [String: Any] = [:]) throws -> UnixHTTP.Answer {
        let state = try #require(try start(name, more).data["state"] as? String)
        return try people.ask("POST", "connectors/oauth/complete", ["state": state, "code": code], as: "sarah")
    }

    func token(_ name: String) throws -> (token: String, answer: UnixHTTP.Answer) {
        let answer = try people.ask("GET", "connectors/creds/" + name, as: "sarah")
        return (try #require(answer.data["access_token"] as? String), answer)
    }

    func grant(_ name: String) throws -> [String: Any] {
        let shown = try people.ask("GET", "connectors/connections/" + name, as: "sarah")
        return try #require(shown.data["oauth"] as? [String: Any])
    }

    func works(_ name: String) throws -> Bool {
        let tried = try people.ask("POST", "connectors/connections/\(name)/test", as: "sarah")
        return tried.data["works"] as? Bool == true
    }

    @discardableResult
    func delete(_ name: String, expect: [Int] = [200]) throws -> UnixHTTP.Answer {
        try people.ask("DELETE", "connectors/connections/\(name)?dry_run=false", as: "sarah", expect: expect)
    }

    /// A request by curl, as a service makes it.
    func curl(_ url: String, _ more: [String] = []) throws -> String {
        let host = try #require(URLComponents(string: url)?.host)
        let arguments =
            ["curl", "-s", "-i", "--cacert", authority.certificate, "--resolve", "\(host):443:\(Self.address)"] + more
        return try RunningProcess.run("/usr/bin/env", arguments + [url]).output
    }

    /// The next answers at `HOST/PATH`.
    func fault(_ place: String, status: Int = 200, _ body: Any, count: Int = 1) throws {
        let faults = [place: ["status": status, "body": body, "count": count]]
        let data = try JSONSerialization.data(withJSONObject: faults)
        try data.write(to: URL(fileURLWithPath: folder.file("faults.json")))
    }

    /// What came to a host, as `METHOD PATH STATUS`.
    func log(_ host: String) throws -> [String] {
        let text = try String(contentsOfFile: folder.file("log.jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").compactMap { line in
            let entry = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
            guard entry["host"] as? String == host else { return nil }
            return "\(entry["method"] ?? "") \(entry["path"] ?? "") \(entry["status"] ?? "")"
        }
    }

    /// A key pair whose public half the server knows by `name`.
    func key(_ name: String, bits: Int = 2048) throws -> String {
        let script = """
            cd "$1" && openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$3 -out $2.key 2>/dev/null \
            && openssl pkey -in $2.key -pubout -out $2.pub
            """
        let arguments = ["-c", script, "sh", folder.path, name, "\(bits)"]
        #expect(try RunningProcess.run("/bin/sh", arguments).status == 0)
        let pem = try String(contentsOfFile: folder.file(name + ".key"), encoding: .utf8)
        secrets.append(String(pem.split(separator: "\n")[1]))
        return pem
    }

    /// Nothing secret in the log, the database or what the daemons say.
    func expectSecrecy() throws {
        try vault.verifyLog()
        let given = (try? String(contentsOfFile: folder.file("tokens"), encoding: .utf8)) ?? ""
        let all = secrets + given.split(separator: "\n").map(String.init)
        var texts = [vault.output, broker.output]
        for place in [vault.auditFolder, vault.stateFolder, vault.folder.file("broker-state")] {
            for name in try FileManager.default.subpathsOfDirectory(atPath: place) {
                guard let data = FileManager.default.contents(atPath: place + "/" + name) else { continue }
                texts.append(String(decoding: data, as: UTF8.self))
            }
        }
        for secret in all { for text in texts { #expect(!text.contains(secret)) } }
    }
}
