import CoffreAudit
import CoffreCrypto
import Testing

@Suite struct SubjectTests {
    static func bytes(_ secret: consuming SecretBytes?) -> [UInt8]? {
        guard let secret = consume secret else { return nil }
        return secret.withBytes { Array($0) }
    }

    @Test func oneSubjectHasOnePseudonymAlsoAfterARestart() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let alice = try log.subject(kind: .human, uid: 1000, entity: nil, card: Array("alice".utf8))
        #expect(try log.subject(kind: .human, uid: 1000, entity: nil, card: Array("other".utf8)) == alice)
        log.close()
        let again = try TestLog.open(disk)
        #expect(try again.subject(kind: .human, uid: 1000, entity: nil, card: []) == alice)
        #expect(Self.bytes(try again.card(of: alice)) == Array("alice".utf8))
        again.close()
        #expect(TestLog.lines(disk).count { $0.contains(#""op":"subject.register""#) } == 1)
    }

    @Test func differentSubjectsHaveDifferentPseudonyms() throws {
        let log = try TestLog.open(MemoryDisk())
        let all = [
            try log.subject(kind: .human, uid: 1, entity: nil, card: []),
            try log.subject(kind: .service, uid: 1, entity: nil, card: []),
            try log.subject(kind: .human, uid: nil, entity: "1", card: []),
            try log.subject(kind: .human, uid: nil, entity: nil, card: []),
            try log.subject(kind: .human, uid: nil, entity: "", card: []),
            try log.subject(kind: .human, uid: 1, entity: "", card: []),
            try log.subject(kind: .human, uid: nil, entity: "\u{E9}", card: []),
            try log.subject(kind: .human, uid: nil, entity: "e\u{301}", card: []),
        ]
        #expect(Set(all.map { Array($0.utf8) }).count == all.count)
        #expect(all.allSatisfy { $0.hasPrefix("s-") && $0.utf8.count == 24 })
        log.close()
    }

    @Test func theRegistrationStandsBeforeTheFirstUseAndCommitsToTheCard() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try log.subject(kind: .human, uid: 1000, entity: nil, card: Array("canary-name".utf8))
        try await log.append(TestLog.read("a"))
        log.close()
        let lines = TestLog.lines(disk)
        #expect(lines[3].contains(#""sid":"\#(sid)""#))
        #expect(lines[4].contains("secret.read"))
        let card = try #require(disk.paths().first { $0.hasPrefix("cards/") })
        let commitment = Base64.encode(Array(try #require(disk[card]).prefix(32)))
        #expect(lines[3].contains(#""card":"\#(commitment)""#))
        for path in disk.paths() {
            #expect(!String(decoding: disk[path] ?? [], as: UTF8.self).contains("canary-name"), "\(path)")
        }
    }

    @Test func anErasedCardResolvesNothingAndTheLogStillVerifies() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try log.subject(kind: .human, uid: 1000, entity: nil, card: [7])
        log.close()
        for path in disk.paths() where path.hasPrefix("cards/") { disk[path] = nil }
        let again = try TestLog.open(disk)
        #expect(Self.bytes(try again.card(of: sid)) == nil)
        again.close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aChangedCardIsNotShown() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try log.subject(kind: .human, uid: 1000, entity: nil, card: [7])
        log.close()
        let again = try TestLog.open(disk)
        let card = try #require(disk.paths().first { $0.hasPrefix("cards/") })
        disk[card]?[0] ^= 1
        #expect(throws: AuditError.self) { Self.bytes(try again.card(of: sid)) }
        again.close()
    }

    @Test func anInterruptedRegistrationIsWrittenAgain() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        let sid = try log.subject(kind: .human, uid: 1000, entity: nil, card: [7])
        log.close()
        let card = try #require(disk.paths().first { $0.hasPrefix("cards/") })
        disk[card + ".new"] = disk[card]
        disk[card] = nil
        let again = try TestLog.open(disk)
        #expect(try again.subject(kind: .human, uid: 1000, entity: nil, card: []) == sid)
        again.close()
        #expect(disk[card] != nil)
        #expect(disk[card + ".new"] == nil)
        #expect(TestLog.lines(disk).count { $0.contains(sid) } == 2)
    }

    @Test func aSubjectThatCannotBeRegisteredIsNotRemembered() async throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk)
        disk.arrange(.fails(errno: 28), atCall: 1)
        #expect(throws: AuditError.self) { try log.subject(kind: .human, uid: 1000, entity: nil, card: [7]) }
        let sid = try log.subject(kind: .human, uid: 1000, entity: nil, card: [7])
        log.close()
        #expect(TestLog.lines(disk).contains { $0.contains(sid) })
    }

    @Test func digestsAreUnambiguousAndDependOnTheLog() throws {
        let log = try TestLog.open(MemoryDisk())
        let other = try TestLog.open(MemoryDisk())
        func digest(_ log: AuditLog, _ text: String, _ domain: StaticString) -> String {
            Array(text.utf8).withUnsafeBytes { log.keyedDigest($0, domain: domain) }
        }
        let all = [
            digest(log, "c", "ab"), digest(log, "bc", "a"), digest(log, "", "abc"), digest(log, "abc", ""),
            digest(other, "c", "ab"),
        ]
        #expect(Set(all).count == all.count)
        #expect(all.allSatisfy { $0.utf8.count == 24 })
        #expect(digest(log, "c", "ab") == all[0])
        log.close()
        other.close()
    }
}
