import CoffreTestSupport
import Foundation
import Testing

/// Why a request was decided as it was: by the policies of that day, kept for as long as the log.
struct AuditWhyTests {
    private static let before = """
        path "secret/data/other" {
          capabilities = ["read"]
        }
        path "secret/data/*" {
          capabilities = ["list"]
        }
        path "secret/data/pay/db" {
          capabilities = ["read"]
        }
        """
    private static let after = """
        path "secret/data/pay/*" {
          capabilities = ["deny"]
        }
        """

    private static func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let result = try RunningProcess.run(try CoffredProcess.program("coffre"), arguments)
        return (result.status, result.output)
    }

    /// The newest record of an operation on a path.
    private static func record(_ daemon: CoffredProcess, _ operation: String, _ path: String) throws -> [String: Any] {
        try #require(
            try daemon.records().last { record in
                let what = record["what"] as? [String: Any]
                return what?["op"] as? String == operation && what?["path"] as? String == path
            }
        )
    }

    private static func why(_ daemon: CoffredProcess, _ record: [String: Any], root: String) throws -> [String: Any] {
        let number = try #require(record["_s"] as? Int)
        let answer = try daemon.request("GET", "sys/audit/why/\(number)", token: root)
        #expect(answer.status == 200, "\(answer.text)")
        return answer.data
    }

    private static func put(_ daemon: CoffredProcess, _ name: String, _ text: String, root: String) throws {
        let body = try CoffredProcess.json(["policy": text])
        #expect(try daemon.request("PUT", "sys/policies/acl/\(name)", token: root, body: body).status < 300)
    }

    @Test func aDecisionIsTakenAgainUnderThePoliciesOfItsDay() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        _ = try daemon.request("POST", "secret/data/pay/db", token: root, body: #"{"data":{"k":"v"}}"#)
        for _ in 0..<3 { try Self.put(daemon, "pay", "# empty\n", root: root) }
        let token = try daemon.token(policy: Self.before, named: "pay", root: root)
        #expect(try daemon.request("GET", "secret/data/pay/db", token: token).status == 200)
        let granted = try Self.record(daemon, "secret.read", "secret/pay/db")
        let reason = try #require(granted["why"] as? [String: Any])
        #expect(reason["pol"] as? String == "pay" && reason["polv"] as? Int == 4 && reason["rule"] as? Int == 2)
        #expect(reason["cap"] as? String == "read" && (reason["set"] as? String)?.count == 24)

        try Self.put(daemon, "pay", Self.after, root: root)
        #expect(try daemon.request("GET", "secret/data/pay/db", token: token).status == 403)
        let denied = try Self.record(daemon, "secret.read", "secret/pay/db")
        for isRestarted in [false, true] {
            if isRestarted { try daemon.restart() }
            let first = try Self.why(daemon, granted, root: root)
            let then = try #require(first["then"] as? [String: Any])
            #expect(first["agrees"] as? Bool == true && then["allowed"] as? Bool == true)
            #expect(then["policy"] as? String == "pay" && then["version"] as? Int == 4 && then["rule"] as? Int == 2)
            #expect((then["text"] as? String)?.contains("secret/data/pay/db") == true)
            let today = try #require(first["today"] as? [String: Any])
            #expect(today["allowed"] as? Bool == false && today["version"] as? Int == 5 && today["rule"] as? Int == 0)
            let policies = try #require(first["policies"] as? [[String: Any]])
            #expect(policies.map { $0["name"] as? String } == ["default", "pay"])
            #expect(policies[1]["version"] as? Int == 4 && policies[1]["today"] as? Int == 5)
            #expect(policies[1]["since"] is String)

            let second = try Self.why(daemon, denied, root: root)
            #expect(second["agrees"] as? Bool == true)
            #expect((second["then"] as? [String: Any])?["version"] as? Int == 5)
        }
        // A policy that is removed and comes back goes on counting.
        _ = try daemon.request("DELETE", "sys/policies/acl/pay", token: root)
        let gone = try Self.why(daemon, granted, root: root)
        #expect((gone["today"] as? [String: Any])?["policy"] is NSNull)
        #expect((gone["policies"] as? [[String: Any]])?[1]["today"] is NSNull)
        try Self.put(daemon, "pay", Self.before, root: root)
        #expect(try daemon.request("GET", "secret/data/pay/db", token: token).status == 200)
        let again = try Self.record(daemon, "secret.read", "secret/pay/db")
        #expect((again["why"] as? [String: Any])?["polv"] as? Int == 6)
        #expect(try Self.why(daemon, granted, root: root)["agrees"] as? Bool == true)
        try daemon.verifyLog()
    }

    @Test func everyKindOfDecisionIsTakenAgainAndAgrees() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let policy = """
            path "secret/data/app/*" { capabilities = ["create", "update", "read", "delete", "patch"] }
            path "secret/metadata/app/*" { capabilities = ["list", "read", "update", "delete"] }
            path "secret/destroy/app/*" { capabilities = ["update"] }
            path "secret/subkeys/app/*" { capabilities = ["read"] }
            path "sys/audit/status" { capabilities = ["read"] }
            path "sys/rotate" { capabilities = ["update"] }
            """
        let token = try daemon.token(policy: policy, named: "app", root: root)
        let body = #"{"data":{"k":"v"}}"#
        for (method, path, body) in [
            ("POST", "secret/data/app/a", body), ("POST", "secret/data/app/a", body), ("GET", "secret/data/app/a", nil),
            ("GET", "secret/subkeys/app/a", nil), ("GET", "secret/metadata/app/b?list=true", nil),
            ("GET", "secret/metadata/app/a", nil), ("PUT", "secret/destroy/app/a", #"{"versions":[1]}"#),
            ("DELETE", "secret/data/app/a", nil), ("DELETE", "secret/metadata/app/a", nil),
            ("GET", "secret/data/elsewhere", nil), ("PUT", "sys/rotate", nil), ("GET", "sys/audit/status", nil),
            ("GET", "auth/token/lookup-self", nil), ("GET", "secret/data/app/a", nil),
        ] as [(String, String, String?)] {
            _ = try daemon.request(method, path, token: token, body: body)
        }
        var looked = 0
        for record in try daemon.records() where (record["why"] as? [String: Any])?["set"] != nil {
            let answer = try Self.why(daemon, record, root: root)
            #expect(answer["agrees"] as? Bool == true, "\(record["what"] ?? "") \(record["why"] ?? "") \(answer)")
            looked += 1
        }
        #expect(looked > 20)
        // Without the right, the sudo, the record.
        let number = try #require(try daemon.records().first?["_s"] as? Int)
        #expect(try daemon.request("GET", "sys/audit/why/\(number)", token: token).status == 403)
        #expect(try daemon.request("GET", "sys/audit/why/999999", token: root).status == 404)
        for odd in ["-1", "x", "99999999999999999999", "1/2"] {
            #expect(try daemon.request("GET", "sys/audit/why/\(odd)", token: root).status >= 400)
        }
        // A record that no policy decided says so.
        let genesis = try daemon.request("GET", "sys/audit/why/0", token: root).data
        #expect(genesis["then"] is NSNull && (genesis["reason"] as? String)?.contains("no policy was asked") == true)
        #expect(
            (try Self.record(daemon, "audit.read", "sys/audit/why/0")["out"] as? [String: Any])?["code"] as? String
                == "granted"
        )
    }
}
