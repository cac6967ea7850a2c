import Foundation
import Glibc

/// A real authorization server, `oauth_server.py`: django-oauth-toolkit behind TLS 1.3, in a folder of its own.
package final class OAuthServer: @unchecked Sendable {  // Changed by the one test that owns it.
    /// What can be set at the start; the defaults are strict.
    package struct Setup: Sendable {
        /// Seconds for which a used refresh token still works.
        package var grace = 0
        /// Life of an access token, in seconds.
        package var accessSeconds = 3600
        /// Life of an unused refresh token, in seconds; 0 for no end.
        package var refreshSeconds = 0
        /// Whether a refresh replaces the refresh token.
        package var rotates = true
        /// Whether a code needs a proof key.
        package var needsProofKey = true
        /// 0 for any that is free.
        package var port = 0

        package init() {}
    }

    /// An HTTP answer.
    package struct Answer: Sendable {
        package let status: Int
        /// Names in lower case.
        package let headers: [String: String]
        package let body: String

        package var json: Any? { try? JSONSerialization.jsonObject(with: Data(body.utf8)) }
    }

    /// What a consent brings back to the redirect address.
    package struct Consent: Sendable {
        /// The whole address.
        package let location: String
        package let parameters: [String: String]
        /// The proof key that the code is bound to.
        package let verifier: String

        package var code: String { parameters["code"] ?? "" }
    }

    package static let secret = "client-secret"
    package static let redirect = "http://127.0.0.1:8400/callback"

    package let authority: TestAuthority
    package let setup: Setup
    private let folder: TestFolder
    private var process: RunningProcess
    package private(set) var port = 0
    /// `https://127.0.0.1:PORT`, which is also the issuer.
    package var origin: String { "https://127.0.0.1:\(port)" }

    package init(_ setup: Setup = Setup(), authority: TestAuthority? = nil) throws {
        self.setup = setup
        self.authority = try authority ?? TestAuthority()
        folder = try TestFolder("oauth")
        process = try Self.start(setup, folder, self.authority, port: setup.port)
        port = try Self.waitUntilReady(process)
    }

    deinit { process.signal(SIGKILL) }

    /// Kills it where it stands.
    package func kill() throws {
        process.signal(SIGKILL)
        try process.wait()
    }

    /// Starts it again on the same folder and port, after ``kill()``.
    package func restart() throws {
        process = try Self.start(setup, folder, authority, port: port)
        _ = try Self.waitUntilReady(process)
    }

    private static func start(
        _ setup: Setup,
        _ folder: TestFolder,
        _ authority: TestAuthority,
        port: Int
    ) throws -> RunningProcess {
        var arguments = [PackageFolder.path + "/Tests/Scripts/oauth_server.py", folder.path]
        arguments += ["--cert", authority.server, "--port", "\(port)", "--grace", "\(setup.grace)"]
        arguments += ["--access-seconds", "\(setup.accessSeconds)", "--refresh-seconds", "\(setup.refreshSeconds)"]
        if !setup.needsProofKey { arguments.append("--no-pkce") }
        if !setup.rotates { arguments.append("--no-rotation") }
        return try RunningProcess(try CoffredProcess.python(), arguments)
    }

    private static func waitUntilReady(_ process: RunningProcess) throws -> Int {
        guard process.says("listening", within: 60),
            let line = process.output.split(separator: "\n").first(where: { $0.hasPrefix("port ") }),
            let port = Int(line.dropFirst(5))
        else { throw RunningProcess.Failure(description: "oauth_server.py: \(process.output)") }
        return port
    }
}

