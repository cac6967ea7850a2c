import Testing

@testable import CoffreAudit

/// A reader's own copy of `log.vkey`, after mail and editors had it.
@Suite struct TrustedKeysTests {
    private static func keys() throws -> (text: String, bytes: [UInt8]) {
        let disk = MemoryDisk()
        try TestLog.open(disk).close()
        let bytes = try #require(disk[LogIdentity.path])
        return (String(decoding: bytes, as: UTF8.self), bytes)
    }

    private static func parse(_ text: String) throws(TrustedKeys.Defect) -> [UInt8] {
        try TrustedKeys.parse(Array(text.utf8))
    }

    @Test func theEndsOfLinesChangeNoKey() throws {
        let (text, bytes) = try Self.keys()
        let windows = text.split(separator: "\n").joined(separator: "\r\n")
        let longer = [text + "\n", text + "\r\n\r\n"]
        for copy in [text, String(text.dropLast()), windows, windows + "\r\n", windows + "\r"] + longer {
            #expect(try Self.parse(copy) == bytes)
        }
    }

    @Test func oneKeyDoesNotDoAndTheOtherIsNamed() throws {
        let text = try Self.keys().text
        let lines = text.split(separator: "\n").map(String.init)
        let name = String(lines[0].prefix { $0 != "+" })
        #expect(throws: TrustedKeys.Defect.missing(name: name + "/epoch-000000")) { try Self.parse(lines[0]) }
        #expect(throws: TrustedKeys.Defect.missing(name: name)) { try Self.parse(lines[1] + "\r\n") }
    }

    @Test func anythingElseIsNoCopy() throws {
        let text = try Self.keys().text
        let lines = text.split(separator: "\n").map(String.init)
        let others = [
            "", "\n", "x\n", " " + text, text + text, "\n" + text, lines[0] + "\n" + lines[0] + "\n",
            lines[1] + "\n" + lines[0] + "\n", lines[0] + "\n\n" + lines[1] + "\n", text.lowercased(), lines[0] + "A",
            lines[0] + "\r\r\n" + lines[1] + "\n",
        ]
        for other in others {
            #expect(throws: TrustedKeys.Defect.notKeys, "\(other)") { try Self.parse(other) }
        }
    }
}
