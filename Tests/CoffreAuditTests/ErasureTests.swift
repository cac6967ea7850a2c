import CoffreCrypto
import CoffreTestSupport
import Foundation
import Synchronization
import Testing

@testable import CoffreAudit

/// Hostile case 29, its cards: what is erased stays erased, and the log proves that it was.
@Suite struct ErasureTests {
    private static func erase(_ log: AuditLog, _ sid: String, _ reason: ErasureReason = .request) throws -> UInt64? {
        try log.erase(sid, reason: reason, makeDraft: CardKeeper.ownDraft)
    }

    private static func alice(_ log: AuditLog) throws -> String {
        try log.subject(kind: .human, uid: 1000, entity: nil, card: Array("alice-canary".utf8))
    }

    private static func cards(_ disk: MemoryDisk) -> [String] { disk.paths().filter { $0.hasPrefix("cards/") } }

    private static func count(_ disk: MemoryDisk, _ operation: String, _ sid: String) -> Int {
        TestLog.lines(disk).count { $0.contains(#""op":"\#(operation)""#) && $0.contains(sid) }
    }

    @Test func anErasedCardResolvesNothingAndTheLogStillVerifies() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        let bob = try log.subject(kind: .human, uid: 1001, entity: nil, card: Array("bob".utf8))
        let record = try #require(try Self.erase(log, sid))
        #expect(SubjectTests.bytes(try log.card(of: sid)) == nil)
        #expect(SubjectTests.bytes(try log.card(of: bob)) == Array("bob".utf8))
        #expect(try Self.erase(log, sid) == nil)
        #expect(try Self.erase(log, "s-0000000000000000000000") == nil)
        #expect(try Self.erase(log, "../keys") == nil)
        let other = try Self.alice(log)
        #expect(other != sid)
        #expect(SubjectTests.bytes(try log.card(of: other)) == Array("alice-canary".utf8))
        log.close()
        let lines = TestLog.lines(disk)
        #expect(lines[Int(record)].contains(#""det":{"reason":"request","sid":"\#(sid)"},"op":"erasure.done""#))
        #expect(Self.count(disk, "erasure.request", sid) == 1)
        #expect(Self.count(disk, "erasure.done", sid) == 1)
        #expect(disk.paths().filter { $0.hasPrefix("erased/") } == ["erased/\(sid).tlog-proof"])
        #expect(!Self.cards(disk).contains { $0.contains(sid) })
        let again = try TestLog.open(disk)
        #expect(try Self.alice(again) == other)
        #expect(SubjectTests.bytes(try again.card(of: sid)) == nil)
        #expect(again.cardFailure == nil)
        again.close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func theBytesOfAnErasedCardAreOverwrittenWhereTheyLie() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        let path = try #require(Self.cards(disk).first { $0.contains(sid) })
        let inode = try #require(try disk.identity(of: path)?.inode)
        let before = try #require(disk[path])
        _ = try Self.erase(log, sid)
        log.close()
        let after = disk.state.withLock { $0.contents[inode] }
        #expect(after?.bytes.count == before.count && after?.synced == after?.bytes)
        #expect(zip(before, after?.bytes ?? []).count { $0 == $1 } < before.count / 8)
    }

    @Test(arguments: [MemoryDisk.Trouble.kills, .fails(errno: 28), .fails(errno: 5), .writesHalf])
    func anErasureThatEndsAnywhereIsFinishedOrNeverBegan(trouble: MemoryDisk.Trouble) throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        log.close()
        let counted = disk.afterKill()
        let calls = try Self.eraseOnce(counted, sid, trouble, atCall: 1_000_000)
        #expect(calls > 12)
        var whole = 0
        for call in 1...calls {
            let copy = disk.afterKill()
            _ = try? Self.eraseOnce(copy, sid, trouble, atCall: call)
            for after in [copy.afterKill(), copy.afterPowerCut()] {
                #expect(try TestLog.verify(after).isValid, "call \(call)")
                let again = try TestLog.open(after)
                #expect(again.cardFailure == nil, "call \(call)")
                let card = SubjectTests.bytes(try again.card(of: sid))
                let person = try Self.alice(again)
                again.close()
                #expect(try TestLog.verify(after).isValid, "call \(call)")
                if let card {
                    // It never began: the card is whole, and still the person's.
                    whole += 1
                    #expect(card == Array("alice-canary".utf8) && person == sid, "call \(call)")
                    #expect(Self.count(after, "erasure.done", sid) == 0, "call \(call)")
                    #expect(after["erased/\(sid).asked"] == nil, "call \(call)")
                } else {
                    #expect(person != sid, "call \(call)")
                    #expect(Self.count(after, "erasure.request", sid) >= 1, "call \(call)")
                    #expect(Self.count(after, "erasure.done", sid) >= 1, "call \(call)")
                    #expect(after["erased/\(sid).tlog-proof"] != nil, "call \(call)")
                    #expect(after["erased/\(sid).asked"] == nil, "call \(call)")
                    #expect(!Self.cards(after).contains { $0.contains(sid) }, "call \(call)")
                }
            }
        }
        #expect(whole > 0 && whole < 2 * calls)
    }

