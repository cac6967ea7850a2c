import CoffreTestSupport
import Foundation
import Testing

/// Bodies that no client sends, and keys whose engine goes.
@Suite(.serialized)
struct TransitHostileTests {
    private static let paths = [
        "keys/k", "keys/e", "keys/k/config", "keys/k/rotate", "keys/k/trim", "encrypt/k", "encrypt/e", "encrypt/d",
        "decrypt/k", "decrypt/d", "rewrap/k", "datakey/plaintext/k", "datakey/wrapped/d", "sign/e", "sign/e/sha2-256",
        "verify/e", "verify/k", "hmac/k", "hmac/h/sha2-512", "random", "random/3", "hash", "hash/sha3-256",
    ]
    private static let fields = [
        "plaintext", "ciphertext", "context", "associated_data", "key_version", "batch_input", "input", "signature",
        "hmac", "bits", "bytes", "format", "algorithm", "hash_algorithm", "marshaling_algorithm", "salt_length", "type",
        "key_size", "derived", "auto_rotate_period", "min_decryption_version", "min_encryption_version",
        "min_available_version", "deletion_allowed", "partial_failure_response_code", "prehashed", "reference",
    ]
    private static let values = [
        "null", "true", "false", "0", "1", "-1", "1.5", "1e99", "99999999999999999999", "9223372036854775807",
        "-9223372036854775808", #""""#, #""=""#, #""====""#, #""a""#, #""aGk=""#, #""aGk=\n""#, #""\u0061Gk=""#,
        #""!!""#,
        #""\ud83d\ude00""#, #""\u0000""#, #""vault:v1:""#, #""vault:v1:AAAA""#, #""vault:v-1:""#, #""vault:v1""#,
        #""jws""#, #""hex""#, #""sha2-256""#, "[]", "{}", "[null]", "[[]]", "[{}]", #"[{"plaintext":""}]"#,
        #"[{"plaintext":"aGk=","context":"","key_version":-1},{"plaintext":"aGk="}]"#,
        #"[{"ciphertext":"vault:v1:="}]"#,
        #"[{"input":"","signature":"vault:v1:"},{"input":"=","signature":""}]"#,
        #"[{"input":"aGk=","hmac":"vault:v1:"}]"#,
        #"[{"input":null,"hmac":null}]"#, #"[{"reference":{}}]"#, #"{"a":[]}"#,
    ]

    private func enable(_ vault: CoffredProcess, _ root: String) throws {
        let answer = try vault.request("POST", "sys/mounts/transit", token: root, body: #"{"type":"transit"}"#)
        try #require(answer.status == 204, "\(answer.text)")
    }

    @Test func noBodyEndsTheDaemonOrIsItsFault() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        try enable(vault, root)
        for (name, body) in [
            ("k", "{}"), ("e", #"{"type":"ed25519"}"#), ("d", "{}"),
            ("h", #"{"type":"hmac","key_size":32}"#),
        ] {
            #expect(try vault.request("POST", "transit/keys/\(name)", token: root, body: body).status == 200)
        }
        var random = Steps(4711)
        var client = try UnixHTTP(vault.socket)
        defer { client.close() }
        var statuses: [Int: Int] = [:]
        for number in 0..<6000 {
            let path = Self.paths[number % Self.paths.count]
            let members = (0..<Int.random(in: 0...4, using: &random)).compactMap { _ -> String? in
                guard let field = Self.fields.randomElement(using: &random),
                    let value = Self.values.randomElement(using: &random)
                else { return nil }
                return "\"\(field)\":\(value)"
            }
            let body = "{" + members.joined(separator: ",") + "}"
            let answer = try client.request("POST", "transit/" + path, token: root, body: body)
            statuses[answer.status, default: 0] += 1
            // 429: refused all the same, and one of too many refusals in a second.
            #expect([200, 400, 429].contains(answer.status), "\(path) \(body): \(answer.text)")
            #expect(!answer.json.isEmpty, "\(path) \(body): \(answer.text)")
        }
        #expect(statuses[200, default: 0] > 500)
        #expect(statuses[400, default: 0] + statuses[429, default: 0] > 500)
        #expect(vault.isRunning)
    }

    @Test func keysGoWithTheirEngine() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        try enable(vault, root)
        let body = #"{"plaintext":"aGk="}"#
        let made = try vault.request("POST", "transit/encrypt/k", token: root, body: body)
        let ciphertext = try #require(made.data["ciphertext"] as? String)
        #expect(try vault.request("DELETE", "sys/mounts/transit", token: root).status == 204)
        #expect(try vault.request("GET", "transit/keys/k", token: root).status == 404)
        try enable(vault, root)
        #expect(try vault.request("LIST", "transit/keys", token: root).status == 404)
        let opening = #"{"ciphertext":"\#(ciphertext)"}"#
        let answer = try vault.request("POST", "transit/decrypt/k", token: root, body: opening)
        #expect(answer.errors == ["encryption key not found"])
        // A key of the same name is another key.
        #expect(try vault.request("POST", "transit/keys/k", token: root).status == 200)
        let other = try vault.request("POST", "transit/decrypt/k", token: root, body: opening)
        #expect(other.errors == ["cipher: message authentication failed"])
    }

    @Test func aPlaintextCanBeWrapped() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        try enable(vault, root)
        let made = try vault.request("POST", "transit/encrypt/k", token: root, body: #"{"plaintext":"aGk="}"#)
        let ciphertext = try #require(made.data["ciphertext"] as? String)
        let wrapped = try vault.request(
            "POST",
            "transit/decrypt/k",
            token: root,
            body: #"{"ciphertext":"\#(ciphertext)"}"#,
            headers: ["X-Vault-Wrap-TTL": "60"]
        )
        #expect(!wrapped.text.contains("aGk="))
        let token = try #require((wrapped.json["wrap_info"] as? [String: Any])?["token"] as? String, "\(wrapped.text)")
        let opened = try vault.request("POST", "sys/wrapping/unwrap", token: token)
        #expect(opened.data["plaintext"] as? String == "aGk=")
    }
}

/// Numbers that are the same in every run: xorshift64*.
private struct Steps: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
