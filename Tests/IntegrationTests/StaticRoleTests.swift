import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc
import Testing

/// Logins that are there already, and administrators' passwords, rotated in a real PostgreSQL.
@Suite(.serialized)
struct StaticRoleTests {
    private func make(_ stage: DatabaseStage, _ role: String, user: String, period: String = "1h") throws {
        let quoted = "\"" + user.replacingOccurrences(of: "\"", with: "\"\"") + "\""
        try stage.server.sql("CREATE ROLE \(quoted) LOGIN PASSWORD 'before'; GRANT SELECT ON clients TO \(quoted)")
        try stage.write(
            "database/static-roles/\(role)",
            ["db_name": "pg", "username": user, "rotation_period": period]
        )
    }

    private func password(_ stage: DatabaseStage, _ role: String) throws -> String {
        let answer = try stage.vault.request("GET", "database/static-creds/\(role)", token: stage.root)
        return try #require(answer.data["password"] as? String, "\(answer.text)")
    }

    private func works(_ stage: DatabaseStage, _ user: String, _ password: String) -> Bool {
        stage.works(DatabaseStage.Login(user: user, password: password, lease: ""))
    }

    @Test func aPasswordRotatesAtItsTimeAndOnDemand() throws {
        let stage = try DatabaseStage()
        try stage.server.sql("ALTER SYSTEM SET log_statement = 'all'")
        try stage.server.sql("SELECT pg_reload_conf()")
        try make(stage, "app-static", user: "app")
        #expect(!works(stage, "app", "before"))
        let first = try password(stage, "app-static")
        #expect(works(stage, "app", first))
        #expect(try stage.vault.request("POST", "database/rotate-role/app-static", token: stage.root).status == 204)
        let second = try password(stage, "app-static")
        #expect(second != first && works(stage, "app", second) && !works(stage, "app", first))
        let shown = try stage.vault.request("GET", "database/static-creds/app-static", token: stage.root)
        #expect((3590...3600).contains(shown.data["ttl"] as? Int ?? 0))
        #expect(shown.json["lease_id"] as? String == "")
        try stage.write("database/static-roles/app-static", ["rotation_period": "5s"])
        try eventually(within: 30, "the schedule rotates") { try password(stage, "app-static") != second }
        let third = try password(stage, "app-static")
        #expect(works(stage, "app", third))
        // No statement carried a password in clear.
        let log = stage.server.log
        for secret in [first, second, third] { #expect(!log.contains(secret)) }
        #expect(
            try stage.vault.records().contains {
                ($0["what"] as? [String: Any])?["op"] as? String == "rotation.start"
            }
        )
        try stage.vault.verifyLog()
    }

