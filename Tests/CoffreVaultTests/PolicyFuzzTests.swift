import CoffreVault
import CoffreWire
import Testing

/// Whatever a policy or a request holds, reading and deciding end, and soon.
@Suite struct PolicyFuzzTests {
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return state &* 0x2545_f491_4f6c_dd1d
        }
    }

    private static let full = """
        # all keys
        path "a/+/b*" { capabilities = ["read", "update", "list"] comment = <<E
        x
        E
          allowed_parameters = { "p" = ["a*", "*b", true, 1, ["x", { k = "v" }]], "*" = [] }
          denied_parameters { "Q" = [] }  required_parameters = ["p", "limit"]
          min_wrapping_ttl = "1m" max_wrapping_ttl = 3600 pagination_limit = 10 expiration = "2099-01-31T00:00:00Z"
          list_scan_response_keys_filter_path = "{{ .path }}{{ .key }}" }
        path "u/{{identity.entity.metadata.team}}/{{ identity.groups.names.eng.id }}" { policy = "write" } /* end */
        """

    private static func decide(_ text: String, _ body: [UInt8]) -> Int {
        guard let policy = try? Policy(name: "p", text: text, version: 1) else { return 0 }
        _ = PolicyLinter(now: 0).warnings(about: policy)
        let subject = PolicySubject(id: "e", name: "n", metadata: ["team": "t*"])
        let acl = ACL(policies: [policy, policy], subject: subject, now: 0)
        var allowed = 0
        for path in ["a/x/bc", "u/t/g", "a/x/b/", ""] {
            let decision = acl.decide(.update, path: Array(path.utf8))
            let isMet = body.withUnsafeBytes { bytes in
                (try? JSONView(bytes)).map { decision.meets(.update, .body($0), wrapTTL: 90) } ?? false
            }
            _ = PolicyExplanation([policy], subject: subject, capability: .list, path: Array(path.utf8), now: 0)
            if decision.isAllowed, isMet { allowed += 1 }
        }
        return allowed
    }

    @Test(arguments: [1, 2, 3, 4])
    func mutatedTextsAndBodiesAreReadOrRefused(_ seed: UInt64) {
        var random = Seeded(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
        let body = Array(
            #"{"p":"ab","P":["x",{"k":"v"}],"q":null,"x":"\u0061\ud83d\ude00","n":1.5e3,"limit":true}"#.utf8
        )
        var read = 0
        for _ in 0..<800 {
            let text = String(decoding: Self.mutated(Array(Self.full.utf8), &random), as: UTF8.self)
            if (try? Policy(name: "p", text: text, version: 1)) != nil { read += 1 }
            _ = Self.decide(text, Self.mutated(body, &random))
            _ = Self.decide(Self.full, Self.mutated(body, &random))
            _ = try? PasswordPolicy(text: text)
        }
        #expect(read > 10)
    }

    private static func mutated(_ seed: [UInt8], _ random: inout Seeded) -> [UInt8] {
        var bytes = seed
        let words = ["{{", "}}", "\"", "{", "[", "+*", "\\u", "<<E\n", "*", "\u{308}", "/*", "0", "\0"]
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...9, using: &random)))
            case 2: bytes.insert(contentsOf: bytes[0..<index].suffix(30), at: index)
            default: bytes.insert(contentsOf: (words.randomElement(using: &random) ?? "").utf8, at: index)
            }
            if bytes.isEmpty { bytes = [0x7b] }
        }
        return bytes
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["a/%", "a/%*", "a/+/%", "+/%/*", "a/{{identity.entity.name}}/%"])
    func tenThousandRulesAreReadAndDecidedSoon(_ pattern: String) throws {
        let text = (0..<min(10_000, 250_000 / (pattern.utf8.count + 24))).map { number in
            let name = String(number, radix: 36)
            return "path \"" + pattern.split(separator: "%", omittingEmptySubsequences: false).joined(separator: name)
                + "\" {policy=\"\"}"
        }.joined()
        let start = ContinuousClock.now
        let policy = try Policy(name: "p", text: text, version: 1)
        let acl = ACL(policies: [policy], subject: PolicySubject(id: "e", name: "n"), now: 0)
        for _ in 0..<5 { #expect(!acl.decide(.read, path: Array("a/n/77/x".utf8)).isAllowed) }
        _ = PolicyLinter(now: 0).warnings(about: policy)
        #expect(start.duration(to: .now) < .seconds(20))
    }

    @Test(.timeLimit(.minutes(1)))
    func whatIsTooMuchIsRefused() {
        let tooMany = String(repeating: "path \"a\" {}", count: 10_001)
        let deep = String(repeating: "{a=", count: 50_000)
        for text in [
            tooMany, "path \"a\" { allowed_parameters = " + deep,
            "path \"a\" { comment = " + String(repeating: "[", count: 99_999),
            "path " + String(repeating: "\"a\" ", count: 60_000), String(repeating: "/*", count: 130_000),
            String(repeating: "a", count: 262_145), "{\"path\":" + String(repeating: "[", count: 200_000),
            "path \"\(String(repeating: "{{", count: 2000))\" {}", "path \"\(String(repeating: "a", count: 4097))\" {}",
        ] {
            #expect(throws: PolicyError.self) { try Policy(name: "p", text: text, version: 1) }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func hugeListsOfValuesAndParametersAreDecidedSoon() throws {
        let values = (0..<15_000).map { "\"*v\($0)*\"" }.joined(separator: ",")
        let text = "path \"a\" { capabilities = [\"update\"] allowed_parameters = { p = [\(values)] \"*\" = [] } }"
        let acl = ACL(policies: [try Policy(name: "p", text: text, version: 1)], now: 0)
        let decision = acl.decide(.update, path: Array("a".utf8))
        let start = ContinuousClock.now
        let members = (0..<50_000).map { "\"k\($0)\":1" }.joined(separator: ",")
        for (value, isAllowed) in [("xv14999x", true), (String(repeating: "v", count: 2000), false)] {
            let body = Array("{\(members),\"p\":\"\(value)\"}".utf8)
            let isMet = try body.withUnsafeBytes { decision.meets(.update, .body(try JSONView($0)), wrapTTL: nil) }
            #expect(isMet == isAllowed)
        }
        // Many policies with one pattern are one rule; bringing them together takes no longer than reading them.
        let many = try (0..<2000).map { number in
            let text = "path \"a\" { capabilities = [\"update\"] allowed_parameters = { p = [\"\(number)\"] } }"
            return try Policy(name: "p\(number)", text: text, version: 1)
        }
        let united = ACL(policies: many, now: 0).decide(.update, path: Array("a".utf8))
        let isMet = try Array(#"{"p":"1999"}"#.utf8).withUnsafeBytes {
            united.meets(.update, .body(try JSONView($0)), wrapTTL: nil)
        }
        #expect(isMet)
        #expect(start.duration(to: .now) < .seconds(20))
    }

    /// The rule that an explanation names is the one that decides.
    @Test(arguments: [11, 12, 13])
    func explanationsNameTheRuleThatDecides(_ seed: UInt64) throws {
        var random = Seeded(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
        func pick(_ words: [String]) -> String { words.randomElement(using: &random) ?? "" }
        var decided = 0
        for _ in 0..<300 {
            let policies = try (0..<3).map { number in
                let rules = (0..<5).map { _ in
                    let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in pick(["a", "b", "+", "ab"]) }
                    let path = "x/" + parts.joined(separator: "/") + pick(["", "/", "/*", "/a*"])
                    let capabilities = pick(["\"read\"", "\"list\", \"read\"", "\"deny\"", "\"delete\""])
                    return "path \"\(path)\" { capabilities = [\(capabilities)] }"
                }
                return try Policy(name: "p\(number)", text: rules.joined(separator: "\n"), version: 1)
            }
            let path =
                "x/"
                + (0..<Int.random(in: 1...3, using: &random)).map { _ in pick(["a", "b", "ab"]) }
                .joined(separator: "/")
            for (capability, path) in [(Capability.read, path), (.list, path + "/")] {
                let bytes = Array(path.utf8)
                let decision = ACL(policies: policies, now: 0).decide(capability, path: bytes)
                let explanation = PolicyExplanation(policies, subject: nil, capability: capability, path: bytes, now: 0)
                let named = explanation.candidates.first { $0.policy == decision.policy && $0.rule == decision.rule }
                #expect((named == nil) == (decision.policy == nil), "\(policies.map(\.text)) \(path)")
                #expect(named?.reason == nil, "\(policies.map(\.text)) \(path) \(named?.reason ?? "")")
                #expect(explanation.candidates.isEmpty == (decision.policy == nil))
                let text = named?.text ?? ""
                #expect(named == nil || text.hasPrefix("path \"\(named?.source ?? "")\""), "\(text)")
                if named != nil { decided += 1 }
            }
        }
        #expect(decided > 100)
    }
}
