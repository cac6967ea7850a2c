/// Numbers that are the same in every run: xorshift64*.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }

    mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &self) == 0 }

    mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &self)] }
}

/// Policies and requests that meet often.
struct PolicyGenerator {
    var random: Seeded
    /// First segments of every path.
    var mount: String
    /// Names of parameters in rules; one of the first two, never both.
    var names = ["p", "P", "q", "r", "*", "version"]
    private static let words = ["a", "b", "ab", "c"]
    private static let capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"]

    init(seed: UInt64, mount: String = "x") {
        random = Seeded(seed)
        self.mount = mount
    }

    mutating func path() -> String {
        let parts = (0..<Int.random(in: 1...4, using: &random)).map { _ in random.pick(Self.words) }
        return mount + "/" + parts.joined(separator: "/")
    }

    mutating func pattern() -> String {
        var parts = [mount]
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            parts.append(random.chance(3) ? "+" : random.chance(30) ? "+a" : random.pick(Self.words))
        }
        var path = parts.joined(separator: "/")
        switch Int.random(in: 0..<5, using: &random) {
        case 0: path += "/"
        case 1: path += "/*"
        case 2: path += path.hasSuffix("+") ? "/a*" : "*"
        default: break
        }
        return random.chance(20) ? "/" + path : path
    }

    /// - Parameter limits: whether rules also have parameters, wrapping and pages.
    mutating func policy(limits: Bool = false) -> [String] {
        (0..<Int.random(in: 1...6, using: &random)).map { _ in
            let path = limits && random.chance(2) ? mount + "/*" : pattern()
            var lines = limits && random.chance(2) ? [] : ["capabilities = [\(capabilities())]"]
            if lines.isEmpty {
                lines = ["capabilities = [\"create\", \"read\", \"update\", \"list\", \"scan\", \"patch\"]"]
            }
            if limits { lines += self.limits() }
            return "path \"\(path)\" { \(lines.joined(separator: "\n  ")) }"
        }
    }

    private mutating func capabilities() -> String {
        var chosen = (0..<Int.random(in: 1...4, using: &random)).map { _ in random.pick(Self.capabilities) }
        if random.chance(8) { chosen.append("deny") }
        return Set(chosen).sorted().map { "\"\($0)\"" }.joined(separator: ", ")
    }

    private mutating func limits() -> [String] {
        var lines: [String] = []
        if random.chance(2) { lines.append("allowed_parameters = { \(parameters()) }") }
        if random.chance(4) { lines.append("denied_parameters = { \(parameters()) }") }
        if random.chance(5) {
            lines.append("required_parameters = [\"\(random.pick([names[0], names[2].uppercased(), "limit"]))\"]")
        }
        if random.chance(8) { lines.append("pagination_limit = \(random.pick([1, 2, 3, -1, 0]))") }
        if random.chance(12) { lines.append("min_wrapping_ttl = \(random.pick(["60", "\"1m\"", "1.5"]))") }
        if random.chance(12) { lines.append("max_wrapping_ttl = \(random.pick(["\"2m\"", "90", "\"\""]))") }
        if random.chance(10) { lines.append("expiration = \"\(random.pick(["2020", "2099"]))-01-01T00:00:00Z\"") }
        if lines.contains(where: { $0.hasPrefix("max") }), lines.contains(where: { $0.hasPrefix("min") }) {
            lines.removeAll { $0.hasPrefix("max") }
        }
        return lines
    }

    // Never one name in two spellings: the real server lets chance decide which of them counts.
    private mutating func parameters() -> String {
        let names = [random.pick(Array(self.names[..<2]))] + self.names[2...]
        return (0..<Int.random(in: 1...3, using: &random)).map { _ in
            let name = random.pick(names)
            let values = (0..<Int.random(in: 0...2, using: &random)).map { _ in random.pick(Self.wanted) }
            return "\"\(name)\" = [\(values.joined(separator: ", "))]"
        }.joined(separator: "\n ")
    }

    private static let wanted = [
        "\"a\"", "\"a*\"", "\"*a\"", "\"*b*\"", "\"*\"", "\"**\"", "\"\"", "1", "2.5", "true", "false",
        "[\"a\", \"b\"]",
        "[\"a*\"]", "[]", "{ k = \"v\" }", "{ k = [\"v\"] }", "{ k = { l = \"v\" } }", "[true]", "[1]", "\"é\"",
    ]
    private static let given = [
        "\"a\"", "\"ab\"", "\"ba\"", "\"abc\"", "\"*\"", "\"\"", "1", "2.5", "true", "false", "[\"a\",\"b\"]",
        "[\"a\"]",
        "[\"a*\"]", "[]", "{\"k\":\"v\"}", "{\"k\":[\"v\"]}", "{\"k\":{\"l\":\"v\"}}", "[true]", "[1]", "null",
        "\"\\u0061\"", "\"\\u00e9\"", "\"e\\u0301\"", "\"1\"", "\"true\"", "{}",
    ]

    mutating func body() -> String {
        let members = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            "\"\(random.pick(["p", "P", "q", "Q", "r", "s", "version"]))\":\(random.pick(Self.given))"
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    mutating func query() -> [(name: String, value: String)] {
        (0..<Int.random(in: 0...2, using: &random)).map { _ in
            (
                random.pick(["p", "P", "q", "version", "limit", "limit"]),
                random.pick(["a", "ab", "b", "1", "2", "3", "max"])
            )
        }
    }
}