extension OAuthServer {
    /// One request by curl, which checks the certificate and insists on TLS 1.3.
    /// - Parameter form: makes it a POST.
    package func request(
        _ path: String,
        form: [String: String]? = nil,
        body: String? = nil,
        login: String? = nil,
        headers: [String: String] = [:]
    ) throws -> Answer {
        var arguments = ["curl", "-s", "-i", "--tlsv1.3", "--cacert", authority.certificate, "--max-time", "60"]
        for (name, value) in form ?? [:] { arguments += ["--data-urlencode", "\(name)=\(value)"] }
        if let body { arguments += ["--data-binary", body] }
        if form?.isEmpty == true { arguments += ["--data", ""] }
        if let login { arguments += ["-u", login] }
        for (name, value) in headers { arguments += ["-H", "\(name): \(value)"] }
        let (status, output) = try RunningProcess.run("/usr/bin/env", arguments + [origin + path])
        guard status == 0, let end = output.range(of: "\r\n\r\n") else {
            throw RunningProcess.Failure(description: "curl \(path): \(status) \(output)")
        }
        let lines = output[..<end.lowerBound].components(separatedBy: "\r\n")
        var found: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            found[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        let code = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return Answer(status: code, headers: found, body: String(output[end.upperBound...]))
    }

    /// A person goes to an authorization address, and consents or not.
    /// - Parameters:
    ///   - address: the whole address, as `oauth/start` gives it, or its path and query.
    ///   - granting: scopes to grant instead of those asked for.
    /// - Returns: where the browser is sent.
    package func consent(
        at address: String,
        as person: String = "alice",
        granting: String? = nil,
        denying: Bool = false
    ) throws -> String {
        let path = address.hasPrefix(origin) ? String(address.dropFirst(origin.count)) : address
        var headers: [String: String] = [:]
        if let granting { headers["X-Consent-Scope"] = granting }
        if denying { headers["X-Consent"] = "deny" }
        let answer = try request(path, login: "\(person):password", headers: headers)
        guard answer.status == 302, let location = answer.headers["location"] else {
            throw RunningProcess.Failure(description: "no consent: \(answer.status) \(answer.body.prefix(500))")
        }
        return location
    }

    /// A consent from the beginning, with a proof key of its own.
    package func consent(
        client: String = "coffre",
        scope: String = "read",
        as person: String = "alice",
        granting: String? = nil
    ) throws -> Consent {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        var query = URLComponents()
        query.queryItems = [
            ("response_type", "code"), ("client_id", client), ("redirect_uri", Self.redirect), ("scope", scope),
            ("state", "state-1"), ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ].map { URLQueryItem(name: $0, value: $1) }
        let location = try consent(
            at: "/authorize/?" + (query.percentEncodedQuery ?? ""),
            as: person,
            granting: granting
        )
        let items = URLComponents(string: location)?.queryItems ?? []
        let pairs = items.map { ($0.name, $0.value ?? "") }
        return Consent(
            location: location,
            parameters: Dictionary(pairs, uniquingKeysWith: { $1 }),
            verifier: verifier
        )
    }

    /// What a person does on the page for devices.
    package func answerDevice(_ userCode: String, as person: String = "alice", approving: Bool = true) throws {
        let form = ["user_code": userCode, "user": person, "answer": approving ? "approve" : "deny"]
        let answer = try request("/test/device", form: form)
        guard answer.status == 200 else { throw RunningProcess.Failure(description: "device: \(answer.status)") }
    }

    /// Replaces the faults; see `oauth_server.py`.
    package func fault(_ json: String) throws { _ = try request("/test/fault", body: json) }

    /// Ends every access token now.
    package func expireAccessTokens() throws { _ = try request("/test/expire", form: [:]) }

    /// Ends every grant of a person, as the provider's own page does.
    package func revokeGrants(of person: String) throws { _ = try request("/test/revoke", form: ["user": person]) }

    /// What came, in order.
    package func log() throws -> [[String: Any]] { try request("/test/log").json as? [[String: Any]] ?? [] }

    /// `access` and `refresh`: living tokens; `families`: revoked ones.
    package func tokens() throws -> [String: Int] { try request("/test/tokens").json as? [String: Int] ?? [:] }

    /// Statuses of the answers to token requests of one kind, in order.
    package func statuses(_ grantType: String) throws -> [Int] {
        try log().filter { $0["path"] as? String == "/token/" && $0["grant_type"] as? String == grantType }
            .compactMap { $0["status"] as? Int }
    }
}
