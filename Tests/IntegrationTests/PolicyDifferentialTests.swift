import CoffreTestSupport
import Foundation
import Testing

/// The same policies and paths, asked of coffred and of a real OpenBao: every answer must be the same.
@Suite(.serialized)
struct PolicyDifferentialTests {
    @Test func capabilitiesAreThoseOfOpenBao() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let port = try PostgresServer.freePort()
        let folder = try TestFolder("bao")
        let bao = try RunningProcess(
            try CoffredProcess.bao(),
            [
                "server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:\(port)",
                "-dev-no-store-token",
            ],
            environment: ["HOME": folder.path]
        )
        defer { bao.signal(SIGKILL) }
        let address = "http://127.0.0.1:\(port)/v1/"
        try eventually(within: 30, "OpenBao answers") { (try? Self.ask(address, "GET", "sys/health", nil)) != nil }
        var random = Seeded(2026)
        var compared = 0
        for round in 0..<60 {
            let names = (0..<Int.random(in: 1...3, using: &random)).map { "r\(round)p\($0)" }
            for name in names {
                let body = try CoffredProcess.json(["policy": Self.policy(&random)])
                let ours = try vault.request("PUT", "sys/policies/acl/\(name)", token: root, body: body)
                let theirs = try Self.ask(address, "PUT", "sys/policies/acl/\(name)", body)
                try #require(ours.status == 204, "\(ours.text) \(body)")
                try #require(theirs.isEmpty, "\(theirs) \(body)")
            }
            let body = try CoffredProcess.json(["policies": names, "no_default_policy": true])
            let mine = try vault.request("POST", "auth/token/create", token: root, body: body).json
            let other = try Self.ask(address, "POST", "auth/token/create", body)
            let tokens = try [mine, other].map { answer in
                try #require((answer["auth"] as? [String: Any])?["client_token"] as? String)
            }
            let paths = Array(Set((0..<60).map { _ in Self.path(&random) })).sorted()
            let ours = try vault.request(
                "POST",
                "sys/capabilities",
                token: root,
                body: try CoffredProcess.json(["token": tokens[0], "paths": paths])
            ).data
            let theirs =
                try Self.ask(
                    address,
                    "POST",
                    "sys/capabilities",
                    try CoffredProcess.json(["token": tokens[1], "paths": paths])
                )["data"] as? [String: Any]
            for path in paths {
                let (left, right) = (ours[path] as? [String], theirs?[path] as? [String])
                #expect(left == right, "round \(round), \(names), \(path)")
                compared += 1
            }
        }
        #expect(compared >= 2000)
    }

    private static func ask(_ address: String, _ method: String, _ path: String, _ body: String?) throws -> [String:
        Any]
    {
        var arguments = ["-sS", "-X", method, "-H", "X-Vault-Token: root", address + path]
        if body != nil { arguments += ["-d", "@-"] }
        let result = try RunningProcess.run("/usr/bin/curl", arguments, input: body)
        guard result.status == 0 else { throw RunningProcess.Failure(description: result.output) }
        return (try? JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]) ?? [:]
    }

    private static let words = ["a", "b", "ab", "c"]

    private static func path(_ random: inout Seeded) -> String {
        let count = Int.random(in: 1...4, using: &random)
        let parts = (0..<count).map { _ in words.randomElement(using: &random) ?? "a" }
        return "x/" + parts.joined(separator: "/") + (Bool.random(using: &random) ? "/" : "")
    }

    private static func policy(_ random: inout Seeded) -> String {
        (0..<Int.random(in: 1...6, using: &random)).map { _ in
            var parts = ["x"]
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                parts.append(
                    Int.random(in: 0..<3, using: &random) == 0 ? "+" : words.randomElement(using: &random) ?? "a"
                )
            }
            var path = parts.joined(separator: "/")
            switch Int.random(in: 0..<5, using: &random) {
            case 0: path += "/"
            case 1: path += "/*"
            case 2: path += path.hasSuffix("+") ? "/a*" : "*"
            default: break
            }
            let all = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"]
            var chosen = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                all.randomElement(using: &random) ?? "read"
            }
            if Int.random(in: 0..<8, using: &random) == 0 { chosen.append("deny") }
            let list = Set(chosen).sorted().map { "\"\($0)\"" }.joined(separator: ", ")
            return "path \"\(path)\" { capabilities = [\(list)] }"
        }.joined(separator: "\n")
    }
}

/// Numbers that are the same in every run: xorshift64*.
private struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
