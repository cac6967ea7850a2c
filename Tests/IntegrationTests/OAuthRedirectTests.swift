import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// The redirect address of a production site: the configuration that is delivered, in a real nginx before a real vault.
@Suite(.serialized)
struct OAuthRedirectTests {
    private final class Site {
        let folder: TestFolder
        let port: Int
        private let authority: TestAuthority
        private let process: RunningProcess

        init(before vault: CoffredProcess) throws {
            let folder = try TestFolder("nginx")
            self.folder = folder
            authority = try TestAuthority()
            port = 20_000 + Int(getpid()) % 20_000
            let package = CoffredProcess.packageFolder
            var site = try String(contentsOfFile: package + "/systemd/oauth-redirect.nginx.conf", encoding: .utf8)
            for (delivered, here) in [
                ("listen 443 ssl;", "listen 127.0.0.1:\(port) ssl;"),
                ("/etc/ssl/certs/vault.pem", authority.server), ("/etc/ssl/private/vault.key", authority.server),
                ("/var/log/nginx/", folder.path + "/"), ("/run/coffre/coffre.sock", vault.socket),
                ("/usr/share/coffre/oauth-redirect", package + "/systemd/oauth-redirect"),
                ("burst=5", "burst=500"),
            ] {
                #expect(site.contains(delivered), "\(delivered)")
                site = site.replacing(delivered, with: here)
            }
            let user = geteuid() == 0 ? "user root;" : ""
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(folder.path)/\($0);"
            }
            let main = try folder.write(
                "nginx.conf",
                """
                \(user) daemon off; worker_processes 1; pid \(folder.path)/pid; error_log \(folder.path)/main.log emerg;
                events {}
                http {
                    types { text/html html; }
                    \(temporary.joined(separator: "\n"))
                    \(site)
                }
                """
            )
            process = try RunningProcess("/usr/sbin/nginx", ["-c", main, "-e", folder.path + "/main.log"])
            try eventually(within: 10, "nginx answers") { (try? get("/")).map { !$0.isEmpty } ?? false }
        }

        deinit {
            process.signal(SIGTERM)
            _ = try? process.wait()
        }