    /// - Returns: calls between the beginning of the erasure and the end of the log.
    private static func eraseOnce(
        _ disk: MemoryDisk,
        _ sid: String,
        _ trouble: MemoryDisk.Trouble,
        atCall call: Int
    ) throws -> Int {
        let log = try TestLog.open(disk)
        defer { log.close() }
        let before = disk.calls
        disk.arrange(trouble, atCall: call)
        _ = try Self.erase(log, sid)
        return disk.calls - before
    }

    @Test func aCardFromAnOldBackupIsDroppedAndRecorded() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        let path = try #require(Self.cards(disk).first { $0.contains(sid) })
        let backup = try #require(disk[path])
        _ = try Self.erase(log, sid)
        let other = try Self.alice(log)
        // While the log runs: the next sweep finds it.
        disk[path] = backup
        #expect(SubjectTests.bytes(try log.card(of: sid)) == nil)
        log.cards.sweep()
        #expect(disk[path] == nil && log.cardFailure == nil)
        log.close()
        #expect(Self.count(disk, "erasure.done", sid) == 2)
        #expect(TestLog.lines(disk).contains { $0.contains("restored") && $0.contains("erasure.done") })
        // At a start.
        disk[path] = backup
        let again = try TestLog.open(disk)
        #expect(disk[path] == nil && again.cardFailure == nil)
        #expect(try Self.alice(again) == other)
        again.close()
        #expect(Self.count(disk, "erasure.done", sid) == 3)
        #expect(try TestLog.verify(disk).findings == [])
        let last = try TestLog.open(disk)
        last.close()
        #expect(Self.count(disk, "erasure.done", sid) == 3)
    }

    @Test func everyBitOfAProofOfErasureCounts() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let (sid, bob) = (try Self.alice(log), try log.subject(kind: .human, uid: 1001, entity: nil, card: [1]))
        _ = try Self.erase(log, sid)
        _ = try Self.erase(log, bob)
        log.close()
        #expect(try TestLog.verify(disk).isValid)
        let path = "erased/\(sid).tlog-proof"
        let bytes = try #require(disk[path])
        for index in bytes.indices {
            disk[path]?[index] ^= 1 << UInt8(index % 8)
            #expect(try TestLog.verify(disk).findings.first?.file == path, "byte \(index)")
            disk[path] = bytes
        }
        for (file, content) in [
            (path, disk["erased/\(bob).tlog-proof"]), (path, []), ("erased/\(sid).asked", bytes),
            ("erased/s-0000000000000000000000.tlog-proof", bytes), ("erased/\(sid)", bytes), ("erased/x", bytes),
        ] as [(String, [UInt8]?)] {
            let copy = disk.afterKill()
            copy[file] = content
            #expect(try TestLog.verify(copy).findings.first?.file == file)
        }
    }

    @Test func pythonAgreesOnEveryChangedProof() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let (sid, bob) = (try Self.alice(log), try log.subject(kind: .human, uid: 1001, entity: nil, card: [1]))
        for sid in [sid, bob] { _ = try Self.erase(log, sid) }
        log.close()
        let path = "erased/\(sid).tlog-proof"
        let bytes = try #require(disk[path])
        var logs: [(disk: MemoryDisk, isGood: Bool)] = [(disk, true)]
        func add(_ file: String, _ content: [UInt8]?, _ isGood: Bool = false) {
            let copy = disk.afterKill()
            copy[file] = content
            logs.append((copy, isGood))
        }
        for index in stride(from: 0, to: bytes.count, by: 7) {
            var mutant = bytes
            mutant[index] ^= 1 << UInt8(index % 8)
            add(path, mutant)
        }
        add(path, disk["erased/\(bob).tlog-proof"])
        add("erased/\(sid).asked", bytes)
        add("erased/x", bytes)
        add(path, nil, true)  // Who takes a proof away hides nothing: the record stands.
        let folder = try TestFolder()
        let folders = try logs.enumerated().map { index, entry in
            let root = folder.path + "/\(index)"
            for path in entry.disk.paths() where !path.hasPrefix("keys/") && !path.hasPrefix("cards/") {
                let file = URL(filePath: root + "/" + path)
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try Data(entry.disk[path] ?? []).write(to: file)
            }
            return root
        }
        let results = try VerifierTests.python(folders)
        try #require(results.count == logs.count)
        for (index, result) in results.enumerated() {
            #expect(result.valid == logs[index].isGood, "\(index) \(result.reason ?? "")")
            #expect(try TestLog.verify(logs[index].disk).isValid == logs[index].isGood, "\(index)")
        }
    }

    @Test func aFalseProofErasesNothing() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let (sid, bob) = (try Self.alice(log), try log.subject(kind: .human, uid: 1001, entity: nil, card: [1]))
        _ = try Self.erase(log, bob)
        log.close()
        let cards = Self.cards(disk)
        for stage in ["asked", "tlog-proof"] {
            let copy = disk.afterKill()
            copy["erased/\(sid).\(stage)"] = disk["erased/\(bob).tlog-proof"]
            let again = try TestLog.open(copy)
            #expect(again.cardFailure != nil)
            again.close()
            #expect(Self.cards(copy) == cards)
        }
    }

    @Test func aHoldOnASubjectKeepsItsCard() throws {
        let id = "h-0123456789ab"
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        let details = LegalHold.details(.subject(sid), id: id, reason: "claim", review: "2027-06-30")
        _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
        #expect(throws: AuditError.self) { try Self.erase(log, sid) }
        #expect(SubjectTests.bytes(try log.card(of: sid)) != nil)
        #expect(try log.clearHold(id, PendingRecord.own(.holdClear, [("id", .text(id))]).draft))
        #expect(try Self.erase(log, sid) != nil)
        log.close()
        #expect(Self.count(disk, "erasure.request", sid) == 1)
    }

    /// What a hold keeps says nothing any more once nobody knows whom it is about.
    @Test func aHoldOnRecordsOfASubjectKeepsItsCard() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try Self.alice(log)
        var draft = TestLog.read("secret/a", connector: "c-1")
        draft.who = AuditWho(kind: .human, sid: sid, uid: nil, gid: nil, pid: 3)
        try RetainedYears.waitFor(log, draft)
        for (id, connector) in [("h-0123456789ab", "c-1"), ("h-0123456789ac", "c-2")] {
            let details = LegalHold.details(.connector(connector), id: id, reason: "claim", review: "2027-06-30")
            _ = try log.setHold(PendingRecord.own(.holdSet, details).draft)
        }
        #expect(throws: AuditError.invalidRecord(reason: "the hold h-0123456789ab needs this card; end the hold first"))
        {
            try Self.erase(log, sid)
        }
        let details: [AuditWhat.Detail] = [("id", .text("h-0123456789ab"))]
        #expect(try log.clearHold("h-0123456789ab", PendingRecord.own(.holdClear, details).draft))
        #expect(try Self.erase(log, sid) != nil)
        log.close()
    }
}
