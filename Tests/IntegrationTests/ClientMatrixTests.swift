import CoffreTestSupport
import Foundation
import Testing

/// Every client of the README, unchanged, through every area.
@Suite(.serialized)
struct ClientMatrixTests {
    private static let stage = Result { try CoffredProcess.unsealed() }

    private var vault: CoffredProcess { get throws { try Self.stage.get().daemon } }
    private var root: String { get throws { try Self.stage.get().root } }

    private func bao(_ arguments: [String], token: String? = nil) throws -> (status: Int32, output: String) {
        let result = try RunningProcess.run(
            try CoffredProcess.bao(),
            arguments,
            environment: [
                "BAO_ADDR": "unix://\(try vault.socket)", "HOME": try vault.folder.path,
                "BAO_TOKEN": token ?? (try root),
                "BAO_MAX_RETRIES": "0",
            ]
        )
        return (result.status, result.output)
    }

    /// What `bao` is asked, and a word of its answer (nothing: success is enough).
    private static let commands: [(line: String, word: String)] = [
        ("secrets enable -path=m -version=2 kv", "Success"), ("secrets list", "m/"),
        ("secrets tune -description=hello -max-lease-ttl=3h m", "Success"),
        ("kv put m/a x=1", "version"), ("kv patch m/a y=2", "version"), ("kv get -field=x m/a", "1"),
        ("kv metadata put -custom-metadata=owner=me m/a", "Success"), ("kv metadata get m/a", "owner"),
        ("kv metadata patch -custom-metadata=k=v m/a", "Success"),
        ("kv delete m/a", "Success"), ("kv undelete -versions=2 m/a", "Success"),
        ("kv rollback -version=1 m/a", "version"), ("kv destroy -versions=1 m/a", "Success"), ("kv list m", "a"),
        ("secrets move m m2", "Success"), ("kv get -field=x m2/a", "1"), ("secrets disable m2", "Success"),
        ("secrets enable -path=one kv", "Success"), ("kv put one/a x=1", "Success"), ("kv get -field=x one/a", "1"),
        ("secrets enable transit", "Success"), ("write -f transit/keys/k", "aes256-gcm96"),
        ("write transit/encrypt/k plaintext=aGVsbG8=", "vault:v1:"), ("list transit/keys", "k"),
        ("auth enable approle", "Success"), ("auth list", "approle/"),
        ("auth tune -default-lease-ttl=1h approle", "Success"),
        ("write auth/approle/role/web token_policies=default", "Success"), ("list auth/approle/role", "web"),
        ("read auth/approle/role/web/role-id", "role_id"), ("write -f auth/approle/role/web/secret-id", "secret_id"),
        ("write -wrap-ttl=60s -f auth/approle/role/web/secret-id", "wrapping_token"),
        ("token create -policy=default -ttl=1h -use-limit=3", "token_duration"),
        ("token create -type=batch -policy=default -ttl=1h", "b."),
        ("write auth/token/roles/r allowed_policies=default orphan=true", "Success"),
        ("token create -role=r", "s."), ("token lookup", "root"), ("token capabilities secret/data/x", "root"),
        ("write identity/entity name=ali metadata=team=x", "id"), ("read identity/entity/name/ali", "team"),
        ("write identity/group name=g", "id"), ("list identity/group/name", "g"),
        ("policy fmt -h", "fmt"), ("operator key-status", "Key Term"), ("operator rotate", "Success"),
        ("read sys/metrics", ""), ("audit list", "coffre/"), ("path-help secret/data", "data/{path}"),
        ("lease revoke -prefix auth/approle", "queued"), ("write sys/tools/random/8 format=hex", "random_bytes"),
        ("write cubbyhole/mine a=b", "Success"), ("read cubbyhole/mine", "b"),
        ("auth disable approle", "Success"), ("operator members", ""), ("status", "Sealed"),
    ]

