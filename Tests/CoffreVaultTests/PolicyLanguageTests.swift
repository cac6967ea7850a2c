import CoffreVault
import CoffreWire
import Testing

/// The policy language as Vault defines it: what is accepted, what is refused, and which rule decides.
@Suite struct PolicyLanguageTests {
    private static let now: Int64 = 1_790_000_000

    private func acl(_ texts: String...) throws -> ACL {
        let policies = try texts.enumerated().map { try Policy(name: "p\($0)", text: $1, version: 1) }
        return ACL(policies: policies, now: Self.now)
    }

    private func rights(_ path: String, _ texts: String...) throws -> [String] {
        let policies = try texts.enumerated().map { try Policy(name: "p\($0)", text: $1, version: 1) }
        return ACL(policies: policies, now: Self.now).capabilities(path: Array(path.utf8))
    }

    @Test(arguments: [
        ("read", ["list", "read"]), ("write", ["create", "delete", "list", "read", "update"]),
        ("sudo", ["create", "delete", "list", "read", "sudo", "update"]), ("deny", ["deny"]),
    ])
    func theLegacyWordMeansASet(_ word: String, _ expected: [String]) throws {
        #expect(try rights("a/b", "path \"a/b\" { policy = \"\(word)\" }") == expected)
    }

    @Test func expiredRulesCountAsAbsent() throws {
        let old = #"path "a" { capabilities = ["read"] expiration = "2020-01-01T00:00:00Z" }"#
        let coming = #"path "a" { capabilities = ["read"] expiration = "2099-01-01T00:00:00Z" }"#
        #expect(try rights("a", old) == ["deny"])
        #expect(try rights("a", coming) == ["read"])
        // An expired exact rule does not hide the pattern behind it.
        #expect(try rights("a", old, #"path "*" { capabilities = ["list"] }"#) == ["list"])
        let acl = try acl(coming)
        #expect(acl.validUntil == 4_070_908_800)
    }

    @Test(arguments: [
        // Exact before pattern, longest prefix, later first wildcard, fewer plus signs, no star at the end.
        ("x/a", ["x/a", "x/*"], "x/a"), ("x/ab", ["x/*", "x/a*"], "x/a*"), ("x/b/c", ["x/+/c", "x/b/*"], "x/b/*"),
        ("x/b/c", ["x/+/c", "x/+/*"], "x/+/c"), ("x/b/c", ["x/+/c", "+/b/c"], "x/+/c"),
        ("x/b/c", ["x/+/+", "x/+/c"], "x/+/c"), ("x/y/z/w", ["x/+/z/*", "x/*"], "x/*"),
    ])
    func theMostSpecificRuleDecides(_ path: String, _ patterns: [String], _ winner: String) throws {
        let text = patterns.map { pattern in
            "path \"\(pattern)\" { capabilities = [\"\(pattern == winner ? "read" : "delete")\"] }"
        }
        #expect(try rights(path, text.joined(separator: "\n")) == ["read"])
        #expect(try rights(path, text.reversed().joined(separator: "\n")) == ["read"])
    }

    @Test func aListAsksAgainWithoutItsSlash() throws {
        let folder = #"path "secret/metadata/a" { capabilities = ["list"] }"#
        let acl = try acl(folder)
        #expect(acl.decide(.list, path: Array("secret/metadata/a/".utf8)).isAllowed)
        #expect(!acl.decide(.read, path: Array("secret/metadata/a/".utf8)).isAllowed)
        let plus = try self.acl(#"path "secret/+/a" { capabilities = ["list"] }"#)
        #expect(plus.decide(.list, path: Array("secret/metadata/a/".utf8)).isAllowed)
    }

    @Test func sameTextIsUnitedAndDenyWins() throws {
        let read = #"path "a/*" { capabilities = ["read"] }"#
        let update = #"path "a/*" { capabilities = ["update"] }"#
        let deny = #"path "a/*" { capabilities = ["deny", "read"] }"#
        #expect(try rights("a/b", read, update) == ["read", "update"])
        #expect(try rights("a/b", read, deny, update) == ["deny"])
        // A wider deny does not stop a narrower right.
        #expect(try rights("a/b", deny, #"path "a/b" { capabilities = ["read"] }"#) == ["read"])
    }

    @Test func aLeadingSlashIsDroppedAndAStarInsideIsItself() throws {
        #expect(try rights("a", #"path "/a" { capabilities = ["read"] }"#) == ["read"])
        #expect(try rights("a/x/b", #"path "a/*/b" { capabilities = ["read"] }"#) == ["deny"])
        #expect(try rights("a/*/b", #"path "a/*/b" { capabilities = ["read"] }"#) == ["read"])
        #expect(try rights("a/b+/c", #"path "a/b+/c" { capabilities = ["read"] }"#) == ["read"])
        #expect(try rights("a/bx/c", #"path "a/b+/c" { capabilities = ["read"] }"#) == ["deny"])
    }

    @Test func jsonSaysTheSame() throws {
        let json = #"{"path":{"a/*":{"capabilities":["read"]},"b":{"policy":"deny"}}}"#
        #expect(try rights("a/x", json) == ["read"])
        #expect(try rights("b", json) == ["deny"])
    }

    @Test(arguments: [
        (#"path "a" { capabilities = ["fly"] }"#, "invalid capability 'fly'"),
        (#"path "a" { rights = ["read"] }"#, "invalid key \"rights\""),
        (#"path "a/+*" { capabilities = ["read"] }"#, "'+*' is forbidden"),
        (#"path "a" { capabilities = "read" }"#, "capabilities is a list"),
        (#"path "a" { policy = "root" }"#, "invalid policy 'root'"),
        (#"path "a" { capabilities = ["read"]"#, "line 1"), (#"way "a" { }"#, "way"),
        ("path \"a\" {\n  expiration = \"soon\"\n}", "line 2"), ("/* no end", "comment"),
        (#"{"path":{"a":{"capabilities":["read"]}}"#, "JSON"), (#"{"other":{}}"#, "other"),
        (String(repeating: "path \"a\" {", count: 40), ""),
    ])
    func whatItDoesNotUnderstandIsAnError(_ text: String, _ part: String) throws {
        let error = #expect(throws: PolicyError.self) { try Policy(name: "p", text: text, version: 1) }
        let said = try #require(error).message
        #expect(part.isEmpty || said.contains(part), "\(said)")
    }

    /// Whatever bytes come, the reader ends with rules or an error.
    @Test func mutatedPoliciesAreReadOrRefused() {
        let text =
            #"path "a/+/b*" { capabilities = ["read", "list"] policy = "write" # c"#
            + "\n expiration = \"2027-01-31T00:00:00Z\" /* x */ }\npath \"b\" { comment = <<E\nx\nE\n }"
        let seed = Array(text.utf8)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<4000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                default: bytes.insert(contentsOf: bytes[0..<index].suffix(9), at: index)
                }
            }
            _ = try? Policy(name: "p", text: String(decoding: bytes, as: UTF8.self), version: 1)
        }
    }
}
