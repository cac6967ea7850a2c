import CoffreTestSupport
import Foundation
import Testing

/// Whatever is sent to whatever is served: an answer, never an error of the server, never a crash.
@Suite(.serialized)
struct HostileBodyTests {
    private static let fields = [
        "data", "options", "cas", "versions", "custom_metadata", "max_versions", "delete_version_after", "policies",
        "policy",
        "ttl", "period", "num_uses", "explicit_max_ttl", "increment", "token", "accessor", "type", "config",
        "default_lease_ttl",
        "from", "to", "role_id", "secret_id", "metadata", "token_policies", "token_ttl", "secret_id_num_uses", "name",
        "id",
        "member_entity_ids", "member_group_ids", "canonical_id", "mount_accessor", "alias_name", "plaintext",
        "ciphertext",
        "batch_input", "input", "signature", "hmac", "min_decryption_version", "min_available_version", "bits", "bytes",
        "format",
        "key", "nonce", "secret_shares", "secret_threshold", "lease_id", "sync", "paths", "path", "db_name", "username",
        "rotation_period", "creation_statements", "connection_url", "allowed_policies", "path_suffix", "entity_alias",
        "max_operations",
        "interval", "otp", "bound_uids", "entity_ids", "from_entity_ids", "capability", "connection", "flow", "scopes",
        "redirect_uri", "state", "code", "iss", "error", "jwt", "role", "jwks", "jwks_url", "jwt_validation_pubkeys",
        "jwt_supported_algs", "user_claim", "bound_audiences", "bound_claims", "claim_mappings", "clock_skew_leeway",
        "subject", "subject_mount", "subject_role", "like", "note", "existing",
    ]
    private static let values = [
        "0", "-1", "1", "9223372036854775807", "-9223372036854775808", "1e308", "18446744073709551616", #""""#, #""a""#,
        #""-1""#,
        #""9999999999999""#, #""1h""#, #""99999999999h""#, #""root""#, #""default""#, #""s.x""#, #""b.AAAA""#,
        #""vault:v1:""#,
        #""vault:v99999999999999999999:AAAA""#, #""AAAA""#, #""\u0000""#, #""\ud83d\ude00""#, "[]", "[[]]", "{}",
        #"{"a":{}}"#,
        #"{"a":null}"#, "null", "true", "false", #"["a","b"]"#, "[1,2]", #""*""#, #""+/+""#, #""../..""#, #"{"k":"v"}"#,
        #"[{"plaintext":"AAAA"},{}]"#, "[null]", #""path \"x\" { capabilities = [\"read\"] }""#,
        #""2026-01-01T00:00:00Z""#, #""forge""#, #""device""#, #""client""#, #""http://127.0.0.1:1/cb""#,
        #""https://a/""#,
        #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#, #""eyJhbGciOiJFZERTQSJ9.e30.AAAA""#, #""sub""#,
    ]
    // RFC 8037, appendix A.2.
    private static let point = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    private static let queries = [
        "list=true", "list=x", "version=-1", "version=99999999999999999999", "limit=-5", "limit=999999999999",
        "after=%ff",
        "depth=64", "help=1", "scan=true", "format=prometheus", "type=x",
    ]
    /// Each would end the test: the vault, or the token that asks.
    private static let skipped: Set = ["/sys/seal", "/auth/token/revoke-self", "/sys/storage/snapshot"]

    @Test(arguments: [1, 2])
    func nothingThatIsSentIsAnErrorOfTheServer(_ seed: UInt64) throws {
        let (vault, root) = try CoffredProcess.unsealed()
        for (path, body) in [
            ("sys/mounts/transit", #"{"type":"transit"}"#), ("sys/mounts/one", #"{"type":"kv"}"#),
            ("sys/auth/approle", #"{"type":"approle"}"#), ("auth/approle/role/sample", "{}"),
            ("sys/auth/jwt", #"{"type":"jwt"}"#),
            ("auth/jwt/config", #"{"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"\#(Self.point)"}]}}"#),
            ("auth/jwt/role/sample", #"{"user_claim":"sub","bound_subject":"s"}"#),
            ("transit/keys/sample", "{}"),
            ("transit/keys/ed", #"{"type":"ed25519"}"#), ("secret/data/sample", #"{"data":{"a":1}}"#),
            ("one/sample", #"{"a":1}"#), ("auth/token/roles/sample", "{}"), ("identity/entity/name/sample", "{}"),
            ("identity/group/name/sample", "{}"),
            (
                "connectors/connections/forge",
                #"{"type":"gitlab","fields":{"hostname":"h:1","client_id":"c","client_secret":"s"}}"#
            ),
            (
                "connectors/connections/sample",
                #"{"type":"postgresql","verify":false,"fields":{"host":"h","port":"5432","database":"d","username":"u","password":"p","ssl_mode":"verify-full"}}"#
            ),
        ] { _ = try vault.request("POST", path, token: root, body: body) }
        let paths =
            try vault.request("GET", "sys/internal/specs/openapi", token: root).json["paths"]
            as? [String: [String: Any]]
        let targets = try #require(paths).filter { !Self.skipped.contains($0.key) }.flatMap { path, item in
            item.keys.filter { ["get", "post", "patch", "delete"].contains($0) }.map { (String(path.dropFirst()), $0) }
        }.sorted { $0 < $1 }
        var random = Seeded(seed)
        var client = try UnixHTTP(vault.socket)
        defer { client.close() }
        var answered = 0
        for _ in 0..<6000 {
            let (pattern, verb) = targets[Int.random(in: 0..<targets.count, using: &random)]
            let names = [
                "sample", "sample", "sample", "forge", "ed", "x", "a%2Fb", "%C3%A9", "9223372036854775808", "sample/x",
                "secret/sample", "one/data/x",
            ]
            let name = names[Int.random(in: 0..<names.count, using: &random)]
            var target = pattern.replacing(/\{[a-z]+\}/, with: name)
            if random.chance(5) { target += "?" + Self.queries[Int.random(in: 0..<Self.queries.count, using: &random)] }
            var body: String?
            if verb == "post" || verb == "patch" {
                let members = (0..<Int.random(in: 0..<5, using: &random)).map { _ in
                    "\"\(Self.fields[Int.random(in: 0..<Self.fields.count, using: &random)])\":"
                        + Self.values[Int.random(in: 0..<Self.values.count, using: &random)]
                }
                body =
                    random.chance(10)
                    ? ["null", "[]", "{", "0", "{}{}"].randomElement(using: &random)
                    : "{\(members.joined(separator: ","))}"
            }
            var headers = verb == "patch" ? ["Content-Type": "application/merge-patch+json"] : [:]
            if random.chance(50) {
                headers["X-Coffre-Subject"] = ["", "x", "eyJhbGciOiJFZERTQSJ9.e30.AA"].randomElement()
            }
            if random.chance(10) {
                headers["X-Vault-Wrap-TTL"] = ["60", "x", "-1", "99999999999", "1h"].randomElement(using: &random)
            }
            let answer = try client.request(verb.uppercased(), target, token: root, body: body, headers: headers)
            // There is no broker here, and whoever needs one is told so.
            let needsBroker = answer.status == 502 && answer.text.contains("the broker is not available")
            #expect(
                answer.status < 500 || needsBroker,
                "\(verb) \(target) \(body ?? ""): \(answer.status) \(answer.text)"
            )
            if answer.status < 300 { answered += 1 }
        }
        #expect(answered > 500)
        #expect(vault.isRunning)
        try vault.verifyLog()
    }
}
