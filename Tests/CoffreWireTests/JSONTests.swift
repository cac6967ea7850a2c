import CoffreWire
import Testing

struct JSONTests {
    @Test(arguments: [
        #"{"a":1,"b":[true,false,null,"x"],"c":{"d":-0.10e+5}}"#, #""é\u00e9\ud83d\ude00\n""#,
        "12345678901234567890.10",
        "[]", "{}", "null", #"  {"a" : [ ] } "#,
    ])
    func acceptsWhatRFC8259Allows(text: String) throws {
        _ = try JSONValue(parsing: text.utf8)
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\":1,}", "01", "1.", "-", "+1", ".5", "NaN", "nul", "'a'", "[1 2]", "{\"a\" 1}", "{1:2}",
        "\"\u{1}\"", #""\x""#, #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, "1 2", "\u{feff}1", "[1]]", "// 1",
    ])
    func refusesEverythingElse(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text.utf8) }
    }

    @Test(arguments: [
        [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xe2, 0x82, 0x22],
        [0x22, 0xf5, 0x80, 0x80, 0x80, 0x22],
    ])
    func refusesBytesThatAreNotUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
    }

    @Test func depthIsBoundedWithoutUsingTheStack() {
        let deep = [UInt8](repeating: 0x5b, count: 200_000)
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
        #expect(error?.code == .tooDeep)
    }

    @Test func numbersKeepTheirDigits() throws {
        let text = #"{"n":1.2300e+0012345,"big":123456789012345678901234567890}"#
        #expect(try JSONValue(parsing: text.utf8).encoded() == Array(text.utf8))
    }

    @Test func rawBytesOfAMemberAreExactlyWhatWasSent() throws {
        let text = Array(#"{"data" : { "a":1.0 , "b" : "\u0041" } ,"options":{}}"#.utf8)
        try text.withUnsafeBytes { bytes in
            let view = try JSONView(bytes)
            let data = try #require(view["data"])
            #expect(String(decoding: data.raw, as: UTF8.self) == #"{ "a":1.0 , "b" : "\u0041" }"#)
            #expect(data["b"]?.string == "A")
        }
    }

    @Test func decodedStringsMatchTheirAnnouncedLength() throws {
        let text = Array(#""é\ud83d\ude00\t\/\"""#.utf8)
        try text.withUnsafeBytes { bytes in
            let view = try JSONView(bytes)
            let count = try #require(view.stringCount)
            var target = [UInt8](repeating: 0, count: count)
            target.withUnsafeMutableBytes { view.decodeString(into: $0) }
            #expect(String(decoding: target, as: UTF8.self) == "é😀\t/\"")
            #expect(view.string == "é😀\t/\"")
        }
    }

    @Test func composedAndDecomposedKeysStayTwo() throws {
        let value = try JSONValue(parsing: "{\"e\u{301}\":1,\"\u{e9}\":2}".utf8)
        #expect(value["e\u{301}"] == .number("1"))
        #expect(value["\u{e9}"] == .number("2"))
    }

    /// For any bytes, parsing throws or the compact form parses to the same value.
    @Test func mutationsNeverCrashAndReencode() throws {
        let seed = Array(#"{"k":[1,-2.5e3,true,null,{"é":"\u00e9\n"}],"s":"\ud83d\ude00"}"#.utf8)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var mutant = seed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<mutant.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: mutant[index] = UInt8.random(in: 0...255, using: &random)
                case 1: mutant.remove(at: index)
                default: mutant.insert(UInt8.random(in: 0...255, using: &random), at: index)
                }
            }
            guard let value = try? JSONValue(parsing: mutant) else { continue }
            #expect(try JSONValue(parsing: value.encoded()) == value)
        }
    }
}
