import CoffreStorage
import CoffreTestSupport
import Foundation
import Testing

@testable import CoffreAudit

/// Whoever may write the index can slow an answer down; what he can hide is what the seals do not count.
@Suite struct IndexTamperTests {
    private static let operation = IndexKind.operation

    /// Rewrites a word's row of a block, with a hash that fits: the hash is against disks, not against people.
    private static func rewrite(
        _ folder: IndexedFolder,
        _ kind: IndexKind,
        _ text: String,
        block: Int64,
        _ change: (inout [Int]) -> Void
    ) throws {
        let index = try RecordIndex(path: folder.index, isReader: true)
        let word = try #require(try index.word(kind.rawValue, IndexBlock.word(text)))
        let bytes = try #require(try index.positions(of: word, in: block))
        var positions = try PositionList.decode(bytes, word.kind, word.text, block, count: 8)
        change(&positions)
        let hex = PositionList.encode(positions, kind, word.text, block).map { String(format: "%02x", $0) }.joined()
        try folder.tamper("UPDATE posting SET positions = x'\(hex)' WHERE word = \(word.id) AND block = \(block)")
    }

    private static func query(_ change: (inout RecordFilter) -> Void) -> AuditQuery {
        var query = AuditQuery()
        query.limit = 9
        change(&query.filter)
        return query
    }

    private static let questions: [(name: String, query: AuditQuery)] = [
        ("operation", query { $0.operation = .secretRead }), ("outcome", query { $0.outcome = .denied }),
        ("granted", query { $0.outcome = .granted }), ("connector", query { $0.connector = "c-0" }),
        ("seals", query { $0.operation = .segmentSeal }),
    ]

    @Test(arguments: [
        "DELETE FROM posting WHERE block = 3",
        "DELETE FROM posting WHERE word IN (SELECT id FROM word WHERE kind > 1 AND kind <> 3) AND block > 4",
        "UPDATE posting SET positions = x'' WHERE block = 3",
        "UPDATE posting SET block = block + 100 WHERE block = 3",
        "DELETE FROM block WHERE number = 3",
        "UPDATE block SET places = (SELECT places FROM block WHERE number = 2) WHERE number = 3",
        "UPDATE word SET text = text || x'20' WHERE kind > 1",
        "UPDATE word SET id = id + 100000",
        "UPDATE mark SET sequence = sequence - 8", "UPDATE mark SET place = place - 1", "UPDATE mark SET leaf = x'00'",
        "UPDATE mark SET records = 7", "UPDATE mark SET sequence = -1", "UPDATE mark SET records = 0",
    ])
    func whatTheSealsCountIsNeverHidden(sql: String) throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        let expected = try Self.questions.map { try folder.all($0.query).lines }
        try folder.tamper(sql)
        var noticed = 0
        for (question, lines) in zip(Self.questions, expected) {
            let found = try folder.all(question.query)
            #expect(found.lines == lines, "\(question.name)")
            if !found.distrust.isEmpty { noticed += 1 }
        }
        #expect(noticed > 0)
    }

    @Test func oneHiddenRecordIsMissedByTheSeal() throws {
        for (kind, text, query) in [
            (IndexKind.operation, "secret.read", Self.questions[0].query),
            (.outcome, "denied", Self.questions[1].query), (.connector, "c-0", Self.questions[3].query),
        ] {
            let folder = try IndexedFolder()
            try folder.reindex()
            let expected = try folder.all(query).lines
            try Self.rewrite(folder, kind, text, block: 4) { $0.removeLast() }
            let found = try folder.all(query)
            #expect(found.lines == expected)
            let reason = try #require(found.distrust.first, "\(text)")
            #expect(reason.contains("the index counts") && reason.contains(text) && reason.contains("seg/"))
        }
    }

    @Test func aRecordThatIsNamedFalselyIsNotShown() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        let query = Self.query { $0.actor = "cron.service" }
        let expected = try folder.all(query).lines
        try Self.rewrite(folder, .actor, "cron.service", block: 4) { $0 = Array(0..<8) }
        let found = try folder.all(query)
        #expect(found.lines == expected)
        #expect(found.distrust.contains { $0.contains("does not match") })
    }

    /// The honest limit, as AuditLog.md states it: by who and by path nothing but the log itself tells what is missing.
    @Test func whatIsHiddenByWhoOrPathIsFoundByAScanAlone() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        var query = Self.query { $0.actor = "cron.service" }
        let expected = try folder.all(query).lines
        try Self.rewrite(folder, .actor, "cron.service", block: 4) { $0.removeLast() }
        let found = try folder.all(query)
        #expect(found.lines.count == expected.count - 1 && found.distrust == [])
        query.isScan = true
        #expect(try folder.all(query).lines == expected)
        let extract = try LogExtract.plan(
            directory: folder.path,
            {
                var request = LogExtract.Request(since: 0, until: .max)
                request.filter = query.filter
                return request
            }(),
            progress: { _ in }
        )
        #expect(extract.shown == UInt64(expected.count))
    }

    @Test func aBlockCannotBeHiddenBehindOtherTimes() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        var query = AuditQuery()
        query.since = TestClock.start + 20 * 3_600_000_000
        query.until = TestClock.start + 40 * 3_600_000_000
        let expected = try folder.all(query).lines
        for sql in [
            "UPDATE block SET latest = earliest", "UPDATE block SET latest = 0, earliest = 0 WHERE number < 6",
            "UPDATE block SET earliest = 9000000000000000000, latest = earliest WHERE number > 4",
            "UPDATE block SET earliest = 0, latest = 0", "UPDATE block SET places = x'0102'",
        ] {
            try LogIndexer(directory: folder.path).remove()
            try folder.reindex()
            try folder.tamper(sql)
            #expect(try folder.all(query).lines == expected, "\(sql)")
        }
    }

    /// Every bit of every row of a block: noticed, or without effect.
    @Test func aFlippedBitInARowIsNoticed() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        let index = try RecordIndex(path: folder.index, isReader: true)
        let word = try #require(try index.word(IndexKind.actor.rawValue, Array("cron.service".utf8)))
        let row = try #require(try index.positions(of: word, in: 4))
        let block = try #require(try index.block(4))
        for bit in 0..<(row.count * 8) {
            var changed = row
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: IndexLie.self) {
                try PositionList.decode(changed, word.kind, word.text, 4, count: 8)
            }
        }
        for bit in 0..<(block.places.count * 8) {
            var changed = block.places
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: IndexLie.self) { try BlockPlaces(changed, 4, count: 8) }
        }
        // Rows with a hash that fits, of any content: an error or a list within the block, never a trap.
        var random = SystemRandomNumberGenerator()
        for length in 0..<400 {
            var bytes = (0..<(length % 40)).map { _ in UInt8.random(in: 0...255, using: &random) }
            IndexCodec.finish(&bytes, 0, [], 4)
            if let places = try? BlockPlaces(bytes, 4, count: 8) { #expect(places.places.count == 8) }
            var list = (0..<(length % 9)).map { _ in UInt8.random(in: 0...255, using: &random) }
            IndexCodec.finish(&list, 1, [0x61], 4)
            if let positions = try? PositionList.decode(list, 1, [0x61], 4, count: 8) {
                #expect(positions.allSatisfy { (0..<8).contains($0) } && positions.count <= 8)
            }
        }
    }
}
