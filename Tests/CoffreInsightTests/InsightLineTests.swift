import Testing

@testable import CoffreInsight

struct InsightLineTests {
    static let line = """
        {"time":"2026-01-07T08:12:03.512345678Z","seq":1234,"actor":{"kind":"user","id":"u07","uid":1007,\
        "unit":"session.scope","teams":["finance","ventes"]},"operation":"read","connector":"postgresql",\
        "path":"role/factures-ro","outcome":"ok","latency_us":10873,"token_accessor":"a-3f","lease_id":"l-91",\
        "client_pid":4242}
        """

    private func parse(_ text: String) -> InsightEvent? {
        Array(text.utf8).withUnsafeBytes { InsightLine.parse($0) }
    }

    @Test func everyFieldIsRead() throws {
        let event = try #require(parse(Self.line))
        #expect(event.time == 1_767_773_523_512_345_678)
        #expect(event.sequence == 1234 && event.kernel == "1007" && event.pid == 4242)
        #expect(event.kind == .user && event.operation == .read && event.outcome == .ok)
        #expect(event.actor == "u07" && event.unit == "session.scope" && event.teams == ["finance", "ventes"])
        #expect(event.connector == "postgresql" && event.path == "role/factures-ro" && event.token == "a-3f")
        #expect(event.isUse)
    }

    @Test func escapesAndSpacesAreRead() throws {
        let text = Self.line.replacing("u07", with: #"\u0075\u00e9\ud83d\ude00\"\\"#).replacing(",", with: " ,\t")
        #expect(try #require(parse(text)).actor == "ué😀\"\\")
    }

    @Test(arguments: [
        "", "{}", "[]", "null", line + "x", line + line, String(line.dropLast()), line.replacing("1234", with: "-1"),
        line.replacing("1234", with: "01"), line.replacing("1234", with: "1.0"), line.replacing("1234", with: "1e3"),
        line.replacing("1234", with: "99999999999999999999"), line.replacing("\"ok\"", with: "\"fine\""),
        line.replacing("\"user\"", with: "\"robot\""), line.replacing("T08", with: " 08"),
        line.replacing("2026-01", with: "2026-13"), line.replacing(".512345678Z", with: ".Z"),
        line.replacing("Z\"", with: "+01:00\""), line.replacing("\"seq\":1234,", with: ""),
        line.replacing("\"seq\":1234", with: "\"seq\":1234,\"seq\":1234"),
        line.replacing("u07", with: "\\ud800"), line.replacing("u07", with: "\\x41"),
        line.replacing("u07", with: "a\u{1}b"), line.replacing("4242", with: "\"4242\""),
        line.replacing("10873", with: "[[[[[[[[[1]]]]]]]]]"), line.replacing("10873", with: "nul"),
    ])
    func whatIsNoEventIsRefused(_ text: String) { #expect(parse(text) == nil, "\(text)") }

    @Test func aLineHasAnEnd() {
        #expect(parse(Self.line.replacing("u07", with: String(repeating: "u", count: 70_000))) == nil)
        #expect(parse(Self.line.replacing("10873", with: String(repeating: "[", count: 60_000))) == nil)
    }

    /// Every byte replaced by others: refused, or another event, and never a crash.
    @Test func everyByteMayBeWrong() {
        let bytes = Array(Self.line.utf8)
        var refused = 0
        for place in bytes.indices {
            for byte: UInt8 in [0, 0x22, 0x5c, 0x7b, 0x7d, 0x2c, 0x30, 0x80, 0xff] where byte != bytes[place] {
                var changed = bytes
                changed[place] = byte
                if changed.withUnsafeBytes({ InsightLine.parse($0) }) == nil { refused += 1 }
            }
            #expect(bytes[..<place].withUnsafeBytes { InsightLine.parse($0) } == nil)
        }
        #expect(refused > bytes.count * 5)
    }

    @Test func timesAreTheSameBothWays() {
        for time: Int64 in [0, 951_782_400_000_000_000, 1_767_773_523_512_345_678, 4_102_444_799_999_999_999] {
            let text = InsightTime.text(time)
            #expect(Array(text.utf8).withUnsafeBytes { InsightTime.parse($0) } == time, "\(text)")
        }
        #expect(InsightTime.text(951_782_400_000_000_000) == "2000-02-29T00:00:00.000000000Z")
    }
}
