import CoffreTestSupport
import Foundation
import Testing

/// Unchanged clients of Vault and OpenBao use transit.
@Suite(.serialized)
struct TransitClientTests: TransitSuite {
    @Test func baoEncryptsDecryptsSignsAndRotates() throws {
        let environment = [
            "BAO_ADDR": "unix://\(try vault.socket)", "HOME": try vault.folder.path, "BAO_FORMAT": "json",
            "BAO_MAX_RETRIES": "0", "BAO_TOKEN": try root,
        ]
        func bao(_ arguments: String...) throws -> [String: Any] {
            let result = try RunningProcess.run(try CoffredProcess.bao(), arguments, environment: environment)
            try #require(result.status == 0, "\(arguments): \(result.output)")
            let start = try #require(result.output.firstIndex(of: "{"), "\(result.output)")
            let json = try JSONSerialization.jsonObject(with: Data(result.output[start...].utf8)) as? [String: Any]
            return try #require(json?["data"] as? [String: Any])
        }
        let made = try bao("write", "transit/encrypt/bk", "plaintext=\(base64("from bao"))")
        let ciphertext = try #require(made["ciphertext"] as? String)
        #expect(
            try bao("write", "transit/decrypt/bk", "ciphertext=\(ciphertext)")["plaintext"] as? String
                == base64("from bao")
        )
        #expect(try bao("write", "-f", "transit/keys/bk/rotate")["latest_version"] as? Int == 2)
        let moved = try bao("write", "transit/rewrap/bk", "ciphertext=\(ciphertext)")
        #expect((moved["ciphertext"] as? String)?.hasPrefix("vault:v2:") == true)
        #expect(try bao("write", "transit/keys/bs", "type=ed25519")["type"] as? String == "ed25519")
        let signature = try #require(
            try bao("write", "transit/sign/bs", "input=\(base64("m"))")["signature"] as? String
        )
        let checked = try bao("write", "transit/verify/bs", "input=\(base64("m"))", "signature=\(signature)")
        #expect(checked["valid"] as? Bool == true)
        #expect(try bao("read", "transit/keys/bs")["supports_signing"] as? Bool == true)
        let key = try bao("write", "-f", "transit/datakey/plaintext/bk")
        #expect(Data(base64Encoded: key["plaintext"] as? String ?? "")?.count == 32)
    }

    /// The line of the README: what is encrypted comes over a pipe, never as an argument.
    @Test func coffreEncryptsWhatIsPipedIn() throws {
        let environment = ["COFFRE_SOCKET": try vault.socket, "BAO_TOKEN": try root, "HOME": try vault.folder.path]
        let piped = Data(repeating: 0x41, count: 200).base64EncodedString(options: [.lineLength76Characters])
        let made = try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            ["write", "transit/encrypt/ck", "plaintext=-"],
            environment: environment,
            input: piped + "\n"
        )
        try #require(made.status == 0, "\(made.output)")
        let found = try #require(made.output.firstMatch(of: /vault:v1:[A-Za-z0-9+\/=]+/), "\(made.output)")
        #expect(try decrypt("ck", String(found.output)) == String(repeating: "A", count: 200))
    }

    @Test func hvacUsesTransit() throws {
        let script = """
            import base64, os, urllib.parse, hvac, requests_unixsocket
            from hvac import exceptions
            url = "http+unix://" + urllib.parse.quote(os.environ["SOCKET"], safe="")
            t = hvac.Client(url=url, token=os.environ["ROOT"], session=requests_unixsocket.Session()).secrets.transit
            def b(text): return base64.b64encode(text.encode()).decode()
            t.create_key(name="hk")
            assert "hk" in t.list_keys()["data"]["keys"]
            assert t.read_key(name="hk")["data"]["type"] == "aes256-gcm96"
            made = t.encrypt_data(name="hk", plaintext=b("one"))["data"]["ciphertext"]
            assert t.decrypt_data(name="hk", ciphertext=made)["data"]["plaintext"] == b("one")
            t.rotate_key(name="hk")
            again = t.rewrap_data(name="hk", ciphertext=made)["data"]["ciphertext"]
            assert again.startswith("vault:v2:")
            batch = t.encrypt_data(name="hk", batch_input=[{"plaintext": b("x")}, {"plaintext": b("y")}])
            texts = [{"ciphertext": r["ciphertext"]} for r in batch["data"]["batch_results"]]
            opened = t.decrypt_data(name="hk", batch_input=texts)["data"]["batch_results"]
            assert [r["plaintext"] for r in opened] == [b("x"), b("y")]
            t.create_key(name="hs", key_type="ed25519")
            signature = t.sign_data(name="hs", hash_input=b("m"))["data"]["signature"]
            assert t.verify_signed_data(name="hs", hash_input=b("m"), signature=signature)["data"]["valid"]
            assert not t.verify_signed_data(name="hs", hash_input=b("n"), signature=signature)["data"]["valid"]
            tag = t.generate_hmac(name="hk", hash_input=b("m"), algorithm="sha2-256")["data"]["hmac"]
            assert t.verify_signed_data(name="hk", hash_input=b("m"), hmac=tag)["data"]["valid"]
            assert len(base64.b64decode(t.generate_data_key(name="hk", key_type="plaintext")["data"]["plaintext"])) == 32
            assert len(t.generate_random_bytes(n_bytes=8, output_format="hex")["data"]["random_bytes"]) == 16
            assert t.hash_data(hash_input=b("hello"), algorithm="sha2-256")["data"]["sum"].startswith("2cf24dba")
            t.rotate_key(name="hk")
            t.update_key_configuration(name="hk", min_decryption_version=2, min_encryption_version=3)
            try:
                t.decrypt_data(name="hk", ciphertext=made)
                raise SystemExit("an old version was decrypted")
            except exceptions.InvalidRequest as error:
                assert "too old" in str(error)
            t.trim_key(name="hk", min_version=2)
            try:
                t.delete_key(name="hk")
                raise SystemExit("a protected key was deleted")
            except exceptions.InvalidRequest:
                pass
            t.update_key_configuration(name="hk", deletion_allowed=True)
            t.delete_key(name="hk")
            assert "hk" not in t.list_keys()["data"]["keys"]
            print("done")
            """
        let result = try RunningProcess.run(
            try CoffredProcess.python(),
            ["-c", script],
            environment: ["SOCKET": try vault.socket, "ROOT": try root]
        )
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.hasSuffix("done\n"))
    }
}
