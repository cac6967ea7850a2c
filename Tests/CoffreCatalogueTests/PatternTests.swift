import CoffreWire
import Testing

@testable import CoffreCatalogue

struct PatternTests {
    private static func matches(_ pattern: String, _ text: String) throws -> Bool {
        try Array(text.utf8).withUnsafeBytes { try FieldPattern(pattern, at: "test").matches($0) }
    }

    @Test(arguments: [
        ("^abc$", ["abc"], ["", "ab", "abcd", "xabc", "abc\n"]),
        ("^a*$", ["", "aaa"], ["b", "aab"]),
        ("^a+b?$", ["a", "aab"], ["", "b", "abb"]),
        ("^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
        ("^a{2}$", ["aa"], ["a", "aaa"]),
        ("^a{2,}$", ["aa", "aaaaaa"], ["a"]),
        ("^(?:ab|cd|)$", ["ab", "cd", ""], ["a", "abcd"]),
        ("^(?:a|(?:b|c)d)+$", ["a", "bd", "acdbd"], ["b", ""]),
        ("^[a-c_-]$", ["a", "b", "c", "_", "-"], ["d", "", "ab"]),
        ("^[^a-c]$", ["d", "é", "😀"], ["a", "", "éé"]),
        (#"^[^\s]+$"#, ["é😀x"], ["a b", "a\tb", ""]),
        (#"^\+\.\/$"#, ["+./"], ["++.", "a./"]),
        ("^.$", ["a", "é"], ["\n", "\r", "ab"]),
        (#"^\S\s$"#, ["a "], ["  ", "aa"]),
        ("^(?:a*)*$", ["", "aaa"], ["b"]),
        ("^(?:(?:a?)?b?)*$", ["", "abab"], ["c"]),
    ])
    func aPatternStandsForTheWholeValue(pattern: String, accepted: [String], refused: [String]) throws {
        for text in accepted { #expect(try Self.matches(pattern, text), "\(pattern) \(text)") }
        for text in refused { #expect(try !Self.matches(pattern, text), "\(pattern) \(text)") }
    }

    @Test(arguments: [
        "abc", "^abc", "abc$", #"^abc\$"#, "^(abc)$", "^(?=a)$", "^(?!a)$", "^(?<n>a)$", #"^(?:a)\1$"#, "^a**$",
        "^a+?$",
        "^a{3,2}$", "^a{}$", "^a{2001}$", "^[]$", "^[^]$", "^[z-a]$", "^[a$", "^(?:a$", "^a)$", #"^\d$"#, #"^\w$"#,
        #"^\b$"#,
        "^a^b$", "^a$b$", "^*$", "^é$", "^a\n$", #"^[a-\]]$"#, "^(?:a{2000}){2000}$", "^a{,2}$",
        "^" + String(repeating: "(?:", count: 20) + String(repeating: ")", count: 20) + "$",
        "^" + String(repeating: "a", count: 600) + "$",
    ])
    func whatTheDialectDoesNotHaveIsRefused(pattern: String) {
        #expect(throws: CatalogueError.self) { try FieldPattern(pattern, at: "test") }
    }

    private static let patterns = Set(
        Catalogue.shared.connectors.flatMap(\.fields).compactMap(\.pattern?.text)
    ).sorted()

    /// Short pieces, repeated up to the longest input: each makes some backtracking matcher wander.
    private static let hostile = [
        "a", "0", "A", "a-", "a.", "-", ".a", "/", "@", "a@", "x\u{e9}", "eyJ.", "0.", "A-b_", "%",
    ]

    @Test(arguments: patterns + ["^(?:a+)+$", "^(?:a|a)*b$", "^(?:a*)*b$", "^(?:a?){1000}a{1000}$"])
    func aHostileValueCostsLittle(pattern: String) throws {
        let pattern = try FieldPattern(pattern, at: "test")
        let start = ContinuousClock.now
        for piece in Self.hostile {
            for end in ["", "!", "\n"] {
                let count = (FieldPattern.maximumInputBytes - end.utf8.count) / piece.utf8.count
                let text = String(repeating: piece, count: count) + end
                _ = Array(text.utf8).withUnsafeBytes { pattern.matches($0) }
            }
        }
        // Hundredths of a second on an idle machine; a backtracking matcher would not come back.
        #expect(start.duration(to: .now) < .seconds(20))
    }

    @Test func aValueThatIsTooLongIsNotMatched() throws {
        let longest = String(repeating: "a", count: FieldPattern.maximumInputBytes)
        #expect(try Self.matches("^a*$", longest))
        #expect(try !Self.matches("^a*$", longest + "a"))
    }

    /// The standard library's matcher reads the same dialect and more.
    @Test(arguments: patterns)
    func anotherMatcherAgrees(pattern: String) throws {
        let ours = try FieldPattern(pattern, at: "test")
        let other = try Regex(pattern)
        var random = Seeded(UInt64(pattern.utf8.count))
        let examples = Catalogue.shared.connectors.flatMap(\.fields).filter { $0.pattern?.text == pattern }
            .compactMap { $0.example?.string }
        let letters = Array("abcxyzABCXYZ0123456789.-_@/:+=~ ()".utf8)
        for round in 0..<60 {
            var text = Array((examples.randomElement(using: &random) ?? "xoxb-0.0").utf8)
            for _ in 0..<round % 4 where !text.isEmpty {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: place)
                case 1: text.insert(letters.randomElement(using: &random) ?? 0x61, at: place)
                default: text[place] = letters.randomElement(using: &random) ?? 0x61
                }
            }
            let string = String(decoding: text, as: UTF8.self)
            let isWhole = try other.wholeMatch(in: string) != nil
            #expect(text.withUnsafeBytes { ours.matches($0) } == isWhole, "\(pattern) \(string)")
        }
    }
}
