import CoffreCrypto
import CoffreTestSupport
import Foundation
import Synchronization
import Testing

@testable import CoffreAudit

/// Hostile case 28: no two inputs are one, and nobody's name is in any file.
@Suite struct DigestTests {
    private static let key = HMACKey(SecretBytes(count: 32) { $0.copyBytes(from: [UInt8](repeating: 7, count: 32)) })

    private static func digest(_ domain: String, _ value: String) -> [UInt8] {
        Array(value.utf8).withUnsafeBytes { DigestInput(domain: Array(domain.utf8)).digest(of: $0, key: key) }.bytes
    }

    @Test func everyCutOfATextIntoDomainAndValueIsAnotherInput() {
        let text = "abcabc"
        var all: Set<[UInt8]> = []
        for cut in 0...text.count {
            all.insert(Self.digest(String(text.prefix(cut)), String(text.dropFirst(cut))))
        }
        #expect(all.count == text.count + 1)
        #expect(Self.digest("ab", "c") != Self.digest("a", "bc"))
        // What a length looks like does not pass for one.
        #expect(Self.digest("a", "\0\0\0\0\0\0\0\u{1}b") != Self.digest("a\0\0\0\0\0\0\0\u{1}", "b"))
    }

    @Test func subjectsOfEachKindOfPartAreOthers() {
        var all: [[UInt8]] = []
        for kind in AuditWho.Kind.allCases {
            for uid in [nil, 0, 1, 10] as [UInt32?] {
                for entity in [nil, "", "0", "1", "10", "true", "null", "1\0"] as [String?] {
                    all.append(SubjectTable.address(kind: kind, uid: uid, entity: entity, key: Self.key).bytes)
                }
            }
        }
        #expect(Set(all).count == all.count)
    }

    /// Integers, texts and flags that look alike stay apart in a record, also where they are too long to stand in clear.
    @Test func aNumberATextAndAFlagAreThreeValues() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let values: [AuditValue] = [
            .int(1), .text("1"), .flag(true), .text("true"), .text(""), .bytes([]), .bytes([0x31]),
        ]
        var drafts = values.map { value in
            var draft = TestLog.read("a")
            draft.what.details = [("value", value)]
            return draft
        }
        drafts.append(TestLog.read("a"))
        let long = String(repeating: "1", count: 3000)
        for value in [AuditValue.text(long), .bytes(Array(long.utf8)), .text(long + "1")] {
            var draft = TestLog.read("a")
            draft.what.details = [("value", value)]
            drafts.append(draft)
        }
        let left = Mutex(drafts.count)
        for draft in drafts { log.append(draft) { _ in left.withLock { $0 -= 1 } } }
        while left.withLock({ $0 }) > 0 { yieldThread() }
        log.close()
        let found = TestLog.lines(disk).filter { $0.contains(#""op":"secret.read""#) }.map { line in
            String(line.drop { $0 != "{" }.split(separator: #""what":"#)[1])
        }
        #expect(found.count == drafts.count)
        // A text and the bytes of it are one input, and are told apart by nobody: so text is never given as bytes.
        #expect(Set(found).count >= drafts.count - 1)
        #expect(AuditValue(textOrBytes: Array(long.utf8)) == .text(long))
        #expect(found.allSatisfy { !$0.contains(String(repeating: "1", count: 2000)) })
    }

    @Test func nobodysNameIsInAnyFileOfTheFolder() throws {
        let folder = try TestFolder()
        let root = folder.path + "/audit"
        let configuration = AuditLogConfiguration(
            directory: root,
            origin: TestLog.origin,
            softwareVersion: "1",
            keys: .file,
            checkpointMilliseconds: nil
        )
        let log = try AuditLog.open(configuration)
        let uid: UInt32 = 3_141_592_653
        let card = Array(#"{"name":"Canary Kenari","mail":"kenari@canary.example","uid":3141592653}"#.utf8)
        let sid = try log.subject(kind: .human, uid: uid, entity: "canary-entity", card: card)
        let person = AuditWho(kind: .human, sid: sid, kernelSid: sid, pid: 7)
        var draft = TestLog.read("a")
        draft.who = person
        let done = Mutex(false)
        log.append(draft) { _ in done.withLock { $0 = true } }
        while !done.withLock({ $0 }) { yieldThread() }
        _ = try log.updateCard(of: sid, card: card + [0x20], makeDraft: CardKeeper.ownDraft)
        try log.compress()
        let words = ["Canary", "Kenari", "kenari@canary.example", "canary-entity", "3141592653"]
        let forms = words.flatMap { [$0, Base64.encode(Array($0.utf8)), Hex.encode(Array($0.utf8))] }
        for form in forms { #expect(try folder.contains(form) == [], "\(form)") }
        #expect(SubjectTests.bytes(try log.card(of: sid)) == card + [0x20])
        // The search finds what is there.
        #expect(try !folder.contains(sid).isEmpty)
        _ = try log.erase(sid, reason: .request, makeDraft: CardKeeper.ownDraft)
        for form in forms { #expect(try folder.contains(form) == [], "\(form)") }
        log.close()
        #expect(try LogVerifier(directory: root).verify().isValid)
        #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/cards") == [])
    }
}