    @Test(arguments: [#"we"ird; DROP TABLE clients"#, "MixedCase", "été", String(repeating: "x", count: 63), "a'b"])
    func anyNameOfALoginIsQuoted(_ user: String) throws {
        let stage = try DatabaseStage()
        try make(stage, "odd", user: user)
        #expect(works(stage, user, try password(stage, "odd")))
    }

    @Test func oneLoginHasOneStaticRole() throws {
        let stage = try DatabaseStage()
        try make(stage, "one", user: "app")
        for (name, body, status) in [
            ("two", #"{"db_name":"pg","username":"app","rotation_period":"1h"}"#, 400),
            ("three", #"{"db_name":"nothing","username":"b","rotation_period":"1h"}"#, 400),
            ("four", #"{"db_name":"pg","username":"not-there","rotation_period":"1h"}"#, 400),
            ("five", #"{"db_name":"pg","username":"c","rotation_period":"1s"}"#, 400),
            ("six", #"{"db_name":"pg","username":"c"}"#, 400),
            ("one", #"{"username":"other"}"#, 400),
        ] {
            let answer = try stage.vault.request("POST", "database/static-roles/\(name)", token: stage.root, body: body)
            #expect(answer.status == status, "\(name): \(answer.status) \(answer.text)")
        }
        #expect(try stage.vault.request("DELETE", "database/config/pg", token: stage.root).status == 400)
        let kept = try password(stage, "one")
        #expect(try stage.vault.request("DELETE", "database/static-roles/one", token: stage.root).status == 204)
        #expect(works(stage, "app", kept), "the login stays as it is")
        #expect(try stage.vault.request("DELETE", "database/config/pg", token: stage.root).status == 204)
    }

    @Test func aKillDuringARotationLeavesAPasswordThatWorks() throws {
        let stage = try DatabaseStage()
        try make(stage, "app-static", user: "app")
        for number in 0..<4 {
            let once = Once()
            stage.gate.watch { kind, _, frame in
                let isPoint = number < 2 ? kind == .job : kind == .answer
                guard isPoint, once.isFirst else { return [frame] }
                if number.isMultiple(of: 2) {
                    try? stage.vault.kill()
                    return []
                }
                Thread.detachNewThread { try? stage.vault.kill() }
                return [frame]
            }
            _ = try? stage.vault.request("POST", "database/rotate-role/app-static", token: stage.root)
            try eventually("coffred is dead, round \(number)") { !stage.vault.isRunning }
            try stage.recover()
            #expect(try stage.vault.request("POST", "database/rotate-role/app-static", token: stage.root).status == 204)
            #expect(works(stage, "app", try password(stage, "app-static")), "round \(number)")
        }
    }

    @Test func theAdministratorsPasswordBecomesTheVaultsOwn() throws {
        let stage = try DatabaseStage()
        try stage.server.sql("CREATE ROLE admin2 LOGIN SUPERUSER PASSWORD 'known'")
        let url = "postgresql://{{username}}:{{password}}@127.0.0.1:\(stage.server.port)/postgres?sslmode=disable"
        try stage.write(
            "database/config/second",
            [
                "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url,
                "username": "admin2", "password": "known",
            ]
        )
        #expect(try stage.vault.request("POST", "database/rotate-root/second", token: stage.root).status == 204)
        #expect(!works(stage, "admin2", "known"))
        #expect(try stage.vault.request("POST", "database/reset/second", token: stage.root).status == 204)
        try stage.write(
            "database/roles/late",
            ["db_name": "second", "creation_statements": DatabaseStage.creation, "default_ttl": "1h"]
        )
        #expect(stage.works(try stage.issued("late")))
        // Killed while the database has the job: whatever happened there, the vault finds out.
        let once = Once()
        stage.gate.watch { kind, _, frame in
            guard kind == .answer, once.isFirst else { return [frame] }
            try? stage.vault.kill()
            return []
        }
        _ = try? stage.vault.request("POST", "database/rotate-root/second", token: stage.root)
        try eventually("coffred is dead") { !stage.vault.isRunning }
        try stage.recover()
        try eventually(within: 20, "the rotation is settled") {
            try stage.vault.request("POST", "database/reset/second", token: stage.root).status == 204
        }
        #expect(stage.works(try stage.issued("late")))
    }

    /// No password is tried that was never set: the account may be somebody else's, or the server lets nobody in.
    @Test func noPasswordIsTriedThatWasNeverSet() throws {
        let stage = try DatabaseStage()
        try stage.server.sql("CREATE ROLE steward LOGIN CREATEROLE PASSWORD 'known'; CREATE ROLE boss SUPERUSER LOGIN")
        let url = "postgresql://{{username}}:{{password}}@127.0.0.1:\(stage.server.port)/postgres?sslmode=disable"
        try stage.write(
            "database/config/second",
            [
                "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url,
                "username": "steward", "password": "known",
            ]
        )
        func refusals(_ user: String) -> Int {
            stage.server.log.components(separatedBy: "authentication failed for user \"\(user)\"").count - 1
        }
        let body = #"{"db_name":"second","username":"boss","rotation_period":"1h"}"#
        for _ in 0..<3 {
            #expect(
                try stage.vault.request("POST", "database/static-roles/boss", token: stage.root, body: body).status
                    == 400
            )
        }
        #expect(refusals("boss") == 0)
        try stage.server.sql("CREATE ROLE app LOGIN PASSWORD 'before'; GRANT SELECT ON clients TO app")
        try stage.write("database/static-roles/app", ["db_name": "second", "username": "app", "rotation_period": "1h"])
        let kept = try password(stage, "app")
        try stage.server.sql("SET log_statement = none; ALTER ROLE steward PASSWORD 'another'")
        for _ in 0..<3 {
            #expect(try stage.vault.request("POST", "database/rotate-role/app", token: stage.root).status == 400)
            #expect(try stage.vault.request("POST", "database/rotate-root/second", token: stage.root).status == 400)
        }
        #expect(refusals("app") == 0 && refusals("steward") == 1, "\(refusals("steward"))")
        #expect(try password(stage, "app") == kept && works(stage, "app", kept))
        try stage.server.sql("SET log_statement = none; ALTER ROLE steward PASSWORD 'known'")
        #expect(try stage.vault.request("POST", "database/reset/second", token: stage.root).status == 204)
        #expect(try stage.vault.request("POST", "database/rotate-root/second", token: stage.root).status == 204)
        #expect(try stage.vault.request("POST", "database/rotate-role/app", token: stage.root).status == 204)
    }

    /// A new password of the administrator whose rotation was cut off is for the server that got it, whatever the
    /// configuration names afterwards.
    @Test(arguments: [true, false])
    func aPasswordWhoseRotationWasCutOffGoesNowhereElse(isDeletedFirst: Bool) throws {
        let stage = try DatabaseStage()
        try stage.server.sql("CREATE ROLE admin2 LOGIN SUPERUSER PASSWORD 'known'")
        func configuration(_ host: String) -> [String: Any] {
            [
                "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "admin2",
                "connection_url":
                    "postgresql://{{username}}:{{password}}@\(host):\(stage.server.port)/postgres?sslmode=disable",
            ]
        }
        try stage.write("database/config/second", configuration("127.0.0.1").merging(["password": "known"]) { $1 })
        let once = Once()
        stage.gate.watch { kind, _, frame in
            guard kind == .answer, once.isFirst else { return [frame] }
            try? stage.vault.kill()
            return []
        }
        _ = try? stage.vault.request("POST", "database/rotate-root/second", token: stage.root)
        try eventually("coffred is dead") { !stage.vault.isRunning }
        stage.server.crash()
        try stage.recover()
        if isDeletedFirst {
            #expect(try stage.vault.request("DELETE", "database/config/second", token: stage.root).status == 204)
        }
        // The same server by another address stands for another server: it would take the new password.
        let given: [String: Any] = ["password": "given", "verify_connection": false]
        try stage.write("database/config/second", configuration("127.0.0.2").merging(given) { $1 })
        try stage.server.resume()
        try stage.vault.kill()
        try eventually("coffred is dead") { !stage.vault.isRunning }
        try stage.recover()
        #expect(try stage.vault.request("POST", "database/rotate-root/second", token: stage.root).status == 400)
        #expect(try stage.vault.request("POST", "database/reset/second", token: stage.root).status == 400)
    }

    @Test func hvacRotatesStaticRoles() throws {
        let stage = try DatabaseStage()
        try stage.server.sql("CREATE ROLE app LOGIN PASSWORD 'before'; GRANT SELECT ON clients TO app")
        let script = """
            import hvac, requests_unixsocket, os
            url = 'http+unix://' + os.environ['SOCKET'].replace('/', '%2F')
            c = hvac.Client(url=url, token=os.environ['TOKEN'], session=requests_unixsocket.Session())
            d = c.secrets.database
            d.create_static_role(name='s', db_name='pg', username='app', rotation_statements=[], rotation_period='3600')
            one = d.get_static_credentials(name='s')['data']
            assert one['username'] == 'app' and one['rotation_period'] == 3600
            d.rotate_static_role_credentials(name='s')
            two = d.get_static_credentials(name='s')['data']
            assert one['password'] != two['password']
            assert d.list_static_roles()['data']['keys'] == ['s']
            assert d.read_static_role(name='s')['data']['db_name'] == 'pg'
            d.delete_static_role(name='s')
            print('fine')
            """
        let result = try RunningProcess.run(
            try CoffredProcess.python(),
            ["-c", script],
            environment: ["SOCKET": stage.vault.socket, "TOKEN": stage.root]
        )
        #expect(result.output.contains("fine"), "\(result.output)")
    }
}
