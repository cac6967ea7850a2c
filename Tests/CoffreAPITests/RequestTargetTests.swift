import Testing

struct RequestTargetTests {
    @Test(arguments: [
        ("/v1/secret/data/a", "secret/data/a"),
        ("/v1/secret/", "secret/"),
        ("/v1/secret/data/a%20b", "secret/data/a b"),
        ("/v1/secret/data/%C3%A9t%C3%A9", "secret/data/été"),
        ("/v1/secret/data/%e2%82%ac", "secret/data/€"),
        ("/v1/a%2525", "a%25"),
        ("/%76%31/a", "a"),
        ("/v1/a..b/.c/d./...", "a..b/.c/d./..."),
        ("/v1/a+b", "a+b"),
        ("/v1/a\\b", "a\\b"),
        ("http://localhost/v1/a", "a"),
        ("HTTP://h:80/v1/a?x=1", "a[x=1]"),
    ])
    func isDecodedOnce(target: String, path: String) {
        #expect(Parsing.target(target) == path)
    }

    @Test(arguments: [
        "/v1/a%2fb", "/v1/a%2Fb", "/v1/..%2fb", "/v1//a", "/v1/a//b", "/v1/a/b//", "/v1/./a", "/v1/../a", "/v1/a/..",
        "/v1/a/.", "/v1/%2e%2e/a", "/v1/a/.%2e/b", "/v1/a%00b", "/v1/a%0ab", "/v1/a%7f", "/v1/a%zz", "/v1/a%2",
        "/v1/a%", "/v1/a%ff", "/v1/%c0%af", "/v1/%ed%a0%80", "/v1/%e2%80%8b", "/v1/%e2%80%ae", "/v1/%c2%a0",
        "/v1/%c2%85", "/v1/%ee%80%80", "*", "v1/a", "http://localhost", "https://h/v1/a", "h:80",
    ])
    func whatASecondReaderCouldReadOtherwiseIsRefused(target: String) {
        #expect(Parsing.target(target) == "400")
    }

    @Test(arguments: ["/", "/foo", "/v1", "/v1/", "/v2/a", "/V1/a", "/v1a", "/v1?x=1", "/ui/"])
    func nothingIsServedOutsideTheAPI(target: String) {
        #expect(Parsing.target(target) == "404")
    }

    @Test(arguments: [
        ("?", ""), ("?list=true", "[list=true]"), ("?list", "[list=]"), ("?a=1&&b=2&", "[a=1][b=2]"),
        ("?a=1&a=2", "[a=1][a=2]"), ("?a=b=c", "[a=b=c]"), ("?a=x+y%2B", "[a=x y+]"), ("?=v", "[=v]"),
        ("?a=%zz&b=1", "[b=1]"), ("?a;b=1&c=2", "[c=2]"), ("?a=%2f..%2f", "[a=/../]"), ("?a?b=c", "[a?b=c]"),
        ("?a=%C3%A9", "[a=é]"),
    ])
    func queriesFollowGo(query: String, items: String) {
        #expect(Parsing.target("/v1/p\(query)") == "p\(items)")
    }

    @Test(arguments: ["?a=%00", "?%0a=1", "?a=%ff", "?" + String(repeating: "a&", count: 65)])
    func queriesThatNoParameterHoldsAreRefused(query: String) {
        #expect(Parsing.target("/v1/p\(query)") == "400")
    }
}
