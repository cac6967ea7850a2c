import CoffreTestSupport
import Foundation
import Testing

/// The same policies, secrets and requests, given to coffred and to a real OpenBao over their sockets.
@Suite(.serialized)
struct PolicyServerDifferentialTests {
    private struct Request: CustomStringConvertible {
        var method: String
        var path: String
        var body: String?

        var description: String { "\(method) \(path) \(body ?? "")" }
    }

    private static let keys = ["a", "b", "ab", "a/a", "a/b", "b/a/c", "ab/c"]
    /// Paths that want `sudo` in one of the two, or in both.
    private static let system = [
        Request(method: "GET", path: "sys/audit"), Request(method: "GET", path: "sys/auth"),
        Request(method: "GET", path: "sys/mounts"), Request(method: "LIST", path: "sys/policies/acl"),
        Request(method: "GET", path: "sys/policies/acl/default"),
        Request(method: "LIST", path: "sys/policies/password"),
        Request(method: "GET", path: "sys/policies/password/none"),
        Request(
            method: "PUT",
            path: "sys/policies/password/made",
            body: #"{"policy":"length=8 rule \"charset\" {charset=\"ab\"}"}"#
        ),
        Request(method: "GET", path: "sys/policies/password/made/generate"),
    ]

    @Test func bothServersAnswerAlike() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let server = try BaoServer()
        let bao = try server.connected()
        var coffre = try UnixHTTP(vault.socket)
        defer { coffre.close() }
        try eventually(within: 30, "OpenBao has versioned its mount") {
            (try? bao.request("PUT", "secret/data/a", body: #"{"data":{"k":"v"}}"#).status) == 200
        }
        for key in Self.keys {
            let body = #"{"data":{"k":"v"}}"#
            #expect(try bao.request("PUT", "secret/data/\(key)", body: body).status == 200)
            #expect(try coffre.request("PUT", "secret/data/\(key)", token: root, body: body).status == 200)
        }
        var generator = PolicyGenerator(seed: 99, mount: "secret/data")
        generator.names = ["data", "Data", "options", "version", "*", "q"]
        var compared = 0
        for round in 0..<90 {
            let policies = (0..<Int.random(in: 1...2, using: &generator.random)).map { _ in Self.policy(&generator) }
            let theirs = try bao.token(policies: policies, named: "h\(round)p")
            let ours = try Self.token(policies, round, root, &coffre)
            for _ in 0..<24 {
                let asked = Self.request(&generator)
                var left = try coffre.request(asked.method, asked.path, token: ours, body: asked.body)
                // So many refusals in a second are a flood.
                try eventually("the flood is over") {
                    if left.status != 429 { return true }
                    left = try coffre.request(asked.method, asked.path, token: ours, body: asked.body)
                    return left.status != 429
                }
                let right = try bao.request(asked.method, asked.path, token: theirs, body: asked.body)
                compared += 1
                let isSame =
                    (left.status == 403) == (right.status == 403)
                    && (asked.method != "LIST" || right.status != 200 || Self.keys(left) == Self.keys(right))
                guard !isSame else { continue }
                Issue.record(
                    """
                    round \(round): \(asked)
                    coffred: \(left.status) \(left.text)
                    OpenBao: \(right.status) \(right.text)
                    \(policies.joined(separator: "\n--\n"))
                    """
                )
                return
            }
        }
        #expect(compared >= 2000)
    }

    private static func keys(_ answer: UnixHTTP.Answer) -> [String]? {
        // The two have other policies of their own.
        (answer.data["keys"] as? [String])?.filter { !["default", "root"].contains($0) && !$0.hasPrefix("h") }
    }

    private static func token(_ policies: [String], _ round: Int, _ root: String, _ coffre: inout UnixHTTP) throws
        -> String
    {
        var names: [String] = []
        for (number, text) in policies.enumerated() {
            names.append("h\(round)p\(number)")
            let body = try CoffredProcess.json(["policy": text])
            let answer = try coffre.request("PUT", "sys/policies/acl/h\(round)p\(number)", token: root, body: body)
            try #require(answer.status == 204 || answer.status == 200, "\(answer.text) \(text)")
        }
        let body = try CoffredProcess.json(["policies": names, "no_default_policy": true])
        let answer = try coffre.request("POST", "auth/token/create", token: root, body: body)
        return try #require((answer.json["auth"] as? [String: Any])?["client_token"] as? String)
    }

    private static func policy(_ generator: inout PolicyGenerator) -> String {
        var rules: [String] = []
        for mount in ["secret/data", "secret/metadata"] {
            generator.mount = mount
            rules += generator.policy(limits: true)
        }
        if generator.random.chance(3) {
            let filter = generator.random.pick(["{{ .path }}{{ .key }}", "secret/data/{{.key}}"])
            rules.append(
                "path \"secret/metadata/*\" { capabilities = [\"list\"] list_scan_response_keys_filter_path = \"\(filter)\" }"
            )
        }
        generator.mount = "sys"
        for path in [
            "sys/*", generator.random.pick(["sys/audit", "sys/leases/*", "sys/+/password", "sys/policies/+"]),
        ] {
            let capabilities = ["read", "list", "update", "create", "delete", "sudo"].filter { _ in
                !generator.random.chance(3)
            }
            rules.append(
                "path \"\(path)\" { capabilities = [\(capabilities.map { "\"\($0)\"" }.joined(separator: ","))] }"
            )
        }
        return rules.joined(separator: "\n")
    }

    private static func request(_ generator: inout PolicyGenerator) -> Request {
        generator.mount = "secret/data"
        let data = generator.path()
        let metadata = data.replacingOccurrences(of: "secret/data", with: "secret/metadata")
        switch Int.random(in: 0..<8, using: &generator.random) {
        case 0: return generator.random.pick(system)
        case 1, 2:
            return Request(
                method: "GET",
                path: data + generator.random.pick(["", "", "?version=1", "?version=0", "?q=a"])
            )
        case 3:
            let query = generator.random.pick([
                "", "", "?limit=1", "?limit=2", "?limit=max", "?limit=0", "?limit=9", "?after=a",
            ])
            let folder = generator.random.chance(2) ? "secret/metadata" : metadata
            return Request(method: "LIST", path: folder + query)
        case 4: return Request(method: "GET", path: metadata)
        case 5: return Request(method: "DELETE", path: generator.random.chance(4) ? metadata : data)
        default:
            let value = generator.random.pick([#"{"k":"v"}"#, #"{"k":["v"]}"#, #"{"k":"w"}"#, "{}"])
            let more = generator.random.pick([
                "", "", #","options":{}"#, #","q":"a""#, #","Version":1"#, #","version":true"#,
            ])
            return Request(method: "PUT", path: data, body: "{\"data\":\(value)\(more)}")
        }
    }
}
