import CoffreTestSupport
import Foundation
import Testing

/// What transit does with requests that are damaged, too large or not meant for it.
@Suite(.serialized)
struct TransitHostileTests: TransitSuite {
    @Test func aBatchAnswersEachItemAndOneBadItemHarmsNoOther() throws {
        let good = try encrypt("batch", "fine")
        let other = try encrypt("other", "fine")
        let bad = ["x", "vault:v1:", "vault:v0:AAAA", "vault:v99999999999:AAAA", "vault:v1:!!", other]
        let items = ([good] + bad + [good]).enumerated().map { ["ciphertext": $1, "reference": "r\($0)"] }
        let answer = try call("POST", "decrypt/batch", ["batch_input": items])
        #expect(answer.status == 400)
        let found = try results(answer)
        #expect(found.map { $0["reference"] as? String } == items.map { $0["reference"] })
        for (index, result) in found.enumerated() {
            let isGood = index == 0 || index == items.count - 1
            #expect((result["error"] == nil) == isGood, "\(index): \(result)")
            #expect(result["plaintext"] as? String == (isGood ? base64("fine") : ""))
        }
        let tolerant = try call("POST", "decrypt/batch", ["batch_input": items, "partial_failure_response_code": 207])
        #expect(tolerant.status == 207)
        #expect(try results(tolerant).count == items.count)
        // A status without a body, or one that clients take for a sealed vault, is not taken.
        for code in [100, 204, 304, 503, 700] {
            let body: [String: Any] = ["batch_input": items, "partial_failure_response_code": code]
            let answer = try call("POST", "decrypt/batch", body)
            #expect(answer.status == 400)
            #expect(answer.text.contains("reverting to 400"))
        }
        let hopeless = try call(
            "POST",
            "decrypt/batch",
            ["batch_input": [["ciphertext": "x"]], "partial_failure_response_code": 200]
        )
        #expect(hopeless.status == 400)
    }

    @Test func aBatchHasAtMostAThousandItems() throws {
        let item = ["plaintext": base64("x")]
        let full = try call("POST", "encrypt/batch", ["batch_input": Array(repeating: item, count: 1000)])
        #expect(full.status == 200)
        let texts = try results(full).compactMap { $0["ciphertext"] as? String }
        #expect(Set(texts).count == 1000)
        let over = try call("POST", "encrypt/batch", ["batch_input": Array(repeating: item, count: 1001)])
        #expect(over.status == 400)
        #expect(over.errors == ["batch_input has at most 1000 items"])
        let empty = try call("POST", "encrypt/never-made", ["batch_input": [[String: String]]()])
        #expect(empty.errors == ["missing batch input to process"])
        #expect(try call("GET", "keys/never-made").status == 404)
    }

    @Test(arguments: [
        #"{}"#, #"{"plaintext":"!!"}"#, #"{"plaintext":"aGVsbG8=","key_version":2}"#,
        #"{"plaintext":"aGVsbG8=","type":"ed25519"}"#, #"{"plaintext":"aGVsbG8=","convergent_encryption":true}"#,
        #"{"plaintext":"aGVsbG8=","context":"aGVsbG8="}"#, #"{"plaintext":"aGVsbG8=","associated_data":"!"}"#,
        #"{"batch_input":[{"plaintext":"!!"}]}"#, #"{"batch_input":[{}]}"#, #"[]"#, #"nope"#,
    ])
    func aRefusedEncryptionMakesNoKey(body: String) throws {
        let answer = try vault.request("POST", "transit/encrypt/unmade", token: root, body: body)
        #expect(answer.status == 400, "\(answer.text)")
        #expect(try call("GET", "keys/unmade").status == 404)
    }

    @Test(arguments: ["derived", "convergent_encryption", "exportable", "allow_plaintext_backup"])
    func anOptionThatDoesNotExistIsRefusedByName(field: String) throws {
        let answer = try call("POST", "keys/optional", [field: true])
        #expect(answer.status == 400)
        #expect(answer.errors.first?.contains(field) == true)
        #expect(try call("GET", "keys/optional").status == 404)
        let types = ["rsa-2048", "ecdsa-p256", "chacha20-poly1305", "aes128-gcm96", "managed_key", "nope"]
        for type in types {
            let answer = try call("POST", "keys/optional", ["type": type])
            #expect(answer.status == 400)
            #expect(answer.errors.first?.contains(type) == true)
        }
        #expect(try call("POST", "keys/optional", ["auto_rotate_period": "24h"]).status == 400)
    }