        /// Head and body, as curl shows them.
        func get(_ path: String, _ more: [String] = []) throws -> String {
            let arguments = ["curl", "-s", "-i", "--path-as-is", "--cacert", authority.certificate, "--max-time", "30"]
            return try RunningProcess.run("/usr/bin/env", arguments + more + ["https://localhost:\(port)" + path])
                .output
        }
    }

    private static func stage() throws -> (OAuthStage, Site) {
        let stage = try OAuthStage()
        let file = CoffredProcess.packageFolder + "/policies/oauth-redirect.hcl"
        let policy = try String(contentsOfFile: file, encoding: .utf8)
        try stage.people.ask("PUT", "sys/policies/acl/oauth-redirect", ["policy": policy], expect: [200, 204])
        let role: [String: Any] = ["bound_uids": [Int(geteuid())], "policies": ["oauth-redirect"]]
        try stage.people.ask("POST", "auth/peer/role/oauth-redirect", role, expect: [200, 204])
        return (stage, try Site(before: stage.vault))
    }

    private static func query(_ stage: OAuthStage, denying: Bool = false) throws -> String {
        let address = try #require(try stage.begin().data["authorization_url"] as? String)
        let location = try stage.server.consent(at: address, denying: denying)
        return String(try #require(location.split(separator: "?", maxSplits: 1).last))
    }

    @Test func aBrowserIsTakenBackAndSeesAPage() throws {
        let (stage, site) = try Self.stage()
        let query = try Self.query(stage)
        let page = try site.get("/callback?" + query)
        #expect(page.hasPrefix("HTTP/1.1 200 ") && page.contains("Connexion établie") && page.contains("Connected."))
        for header in [
            "Referrer-Policy: no-referrer", "Cache-Control: no-store", "Content-Security-Policy: default-src",
        ] {
            #expect(page.contains(header), "\(header)")
        }
        #expect(try stage.state() == "healthy")
        #expect(try stage.works(stage.token().token))
        // Once, and not for what was refused, is unknown or is nothing.
        let denied = try Self.query(stage, denying: true)
        for path in [
            "/callback?" + query, "/callback?" + denied, "/callback", "/callback?", "/callback?state=x&code=y",
            "/callback?state=x&state=y&code=z", "/callback?%00", "/callback?{%22state%22:1}", "/callback?state=%zz",
            "/callback?" + String(repeating: "a=b&", count: 200),
        ] {
            let refused = try site.get(path)
            #expect(refused.hasPrefix("HTTP/1.1 400 "), "\(path.prefix(40)): \(refused.prefix(80))")
            #expect(refused.contains("Connexion non établie") && refused.contains("Not connected."))
            #expect(refused.contains("Referrer-Policy: no-referrer") && !refused.contains("errors"))
        }
        try stage.expectSecrecy()
    }

    @Test func nothingElseOfTheVaultIsThere() throws {
        let (stage, site) = try Self.stage()
        let query = try Self.query(stage)
        let token = ["-H", "X-Vault-Token: \(stage.people.root)", "-H", "Authorization: Bearer \(stage.people.root)"]
        for path in [
            "/", "/v1/sys/health", "/v1/connectors/oauth/complete", "/-coffre", "/-failed", "/done.html",
            "/callback/../v1/sys/health", "/callback/%2e%2e/v1/sys/mounts", "//v1/sys/health", "/callback/",
        ] {
            let answer = try site.get(path, token)
            #expect(answer.hasPrefix("HTTP/1.1 404 "), "\(path): \(answer.prefix(80))")
        }
        for method in [["-X", "POST", "--data", query], ["--head"], ["-X", "DELETE"], ["-X", "LIST"]] {
            #expect(try site.get("/callback?" + query, method).hasPrefix("HTTP/1.1 405 "), "\(method)")
        }
        // None of that has used the consent up; and a browser's token gives no rights of its own.
        #expect(try site.get("/callback?state=x&code=y", token).hasPrefix("HTTP/1.1 400 "))
        #expect(try site.get("/callback?" + query).hasPrefix("HTTP/1.1 200 "))
        // The role alone: whoever is nginx can do nothing else at the socket either.
        for (verb, path) in [
            ("GET", "sys/mounts"), ("LIST", "connectors/connections"), ("GET", "connectors/creds/forge"),
        ] {
            #expect(try stage.vault.request(verb, path, token: nil).status == 403, "\(path)")
        }
        #expect(try stage.vault.request("POST", "connectors/oauth/start", token: nil, body: "{}").status == 403)
    }

    @Test func noLogHoldsTheCode() throws {
        let (stage, site) = try Self.stage()
        let used = try Self.query(stage)
        _ = try site.get("/callback?" + used)
        _ = try site.get("/callback?" + used)
        _ = try site.get("/other?" + used)
        // A vault that is away is where nginx would complain with the whole request.
        let late = try Self.query(stage)
        try stage.vault.kill()
        #expect(try site.get("/callback?" + late).hasPrefix("HTTP/1.1 400 "))
        let log = try String(contentsOfFile: site.folder.file("coffre-oauth.log"), encoding: .utf8)
        #expect(log.contains("GET /callback 200") && log.contains("GET /callback 400"), "\(log)")
        for query in [used, late] {
            for pair in query.split(separator: "&") where pair.hasPrefix("code=") || pair.hasPrefix("state=") {
                let value = String(pair.split(separator: "=")[1])
                #expect(try site.folder.contains(value).isEmpty)
                #expect(try stage.vault.folder.contains(value, below: stage.vault.auditFolder).isEmpty)
                #expect(!stage.vault.output.contains(value))
            }
        }
    }
}
