import CoffreAPI
import CoffreVault
import NIOCore
import Testing

struct RequestParserTests {
    private static let pipeline =
        "LIST /v1/secret/metadata/a%20b/?after=x+y HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: s.one\r\n\r\n"
        + "GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nauthorization: Bearer s.two\r\nX-Vault-Namespace: root\r\n\r\n"
        + "PUT /v1/secret/data/c HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\nContent-Type: application/json\r\n"
        + "X-VAULT-WRAP-TTL:\t5m \r\n\r\n{\"data\":null}"
        + "POST /v1/d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
        + "BREW /v1/e HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        + "SCAN /v1/f HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n"

    private static let understood = [
        "LIST secret/metadata/a b/ query=[\"after=x y\"] token=s.one body=- wrap=- ns=- type=- keep=true",
        "GET sys/health query=[] token=s.two body=- wrap=- ns=root type=- keep=true",
        "PUT secret/data/c query=[] token=- body={\"data\":null} wrap=5m ns=- type=application/json keep=true",
        "PUT d query=[] token=- body=abc0123456789 wrap=- ns=- type=- keep=true",
        "refused 405 /v1/e",
        "SCAN f query=[] token=- body=- wrap=- ns=- type=- keep=false",
    ]

    @Test
    func understandsAPipeline() {
        #expect(Parsing.run(Self.pipeline) == Self.understood)
    }

    @Test
    func understandsTheSameWhereverItIsSplit() {
        let bytes = Array(Self.pipeline.utf8)
        for index in bytes.indices {
            #expect(Parsing.run([Array(bytes[..<index]), Array(bytes[index...])]) == Self.understood, "at \(index)")
        }
        #expect(Parsing.run(bytes.map { [$0] }) == Self.understood)
    }

    @Test(arguments: [
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3 \u{0}\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "PUT /v1/a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\nX-Vault-Token: t\r\n\r\n",
        "GET /v1/a HTTP/1.1\nHost: x\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\n\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nX: a\u{0}b\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nX: y\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: a\r\nx-vault-token: a\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nX-Vault-Namespace: a\r\nX-Vault-Namespace: b\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nHost: x\r\nX-Vault-Wrap-TTL: 1\r\nX-Vault-Wrap-TTL: 2\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n",
        "GET  /v1/a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/a  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/a HTTP/1.1 \r\nHost: x\r\n\r\n",
        " GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET\t/v1/a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/a\r\nHost: x\r\n\r\n",
        "GET /v1/\u{E9} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/a#b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/a http/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n bad: t\r\n\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;\u{1}\r\na\r\n",
    ])
    func whatCouldBeFramedTwiceIsRefused(text: String) {
        let smuggled = "\(text)GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        let whole = Parsing.run(smuggled)
        #expect(whole.count == 1 && whole.first?.hasPrefix("broken 400") == true, "\(whole)")
        #expect(Parsing.run(Array(smuggled.utf8).map { [$0] }) == whole)
    }

