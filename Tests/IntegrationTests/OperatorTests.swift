import CoffreTestSupport
import Foundation
import Testing

/// What operators do with shares, keys and figures.
@Suite(.serialized)
struct OperatorTests {
    private func begin(_ vault: CoffredProcess, verification: Bool = false) throws -> String {
        let body = #"{"secret_shares":3,"secret_threshold":2,"require_verification":\#(verification)}"#
        let answer = try vault.request("PUT", "sys/rekey/init", body: body)
        #expect(answer.status == 200, "\(answer.text)")
        return try #require(answer.json["nonce"] as? String)
    }

    private func give(_ vault: CoffredProcess, _ share: String, _ nonce: String, _ route: String = "update") throws
        -> UnixHTTP.Answer
    {
        try vault.request("PUT", "sys/rekey/\(route)", body: #"{"key":"\#(share)","nonce":"\#(nonce)"}"#)
    }

    /// Seals and opens with these shares.
    private func opens(_ vault: CoffredProcess, _ shares: [String], _ root: String) throws -> Bool {
        _ = try vault.request("PUT", "sys/seal", token: root)
        return try unseals(vault, shares)
    }

    private func unseals(_ vault: CoffredProcess, _ shares: [String]) throws -> Bool {
        _ = try vault.request("PUT", "sys/unseal", body: #"{"reset":true}"#)
        var sealed = true
        for share in shares where sealed {
            let answer = try vault.request("PUT", "sys/unseal", body: #"{"key":"\#(share)"}"#)
            sealed = answer.json["sealed"] as? Bool ?? true
        }
        return !sealed
    }

    @Test func newSharesReplaceTheOldOnes() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let old = try vault.keys.shares
        let nonce = try begin(vault)
        #expect(try vault.request("PUT", "sys/rekey/init", body: "{}").status == 400)
        #expect(try give(vault, old[0], "other").status == 400)
        #expect(try give(vault, old[0], nonce).json["progress"] as? Int == 1)
        // Twice the same share counts once.
        #expect(try give(vault, old[0], nonce).json["progress"] as? Int == 1)
        let done = try give(vault, old[1], nonce)
        #expect(done.json["complete"] as? Bool == true)
        let new = try #require(done.json["keys_base64"] as? [String])
        #expect(new.count == 3 && Set(new).isDisjoint(with: old))
        #expect(try !opens(vault, Array(old.prefix(2)), root))
        #expect(try unseals(vault, [new[2], new[0]]))
        try vault.stop()
        try vault.start()
        #expect(try unseals(vault, Array(new.prefix(2))))
        #expect(try vault.request("GET", "auth/token/lookup-self", token: root).status == 200)
        try vault.verifyLog()
    }

    @Test func newSharesCanBeProvenBeforeTheyCount() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let old = try vault.keys.shares
        let nonce = try begin(vault, verification: true)
        _ = try give(vault, old[0], nonce)
        let done = try give(vault, old[2], nonce)
        let new = try #require(done.json["keys_base64"] as? [String])
        let proof = try #require(done.json["verification_nonce"] as? String)
        #expect(try opens(vault, Array(old.prefix(2)), root), "the old shares still count")
        // A seal forgets what waits: the whole attempt is gone.
        #expect(try give(vault, new[0], proof, "verify").status == 400)
        let again = try begin(vault, verification: true)
        _ = try give(vault, old[0], again)
        let second = try give(vault, old[1], again)
        let newer = try #require(second.json["keys_base64"] as? [String])
        let nonce2 = try #require(second.json["verification_nonce"] as? String)
        #expect(try give(vault, newer[0], nonce2, "verify").json["progress"] as? Int == 1)
        #expect(try give(vault, newer[1], nonce2, "verify").json["complete"] as? Bool == true)
        #expect(try !opens(vault, Array(old.prefix(2)), root))
        #expect(try unseals(vault, Array(newer.suffix(2))))
    }

    @Test func wrongSharesMakeNothing() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let old = try vault.keys.shares
        let nonce = try begin(vault)
        _ = try give(vault, old[0], nonce)
        var bytes = [UInt8](try #require(Data(base64Encoded: old[1])))
        bytes[3] ^= 1
        #expect(try give(vault, Data(bytes).base64EncodedString(), nonce).status == 400)
        #expect(try vault.request("GET", "sys/rekey/init").json["started"] as? Bool == false)
        #expect(try opens(vault, Array(old.prefix(2)), root))
        _ = try begin(vault)
        #expect(try vault.request("DELETE", "sys/rekey/init").status == 204)
        #expect(try vault.request("GET", "sys/rekey/init").json["started"] as? Bool == false)
        #expect(try vault.request("GET", "sys/rekey-recovery-key/init").status == 400)
    }

    @Test func aKillLeavesEitherTheOldOrTheNewShares() throws {
        let (vault, _) = try CoffredProcess.unsealed()
        var present = try vault.keys.shares
        for delay in [0, 200, 400, 700, 1200, 3000] {
            let nonce = try begin(vault)
            _ = try give(vault, present[0], nonce)
            var client = try UnixHTTP(vault.socket)
            let body = #"{"key":"\#(present[1])","nonce":"\#(nonce)"}"#
            try client.send(
                "PUT /v1/sys/rekey/update HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            usleep(UInt32(delay))
            try vault.kill()
            let new = (try? client.receive())?.json["keys_base64"] as? [String]
            client.close()
            try vault.start()
            if let new {
                // What was answered counts.
                #expect(try unseals(vault, Array(new.prefix(2))), "after \(delay) µs")
                present = new
            } else if try !unseals(vault, Array(present.prefix(2))) {
                // Durable, and the answer was lost with the process: nobody has these shares. A backup helps then.
                return
            }
        }
    }

    @Test func enoughSharesMakeARootTokenThatTheClientDecodes() throws {
        let (vault, _) = try CoffredProcess.unsealed()
        let shares = try vault.keys.shares
        func bao(_ arguments: [String]) throws -> (status: Int32, output: String) {
            let result = try RunningProcess.run(
                try CoffredProcess.bao(),
                arguments,
                environment: ["BAO_ADDR": "unix://\(vault.socket)", "HOME": vault.folder.path]
            )
            return (result.status, result.output)
        }
        let begun = try bao(["operator", "generate-root", "-init", "-format=json"])
        let start = try #require(try JSONSerialization.jsonObject(with: Data(begun.output.utf8)) as? [String: Any])
        let nonce = try #require(start["nonce"] as? String)
        let password = try #require(start["otp"] as? String)
        _ = try bao(["operator", "generate-root", "-nonce=\(nonce)", shares[0]])
        let last = try bao(["operator", "generate-root", "-format=json", "-nonce=\(nonce)", shares[1]])
        let end = try #require(try JSONSerialization.jsonObject(with: Data(last.output.utf8)) as? [String: Any])
        let encoded = try #require((end["encoded_token"] ?? end["encoded_root_token"]) as? String)
        let decoded = try bao(["operator", "generate-root", "-decode=\(encoded)", "-otp=\(password)"])
        let token = decoded.output.trimmingCharacters(in: .whitespacesAndNewlines)
        let looked = try vault.request("GET", "auth/token/lookup-self", token: token)
        #expect(looked.data["policies"] as? [String] == ["root"], "\(decoded.output)")
    }

    @Test func keysRotateAndSayHowOftenTheyWereUsed() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let before = try vault.request("GET", "sys/key-status", token: root).data
        #expect(try vault.request("PUT", "sys/rotate", token: root).status == 204)
        let after = try vault.request("GET", "sys/key-status", token: root).data
        #expect((after["term"] as? Int ?? 0) == (before["term"] as? Int ?? 0) + 1)
        #expect((after["install_time"] as? String ?? "") > (before["install_time"] as? String ?? "~"))
        #expect(try vault.request("POST", "sys/rotate/config", token: root, body: #"{"interval":"1h"}"#).status == 400)
        #expect(try vault.request("POST", "sys/rotate/config", token: root, body: #"{"interval":"48h"}"#).status == 204)
        #expect(try vault.request("GET", "sys/rotate/config", token: root).data["interval"] as? Int == 172_800)
    }

    @Test func othersThanOperatorsChangeNothingWithShares() throws {
        let (vault, _) = try CoffredProcess.unsealed()
        for (method, path) in [
            ("PUT", "sys/rekey/init"), ("DELETE", "sys/rekey/init"), ("PUT", "sys/rekey/update"),
            ("PUT", "sys/rotate/root/init"), ("PUT", "sys/generate-root/attempt"),
            ("DELETE", "sys/generate-root-token/attempt"), ("PUT", "sys/generate-root/update"),
        ] {
            let result = try RunningProcess.run(
                "/usr/bin/setpriv",
                [
                    "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", vault.socket,
                    "-X", method, "-w", "%{http_code}", "-d", "{}", "http://localhost/v1/\(path)",
                ]
            )
            #expect(result.output.hasSuffix("403"), "\(method) \(path): \(result.output)")
        }
    }

    @Test func figuresArePrometheusText() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let answer = try vault.request("GET", "sys/metrics?format=prometheus", token: root)
        #expect(answer.headers["content-type"]?.hasPrefix("text/plain") == true)
        let samples = answer.text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(samples.count >= 20)
        for sample in samples {
            let form = #"^coffre_[a-z_]+(\{[a-z]+="[a-z_]+"\})? \d+$"#
            #expect(sample.range(of: form, options: .regularExpression) != nil, "\(sample)")
        }
        #expect(answer.text.contains("coffre_requests_total{outcome=\"granted\"}"))
        #expect(try vault.request("GET", "sys/metrics", token: nil).status == 403)
    }

