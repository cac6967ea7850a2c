import CoffreTestSupport
import Foundation
import Testing

/// Encryption as a service on a running coffred.
@Suite(.serialized)
struct TransitTests: TransitSuite {
    @Test func whatWasEncryptedBeforeARotationIsRewrapped() throws {
        var texts: [String: String] = [:]
        for number in 0..<20 {
            let text = String(repeating: "t\(number)é", count: number * number)
            texts[try encrypt("turning", text)] = text
            if number % 5 == 4 { #expect(try call("POST", "keys/turning/rotate").status == 200) }
        }
        #expect(texts.count == 20)
        let latest = try #require(try call("GET", "keys/turning").data["latest_version"] as? Int)
        #expect(latest == 5)
        let old = Array(texts.keys)
        let batch = try call("POST", "rewrap/turning", ["batch_input": old.map { ["ciphertext": $0] }])
        let new = try results(batch).map { try #require($0["ciphertext"] as? String) }
        #expect(new.count == old.count && Set(new).isDisjoint(with: old))
        for (before, after) in zip(old, new) {
            #expect(after.hasPrefix("vault:v5:"))
            #expect(try decrypt("turning", after) == texts[before])
            #expect(try decrypt("turning", before) == texts[before])
        }
        // Associated data stay with what they belong to.
        let place = base64("row 7")
        let bound = try encrypt("turning", "bound", ["associated_data": place, "key_version": 2])
        #expect(bound.hasPrefix("vault:v2:"))
        #expect(try call("POST", "rewrap/turning", ["ciphertext": bound]).status == 400)
        let moved = try call("POST", "rewrap/turning", ["ciphertext": bound, "associated_data": place])
        let rebound = try #require(moved.data["ciphertext"] as? String)
        #expect(try call("POST", "decrypt/turning", ["ciphertext": rebound]).status == 400)
        let opened = try call("POST", "decrypt/turning", ["ciphertext": rebound, "associated_data": place])
        #expect(opened.data["plaintext"] as? String == base64("bound"))
    }

    @Test func versionsBelowTheMinimumDoNotDecryptAndTrimmedOnesAreGone() throws {
        let first = try encrypt("aging", "one")
        for _ in 0..<2 { #expect(try call("POST", "keys/aging/rotate").status == 200) }
        let last = try encrypt("aging", "three")
        #expect(try call("POST", "keys/aging/config", ["min_decryption_version": 2]).status == 200)
        let old = try call("POST", "decrypt/aging", ["ciphertext": first])
        #expect(old.status == 400)
        #expect(old.errors == ["ciphertext or signature version is disallowed by policy (too old)"])
        #expect(try call("POST", "keys/aging/config", ["min_decryption_version": 1]).status == 200)
        #expect(try decrypt("aging", first) == "one")
        let minimum = ["min_decryption_version": 3, "min_encryption_version": 3]
        #expect(try call("POST", "keys/aging/config", minimum).status == 200)
        #expect(try call("POST", "keys/aging/trim", ["min_available_version": 3]).status == 200)
        #expect(try call("POST", "keys/aging/config", ["min_decryption_version": 1]).status == 400)
        #expect(try call("POST", "decrypt/aging", ["ciphertext": first]).status == 400)
        #expect(try decrypt("aging", last) == "three")
        #expect((try call("GET", "keys/aging").data["keys"] as? [String: Any])?.keys.sorted() == ["3"])
    }

    @Test func encryptingWithANewKeyNeedsCreateAndWithAnOldOneUpdate() throws {
        let policy = """
            path "transit/encrypt/*" { capabilities = ["update"] }
            path "transit/encrypt/made-*" { capabilities = ["create"] }
            """
        let token = try vault.token(policy: policy, named: "encrypters", root: root)
        let body = #"{"plaintext":"aGVsbG8="}"#
        func status(_ name: String) throws -> Int {
            try vault.request("POST", "transit/encrypt/\(name)", token: token, body: body).status
        }
        #expect(try status("strange") == 403)
        #expect(try call("GET", "keys/strange").status == 404)
        _ = try encrypt("strange", "x")
        #expect(try status("strange") == 200)
        #expect(try status("made-1") == 200)
        #expect(try status("made-1") == 403)
        #expect(try vault.request("GET", "transit/keys/strange", token: token).status == 403)
        #expect(try vault.request("POST", "transit/decrypt/strange", token: token, body: body).status == 403)
    }

    @Test func rotationsFromManySidesAllCount() throws {
        let (vault, root) = (try vault, try root)
        _ = try encrypt("contended", "x")
        let workers: [@Sendable () throws -> [String]] = (0..<8).map { worker in
            {
                var client = try UnixHTTP(vault.socket)
                defer { client.close() }
                var texts: [String] = []
                for _ in 0..<10 {
                    let path = "transit/keys/contended/\(worker < 4 ? "rotate" : "config")"
                    let turned = try client.request("POST", path, token: root, body: #"{"deletion_allowed":true}"#)
                    #expect(turned.status == 200, "\(turned.text)")
                    let made = try client.request(
                        "POST",
                        "transit/encrypt/contended",
                        token: root,
                        body: #"{"plaintext":"aGVsbG8="}"#
                    )
                    texts.append(made.data["ciphertext"] as? String ?? "")
                }
                return texts
            }
        }
        let texts = try onThreads(workers).flatMap { $0 }
        #expect(try call("GET", "keys/contended").data["latest_version"] as? Int == 41)
        for text in texts { #expect(try decrypt("contended", text) == "hello") }
        #expect(try call("DELETE", "keys/contended").status == 204)
        #expect(try call("POST", "decrypt/contended", ["ciphertext": texts[0]]).errors == ["encryption key not found"])
    }

    @Test func manyWhoEncryptFirstShareOneKey() throws {
        let (vault, root) = (try vault, try root)
        let workers: [@Sendable () throws -> String] = (0..<12).map { _ in
            {
                let body = #"{"plaintext":"aGVsbG8="}"#
                let made = try vault.request("POST", "transit/encrypt/first-come", token: root, body: body)
                #expect(made.status == 200, "\(made.text)")
                return made.data["ciphertext"] as? String ?? ""
            }
        }
        for text in try onThreads(workers) { #expect(try decrypt("first-come", text) == "hello") }
        #expect(try call("GET", "keys/first-come").data["latest_version"] as? Int == 1)
    }

    @Test func aDataKeyMayBeWrappedForSomebodyElse() throws {
        _ = try encrypt("wrapping", "x")
        let wrapped = try vault.request(
            "POST",
            "transit/datakey/plaintext/wrapping",
            token: root,
            headers: ["X-Vault-Wrap-TTL": "60"]
        )
        let info = try #require(wrapped.json["wrap_info"] as? [String: Any], "\(wrapped.text)")
        let token = try #require(info["token"] as? String)
        let opened = try vault.request("POST", "sys/wrapping/unwrap", token: token)
        let ciphertext = try #require(opened.data["ciphertext"] as? String, "\(opened.text)")
        let again = try call("POST", "decrypt/wrapping", ["ciphertext": ciphertext])
        #expect(again.data["plaintext"] as? String == opened.data["plaintext"] as? String)
    }

    @Test func keysOutliveTheDaemonAndPlaintextsLieNowhere() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        try TransitVault.mount(vault, root)
        let canary = "canary-\(UUID().uuidString)"
        let encoded = base64(canary)
        let hexadecimal = Data(canary.utf8).map { String(format: "%02x", $0) }.joined()
        func post(_ path: String, _ body: [String: Any]) throws -> UnixHTTP.Answer {
            try vault.request("POST", "transit/" + path, token: root, body: try CoffredProcess.json(body))
        }
        let made = try post("encrypt/kept", ["plaintext": encoded, "associated_data": encoded])
        let ciphertext = try #require(made.data["ciphertext"] as? String)
        #expect(try post("keys/signer", ["type": "ed25519"]).status == 200)
        let signature = try #require(try post("sign/signer", ["input": encoded]).data["signature"] as? String)
        let tag = try #require(try post("hmac/kept", ["input": encoded]).data["hmac"] as? String)
        _ = try post("hash", ["input": encoded])
        _ = try post("decrypt/kept", ["ciphertext": canary])
        let dataKey = try #require(try post("datakey/plaintext/kept", [:]).data["plaintext"] as? String)
        try vault.restart()
        let opened = try post("decrypt/kept", ["ciphertext": ciphertext, "associated_data": encoded])
        #expect(opened.data["plaintext"] as? String == encoded)
        #expect(try post("verify/signer", ["input": encoded, "signature": signature]).data["valid"] as? Bool == true)
        #expect(try post("verify/kept", ["input": encoded, "hmac": tag]).data["valid"] as? Bool == true)
        try vault.stop()
        try vault.verifyLog()
        let whats = try vault.records().compactMap { $0["what"] as? [String: Any] }
        let uses = whats.filter { $0["op"] as? String == "transit.use" }
        // sign, hmac, hash, two decryptions, datakey, two verifications
        #expect(uses.count == 8)
        let paths = Set(uses.compactMap { $0["path"] as? String })
        #expect(
            paths
                == Set(
                    [
                        "sign/signer", "hmac/kept", "hash", "decrypt/kept", "datakey/kept", "verify/signer",
                        "verify/kept",
                    ].map { "transit/" + $0 }
                )
        )
        #expect(uses.contains { $0["path"] as? String == "transit/sign/signer" && $0["ver"] as? Int == 1 })
        for folder in [vault.stateFolder, vault.auditFolder] {
            var count = 0
            let names = try #require(FileManager.default.enumerator(atPath: folder))
            for case let name as String in names {
                guard let data = FileManager.default.contents(atPath: folder + "/" + name) else { continue }
                count += 1
                for needle in [canary, encoded, hexadecimal, ciphertext, signature, tag, dataKey] {
                    #expect(data.range(of: Data(needle.utf8)) == nil, "\(name)")
                }
            }
            #expect(count > 0)
        }
        #expect(!vault.output.contains(canary) && !vault.output.contains(encoded))
    }

    @Test func aRemovedMountLeavesNoKeyBehind() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        try TransitVault.mount(vault, root)
        for number in 0..<5 {
            #expect(try vault.request("POST", "transit/keys/k\(number)", token: root).status == 200)
        }
        let count = """
            import sqlite3, sys
            print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM row WHERE ns = 13").fetchone()[0])
            """
        func rows() throws -> String {
            try RunningProcess.run("/usr/bin/env", ["python3", "-c", count, vault.database]).output
        }
        #expect(try rows() == "5\n")
        #expect(try vault.request("DELETE", "sys/mounts/transit", token: root).status == 204)
        #expect(try vault.request("GET", "transit/keys/k0", token: root).status == 404)
        try eventually("the keys are erased") { try rows() == "0\n" }
        try TransitVault.mount(vault, root)
        #expect(try vault.request("LIST", "transit/keys", token: root).status == 404)
    }
}