    @Test(arguments: ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"])
    func otherVersionsAreNotSpoken(version: String) {
        #expect(Parsing.one("GET /v1/a \(version)\r\nHost: x\r\n\r\n") == "broken 505 /v1/a")
    }

    @Test(arguments: [
        ("HTTP/1.1", "", true), ("HTTP/1.1", "Connection: close\r\n", false), ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
    ])
    func connectionsStayAsTheVersionSays(version: String, header: String, stays: Bool) {
        #expect(Parsing.one("GET /v1/a \(version)\r\nHost: x\r\n\(header)\r\n").hasSuffix("keep=\(stays)"))
    }

    @Test
    func limitsHoldToTheByte() {
        var limits = HTTPLimits()
        limits.requestLineBytes = 40
        limits.headerCount = 3
        limits.headerBytes = 60
        limits.bodyBytes = 10
        let path = "/v1/" + String(repeating: "a", count: 40 - "GET /v1/ HTTP/1.1".utf8.count)
        #expect(Parsing.one("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n", limits: limits).hasPrefix("GET aaa"))
        #expect(Parsing.one("GET \(path)a HTTP/1.1\r\nHost: x\r\n\r\n", limits: limits).hasPrefix("broken 431"))
        #expect(Parsing.one(String(repeating: "G", count: 43), limits: limits).hasPrefix("broken 431"))
        #expect(Parsing.one("GET /v1/a HTTP/1.1\r\nHost: x\r\na: b\r\nc: d\r\n\r\n", limits: limits).hasPrefix("GET a"))
        #expect(
            Parsing.one("GET /v1/a HTTP/1.1\r\nHost: x\r\na: b\r\nc: d\r\ne: f\r\n\r\n", limits: limits)
                .hasPrefix("broken 431")
        )
        let long = String(repeating: "b", count: 100)
        #expect(
            Parsing.one("GET /v1/a HTTP/1.1\r\nHost: x\r\na: \(long)\r\n\r\n", limits: limits).hasPrefix("broken 431")
        )
        #expect(Parsing.one("GET /v1/a HTTP/1.1\r\nHost: x\r\na: \(long)", limits: limits).hasPrefix("broken 431"))
        let put = "PUT /v1/a HTTP/1.1\r\nHost: x\r\n"
        #expect(Parsing.one("\(put)Content-Length: 10\r\n\r\n0123456789", limits: limits).contains("body=0123456789"))
        #expect(Parsing.one("\(put)Content-Length: 11\r\n\r\n", limits: limits) == "broken 413 /v1/a")
        let chunked = "\(put)Transfer-Encoding: chunked\r\n\r\n"
        #expect(
            Parsing.one("\(chunked)5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", limits: limits).contains("body=0123456789")
        )
        #expect(Parsing.one("\(chunked)5\r\n01234\r\n6\r\n", limits: limits) == "broken 413 /v1/a")
    }

    @Test
    func trailersAndChunkLinesAreBounded() {
        let chunked = "PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        let many = String(repeating: "T: t\r\n", count: 17)
        #expect(Parsing.one("\(chunked)0\r\n\(many)\r\n").hasPrefix("broken 431"))
        #expect(Parsing.one("\(chunked)0\r\nT: \(String(repeating: "t", count: 5000))").hasPrefix("broken 431"))
        #expect(Parsing.one("\(chunked)1;\(String(repeating: "x", count: 300))").hasPrefix("broken 400"))
    }

    @Test
    func theFirstTokenHeaderWinsOverAuthorization() {
        let head = "GET /v1/a HTTP/1.1\r\nHost: x\r\n"
        #expect(Parsing.one("\(head)Authorization: Bearer b\r\nX-Vault-Token: a\r\n\r\n").contains("token=a "))
        #expect(Parsing.one("\(head)Authorization: bearer  b \r\n\r\n").contains("token=b "))
        #expect(Parsing.one("\(head)Authorization: Basic b\r\n\r\n").contains("token=- "))
        #expect(Parsing.one("\(head)X-Vault-Token:\r\n\r\n").contains("token=- "))
    }

    @Test
    func aClientThatAsksIsToldToContinue() {
        let head = "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n"
        #expect(Parsing.run([Array(head.utf8), Array("{}".utf8)]).first == "continue")
        #expect(Parsing.run("\(head){}").first?.hasPrefix("PUT a") == true)
    }

    @Test
    func largeBodiesShareABudgetAndSmallOnesDoNot() {
        let memory = BodyMemory(limitBytes: 200_000)
        var first = RequestParser(limits: HTTPLimits(), memory: memory)
        var second = RequestParser(limits: HTTPLimits(), memory: memory)
        var small = RequestParser(limits: HTTPLimits(), memory: memory)
        func step(_ parser: inout RequestParser, _ count: Int, of total: Int) -> (RequestParser.Step, BodyReservation?)
        {
            var input = ByteBuffer(string: "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: \(total)\r\n\r\n")
            input.writeRepeatingByte(0x61, count: count)
            var reservation: BodyReservation?
            let step = parser.next(&input, now: 1, reserved: &reservation)
            return (step, reservation)
        }
        _ = step(&first, 150_000, of: 160_000)
        #expect(memory.usedBytes >= 150_000)
        guard case (.broken(let refused), _) = step(&second, 150_000, of: 150_000) else {
            Issue.record("the second body must not fit")
            return
        }
        #expect(refused.status == 429)
        guard case (.complete, _) = step(&small, 16_000, of: 16_000) else {
            Issue.record("a small body always fits")
            return
        }
        first.abandon()
        #expect(memory.usedBytes == 0)
    }

    /// Any bytes: no trap, the same outcome whole or split, and nothing understood after a broken framing.
    @Test(arguments: [UInt64(1), 2, 3, 4])
    func mutantsAreUnderstoodTheSameWholeOrSplit(seed: UInt64) {
        let original = Array(Self.pipeline.utf8)
        let tokens: [[UInt8]] = [
            "\r\n", "\n", " ", ":", "\u{0}", "Content-Length: 5\r\n", "%2f", "//", "..", "chunked",
        ]
        .map { Array($0.utf8) }
        var generator = SplitMix(state: seed)
        for _ in 0..<25_000 {
            var mutant = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let index = Int.random(in: 0..<mutant.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: mutant[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: mutant.remove(at: index)
                case 2: mutant.insert(contentsOf: tokens.randomElement(using: &generator) ?? [], at: index)
                default: mutant.removeSubrange(index..<min(index + 8, mutant.count))
                }
            }
            let whole = Parsing.run([mutant])
            let cut = Int.random(in: 0...mutant.count, using: &generator)
            let split = Parsing.run([Array(mutant[..<cut]), Array(mutant[cut...])])
            #expect(whole == split, "\(String(decoding: mutant, as: UTF8.self)) cut at \(cut)")
        }
    }
}

/// A small reproducible generator.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