    /// Whatever the description names is served, and whatever is asked here is described.
    @Test func theDescriptionIsWhatIsServed() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        for (path, type) in [
            ("sys/mounts/transit", "transit"), ("sys/mounts/one", "kv"), ("sys/auth/approle", "approle"),
            ("sys/auth/jwt", "jwt"),
        ] {
            #expect(try vault.request("POST", path, token: root, body: #"{"type":"\#(type)"}"#).status == 204)
        }
        let specification = try vault.request("GET", "sys/internal/specs/openapi", token: root).json
        let paths = try #require(specification["paths"] as? [String: [String: Any]])
        #expect(paths.count > 150)
        // Each would end the walk: seal, or the walker's own token.
        let skipped = ["/sys/seal", "/auth/token/revoke-self"]
        for (path, item) in paths.sorted(by: { $0.key < $1.key }) where !skipped.contains(path) {
            let thumbprint = String(repeating: "A", count: 43)
            let known = path.dropFirst().replacing("{thumbprint}", with: thumbprint)
            let concrete = known.replacing(/\{kind\}/, with: "wrapped").replacing(
                /\{[a-z]+\}/,
                with: "sample"
            )
            for (verb, operation) in item where ["get", "post", "patch", "delete"].contains(verb) {
                var target = String(concrete)
                let query = ((operation as? [String: Any])?["parameters"] as? [[String: Any]])?.first
                if query?["required"] as? Bool == true { target += "?list=true" }
                let answer = try vault.request(
                    verb.uppercased(),
                    target,
                    token: root,
                    body: verb == "get" || verb == "delete" ? nil : "{}",
                    headers: verb == "patch" ? ["Content-Type": "application/merge-patch+json"] : [:]
                )
                #expect(
                    answer.status != 405 && answer.status < 500,
                    "\(verb) \(target): \(answer.status) \(answer.text)"
                )
                #expect(!answer.text.contains("no handler for route"), "\(verb) \(target): \(answer.text)")
            }
        }
    }

    @Test func aPathExplainsItself() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let help = try vault.request("GET", "secret/data/x?help=1", token: root)
        #expect(help.status == 200)
        #expect((help.json["help"] as? String)?.contains("/secret/data/{path}") == true)
    }
}
