import CoffreTestSupport
import Foundation
import Testing

/// What went wrong in other vaults, one test for each advisory.
@Suite(.serialized)
struct AdvisoryTests {
    private static let stage = Result { try CoffredProcess.unsealed() }

    private var vault: CoffredProcess { get throws { try Self.stage.get().daemon } }
    private var root: String { get throws { try Self.stage.get().root } }

    private func call(_ method: String, _ path: String, _ body: String? = nil, token: String? = nil) throws
        -> UnixHTTP.Answer
    { try vault.request(method, path, token: try token ?? root, body: body) }

    private func token(_ policies: String = "default") throws -> (token: String, accessor: String) {
        let answer = try call("POST", "auth/token/create", #"{"policies":["\#(policies)"],"ttl":"1h"}"#)
        let auth = try #require(answer.json["auth"] as? [String: Any])
        return (try #require(auth["client_token"] as? String), try #require(auth["accessor"] as? String))
    }

    /// CVE-2026-3605: dot segments, doubled slashes and control bytes lead nowhere, encoded or plain.
    @Test(arguments: [
        "secret/data/open/../closed/x", "secret/data/open/%2e%2e/closed/x", "secret/data/open/%2E./closed/x",
        "secret/data/open/./../closed/x", "secret/data/open//../closed/x", "secret/data/open/..%2fclosed/x",
        "secret/data/open/%2e%2e%2fclosed/x", "secret/data/open/x%00", "secret/data/open/x%0a", "secret/data/./open/x",
        "secret//data/closed/x", "/secret/data/closed/x", "secret/data/open/..;/closed/x",
        "secret/data/open/%c0%ae%c0%ae/x",
    ])
    func noPathEscapesItsPolicy(_ path: String) throws {
        let policy = #"path \"secret/data/open/*\" { capabilities = [\"read\"] }"#
        _ = try call("PUT", "sys/policies/acl/open", #"{"policy":"\#(policy)"}"#)
        _ = try call("POST", "secret/data/closed/x", #"{"data":{"v":"canary-closed"}}"#)
        let answer = try call("GET", path, token: try token("open").token)
        #expect([400, 403, 404].contains(answer.status), "\(answer.status) \(answer.text)")
        #expect(!answer.text.contains("canary-closed"))
    }

    /// CVE-2026-45808, GHSA-c36x-h252-g9x2: a lease id alone is never enough. CVE-2026-39946: hostile names in SQL.
    @Test func aLeaseObeysItsOwnerAlone() throws {
        let stage = try DatabaseStage()
        let login = try stage.issued()
        let made = try stage.vault.request(
            "POST",
            "auth/token/create",
            token: stage.root,
            body: #"{"policies":["default"],"ttl":"1h"}"#
        )
        let other = try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String)
        let body = #"{"lease_id":"\#(login.lease)"}"#
        for action in ["lookup", "renew", "revoke"] {
            let answer = try stage.vault.request("PUT", "sys/leases/\(action)", token: other, body: body)
            #expect(answer.status == 400, "\(action): \(answer.text)")
            let inPath = try stage.vault.request("PUT", "sys/leases/\(action)/\(login.lease)", token: other)
            #expect([400, 403].contains(inPath.status), "\(action): \(inPath.text)")
        }
        for action in ["revoke-prefix", "revoke-force"] {
            #expect(try stage.vault.request("PUT", "sys/leases/\(action)/database", token: other).status == 403)
        }
        #expect(try stage.vault.request("LIST", "sys/leases/lookup/database/creds/app", token: other).status == 403)
        #expect(stage.works(login))
        let listed = try stage.vault.request("LIST", "sys/leases/lookup/database/creds/app", token: stage.root)
        #expect((listed.data["keys"] as? [String])?.count == 1)
        #expect(try stage.vault.request("PUT", "sys/leases/revoke-prefix/database", token: stage.root).status == 204)
        #expect(!stage.works(login))
        try stage.server.sql(
            #"CREATE SCHEMA "a""b; DROP TABLE clients"; CREATE TABLE "a""b; DROP TABLE clients".t (id int)"#
        )
        try stage.role(
            "hostile",
            ttl: "1h",
            creation: """
                CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}';
                GRANT USAGE ON SCHEMA "a""b; DROP TABLE clients" TO "{{name}}";
                GRANT SELECT ON ALL TABLES IN SCHEMA "a""b; DROP TABLE clients" TO "{{name}}";
                GRANT SELECT ON clients TO "{{name}}"
                """
        )
        let odd = try stage.issued("hostile")
        #expect(stage.works(odd))
        #expect(
            try stage.vault.request(
                "PUT",
                "sys/leases/revoke",
                token: stage.root,
                body: #"{"lease_id":"\#(odd.lease)"}"#
            ).status == 204
        )
        #expect(try stage.logins().isEmpty)
        #expect(try stage.server.sql("SELECT count(*) FROM clients") == "1")
    }

    /// CVE-2026-40264: an accessor gives no rights over its token.
    @Test func anAccessorAloneGivesNothing() throws {
        let victim = try token()
        let other = try token().token
        for action in ["lookup-accessor", "renew-accessor", "revoke-accessor"] {
            let answer = try call("POST", "auth/token/\(action)", #"{"accessor":"\#(victim.accessor)"}"#, token: other)
            #expect(answer.status == 403)
        }
        #expect(try call("GET", "auth/token/lookup-self", token: victim.token).status == 200)
    }

    /// CVE-2026-46358: every way in leaves the same kind of record. CVE-2026-46405: a failure cannot mint.
    @Test func everyLoginLeavesTheSameRecordAndAFailureNoToken() throws {
        _ = try call("POST", "sys/auth/adv", #"{"type":"approle"}"#)
        _ = try call("POST", "auth/adv/role/web", #"{"token_ttl":"5m"}"#)
        _ = try call(
            "POST",
            "auth/peer/role/me",
            #"{"bound_uids":[\#(geteuid())],"policies":"default","ambient":false}"#
        )
        let role = try #require(try call("GET", "auth/adv/role/web/role-id").data["role_id"] as? String)
        let secret = try #require(try call("POST", "auth/adv/role/web/secret-id", "{}").data["secret_id"] as? String)
        func tokens() throws -> Int { (try call("LIST", "auth/token/accessors").data["keys"] as? [String])?.count ?? 0 }
        let before = try tokens()
        for body in [
            #"{"role_id":"\#(role)","secret_id":"wrong"}"#, #"{"role_id":"wrong","secret_id":"\#(secret)"}"#,
            #"{"role_id":"\#(role)"}"#, "{}", "[]", "null", #"{"role_id":{},"secret_id":[]}"#,
        ] {
            let answer = try vault.request("POST", "auth/adv/login", body: body)
            #expect(answer.status == 400)
            #expect(answer.json["auth"] == nil && !answer.text.contains("s."))
        }
        #expect(try vault.request("POST", "auth/peer/login", body: #"{"role":"nothing"}"#).status == 400)
        #expect(try tokens() == before)
        #expect(
            try vault.request("POST", "auth/adv/login", body: #"{"role_id":"\#(role)","secret_id":"\#(secret)"}"#)
                .status == 200
        )
        #expect(try vault.request("POST", "auth/peer/login", body: #"{"role":"me"}"#).status == 200)
        #expect(try tokens() == before + 2)
        let logins = try vault.records().filter { ($0["what"] as? [String: Any])?["op"] as? String == "auth.ok" }
        let outcomes = logins.filter {
            $0["ph"] as? String == "outcome" && ($0["out"] as? [String: Any])?["code"] as? String == "granted"
        }
        let shapes = Set(outcomes.map { record in record.keys.sorted().joined(separator: ",") })
        #expect(outcomes.count >= 2 && shapes.count == 1, "\(shapes)")
        let facts = Set(
            outcomes.map { record in
                ((record["what"] as? [String: Any])?["det"] as? [String: Any] ?? [:]).keys.sorted().joined(
                    separator: ","
                )
            }
        )
        #expect(facts.count == 1, "\(facts)")
    }

    /// CVE-2025-54997: no audit target by the API. GHSA-rh46-vc3j-w2w3: nothing internal has a path.
    @Test func nothingInternalIsReachable() throws {
        for body in [#"{"type":"file","options":{"file_path":"/etc/x"}}"#, "{}"] {
            let answer = try call("PUT", "sys/audit/mine", body)
            #expect(answer.status == 400 && answer.errors.first?.contains("coffre.toml") == true)
        }
        for path in [
            "core/keyring", "logical/x", "sys/raw/core", "sys/storage/raw", "sys/internal/inspect/router/root",
            "sys/pprof",
            "barrier/x", "wrap/x", "sys/plugins/catalog", "sys/internal/counters/tokens", "sys/step-down", "system/x",
        ] {
            for method in ["GET", "LIST", "POST", "DELETE"] {
                let answer = try call(method, path, method == "POST" ? "{}" : nil)
                #expect(answer.status == 404, "\(method) \(path): \(answer.status) \(answer.text)")
            }
        }
    }

    /// Damaged wrapping and batch tokens: refused, never an error of the server, never an answer.
    @Test func damagedTokensOpenNothing() throws {
        _ = try call("POST", "secret/data/wrapme", #"{"data":{"v":"canary-wrap"}}"#)
        let wrapped = try vault.request(
            "GET",
            "secret/data/wrapme",
            token: try root,
            headers: ["X-Vault-Wrap-TTL": "1h"]
        )
        let wrap = try #require((wrapped.json["wrap_info"] as? [String: Any])?["token"] as? String)
        let made = try call("POST", "auth/token/create", #"{"type":"batch","policies":["default"],"ttl":"1h"}"#)
        let batch = try #require((made.json["auth"] as? [String: Any])?["client_token"] as? String)
        var generator = Seeded(11)
        var client = try UnixHTTP(vault.socket)
        defer { client.close() }
        for number in 0..<1500 {
            var bytes = Array((number.isMultiple(of: 2) ? wrap : batch).utf8)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= 1
            case 1: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &generator))
            case 2: bytes += [UInt8](repeating: 0x41, count: Int.random(in: 1..<600, using: &generator))
            default: bytes.swapAt(2, Int.random(in: 3..<bytes.count, using: &generator))
            }
            let text = String(
                decoding: bytes.map { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c ? $0 : 0x61 },
                as: UTF8.self
            )
            guard text != wrap, text != batch else { continue }
            let (method, path, body) =
                number % 3 == 0
                ? ("POST", "sys/wrapping/unwrap", #"{"token":"\#(text)"}"#)
                : number % 3 == 1 ? ("POST", "sys/wrapping/lookup", "{}") : ("GET", "auth/token/lookup-self", "")
            let answer = try client.request(method, path, token: text, body: method == "POST" ? body : nil)
            #expect([400, 403, 429].contains(answer.status), "\(text): \(answer.status) \(answer.text)")
            #expect(!answer.text.contains("canary-wrap"))
        }
        #expect(try vault.request("POST", "sys/wrapping/unwrap", token: wrap).text.contains("canary-wrap"))
        #expect(try vault.request("GET", "auth/token/lookup-self", token: batch).status == 200)
    }
}