    @Test func baoGoesThroughEveryArea() throws {
        for (line, word) in Self.commands {
            let result = try bao(line.split(separator: " ").map(String.init))
            #expect(
                result.status == 0 && (word.isEmpty || result.output.contains(word)),
                "bao \(line): \(result.output)"
            )
        }
        let wrapped = try bao(["kv", "put", "-wrap-ttl=60s", "-field=wrapping_token", "secret/w", "a=b"])
        let opened = try bao(["unwrap", wrapped.output.trimmingCharacters(in: .whitespacesAndNewlines)])
        #expect(opened.status == 0 && opened.output.contains("version"), "\(wrapped.output) \(opened.output)")
    }

    @Test func hvacGoesThroughEveryArea() throws {
        let script = """
            import hvac, requests_unixsocket, os, base64
            url = 'http+unix://' + os.environ['SOCKET'].replace('/', '%2F')
            def client(token=None): return hvac.Client(url=url, token=token, session=requests_unixsocket.Session())
            c = client(os.environ['TOKEN'])
            assert c.is_authenticated() and c.sys.is_initialized() and not c.sys.is_sealed()
            c.sys.enable_secrets_engine('kv', path='hv', options={'version': '2'})
            assert 'hv/' in c.sys.list_mounted_secrets_engines()['data']
            c.sys.tune_mount_configuration('hv', default_lease_ttl='1h', description='d')
            assert c.sys.read_mount_configuration('hv')['data']['default_lease_ttl'] == 3600
            kv = c.secrets.kv.v2
            kv.configure(max_versions=5, mount_point='hv')
            assert kv.read_configuration(mount_point='hv')['data']['max_versions'] == 5
            kv.create_or_update_secret('a', {'x': 1}, mount_point='hv')
            kv.patch('a', {'y': 2}, mount_point='hv')
            assert kv.read_secret_version('a', mount_point='hv', raise_on_deleted_version=True)['data']['data'] == {'x': 1, 'y': 2}
            kv.update_metadata('a', custom_metadata={'k': 'v'}, mount_point='hv')
            assert kv.read_secret_metadata('a', mount_point='hv')['data']['custom_metadata'] == {'k': 'v'}
            kv.delete_latest_version_of_secret('a', mount_point='hv')
            try:
                kv.read_secret_version('a', mount_point='hv', raise_on_deleted_version=True)
                assert False
            except hvac.exceptions.InvalidPath: pass
            kv.undelete_secret_versions('a', [2], mount_point='hv')
            kv.destroy_secret_versions('a', [1], mount_point='hv')
            assert kv.list_secrets('', mount_point='hv')['data']['keys'] == ['a']
            kv.delete_metadata_and_all_versions('a', mount_point='hv')
            c.sys.move_backend('hv', 'hv2')
            c.sys.disable_secrets_engine('hv2')
            c.sys.enable_secrets_engine('kv', path='hone')
            c.secrets.kv.v1.create_or_update_secret('a', {'x': '1'}, mount_point='hone')
            assert c.secrets.kv.v1.read_secret('a', mount_point='hone')['data'] == {'x': '1'}
            c.sys.enable_auth_method('approle', path='hroles')
            r = c.auth.approle
            r.create_or_update_approle('web', token_policies='default', token_ttl='10m', mount_point='hroles')
            role = r.read_role_id('web', mount_point='hroles')['data']['role_id']
            secret = r.generate_secret_id('web', metadata={'k': 'v'}, mount_point='hroles')['data']
            assert r.read_secret_id('web', secret['secret_id'], mount_point='hroles')['data']['metadata'] == {'k': 'v'}
            login = client().auth.approle.login(role, secret['secret_id'], use_token=False, mount_point='hroles')
            token = login['auth']['client_token']
            assert client(token).auth.token.lookup_self()['data']['meta']['k'] == 'v'
            r.destroy_secret_id('web', secret['secret_id'], mount_point='hroles')
            try:
                client().auth.approle.login(role, secret['secret_id'], mount_point='hroles')
                assert False
            except hvac.exceptions.InvalidRequest: pass
            c.sys.disable_auth_method('hroles')
            wrapped = c.sys.wrap({'a': 'b'}, ttl=60)['wrap_info']['token']
            assert c.sys.unwrap(wrapped)['data'] == {'a': 'b'}
            try:
                c.sys.unwrap(wrapped)
                assert False
            except hvac.exceptions.InvalidRequest: pass
            c.sys.enable_secrets_engine('transit', path='ht')
            t = c.secrets.transit
            t.create_key('k', mount_point='ht')
            text = t.encrypt_data('k', base64.b64encode(b'hello').decode(), mount_point='ht')['data']['ciphertext']
            t.rotate_key('k', mount_point='ht')
            text = t.rewrap_data('k', text, mount_point='ht')['data']['ciphertext']
            assert text.startswith('vault:v2:')
            assert base64.b64decode(t.decrypt_data('k', text, mount_point='ht')['data']['plaintext']) == b'hello'
            t.create_key('s', key_type='ed25519', mount_point='ht')
            i = base64.b64encode(b'hello').decode()
            s = t.sign_data('s', hash_input=i, mount_point='ht')['data']['signature']
            assert t.verify_signed_data('s', hash_input=i, signature=s, mount_point='ht')['data']['valid']
            e = c.secrets.identity.create_or_update_entity_by_name('omar', metadata={'team': 'x'})['data']['id']
            c.secrets.identity.create_or_update_group_by_name('ops', member_entity_ids=[e])
            assert c.secrets.identity.read_group_by_name('ops')['data']['member_entity_ids'] == [e]
            o = c.auth.token.create_orphan(policies=['default'], ttl='1h')['auth']
            assert o['orphan']
            c.auth.token.create_or_update_role('hr', allowed_policies=['default'])
            assert c.auth.token.create(role_name='hr')['auth']['client_token']
            c.auth.token.renew_accessor(o['accessor'])
            c.auth.token.revoke_accessor(o['accessor'])
            assert c.sys.read_health_status(method='GET')['sealed'] is False
            assert c.sys.get_encryption_key_status()['data']['term'] >= 1
            assert c.sys.read_leader_status()['ha_enabled'] is False
            c.sys.create_or_update_policy('hp', 'path "secret/*" { capabilities = ["read"] }')
            assert 'secret' in c.sys.read_policy('hp')['data']['rules']
            assert c.sys.get_capabilities(['secret/data/x'])['data']['secret/data/x'] == ['root']
            print('fine')
            """
        let result = try RunningProcess.run(
            try CoffredProcess.python(),
            ["-c", script],
            environment: ["SOCKET": try vault.socket, "TOKEN": try root]
        )
        #expect(result.output.contains("fine"), "\(result.output)")
    }

    /// Auto-auth through AppRole, templates and a proxy, by the real agent. The secret id comes wrapped.
    @Test func anAgentRendersTemplatesAndAProxyForwards() throws {
        let vault = try vault
        let folder = try TestFolder("agent")
        #expect(try bao(["auth", "enable", "-path=agents", "approle"]).status == 0)
        let policy = try folder.write("app.hcl", #"path "secret/data/agent" { capabilities = ["read"] }"#)
        #expect(try bao(["policy", "write", "agent", policy]).status == 0)
        #expect(try bao(["write", "auth/agents/role/app", "token_policies=agent", "token_ttl=10m"]).status == 0)
        let role = try bao(["read", "-field=role_id", "auth/agents/role/app/role-id"]).output
        let secret = try bao(
            ["write", "-wrap-ttl=5m", "-field=wrapping_token", "-f", "auth/agents/role/app/secret-id"]
        ).output
        #expect(try bao(["kv", "put", "secret/agent", "password=geheim"]).status == 0)
        let roleFile = try folder.write("role", role)
        let secretFile = try folder.write("secret", secret.trimmingCharacters(in: .whitespacesAndNewlines))
        func method(_ more: String) -> String {
            """
            vault { address = "unix://\(vault.socket)" }
            auto_auth { method "approle" {
              mount_path = "auth/agents"
              config = {
                role_id_file_path = "\(roleFile)"
                secret_id_file_path = "\(secretFile)"
                remove_secret_id_file_after_reading = false
                \(more)
              }
            } }

            """
        }
        let wrapping = #"secret_id_response_wrapping_path = "auth/agents/role/app/secret-id""#
        let agent = try folder.write(
            "agent.hcl",
            method(wrapping) + """
                template {
                  contents = "pw={{ with secret \\"secret/data/agent\\" }}{{ .Data.data.password }}{{ end }}"
                  destination = "\(folder.file("rendered"))"
                }
                exit_after_auth = true

                """
        )
        let environment = ["HOME": folder.path]
        let ran = try RunningProcess.run(
            try CoffredProcess.bao(),
            ["agent", "-config=\(agent)"],
            environment: environment
        )
        let rendered = try? String(contentsOfFile: folder.file("rendered"), encoding: .utf8)
        #expect(rendered == "pw=geheim", "\(ran.output.suffix(2000))")

        let plain = try bao(["write", "-field=secret_id", "-f", "auth/agents/role/app/secret-id"]).output
        _ = try folder.write("secret", plain.trimmingCharacters(in: .whitespacesAndNewlines))
        let socket = folder.file("proxy.sock")
        let proxy = try folder.write(
            "proxy.hcl",
            method("") + """
                api_proxy { use_auto_auth_token = true }
                listener "unix" {
                  address = "\(socket)"
                  tls_disable = true
                }

                """
        )
        let running = try RunningProcess(
            try CoffredProcess.bao(),
            ["proxy", "-config=\(proxy)"],
            environment: environment
        )
        defer { running.signal(SIGKILL) }
        try eventually(within: 20, "the proxy forwards with its token") {
            let answer = try? UnixHTTP.once(socket, "GET", "secret/data/agent")
            return answer?.text.contains("geheim") ?? false
        }
    }
}

