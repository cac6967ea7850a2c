import CoffreCrypto
import Testing

@testable import CoffreAudit

@Suite struct CardUpdateTests {
    private static func update(_ log: AuditLog, _ sid: String, _ card: String) throws -> UInt64? {
        try log.updateCard(of: sid, card: Array(card.utf8), makeDraft: CardKeeper.ownDraft)
    }

    private static func alice(_ log: AuditLog) throws -> String {
        try log.subject(kind: .human, uid: 1000, entity: nil, card: Array("Alice Martin".utf8))
    }

    @Test func aRenameSupplementsTheRecordAndReplacesTheCard() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        let record = try #require(try Self.update(log, sid, "Alice Durand"))
        #expect(try Self.alice(log) == sid)
        let card = try #require(try log.disclose(sid))
        log.close()
        let lines = TestLog.lines(disk)
        #expect(lines.count { $0.contains(#""op":"subject.register""#) } == 1)
        #expect(lines[Int(record)].contains(#""op":"subject.update""#))
        // Whoever is given card and salt can check them.
        let salted = card.withSalt { Array($0) } + card.withCard { Array($0) }
        #expect(lines[Int(record)].contains(#""card":"\#(Base64.encode(SHA256.hash(salted).bytes))""#))
        #expect(String(decoding: card.withCard { Array($0) }, as: UTF8.self) == "Alice Durand")
        #expect(disk.paths().count { $0.hasPrefix("cards/") } == 1)
        let again = try TestLog.open(disk)
        #expect(SubjectTests.bytes(try again.card(of: sid)) == Array("Alice Durand".utf8))
        #expect(try Self.update(again, "s-0000000000000000000000", "x") == nil)
        #expect(throws: AuditError.self) {
            try again.updateCard(of: sid, card: [UInt8](repeating: 0, count: 65_537), makeDraft: CardKeeper.ownDraft)
        }
        again.close()
        #expect(try TestLog.verify(disk).isValid)
    }

    @Test(arguments: [MemoryDisk.Trouble.kills, .fails(errno: 28), .fails(errno: 5), .writesHalf])
    func aCardIsTheOldOneOrTheNewOneWhateverHappens(trouble: MemoryDisk.Trouble) throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        log.close()
        let calls = try Self.updateOnce(disk.afterKill(), sid, trouble, atCall: 1_000_000)
        #expect(calls > 12)
        for call in 1...calls {
            let copy = disk.afterKill()
            _ = try? Self.updateOnce(copy, sid, trouble, atCall: call)
            for after in [copy.afterKill(), copy.afterPowerCut()] {
                let again = try TestLog.open(after)
                #expect(again.cardFailure == nil, "call \(call)")
                let card = String(decoding: SubjectTests.bytes(try again.card(of: sid)) ?? [], as: UTF8.self)
                #expect(["Alice Martin", "Alice Durand"].contains(card), "call \(call)")
                #expect(try Self.alice(again) == sid)
                let commitment = try #require(try again.disclose(sid)).commitment
                again.close()
                #expect(after.paths(ending: ".update").isEmpty, "call \(call)")
                let said = TestLog.lines(after).last { $0.contains(sid) && $0.contains(#""op":"subject."#) }
                let last = try #require(said)
                // The last record names the card that there is.
                #expect(last.contains(Base64.encode(commitment.bytes)), "call \(call)")
                #expect(try TestLog.verify(after).isValid, "call \(call)")
            }
        }
    }

    private static func updateOnce(
        _ disk: MemoryDisk,
        _ sid: String,
        _ trouble: MemoryDisk.Trouble,
        atCall call: Int
    ) throws -> Int {
        let log = try TestLog.open(disk)
        defer { log.close() }
        let before = disk.calls
        disk.arrange(trouble, atCall: call)
        _ = try Self.update(log, sid, "Alice Durand")
        return disk.calls - before
    }
}
