import CoffreTestSupport
import CoffreVault
import CoffreWire
import Foundation
import Testing

/// The same policies and requests, asked of Coffre and of a real OpenBao: every answer must be the same.
@Suite(.serialized)
struct PolicyDifferentialTests {
    @Test func capabilitiesAreThoseOfOpenBao() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let bao = try BaoServer()
        var generator = PolicyGenerator(seed: 2026)
        var compared = 0
        for round in 0..<60 {
            let names = (0..<Int.random(in: 1...3, using: &generator.random)).map { "r\(round)p\($0)" }
            for name in names {
                let body = try CoffredProcess.json(["policy": generator.policy().joined(separator: "\n")])
                let ours = try vault.request("PUT", "sys/policies/acl/\(name)", token: root, body: body)
                let theirs = try bao.ask("PUT", "sys/policies/acl/\(name)", body)
                try #require(ours.status == 200 || ours.status == 204, "\(ours.text) \(body)")
                try #require(theirs.status == 204, "\(theirs.text) \(body)")
            }
            let body = try CoffredProcess.json(["policies": names, "no_default_policy": true])
            let mine = try vault.request("POST", "auth/token/create", token: root, body: body)
            let other = try bao.ask("POST", "auth/token/create", body)
            let tokens = try [mine, other].map { answer in
                try #require((answer.json["auth"] as? [String: Any])?["client_token"] as? String)
            }
            let paths = Set((0..<60).map { _ in generator.path() + (generator.random.chance(2) ? "/" : "") }).sorted()
            for some in stride(from: 0, to: paths.count, by: 12).map({ Array(paths[$0..<min($0 + 12, paths.count)]) }) {
                let ours = try vault.request(
                    "POST",
                    "sys/capabilities",
                    token: root,
                    body: try CoffredProcess.json(["token": tokens[0], "paths": some])
                ).data
                let theirs = try bao.ask(
                    "POST",
                    "sys/capabilities",
                    try CoffredProcess.json(["token": tokens[1], "paths": some])
                ).data
                for path in some {
                    let (left, right) = (ours[path] as? [String], theirs[path] as? [String])
                    #expect(left == right, "round \(round), \(names), \(path)")
                    compared += 1
                }
            }
        }
        #expect(compared >= 2000)
    }

    /// One request, and what is known of the place that it goes to.
    fileprivate struct Asked: CustomStringConvertible {
        let capability: Capability
        let method: String
        let path: String
        let query: [(name: String, value: String)]
        let body: String?
        let wrapTTL: Int?

        var target: String {
            query.isEmpty ? path : path + "?" + query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
        }
        var description: String { "\(method) \(target) \(body ?? "") wrap \(wrapTTL.map(String.init) ?? "-")" }
    }

    /// Requests of every kind against KV version 1, which has no rules of its own about parameters.
    @Test func requestsAreDecidedAsByOpenBao() throws {
        let bao = try BaoServer()
        let client = try bao.connected()
        #expect(try client.request("POST", "sys/mounts/x", body: #"{"type":"kv"}"#).status == 204)
        var existing: Set<String> = []
        var generator = PolicyGenerator(seed: 7)
        var compared = 0
        var allowed = 0
        for round in 0..<800 {
            let texts = (0..<Int.random(in: 1...3, using: &generator.random)).map { _ in generator.policy(limits: true)
            }
            let joined = texts.map { $0.joined(separator: "\n") }
            let acl = try Self.acl(joined)
            let token = try client.token(policies: joined, named: "q\(round)p")
            for _ in 0..<30 {
                let asked = Self.asked(&generator, &existing)
                let answer = try client.request(
                    asked.method,
                    asked.target,
                    token: token,
                    body: asked.body,
                    headers: Self.headers(asked)
                )
                let theirs = answer.status != 403
                if answer.status == 204, asked.method == "PUT" { existing.insert(asked.path) }
                if answer.status == 204, asked.method == "DELETE" { existing.remove(asked.path) }
                // Wrapped, a change answers 200 as well.
                if answer.status == 200, asked.wrapTTL != nil, asked.method == "PUT" { existing.insert(asked.path) }
                if answer.status == 200, asked.wrapTTL != nil, asked.method == "DELETE" { existing.remove(asked.path) }
                compared += 1
                if theirs { allowed += 1 }
                guard Self.decide(acl, asked) != theirs else { continue }
                let minimal = try Self.minimal(texts, asked, client, theirs)
                Issue.record("round \(round): OpenBao says \(theirs) (\(answer.text)) to \(asked)\n\(minimal)")
                return
            }
        }
        #expect(compared >= 20_000)
        #expect(allowed > compared / 8 && allowed < compared * 7 / 8, "\(allowed) of \(compared)")
    }

    fileprivate static func headers(_ asked: Asked) -> [String: String] {
        var headers = asked.wrapTTL.map { ["X-Vault-Wrap-TTL": "\($0)"] } ?? [:]
        if asked.method == "PATCH" { headers["Content-Type"] = "application/merge-patch+json" }
        return headers
    }

    private static func acl(_ texts: [String], subject: PolicySubject? = nil) throws -> ACL {
        let policies = try texts.enumerated().map { try Policy(name: "p\($0)", text: $1, version: 1) }
        return ACL(policies: policies, subject: subject, now: Int64(Date().timeIntervalSince1970))
    }

    private static func decide(_ acl: ACL, _ asked: Asked) -> Bool {
        var path = Array(asked.path.utf8)
        if asked.capability == .list || asked.capability == .scan { path.append(0x2f) }
        let decision = acl.decide(asked.capability, path: path)
        guard decision.isAllowed else { return false }
        let ttl = asked.wrapTTL.map(Int64.init)
        guard let body = asked.body else {
            let query = asked.query.map { VaultRequest.QueryItem(name: $0.name, value: $0.value) }
            return decision.meets(asked.capability, .query(query), wrapTTL: ttl)
        }
        return Array(body.utf8).withUnsafeBytes { bytes in
            guard let view = try? JSONView(bytes) else { return false }
            return decision.meets(asked.capability, .body(view), wrapTTL: ttl)
        }
    }

    private static func asked(_ generator: inout PolicyGenerator, _ existing: inout Set<String>) -> Asked {
        let path = generator.path()
        let wrapTTL = generator.random.chance(5) ? generator.random.pick([30, 60, 90, 120, 300]) : nil
        switch Int.random(in: 0..<9, using: &generator.random) {
        case 0, 1: return Asked(.read, "GET", path, query: generator.query(), wrapTTL: wrapTTL)
        case 2: return Asked(.list, "LIST", path, query: generator.query(), wrapTTL: wrapTTL)
        case 3: return Asked(.scan, "SCAN", path, query: generator.query(), wrapTTL: wrapTTL)
        // KV version 1 knows no patch: 405 is a yes.
        case 8: return Asked(.patch, "PATCH", path, body: generator.body(), wrapTTL: wrapTTL)
        case 4: return Asked(.delete, "DELETE", path, query: generator.query(), wrapTTL: wrapTTL)
        default:
            let capability: Capability = existing.contains(path) ? .update : .create
            return Asked(capability, "PUT", path, body: generator.body(), wrapTTL: wrapTTL)
        }
    }

    /// The rules that the difference needs, found by leaving out one after the other.
    private static func minimal(_ texts: [[String]], _ asked: Asked, _ client: BaoServer.Client, _ first: Bool) throws
        -> String
    {
        var texts = texts
        var round = 0
        func differs(_ texts: [[String]]) throws -> Bool {
            round += 1
            let joined = texts.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") }
            guard !joined.isEmpty else { return false }
            let token = try client.token(policies: joined, named: "m\(round)p")
            // Asked again a change may be another: only what reads, or what was refused, can be repeated.
            let answer = try client.request(
                asked.method,
                asked.target,
                token: token,
                body: asked.body,
                headers: Self.headers(asked)
            )
            return try (answer.status != 403) != Self.decide(Self.acl(joined), asked)
        }
        for policy in texts.indices {
            for rule in texts[policy].indices.reversed() {
                var fewer = texts
                fewer[policy].remove(at: rule)
                if try differs(fewer) { texts = fewer }
            }
        }
        return texts.map { $0.joined(separator: "\n") }.joined(separator: "\n--\n")
    }
}

extension PolicyDifferentialTests.Asked {
    fileprivate init(
        _ capability: Capability,
        _ method: String,
        _ path: String,
        query: [(name: String, value: String)] = [],
        body: String? = nil,
        wrapTTL: Int?
    ) {
        self.init(capability: capability, method: method, path: path, query: query, body: body, wrapTTL: wrapTTL)
    }
}