extension ClientMatrixTests {
    @Test func theReportSaysWhenSecretsEndAndWereRead() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        _ = try vault.request("POST", "secret/data/app/read", token: root, body: #"{"data":{"v":1}}"#)
        _ = try vault.request("POST", "secret/data/app/never", token: root, body: #"{"data":{"v":1}}"#)
        _ = try vault.request("POST", "secret/metadata/ends", token: root, body: #"{"delete_version_after":"48h"}"#)
        _ = try vault.request("POST", "secret/data/ends", token: root, body: #"{"data":{"v":1}}"#)
        _ = try vault.request("GET", "secret/data/app/read", token: root)
        let token = try vault.folder.write("report-token", root)
        func report(_ more: [String]) throws -> [[String: Any]] {
            let result = try RunningProcess.run(
                try CoffredProcess.program("coffre"),
                ["kv", "report", "secret", "--audit", vault.auditFolder, "--format", "json"] + more,
                environment: ["COFFRE_SOCKET": vault.socket, "COFFRE_TOKEN_FILE": token, "HOME": vault.folder.path]
            )
            #expect(result.status == 0, "\(result.output)")
            return try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]] ?? []
        }
        let all = try report([])
        #expect(all.map { $0["path"] as? String } == ["secret/app/never", "secret/app/read", "secret/ends"])
        #expect(all[1]["last_read"] is String && all[0]["last_read"] is NSNull)
        let unread = try report(["--unread-for", "1h"])
        #expect(unread.map { $0["path"] as? String } == ["secret/app/never", "secret/ends"])
        #expect(try report(["--expires-within", "3d"]).map { $0["path"] as? String } == ["secret/ends"])
        #expect(try report(["--expires-within", "1d"]).isEmpty)
    }
}
