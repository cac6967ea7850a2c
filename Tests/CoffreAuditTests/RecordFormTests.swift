import CoffreAudit
import CoffreCrypto
import Foundation
import Testing

/// What hostile values become, and what the strict parser refuses.
@Suite struct RecordFormTests {
    static func line(_ draft: AuditDraft) throws -> [UInt8] {
        try AuditLine.encode(
            draft,
            sequence: 5,
            previous: .zero,
            clock: TestClock(),
            digestKey: HMACKey(SecretBytes.key(count: 32) { _ in })
        )
    }

    static func text(path: String) throws -> String {
        String(decoding: try line(TestLog.read(path)), as: UTF8.self)
    }

    @Test(
        arguments: [
            ("a\nb", #"a\\u{A}b"#), ("a\r\nb", #"a\\u{D}\\u{A}b"#), ("\0", #"\\u{0}"#), ("\u{1B}[31m", #"\\u{1B}[31m"#),
            ("\u{202E}gnp.exe", #"\\u{202E}gnp.exe"#), ("\u{2066}x", #"\\u{2066}x"#),
            ("\u{2028}\u{2029}", #"\\u{2028}\\u{2029}"#),
            ("\u{200B}zero", #"\\u{200B}zero"#), ("\u{FEFF}", #"\\u{FEFF}"#), ("\u{7F}\u{85}", #"\\u{7F}\\u{85}"#),
            ("\\", #"\\\\"#), ("\\u{A}", #"\\\\u{A}"#), ("\"", #"\""#), ("tab\t", #"tab\\u{9}"#),
            ("\u{A0}", #"\\u{A0}"#),
            ("\u{E000}", #"\\u{E000}"#), ("été/日本/😀", "été/日本/😀"), ("e\u{301}", "e\u{301}"),
            (#"x","_s":0,"op":"genesis"#, #"x\",\"_s\":0,\"op\":\"genesis"#),
        ] as [(String, String)]
    )
    func aHostileValueIsEscapedReversiblyOnOneLine(value: String, written: String) throws {
        let bytes = try Self.line(TestLog.read(value))
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.utf8.contains(#""path":"\#(written)","ver""#.utf8))
        #expect(!bytes.contains { $0 < 0x20 || $0 == 0x7f })
        #expect(AuditLine.defect(in: bytes) == nil)
    }

    @Test func composedAndDecomposedNamesStayTwoNames() throws {
        #expect(try Self.line(TestLog.read("\u{E9}")) != Self.line(TestLog.read("e\u{301}")))
    }

    @Test func anEscapedValueIsNotTheValueThatLooksLikeIt() throws {
        #expect(try Self.text(path: "\n") != Self.text(path: #"\u{A}"#))
    }

    @Test func bytesThatAreNotTextAreKeptAsBytes() throws {
        #expect(AuditValue(textOrBytes: [0xff, 0x41]) == .bytes([0xff, 0x41]))
        #expect(AuditValue(textOrBytes: Array("é".utf8)) == .text("é"))
        var draft = TestLog.read("a")
        draft.what.details = [("name", AuditValue(textOrBytes: [0xff, 0x41]))]
        #expect(String(decoding: try Self.line(draft), as: UTF8.self).contains(#""det":{"name":{"b64":"/0E="}}"#))
    }

    @Test func aValueOverItsLimitBecomesDigestAndLength() throws {
        #expect(try Self.text(path: String(repeating: "x", count: 512)).contains("xxx"))
        let text = try Self.text(path: String(repeating: "x", count: 513))
        #expect(!text.contains("xxx"))
        #expect(text.contains(#""path":{"h":""#))
        #expect(text.contains(#"","n":513}"#))
        #expect(try Self.text(path: String(repeating: "x", count: 514)) != text)
    }

    @Test func aMegabyteInEveryFieldStillIsOneBoundedLine() throws {
        let huge = String(repeating: "\u{202E}", count: 1 << 18)
        let who = AuditWho(
            kind: .human,
            sid: huge,
            kernelSid: huge,
            unit: huge,
            team: huge,
            tokenAccessor: huge,
            forSid: huge
        )
        let why = AuditWhy(policy: huge, set: huge, purpose: huge, ticket: huge, approver: huge)
        let what = AuditWhat(
            connector: huge,
            path: huge,
            lease: huge,
            fields: [huge, huge],
            recipient: huge,
            mount: huge,
            details: (0..<20).map { ("d\($0)", AuditValue.text(huge)) }
        )
        let draft = AuditDraft(
            .secretRead,
            outcome: .granted,
            error: huge,
            correlation: huge,
            acceptedAt: 0,
            who: who,
            what: what,
            why: why
        )
        let line = try Self.line(draft)
        #expect(line.count <= 16_384)
        #expect(AuditLine.defect(in: line) == nil)
    }

    @Test func manyValuesJustUnderTheirLimitShrinkTogether() throws {
        let long = String(repeating: "\u{1B}", count: 512)
        var draft = TestLog.read(long)
        draft.what.lease = long
        draft.what.recipient = long
        draft.what.mount = long
        draft.what.details = [("a", .text(long)), ("b", .text(long))]
        let line = try Self.line(draft)
        #expect(line.count <= 16_384)
        #expect(AuditLine.defect(in: line) == nil)
    }

    @Test func oneAndTextOneAndTrueAreThreeLines() throws {
        let values: [AuditValue] = [.int(1), .text("1"), .flag(true), .bytes([0x31]), .text("")]
        let lines = try values.map { value in
            var draft = TestLog.read("a")
            draft.what.details = [("x", value)]
            return try Self.line(draft)
        }
        #expect(Set(lines + [try Self.line(TestLog.read("a"))]).count == 6)
    }

    @Test(arguments: ["", "Upper", "space d", "é", "a\"b", String(repeating: "x", count: 65)])
    func aDetailWithAnInvalidNameIsRefused(name: String) {
        var draft = TestLog.read("a")
        draft.what.details = [(name, .int(1))]
        #expect(throws: AuditError.self) { try Self.line(draft) }
    }

    @Test func twoDetailsWithOneNameAreRefused() {
        var draft = TestLog.read("a")
        draft.what.details = [("a", .int(1)), ("a", .int(2))]
        #expect(throws: AuditError.self) { try Self.line(draft) }
    }

    @Test func anInvalidRecordFailsAloneAndTheOthersAreWritten() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let collected = Collected()
        var bad = TestLog.read("bad")
        bad.what.details = [("Bad Name", .int(1))]
        log.append(TestLog.read("first")) { collected.add($0) }
        log.append(bad) { collected.add($0) }
        log.append(TestLog.read("second")) { collected.add($0) }
        log.close()
        #expect(collected.receipts.map(\.index) == [3, 4])
        #expect(collected.all.count == 3)
        #expect(try TestLog.verify(disk).findings == [])
    }

    static let valid: String = {
        let line = try? RecordFormTests.line(TestLog.read("a/b"))
        return String(decoding: line ?? [], as: UTF8.self)
    }()

    @Test(
        arguments: [
            (#""v":1"#, #""v":1,"v":1"#), (#""v":1"#, #""v":1.0"#), (#""v":1"#, #""v":1e0"#), (#""v":1"#, #""v":01"#),
            (#""v":1"#, #""v":-0"#), (#""v":1"#, #""v":2"#), (#""v":1"#, #""v":null"#), (#""v":1"#, #""v":"1""#),
            (#""v":1"#, #""v": 1"#), (#""v":1"#, #""V":1"#), (#","v":1"#, ""), (#""v":1"#, #""v":1,"va":1"#),
            (#""mono":"#, #""mono":9007199254740993,"monp":"#), (#""ver":12"#, #""ver":9007199254740992"#),
            (#""ver":12"#, #""ver":12.5"#), (#""ver":12"#, #""ver":+12"#), (#""ver":12"#, #""ver":012"#),
            (#""path":"a/b""#, #""path":"a\/b""#), (#""path":"a/b""#, #""path":"a\u002fb""#),
            (#""path":"a/b""#, #""path":"a\nb""#), (#""path":"a/b""#, "\"path\":\"a\u{1B}b\""),
            (#""path":"a/b""#, "\"path\":\"a\u{202E}b\""), (#""path":"a/b""#, #""path":"a\\b""#),
            (#""path":"a/b""#, #""path":"a\\u{1b}""#), (#""path":"a/b""#, #""path":"a\\u{110000}""#),
            (#""path":"a/b""#, #""path":"a\\u{}""#), (#""path":"a/b""#, #""path":"a\\u{0A}""#),
            (#""path":"a/b""#, #""path":{"a":{"b":{"c":1}}}"#), (#""fields":["password"]"#, #""fields":["password",]"#),
            (#""op":"secret.read""#, #""op":"secret.raed""#), (#""ph":"single""#, #""ph":"Single""#),
            (#""code":"granted""#, #""code":"grant""#), (#""kind":"service","pid""#, #""pid":1,"kind""#),
            (#""boot":"0"#, #""boot":"g"#), (#"-11-23T"#, #"-02-30T"#), (#"{"_p":""#, #" {"_p":""#),
            (#"{"_p":""#, "\u{FEFF}{\"_p\":\""), (#"{"_p":"AAAA"#, #"{"_p":"AAA"#),
        ] as [(String, String)]
    )
    func theStrictParserRefuses(part: String, replacement: String) {
        #expect(AuditLine.defect(in: Array(Self.valid.utf8)) == nil)
        let changed = Self.valid.replacingOccurrences(of: part, with: replacement)
        #expect(!changed.utf8.elementsEqual(Self.valid.utf8), "the part occurs")
        #expect(AuditLine.defect(in: Array(changed.utf8)) != nil)
    }

    @Test func everyPrefixOfALineIsRefused() {
        let bytes = Array(Self.valid.utf8)
        for length in 0..<bytes.count { #expect(AuditLine.defect(in: Array(bytes[..<length])) != nil) }
        #expect(AuditLine.defect(in: bytes + [0x20]) != nil)
        #expect(AuditLine.defect(in: bytes + [0x00]) != nil)
    }

    @Test(
        arguments: [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80], [0xc1, 0xbf],
        ] as [[UInt8]]
    )
    func invalidUTF8IsRefused(bytes: [UInt8]) {
        let parts = Self.valid.components(separatedBy: "a/b")
        let line = Array(parts[0].utf8) + bytes + Array(parts[1].utf8)
        #expect(AuditLine.defect(in: line) != nil)
    }

    @Test func deepNestingIsRefusedWithoutRecursingIntoIt() {
        let deep = String(repeating: "[", count: 8000)
        #expect(AuditLine.defect(in: Array(Self.valid.replacingOccurrences(of: #""a/b""#, with: deep).utf8)) != nil)
        #expect(AuditLine.defect(in: [UInt8](repeating: 0x7b, count: 100_000)) != nil)
    }

    /// For any bytes, the parser ends and says no, or the line was right: no flip of one bit keeps the same record.
    @Test func randomEditsNeverTrapTheParser() {
        var generator = SystemRandomNumberGenerator()
        let bytes = Array(Self.valid.utf8)
        for _ in 0..<3000 {
            var line = bytes
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<line.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: line[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: line.remove(at: place)
                default: line.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                }
            }
            if AuditLine.defect(in: line) == nil {
                let again = try? JSONSerialization.jsonObject(with: Data(line))
                #expect(again != nil)
            }
        }
    }
}