    /// Whatever is sent, the answer is one that clients know, and never "internal error".
    @Test func damagedRequestsAreRefusedWithoutHarm() throws {
        // A vault of its own: so many refusals would use up the budget of the other tests.
        let (vault, root) = try CoffredProcess.unsealed()
        try TransitVault.mount(vault, root)
        var client = try UnixHTTP(vault.socket)
        defer { client.close() }
        let made = try client.request(
            "POST",
            "transit/encrypt/fuzzed",
            token: root,
            body: #"{"plaintext":"\#(base64("fine"))"}"#
        )
        let good = try #require(made.data["ciphertext"] as? String, "\(made.text)")
        let signer = #"{"type":"ed25519"}"#
        #expect(try client.request("POST", "transit/keys/fuzzed-signer", token: root, body: signer).status == 200)
        let seeds: [(path: String, body: String)] = [
            ("encrypt/fuzzed", #"{"plaintext":"aGVsbG8=","associated_data":"aGVsbG8=","key_version":1}"#),
            (
                "encrypt/fuzzed",
                #"{"batch_input":[{"plaintext":"aGVsbG8=","reference":"r"},{"plaintext":"","key_version":1}]}"#
            ),
            ("decrypt/fuzzed", #"{"ciphertext":"\#(good)"}"#),
            ("decrypt/fuzzed", #"{"batch_input":[{"ciphertext":"\#(good)"},{"ciphertext":"x","reference":"r"}]}"#),
            ("rewrap/fuzzed", #"{"ciphertext":"\#(good)","key_version":1}"#),
            ("sign/fuzzed-signer", #"{"input":"aGVsbG8=","hash_algorithm":"sha2-256","batch_input":null}"#),
            ("verify/fuzzed", #"{"input":"aGVsbG8=","hmac":"vault:v1:AAAA"}"#),
            ("verify/fuzzed-signer", #"{"batch_input":[{"input":"aGVsbG8=","signature":"vault:v1:AAAA"}]}"#),
            ("hmac/fuzzed", #"{"input":"aGVsbG8=","algorithm":"sha2-512"}"#),
            ("datakey/plaintext/fuzzed", #"{"bits":256,"associated_data":""}"#),
            ("random", #"{"bytes":32,"format":"hex"}"#), ("hash", #"{"input":"aGVsbG8=","format":"base64"}"#),
            ("keys/fuzzed", #"{"type":"hmac","key_size":64}"#), ("keys/fuzzed/trim", #"{"min_available_version":1}"#),
            (
                "keys/fuzzed/config",
                #"{"min_decryption_version":1,"min_encryption_version":0,"deletion_allowed":false}"#
            ),
        ]
        var random = Seeded(13)
        let pieces: [[UInt8]] = [
            "9", "-", "null", "{", "[", "]", "\"", "\\u0000", ":", ",", "1e999", "v1", "=", "\u{e9}",
        ].map {
            Array($0.utf8)
        }
        for round in 0..<450 {
            let seed = seeds[round % seeds.count]
            var bytes = Array(seed.body.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let position = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[position] = UInt8.random(in: 0x20...0x7e, using: &random)
                case 1: bytes.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: position)
                case 2: bytes.removeSubrange(position..<min(bytes.count, position + 3))
                default: bytes = Array(bytes[..<max(position, 1)])
                }
                if bytes.isEmpty { bytes = [0x7b] }
            }
            let body = String(decoding: bytes, as: UTF8.self)
            let answer = try client.request("POST", "transit/" + seed.path, token: root, body: body)
            #expect([200, 204, 400].contains(answer.status), "\(seed.path) \(body): \(answer.text)")
        }
        let opened = try client.request(
            "POST",
            "transit/decrypt/fuzzed",
            token: root,
            body: #"{"ciphertext":"\#(good)"}"#
        )
        #expect(opened.data["plaintext"] as? String == base64("fine"))
        try vault.stop()
        try vault.verifyLog()
    }
}
