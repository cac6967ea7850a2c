import CoffreTestSupport
import Foundation
import Testing

/// A vault that knows people by the ID tokens of a real provider, and services that are processes of other uids.
struct JWTStage {
    static let chat = 65_534
    static let cron = 65_533

    let server: OAuthServer
    let vault: CoffredProcess
    let root: String
    /// Every ID token that was given.
    private let tokens = Tokens()

    private final class Tokens: @unchecked Sendable {  // Guarded by the lock.
        private let lock = NSLock()
        private var all: [String] = []
        func add(_ token: String) { lock.withLock { all.append(token) } }
        var list: [String] { lock.withLock { all } }
    }

    /// - Parameter setup: of the vault.
    init(_ setup: CoffredProcess.Setup = CoffredProcess.Setup()) throws {
        server = try OAuthServer()
        (vault, root) = try CoffredProcess.unsealed(setup)
        try ask("POST", "sys/auth/jwt", ["type": "jwt"], expect: [204])
    }

    /// The provider's keys as they are published now.
    func keySet() throws -> Any { try #require(try server.request("/.well-known/jwks.json").json) }

    func configure(_ more: [String: Any] = [:]) throws {
        var body: [String: Any] = ["bound_issuer": server.origin, "jwks": try keySet()]
        body.merge(more) { $1 }
        try ask("POST", "auth/jwt/config", body, expect: [204])
    }

    func policy(_ name: String, _ text: String) throws {
        try ask("PUT", "sys/policies/acl/\(name)", ["policy": text], expect: [204])
    }

    /// Signs somebody in at a client of the provider.
    func idToken(of person: String = "alice", client: String = "chatbot") throws -> String {
        let token = try server.idToken(of: person, client: client)
        tokens.add(token)
        return token
    }

    /// As root.
    @discardableResult
    func ask(_ verb: String, _ path: String, _ body: [String: Any]? = nil, expect: [Int] = [200]) throws
        -> UnixHTTP.Answer
    {
        let answer = try vault.request(verb, path, token: root, body: try body.map { try CoffredProcess.json($0) })
        guard expect.contains(answer.status) else {
            throw RunningProcess.Failure(description: "\(verb) \(path): \(answer.status) \(answer.text)")
        }
        return answer
    }

    func ask(
        as uid: Int,
        for subject: String? = nil,
        _ verb: String,
        _ path: String,
        _ body: String? = nil
    ) throws -> CoffredProcess.Seen { try vault.ask(as: uid, for: subject, verb, path, body) }

    /// No token of a person in the log, the state or what the daemon says, and the log verifies.
    func expectSecrecy() throws {
        try vault.verifyLog()
        try #require(!tokens.list.isEmpty)
        for token in tokens.list {
            let signature = try #require(token.split(separator: ".").last)
            let claims = token.split(separator: ".")[1]
            for needle in [signature, claims] {
                #expect(!vault.output.contains(needle))
                let found = try RunningProcess.run("/bin/grep", ["-rlF", "--", String(needle), vault.folder.path])
                #expect(found.status == 1, "\(found.output)")
            }
        }
    }

    /// The records of what was asked for a person.
    func records() throws -> [[String: Any]] { try vault.records() }
}

extension CoffredProcess {
    struct Seen {
        let status: Int
        let text: String
        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]) ?? [:]
        }
        var data: [String: Any] { json["data"] as? [String: Any] ?? [:] }
    }

    /// As a process of another uid, for a person when it shows a token.
    func ask(
        as uid: Int,
        for subject: String? = nil,
        _ verb: String,
        _ path: String,
        _ body: String? = nil,
        token: String? = nil
    )
        throws -> Seen
    {
        var arguments = ["--reuid=\(uid)", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket"]
        arguments += [socket, "-X", verb, "-w", "\n%{http_code}", "http://localhost/v1/\(path)"]
        if let subject { arguments += ["-H", "X-Coffre-Subject: \(subject)"] }
        if let token { arguments += ["-H", "X-Vault-Token: \(token)"] }
        if let body { arguments += ["-d", body] }
        let result = try RunningProcess.run("/usr/bin/setpriv", arguments)
        try #require(result.status == 0, "\(result.output)")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return Seen(status: Int(lines.last ?? "") ?? 0, text: lines.dropLast().joined(separator: "\n"))
    }
}

extension OAuthServer {
    /// Signs somebody in at a client.
    func idToken(of person: String = "alice", client: String = "chatbot") throws -> String {
        let consent = try consent(client: client, scope: "openid profile", as: person)
        let answer = try request(
            "/token/",
            form: [
                "grant_type": "authorization_code", "code": consent.code, "redirect_uri": Self.redirect,
                "code_verifier": consent.verifier,
            ],
            login: "\(client):\(Self.secret)"
        )
        return try #require((answer.json as? [String: Any])?["id_token"] as? String, "\(answer.body)")
    }
}
