import CoffreCrypto
import CoffreVault
import CoffreWire
import Testing

/// Password policies: what is accepted, and that what they make fits them.
@Suite struct PasswordPolicyTests {
    private static func rule(_ characters: String, _ minimum: Int) -> String {
        "rule \"charset\" { charset = \"\(characters)\" min-chars = \(minimum) }"
    }

    private static func text(of policy: PasswordPolicy) -> String {
        policy.generate().withBytes { String(decoding: $0, as: UTF8.self) }
    }

    private static let made: [(String, Int)] = [
        ("length = 20\n" + rule("abcdefghijklmnopqrstuvwxyz", 1) + rule("0123456789", 3), 20),
        ("length = 4\n" + rule("ab", 2) + rule("cd", 2), 4), ("length = 100\n" + rule("é€𝄞\\\"\\\\", 1), 100),
        // So demanding that drawing until one fits would hardly ever end.
        ("length = 60\n" + rule("abcdefghijklmnopqrstuvwxyz", 0) + rule("1", 55), 60),
        (#"{"length":8,"rule":[{"charset":{"charset":"abc","min-chars":1}}]}"#, 8),
    ]

    @Test(arguments: made)
    func whatIsMadeFits(_ text: String, _ length: Int) throws {
        let policy = try PasswordPolicy(text: text)
        var seen: Set<String> = []
        for _ in 0..<50 {
            let password = Self.text(of: policy)
            #expect(password.unicodeScalars.count == length)
            if text.contains("min-chars = 3") { #expect(password.filter(\.isNumber).count >= 3) }
            if text.contains("55") { #expect(password.filter { $0 == "1" }.count >= 55) }
            seen.insert(password)
        }
        #expect(seen.count > 3)
    }

    @Test func everyCharacterOfTheRulesComes() throws {
        let policy = try PasswordPolicy(text: "length = 100\n" + Self.rule("abcdefgh", 1) + Self.rule("0123", 1))
        var counts: [Character: Int] = [:]
        for _ in 0..<100 { for character in Self.text(of: policy) { counts[character, default: 0] += 1 } }
        #expect(counts.count == 12)
        // 10,000 draws of 12: expected 833 each, standard deviation 28.
        #expect(counts.values.allSatisfy { (650...1020).contains($0) }, "\(counts)")
    }

    private static let refused: [(String, String)] = [
        ("length = 20", "no charset"), (rule("ab", 1), "4 and 100"), ("length = 3\n" + rule("a", 1), "4 and 100"),
        ("length = 101\n" + rule("a", 1), "4 and 100"), ("length = -1\n" + rule("a", 1), "4 and 100"),
        ("length = \"20\"\n" + rule("a", 1), "whole number"), ("length = 5.5\n" + rule("a", 1), "whole number"),
        ("length = 5\n" + rule("ab", 3) + rule("cd", 3), "at least 6"), ("length = 5\n" + rule("", 1), "empty"),
        ("length = 5\n" + rule("\\n", 1), "non-printable"), ("length = 5\n" + rule("\u{202e}", 1), "non-printable"),
        ("length = 5 rule \"other\" { }", "no rule \"other\""),
        ("length = 5 rule \"charset\" { bogus = 1 }", "charset"),
        ("length = 5 min = 3", "invalid key"), ("length = 5 rule = \"x\"", "block"), ("length = ", "line 1"),
    ]

    @Test(arguments: refused)
    func whatItDoesNotUnderstandIsAnError(_ text: String, _ part: String) throws {
        let error = #expect(throws: PolicyError.self) { try PasswordPolicy(text: text) }
        let said = try #require(error).message
        #expect(said.contains(part), "\(said)")
    }
}
