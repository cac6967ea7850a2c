import CoffreTestSupport
import Foundation
import Testing

/// Unchanged clients of Vault and OpenBao against a running coffred.
@Suite(.serialized)
struct ClientTests {
    /// The real `bao`, with a home of its own.
    private struct Bao {
        let vault: CoffredProcess
        var token: String?

        func callAsFunction(_ arguments: String..., input: String? = nil) throws -> (status: Int32, output: String) {
            var environment = [
                "BAO_ADDR": "unix://\(vault.socket)", "HOME": vault.folder.path, "BAO_FORMAT": "json",
                "BAO_MAX_RETRIES": "0",
            ]
            if let token { environment["BAO_TOKEN"] = token }
            return try RunningProcess.run(try CoffredProcess.bao(), arguments, environment: environment, input: input)
        }
    }

    private func json(_ result: (status: Int32, output: String)) throws -> [String: Any] {
        try #require(result.status == 0, "\(result.output)")
        let start = try #require(result.output.firstIndex(of: "{"))
        return try #require(
            JSONSerialization.jsonObject(with: Data(result.output[start...].utf8)) as? [String: Any]
        )
    }

    @Test func baoMakesOpensAndSealsAVault() throws {
        let vault = try CoffredProcess.started()
        var bao = Bao(vault: vault)
        #expect(try bao("status").status == 2)
        let made = try json(bao("operator", "init", "-key-shares=3", "-key-threshold=2"))
        let keys = try #require(made["unseal_keys_b64"] as? [String])
        #expect(keys.count == 3)
        #expect((made["unseal_keys_hex"] as? [String])?.count == 3)
        #expect(try bao("status").status == 2)
        #expect(try json(bao("operator", "unseal", keys[2]))["sealed"] as? Bool == true)
        #expect(try json(bao("operator", "unseal", keys[0]))["sealed"] as? Bool == false)
        #expect(try bao("status").status == 0)
        bao.token = try #require(made["root_token"] as? String)
        #expect(try bao("operator", "seal").status == 0)
        #expect(try bao("status").status == 2)
    }

    @Test func baoKeepsSecretsPoliciesAndTokens() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let bao = Bao(vault: vault, token: root)
        #expect(
            try json(bao("kv", "put", "-mount=secret", "app/db", "user=u", "password=p 1"))["data"] is [String: Any]
        )
        let read = try json(bao("kv", "get", "-mount=secret", "app/db"))
        let data = (read["data"] as? [String: Any])?["data"] as? [String: Any]
        #expect(data?["password"] as? String == "p 1")
        #expect(try bao("kv", "get", "-mount=secret", "-field=user", "app/db").output.contains("u"))
        #expect(try bao("kv", "put", "-mount=secret", "-cas=0", "app/db", "a=b").status == 2)
        #expect(try bao("kv", "patch", "-mount=secret", "app/db", "extra=e").status == 0)
        let patched = (try json(bao("kv", "get", "secret/app/db"))["data"] as? [String: Any])?["data"] as? [String: Any]
        #expect(patched?["user"] as? String == "u")
        #expect(patched?["extra"] as? String == "e")
        #expect(try bao("kv", "list", "-mount=secret", "app").output.contains("db"))
        #expect(try bao("kv", "metadata", "get", "-mount=secret", "app/db").status == 0)
        #expect(try bao("kv", "delete", "-mount=secret", "app/db").status == 0)
        #expect(try bao("kv", "undelete", "-mount=secret", "-versions=2", "app/db").status == 0)
        #expect(try bao("kv", "destroy", "-mount=secret", "-versions=1", "app/db").status == 0)
        #expect(try bao("kv", "metadata", "delete", "-mount=secret", "app/db").status == 0)
        #expect(try bao("kv", "get", "-mount=secret", "app/db").status == 2)

        let policy = #"path "secret/data/app/*" { capabilities = ["read"] }"#
        #expect(try bao("policy", "write", "reader", "-", input: policy).status == 0)
        #expect(try bao("policy", "list").output.contains("reader"))
        #expect(try bao("policy", "read", "reader").output.contains("secret/data/app"))
        let made = try json(bao("token", "create", "-policy=reader", "-ttl=1h"))
        let token = try #require((made["auth"] as? [String: Any])?["client_token"] as? String)
        let child = Bao(vault: vault, token: token)
        #expect(try child("token", "lookup").status == 0)
        #expect(try child("token", "renew").status == 0)
        #expect(try child("token", "capabilities", "secret/data/app/x").output.contains("read"))
        #expect(try child("kv", "put", "-mount=secret", "app/x", "a=b").status == 2)
        #expect(try child("token", "revoke", "-self").status == 0)
        #expect(try child("token", "lookup").status == 2)
        #expect(try bao("policy", "delete", "reader").status == 0)
        #expect(try bao("secrets", "list").output.contains("secret/"))
        #expect(try bao("auth", "list").output.contains("token/"))
        #expect(try bao("lease", "lookup", "database/creds/none/x").status == 2)
        #expect(try bao("read", "sys/health").status == 0)
        try vault.stop()
        try vault.verifyLog()
    }

    @Test func hvacReadsAndWritesOverTheSocket() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let script = """
            import os, urllib.parse, hvac, requests_unixsocket
            from hvac import exceptions
            url = "http+unix://" + urllib.parse.quote(os.environ["SOCKET"], safe="")
            def connect(token):
                return hvac.Client(url=url, token=token, session=requests_unixsocket.Session())
            c = connect(os.environ["ROOT"])
            assert c.is_authenticated() and c.sys.is_initialized() and not c.sys.is_sealed()
            assert not connect("s.bad").is_authenticated()
            kv = c.secrets.kv.v2
            kv.create_or_update_secret(path="h/one", secret={"a": "b"}, cas=0)
            assert kv.read_secret_version(path="h/one", raise_on_deleted_version=True)["data"]["data"] == {"a": "b"}
            assert kv.list_secrets(path="h")["data"]["keys"] == ["one"]
            assert c.list("secret/metadata/h")["data"]["keys"] == ["one"]
            kv.patch(path="h/one", secret={"c": "d"})
            assert kv.read_secret_metadata(path="h/one")["data"]["current_version"] == 2
            kv.delete_latest_version_of_secret(path="h/one")
            gone = kv.read_secret_version(path="h/one", raise_on_deleted_version=False)
            assert gone["data"]["data"] is None and gone["data"]["metadata"]["deletion_time"] != ""
            try:
                kv.read_secret_version(path="h/one", raise_on_deleted_version=True)
                raise SystemExit("a deleted version was read")
            except exceptions.InvalidPath:
                pass
            kv.delete_metadata_and_all_versions(path="h/one")
            c.sys.create_or_update_policy("hv", 'path "secret/data/h/*" { capabilities = ["read"] }')
            assert "hv" in c.sys.list_policies()["data"]["policies"]
            assert "secret/data/h" in c.sys.read_policy("hv")["data"]["rules"]
            made = c.auth.token.create(policies=["hv"], ttl="1h")["auth"]
            other = connect(made["client_token"])
            assert other.auth.token.lookup_self()["data"]["accessor"] == made["accessor"]
            assert c.auth.token.lookup_accessor(made["accessor"])["data"]["policies"] == ["default", "hv"]
            other.auth.token.renew_self()
            try:
                other.secrets.kv.v2.create_or_update_secret(path="h/x", secret={})
                raise SystemExit("a reader wrote")
            except exceptions.Forbidden:
                pass
            c.auth.token.revoke_accessor(made["accessor"])
            assert not other.is_authenticated()
            assert c.sys.list_mounted_secrets_engines()["data"]["secret/"]["options"]["version"] == "2"
            assert c.sys.read_health_status(method="GET")["sealed"] is False
            c.sys.seal()
            assert c.sys.is_sealed()
            print("done")
            """
        let result = try RunningProcess.run(
            try CoffredProcess.python(),
            ["-c", script],
            environment: ["SOCKET": vault.socket, "ROOT": root]
        )
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.hasSuffix("done\n"))
    }

    @Test func baoAndHvacTakeDatabaseLogins() throws {
        let stage = try DatabaseStage()
        let bao = Bao(vault: stage.vault, token: stage.root)
        let read = try json(bao("read", "database/creds/app"))
        let lease = try #require(read["lease_id"] as? String)
        let data = try #require(read["data"] as? [String: Any])
        let user = try #require(data["username"] as? String)
        #expect(
            try stage.server.sql("SELECT current_user", as: (user, try #require(data["password"] as? String))) == user
        )
        #expect(try json(bao("lease", "lookup", lease))["data"] is [String: Any])
        #expect(try bao("lease", "renew", "-increment=2h", lease).status == 0)
        #expect(try bao("lease", "revoke", lease).status == 0)
        try eventually("the login is gone") { try stage.logins().isEmpty }
        #expect(try bao("list", "database/roles").output.contains("app"))
        #expect(try bao("read", "database/config/pg").output.contains(stage.server.password) == false)

        let script = """
            import os, urllib.parse, hvac, requests_unixsocket
            url = "http+unix://" + urllib.parse.quote(os.environ["SOCKET"], safe="")
            c = hvac.Client(url=url, token=os.environ["ROOT"], session=requests_unixsocket.Session())
            assert c.secrets.database.list_roles()["data"]["keys"] == ["app"]
            assert c.secrets.database.read_role("app")["data"]["db_name"] == "pg"
            made = c.secrets.database.generate_credentials("app")
            assert made["renewable"] and made["lease_duration"] == 3600 and made["data"]["password"]
            c.sys.renew_lease(made["lease_id"], increment=60)
            assert c.sys.read_lease(made["lease_id"])["data"]["id"] == made["lease_id"]
            c.sys.revoke_lease(made["lease_id"])
            c.secrets.database.create_role(name="two", db_name="pg",
                creation_statements=["CREATE ROLE \\"{{name}}\\" LOGIN PASSWORD '{{password}}'"], default_ttl="5m")
            assert c.secrets.database.generate_credentials("two")["lease_duration"] == 300
            c.secrets.database.delete_role("two")
            print("done")
            """
        let result = try RunningProcess.run(
            try CoffredProcess.python(),
            ["-c", script],
            environment: ["SOCKET": stage.vault.socket, "ROOT": stage.root]
        )
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.hasSuffix("done\n"))
    }
}
