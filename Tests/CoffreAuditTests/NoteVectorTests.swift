import CoffreCrypto
import Testing

@testable import CoffreAudit

/// Notes that other people's software has written.
@Suite struct NoteVectorTests {
    private static let key = NoteVerifierKey(GoldenFile.lines("go-sumdb-note/key.vkey").first ?? "")

    @Test(arguments: ["note", "note-of-two"])
    func theNoteOfGosDocumentationOpensAndNoChangedOneDoes(name: String) throws {
        let key = try #require(Self.key)
        #expect(key.name == "PeterNeumann" && Hex.encode(key.keyID) == "c74f20a3")
        let note = GoldenFile.bytes("go-sumdb-note/\(name)")
        let text = try #require(SignedNote.open(note, keys: [key], others: true))
        #expect(String(decoding: text, as: UTF8.self).hasSuffix("your problem is.\n"))
        // The signature of a key that nobody here knows is ignored, as the specification says: any bit of it.
        let checked = note.count { _ in true } - (name == "note" ? 0 : 107)
        for place in 0..<checked {
            for bit in 0..<8 {
                var changed = note
                changed[place] ^= 1 << bit
                #expect(SignedNote.open(changed, keys: [key], others: true) == nil, "bit \(bit) of byte \(place)")
            }
        }
    }

    @Test func everyPartOfAKeyIsRefused() throws {
        let text = Self.key?.text ?? ""
        try #require(text.utf8.count == 66)
        for start in text.indices {
            #expect(start == text.startIndex || NoteVerifierKey(String(text[start...])) == nil)
            #expect(NoteVerifierKey(String(text[..<start])) == nil)
        }
    }

    /// The checkpoint of C2SP's pages: three lines that are written again byte for byte.
    @Test(arguments: ["checkpoint", "cosigned-checkpoint"])
    func theCheckpointOfTheSpecificationIsReadAndWrittenAsItStands(name: String) throws {
        let note = GoldenFile.bytes("c2sp/\(name)")
        let end = try #require(note.indices.dropLast().last { note[$0] == 0x0a && note[$0 + 1] == 0x0a })
        let text = Array(note[...end])
        let origin = "example.com/behind-the-sofa"
        let checkpoint = try #require(Checkpoint(text: text, origin: origin))
        #expect(checkpoint.size == 20_852_163)
        #expect(Base64.encode(checkpoint.root.bytes) == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
        #expect(checkpoint.text(origin: origin) == text)
        #expect(Checkpoint(text: text, origin: "example.com/another") == nil)
        // Not signed by a key that is asked for; well-formed otherwise.
        #expect(SignedNote.open(note, keys: [], others: true) == text)
        #expect(SignedNote.open(note, keys: [try #require(Self.key)]) == nil)
    }

    @Test func theTextOfANoteMayHoldEmptyLines() throws {
        let note = GoldenFile.bytes("c2sp/note")
        let text = try #require(SignedNote.open(note, keys: [], others: true))
        #expect(String(decoding: text, as: UTF8.self).hasSuffix("sole:\n\ned è subito sera.\n"))
    }
}
