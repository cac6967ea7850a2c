/// Requests of transit, good and bad, and where coffred answers them otherwise than OpenBao.
enum TransitTable {
    /// A request, and what is known to differ.
    struct Step {
        let method: String
        let path: String
        /// `{P}` stands for base64 of "hello"; `{name}` for what was saved under that name, of each side its own.
        let body: String?
        /// A field of `data` to keep.
        var saved: String?
        /// Where coffred answers otherwise, and why; the test fails when it does not differ.
        var difference: Difference?
    }

    struct Difference {
        let status: Int
        /// The only error; nil when there is none.
        let error: String?
        let why: String
    }

    private static func ask(
        _ method: String,
        _ path: String,
        _ body: String? = nil,
        save: String? = nil,
        differs: Difference? = nil
    ) -> Step { Step(method: method, path: path, body: body, saved: save, difference: differs) }

    private static func refused(_ error: String, _ why: String) -> Difference {
        Difference(status: 400, error: error, why: why)
    }

    private static let keys: [Step] = [
        ask("LIST", "keys"), ask("GET", "keys"), ask("GET", "keys/none"), ask("POST", "keys/a"), ask("GET", "keys/a"),
        ask("POST", "keys/a", #"{"type":"ed25519"}"#), ask("POST", "keys/e", #"{"type":"ed25519"}"#),
        ask("GET", "keys/e"),
        ask("POST", "keys/h", #"{"type":"hmac","key_size":32}"#), ask("GET", "keys/h"),
        ask(
            "POST",
            "keys/h0",
            #"{"type":"hmac"}"#,
            differs: Difference(status: 200, error: nil, why: "a key size is chosen when none is given")
        ),
        ask("POST", "keys/h1", #"{"type":"hmac","key_size":8}"#),
        ask("POST", "keys/h1", #"{"type":"hmac","key_size":1024}"#), ask("POST", "keys/x", #"{"key_size":32}"#),
        ask("POST", "keys/x", #"{"type":"ed25519","key_size":32}"#), ask("POST", "keys/x", #"{"type":"nope"}"#),
        ask("POST", "keys/x", #"{"type":5}"#),
        ask(
            "POST",
            "keys/x",
            #"{"type":"rsa-2048"}"#,
            differs: refused("type rsa-2048 is not available: use aes256-gcm96, ed25519 or hmac", "not built")
        ),
        ask(
            "POST",
            "keys/x",
            #"{"derived":true}"#,
            differs: refused("derived is not available: leave it out", "not built")
        ),
        ask(
            "POST",
            "keys/x",
            #"{"exportable":true}"#,
            differs: refused("exportable is not available: leave it out", "keys stay here")
        ),
        ask(
            "POST",
            "keys/x",
            #"{"convergent_encryption":true}"#,
            differs: refused("convergent_encryption is not available: leave it out", "not built")
        ),
        ask("POST", "keys/x4", #"{"foo":1,"type":"aes256-gcm96","derived":false}"#), ask("POST", "keys/A_.-b", "{}"),
        ask("GET", "keys/A_.-b"), ask("DELETE", "keys/a"), ask("DELETE", "keys/none"),
        ask("POST", "keys/a/config", "{}"),
        ask("POST", "keys/none/config", #"{"deletion_allowed":true}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":2}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":-1}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":0}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":2}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":-1}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":0}"#), ask("POST", "keys/a/rotate"),
        ask("POST", "keys/a/rotate"), ask("POST", "keys/a/rotate", #"{"x":1}"#), ask("POST", "keys/a/rotate"),
        ask("POST", "keys/e/rotate"), ask("GET", "keys/e"), ask("POST", "keys/none/rotate"),
        ask("GET", "keys/a/rotate"),
        ask("GET", "keys/a/config"), ask("DELETE", "keys/a/trim"),
        ask("POST", "keys/a/config", #"{"min_encryption_version":2,"min_decryption_version":3}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":4,"min_decryption_version":3}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":5}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":"2"}"#),
        ask("POST", "keys/a/config", #"{"min_decryption_version":3,"nope":2}"#), ask("POST", "keys/a/trim", "{}"),
        ask("POST", "keys/a/trim", #"{"min_available_version":0}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":-1}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":9}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":4}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":2}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":1}"#),
        ask("POST", "keys/a/trim", #"{"min_available_version":3}"#),
        ask("POST", "keys/none/trim", #"{"min_available_version":3}"#), ask("GET", "keys/a"),
        ask("POST", "keys/a/config", #"{"min_decryption_version":1}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":1}"#),
        ask("POST", "keys/a/config", #"{"min_encryption_version":0}"#),
        ask("POST", "keys/h/trim", #"{"min_available_version":1}"#),
        ask("POST", "keys/x4/config", #"{"deletion_allowed":"true"}"#), ask("DELETE", "keys/x4"), ask("GET", "keys/x4"),
    ]

    private static let encryption: [Step] = [
        ask("POST", "encrypt/k", #"{"plaintext":"{P}"}"#, save: "ciphertext"), ask("GET", "keys/k"),
        ask("POST", "encrypt/k", "{}"), ask("POST", "encrypt/k", #"{"plaintext":5}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"!!"}"#), ask("POST", "encrypt/k", #"{"plaintext":"aGVsbG8"}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"aGVs\nbG8=\n"}"#), ask("POST", "encrypt/k", #"{"plaintext":"aGVs="}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"aGVs bG8="}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"aGVsbG8=="}"#),
        ask(
            "POST",
            "encrypt/k",
            #"{"plaintext":"aGVsbG9="}"#,
            differs: refused(
                "illegal base64 data at input byte 6",
                "bits that stand for nothing are no base64 (RFC 4648 §3.5)"
            )
        ),
        ask(
            "POST",
            "encrypt/k",
            #"{"plaintext":null}"#,
            differs: refused("missing plaintext to encrypt", "null is no plaintext")
        ),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":0}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":2}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":-1}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":"1"}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","zzz":1}"#),
        ask(
            "POST",
            "encrypt/k",
            #"{"plaintext":"{P}","context":"{P}"}"#,
            differs: refused(
                "context is not available, because no key here is derived: leave it out, or bind the ciphertext by "
                    + "associated_data",
                "a context that has no effect is not taken"
            )
        ),
        ask("POST", "encrypt/new9", #"{"plaintext":"{P}","type":"ed25519"}"#),
        ask("POST", "encrypt/new9", #"{"plaintext":"{P}","type":"zz"}"#),
        ask("POST", "encrypt/new5", #"{"plaintext":"{P}","key_version":2}"#),
        ask("POST", "encrypt/e", #"{"plaintext":"{P}"}"#), ask("POST", "encrypt/h", #"{"plaintext":"{P}"}"#),
        ask(
            "POST",
            "encrypt/k",
            #"{"plaintext":"{P}","associated_data":"!!"}"#,
            differs: refused("associated_data: illegal base64 data at input byte 0", "a bad request is 400, not 500")
        ),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}\n"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}","associated_data":"{P}"}"#),
        ask("POST", "decrypt/k", "{}"),
        ask("POST", "decrypt/k", #"{"ciphertext":""}"#), ask("POST", "decrypt/k", #"{"ciphertext":5}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"x"}"#), ask("POST", "decrypt/k", #"{"ciphertext":"vault:"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1:"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v2:AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v99999999999:AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v99999999999999999999999:AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:vx:AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1:!!!"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1:AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1:AAAAAAAAAAAAAAAAAAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}AAAA"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}:x"}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":" {ciphertext}"}"#),
        ask(
            "POST",
            "decrypt/k",
            #"{"ciphertext":"vault:v0:AAAA"}"#,
            differs: refused(
                "ciphertext or signature version is disallowed by policy (too old)",
                "version 0 is no other name of version 1"
            )
        ),
        ask(
            "POST",
            "decrypt/k",
            #"{"ciphertext":"vault:v+1:AAAA"}"#,
            differs: refused("invalid ciphertext: version number could not be decoded", "one ciphertext, one text")
        ),
        ask("POST", "decrypt/none", #"{"ciphertext":"vault:v1:AAAA"}"#), ask("POST", "decrypt/none", "{}"),
        ask("POST", "decrypt/e", #"{"ciphertext":"vault:v1:AAAA"}"#),
        ask("POST", "decrypt/h", #"{"ciphertext":"vault:v1:AAAA"}"#),
        ask("POST", "rewrap/k", #"{"ciphertext":"{ciphertext}"}"#), ask("POST", "rewrap/k", "{}"),
        ask("POST", "rewrap/none", #"{"ciphertext":"vault:v1:AAAA"}"#), ask("POST", "keys/k/rotate"),
        ask("POST", "rewrap/k", #"{"ciphertext":"{ciphertext}"}"#),
        ask("POST", "rewrap/k", #"{"ciphertext":"{ciphertext}","key_version":1}"#),
        ask("POST", "rewrap/k", #"{"ciphertext":"{ciphertext}","key_version":3}"#),
        ask("POST", "keys/k/config", #"{"min_encryption_version":2}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":1}"#),
        ask("POST", "datakey/plaintext/k", #"{"key_version":1}"#),
        ask("POST", "keys/k/config", #"{"min_decryption_version":2}"#),
        ask("POST", "decrypt/k", #"{"ciphertext":"{ciphertext}"}"#),
        ask("POST", "rewrap/k", #"{"ciphertext":"{ciphertext}"}"#),
        ask("POST", "keys/k/config", #"{"min_decryption_version":1}"#), ask("GET", "encrypt/k"),
        ask("DELETE", "decrypt/k"),
        ask("GET", "rewrap/k"),
        ask("POST", "keys/k/config", #"{"min_encryption_version":0,"min_decryption_version":2}"#),
        ask("POST", "encrypt/k", #"{"plaintext":"{P}","key_version":1}"#),
        ask("POST", "hmac/k", #"{"input":"{P}","key_version":1}"#),
        ask("POST", "keys/k/config", #"{"min_encryption_version":2,"min_decryption_version":1}"#),
        ask("LIST", "keys?limit=2"), ask("LIST", "keys?after=e&limit=1"), ask("GET", "keys?list=true&after=zzz"),
        ask("LIST", "keys?limit=3"),
    ]

    private static let notFormed = "a batch that has no valid form is 400, not 500"

    private static let batches: [Step] = [
        ask("POST", "encrypt/k", #"{"batch_input":[]}"#), ask("POST", "decrypt/k", #"{"batch_input":[]}"#),
        ask("POST", "rewrap/k", #"{"batch_input":[]}"#), ask("POST", "encrypt/k", #"{"batch_input":null}"#),
        ask(
            "POST",
            "encrypt/k",
            #"{"batch_input":"x"}"#,
            differs: refused("failed to parse batch input: an array is expected", notFormed)
        ),
        ask(
            "POST",
            "encrypt/k",
            #"{"batch_input":[5]}"#,
            differs: refused("failed to parse batch input: [0] expected a map", notFormed)
        ),
        ask(
            "POST",
            "encrypt/k",
            #"{"batch_input":[{"plaintext":"{P}"},{}]}"#,
            differs: refused("failed to parse batch input: '[1].plaintext' missing plaintext to encrypt", notFormed)
        ),
        ask(
            "POST",
            "decrypt/k",
            #"{"batch_input":[{}]}"#,
            differs: refused("failed to parse batch input: '[0].ciphertext' missing ciphertext to decrypt", notFormed)
        ),
        ask("POST", "encrypt/k", #"{"batch_input":[{"plaintext":"{P}","reference":"r"},{"plaintext":"{P}","foo":1}]}"#),
        ask("POST", "encrypt/k", #"{"batch_input":[{"plaintext":"{P}","key_version":1},{"plaintext":"!!"}]}"#),
        ask("POST", "encrypt/k", #"{"batch_input":[{"plaintext":"!!"}]}"#),
        ask(
            "POST",
            "encrypt/k",
            #"{"batch_input":[{"plaintext":"{P}"},{"plaintext":"!!"}],"partial_failure_response_code":202}"#
        ),
        ask(
            "POST",
            "encrypt/k",
            #"{"batch_input":[{"plaintext":"{P}"},{"plaintext":"!!"}],"partial_failure_response_code":700}"#
        ), ask("POST", "encrypt/k", #"{"batch_input":[{"plaintext":"!!"}],"partial_failure_response_code":202}"#),
        ask("POST", "encrypt/fresh", #"{"batch_input":[{"plaintext":"{P}"}]}"#), ask("GET", "keys/fresh"),
        ask("POST", "encrypt/e", #"{"batch_input":[{"plaintext":"{P}"}]}"#),
        ask(
            "POST",
            "decrypt/k",
            #"{"batch_input":[{"ciphertext":"{ciphertext}","reference":"z"},{"ciphertext":"bad"}]}"#
        ),
        ask("POST", "decrypt/k", #"{"batch_input":[{"ciphertext":"{ciphertext}"}]}"#),
        ask("POST", "decrypt/e", #"{"batch_input":[{"ciphertext":"vault:v1:AAAA"}]}"#),
        ask(
            "POST",
            "rewrap/k",
            #"{"batch_input":[{"ciphertext":"{ciphertext}","reference":"z"},{"ciphertext":"bad"},{}]}"#
        ),
        ask("POST", "rewrap/none", #"{"batch_input":[{"ciphertext":"x"}]}"#),
        ask("POST", "decrypt/none", #"{"batch_input":[{"ciphertext":"x"}]}"#),
    ]

    private static let proofs: [Step] = [
        ask("POST", "sign/e", #"{"input":"{P}"}"#, save: "signature"),
        ask("POST", "sign/e/sha2-256", #"{"input":"{P}"}"#),
        ask("POST", "sign/e", #"{"input":"!!"}"#), ask("POST", "sign/e", #"{"input":""}"#),
        ask(
            "POST",
            "sign/e",
            "{}",
            differs: refused("missing input", "a field that was misspelt is not signed as nothing")
        ),
        ask("POST", "sign/a", #"{"input":"{P}"}"#), ask("POST", "sign/h", #"{"input":"{P}"}"#),
        ask("POST", "sign/none", #"{"input":"{P}"}"#), ask("POST", "sign/e", #"{"input":"{P}","key_version":1}"#),
        ask(
            "POST",
            "sign/e",
            #"{"input":"{P}","key_version":3}"#,
            differs: refused("requested version for signing is higher than the latest key version", "400, not 500")
        ),
        ask(
            "POST",
            "sign/e",
            #"{"input":"{P}","marshaling_algorithm":"jws"}"#,
            differs: refused("marshaling_algorithm jws is not available: leave it out", "not built")
        ),
        ask("POST", "sign/e", #"{"input":"{P}","marshaling_algorithm":"nope"}"#),
        ask("POST", "sign/e", #"{"input":"{P}","hash_algorithm":"nope"}"#),
        ask("POST", "sign/e/nope", #"{"input":"{P}"}"#), ask("POST", "sign/e", #"{"input":"{P}","prehashed":true}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"{signature}"}"#),
        ask("POST", "verify/e", #"{"input":"AAAA","signature":"{signature}"}"#),
        ask("POST", "verify/e", #"{"input":"","signature":"{signature}"}"#),
        ask("POST", "verify/e", #"{"input":"{P}"}"#),
        ask("POST", "verify/e", "{}"), ask("POST", "verify/e", #"{"input":"{P}","signature":""}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"x"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v1"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v1:"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v1:!!"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v1:AAAA"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v9:AAAA"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:v0:AAAA"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"vault:vx:AAAA"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","signature":"{signature}:a"}"#),
        ask("POST", "verify/e", #"{"input":"!!","signature":"{signature}"}"#),
        ask("POST", "verify/none", #"{"input":"{P}","signature":"{signature}"}"#),
        ask("POST", "verify/a", #"{"input":"{P}","signature":"{signature}"}"#),
        ask("POST", "verify/e/nope", #"{"input":"{P}","signature":"{signature}"}"#),
        ask("POST", "hmac/h", #"{"input":"{P}"}"#, save: "hmac"), ask("POST", "hmac/h/sha2-224", #"{"input":"{P}"}"#),
        ask("POST", "hmac/h/sha2-512", #"{"input":"{P}"}"#), ask("POST", "hmac/h/sha3-256", #"{"input":"{P}"}"#),
        ask("POST", "hmac/h", #"{"input":"{P}","algorithm":"sha2-384"}"#),
        ask(
            "POST",
            "hmac/h/nope",
            #"{"input":"{P}"}"#,
            differs: refused(#"unsupported algorithm "nope""#, "the name that was sent is shown")
        ),
        ask(
            "POST",
            "hmac/h/sha1",
            #"{"input":"{P}"}"#,
            differs: refused(#"unsupported algorithm "sha1""#, "SHA-1 is not offered")
        ),
        ask("POST", "hmac/h", "{}"), ask("POST", "hmac/h", #"{"input":""}"#), ask("POST", "hmac/h", #"{"input":"!!"}"#),
        ask("POST", "hmac/a", #"{"input":"{P}"}"#), ask("POST", "hmac/e", #"{"input":"{P}"}"#),
        ask("POST", "hmac/none", #"{"input":"{P}"}"#), ask("POST", "hmac/h", #"{"input":"{P}","key_version":1}"#),
        ask("POST", "hmac/h", #"{"input":"{P}","key_version":2}"#),
        ask("POST", "hmac/h", #"{"input":"{P}","key_version":-1}"#),
        ask("POST", "hmac/a", #"{"input":"{P}","key_version":1}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"{hmac}"}"#),
        ask("POST", "verify/h/sha2-512", #"{"input":"{P}","hmac":"{hmac}"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"{hmac}","algorithm":"sha2-512"}"#),
        ask("POST", "verify/h", #"{"input":"AAAA","hmac":"{hmac}"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":""}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"vault:v1"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"vault:v1:"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"vault:v2:AAAA"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"vault:v0:AAAA"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"vault:vx:AAAA"}"#),
        ask("POST", "verify/h", #"{"input":"{P}","hmac":"{hmac}","signature":"{signature}"}"#),
        ask("POST", "verify/e", #"{"input":"{P}","hmac":"{hmac}"}"#),
        ask("POST", "verify/none", #"{"input":"{P}","hmac":"{hmac}"}"#), ask("POST", "sign/e", #"{"batch_input":[]}"#),
        ask("POST", "sign/e", #"{"batch_input":[{"input":"{P}","reference":"r"},{"input":"!!"},{"reference":"k"}]}"#),
        ask("POST", "sign/e", #"{"batch_input":[{"input":"{P}"}],"key_version":9}"#),
        ask("POST", "sign/a", #"{"batch_input":[{"input":"{P}"}]}"#), ask("POST", "verify/e", #"{"batch_input":[]}"#),
        ask("POST", "verify/e", #"{"batch_input":[{}]}"#),
        ask("POST", "verify/e", #"{"batch_input":[{"input":"{P}","signature":"{signature}"},{"input":"{P}"}]}"#),
        ask(
            "POST",
            "verify/e",
            #"{"batch_input":[{"input":"{P}","signature":"{signature}"},{"input":"{P}","hmac":"{hmac}"}]}"#
        ),
        ask(
            "POST",
            "verify/e",
            #"{"batch_input":[{"input":"{P}","signature":"{signature}"},{"input":"{P}","signature":"x"},{"signature":"x"}]}"#
        ), ask("POST", "hmac/h", #"{"batch_input":[{"input":"{P}","reference":"x"},{"input":"!!"},{}]}"#),
        ask("POST", "verify/h", #"{"batch_input":[{"input":"{P}","hmac":"{hmac}","reference":"x"}]}"#),
        ask(
            "POST",
            "verify/h",
            #"{"batch_input":[{"input":"AAAA","hmac":"{hmac}"}]}"#,
            differs: Difference(status: 200, error: nil, why: "an invalid HMAC is said to be one")
        ),
    ]

    private static let tools: [Step] = [
        ask("POST", "datakey/plaintext/a"), ask("POST", "datakey/wrapped/a"), ask("POST", "datakey/nope/a"),
        ask("POST", "datakey/plaintext/none"), ask("POST", "datakey/plaintext/a", #"{"bits":128}"#),
        ask("POST", "datakey/plaintext/a", #"{"bits":512}"#), ask("POST", "datakey/plaintext/a", #"{"bits":100}"#),
        ask("POST", "datakey/plaintext/a", #"{"bits":0}"#), ask("POST", "datakey/plaintext/a", #"{"key_version":9}"#),
        ask("POST", "datakey/plaintext/e"), ask("POST", "datakey/plaintext/a", #"{"associated_data":"{P}"}"#),
        ask("GET", "datakey/plaintext/a"), ask("POST", "random"), ask("POST", "random/4"), ask("POST", "random/0"),
        ask("POST", "random/131073"), ask("POST", "random/512"),
        ask("POST", "random", #"{"bytes":5,"format":"hex"}"#),
        ask("POST", "random/5", #"{"bytes":9,"format":"nope"}"#), ask("POST", "random", #"{"bytes":"6"}"#),
        ask("POST", "random", #"{"bytes":0}"#), ask("POST", "random/platform/8"), ask("POST", "random/platform"),
        ask("POST", "random/seal/8"), ask("POST", "random/all/8"), ask("POST", "random/nope/8"), ask("GET", "random/4"),
        ask("POST", "hash", #"{"input":"{P}"}"#), ask("POST", "hash/sha2-224", #"{"input":"{P}"}"#),
        ask("POST", "hash/sha2-512", #"{"input":"{P}","format":"base64"}"#),
        ask("POST", "hash/sha3-384", #"{"input":"{P}"}"#),
        ask("POST", "hash", #"{"input":"{P}","algorithm":"sha3-512"}"#),
        ask("POST", "hash/nope", #"{"input":"{P}"}"#), ask("POST", "hash/sha1", #"{"input":"{P}"}"#),
        ask("POST", "hash", "{}"), ask("POST", "hash", #"{"input":""}"#), ask("POST", "hash", #"{"input":"!!"}"#),
        ask("POST", "hash", #"{"input":"{P}","format":"nope"}"#), ask("GET", "hash"),
    ]

    static let steps = keys + encryption + batches + proofs + tools
}
