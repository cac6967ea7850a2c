import CoffreCrypto
import CoffreStorage
import Foundation
import Testing

@testable import CoffreAudit

/// The index answers as the log does, and can only be slow or silent, never false.
@Suite struct IndexTests {
    /// Conditions of every kind, alone and together.
    private static func queries() -> [AuditQuery] {
        var queries: [AuditQuery] = []
        let actors: [String?] = [
            nil, "cron.service", "s-0123456789abcdefghijkl", "s-kernelaaaaaaaaaaaaaaaaa", "s-personaaaaaaaaaaaaaaaaa",
            "nobody",
        ]
        let paths: [String?] = [nil, "secret/pay/*", "secret/pay/3", "secret/é5", "*"]
        for actor in actors {
            for path in paths {
                for variant in 0..<6 {
                    var query = AuditQuery()
                    query.filter.actor = actor
                    query.filter.path = path
                    if variant == 1 { query.filter.connector = "c-1" }
                    if variant == 2 { query.filter.operation = .secretRead }
                    if variant == 3 { query.filter.outcome = .denied }
                    if variant == 4 { query.since = TestClock.start + 20 * 3_600_000_000 }
                    if variant == 5 { query.until = TestClock.start + 40 * 3_600_000_000 }
                    query.limit = 7
                    queries.append(query)
                }
            }
        }
        return queries
    }

    @Test func theIndexAnswersAsTheLogDoes() throws {
        let folder = try IndexedFolder()
        for round in 0..<3 {
            // Without an index, with one that is behind, with one that is not.
            if round == 1 {
                try folder.reindex()
                try folder.append(60..<75)
            }
            if round == 2 { try folder.reindex() }
            for query in Self.queries() {
                var scan = query
                scan.isScan = true
                let (found, expected) = (try folder.all(query), try folder.all(scan))
                #expect(found.lines == expected.lines && found.distrust == [], "\(query)")
            }
        }
        #expect(try folder.all(AuditQuery()).lines.count > 90)
        #expect(try AuditQuery().page(directory: folder.path).indexed > 90)
    }

    /// A log of several stretches of blocks: what is rare is found without looking at each block.
    @Test func aRareWordIsFoundAcrossStretches() throws {
        let folder = try IndexedFolder()
        try folder.append(60..<700)
        try folder.append(1_000_000..<1_000_001)
        try folder.append(700..<1300)
        try folder.append(1_000_002..<1_000_003)
        try LogIndexer(directory: folder.path, blockRecords: 4).catchUp()
        for path in ["secret/é1000000", "secret/pay/3", "secret/pay/*", "secret/é700"] {
            var query = AuditQuery()
            query.filter.path = path
            var scan = query
            scan.isScan = true
            let (found, expected) = (try folder.all(query), try folder.all(scan))
            #expect(found.lines == expected.lines && found.distrust == [] && !found.lines.isEmpty, "\(path)")
        }
        // What is pruned goes from every table, and what is left is found as before.
        let segments = try folder.segments()
        for segment in segments[..<(segments.count / 2)] {
            try FileManager.default.removeItem(atPath: segment)
            try FileManager.default.removeItem(atPath: segment.replacing(".jsonl", with: ".seal"))
        }
        let size = try #require(try FileManager.default.attributesOfItem(atPath: folder.index)[.size] as? Int)
        try LogIndexer(directory: folder.path, blockRecords: 4).catchUp()
        try folder.tamper("VACUUM")
        let after = try #require(try FileManager.default.attributesOfItem(atPath: folder.index)[.size] as? Int)
        #expect(after < size * 3 / 4)
        var query = AuditQuery()
        query.filter.path = "secret/pay/*"
        let found = try folder.all(query)
        #expect(found.lines.count > 300 && found.distrust == [])
        query.filter.path = "secret/é1000000"
        #expect(try folder.all(query).distrust == [])
    }

    @Test func whatWasObtainedForAPersonIsFound() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        var query = AuditQuery()
        query.filter.actor = "s-personaaaaaaaaaaaaaaaaa"
        #expect(try folder.all(query).lines.count == 8)
        query.filter.actor = "s-kernelaaaaaaaaaaaaaaaaa"
        #expect(try folder.all(query).lines.count == 15)
    }

    @Test func aChangedRecordIsNotShown() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        let segment = try #require(
            try folder.segments().first {
                try String(contentsOfFile: $0, encoding: .utf8).contains("payroll.service")
            }
        )
        let bytes = try #require(FileManager.default.contents(atPath: segment))
        var query = AuditQuery()
        query.filter.operation = .secretRead
        let place = try #require(bytes.firstRange(of: Data("payroll.service".utf8))?.lowerBound)
        var changed = bytes
        changed[place] ^= 1
        try changed.write(to: URL(filePath: segment))
        #expect(throws: AuditError.self) { try folder.all(query) }
        query.isScan = true
        #expect(throws: AuditError.self) { try folder.all(query) }
    }

    @Test func anIndexThatIsDamagedOrForeignOnlyCostsTime() throws {
        let folder = try IndexedFolder()
        var query = AuditQuery()
        query.filter.path = "secret/pay/*"
        let expected = try folder.all(query).lines
        try folder.reindex()
        let good = try #require(FileManager.default.contents(atPath: folder.index))
        let other = try IndexedFolder()
        try other.reindex()
        let foreign = try #require(FileManager.default.contents(atPath: other.index))
        for content in [Data(), Data("no database".utf8), Data(good.prefix(5000)), foreign, Data(count: 9000)] {
            try content.write(to: URL(filePath: folder.index))
            #expect(try folder.all(query).lines == expected, "\(content.count)")
            #expect(try folder.reindex() > 60)
            let again = try folder.all(query)
            #expect(again.lines == expected && again.distrust == [])
        }
    }

    @Test func indexingGoesOnWhereItWasInterrupted() throws {
        let folder = try IndexedFolder()
        #expect(try folder.reindex(to: 10) == 8)
        #expect(try folder.reindex(to: 25) == 24)
        #expect(try folder.reindex(to: 5) == 24)
        // An index keeps its blocks, whatever is asked for later.
        let rest = try LogIndexer(directory: folder.path).catchUp()
        #expect(rest > 60 && rest.isMultiple(of: 8))
        #expect(try AuditQuery().page(directory: folder.path).indexed == rest)
        try LogIndexer(directory: folder.path).remove()
        #expect(try AuditQuery().page(directory: folder.path).indexed == 0)
        #expect(try LogIndexer(directory: folder.path).catchUp() == 0)
    }

    @Test func aPageIsBoundedInRecordsBytesAndTime() throws {
        let folder = try IndexedFolder()
        for isIndexed in [false, true] {
            if isIndexed { try folder.reindex() }
            let all = try folder.all(AuditQuery()).lines
            var query = AuditQuery()
            query.limitBytes = 2000
            let page = try query.page(directory: folder.path)
            #expect(page.lines.reduce(0) { $0 + $1.count } <= 2000 && page.lines.count > 1)
            #expect(try folder.all(query).lines == all)
            query.limitBytes = 1
            #expect(try query.page(directory: folder.path).lines.count == 1)
            #expect(try folder.all(query).lines == all)
        }
        // Without an index, a page whose time is over says where it stopped; here at once.
        let long = try IndexedFolder()
        try long.append(0..<4100)
        var query = AuditQuery()
        query.filter.actor = "nobody"
        let page = try query.page(directory: long.path, isOver: { true })
        #expect(page.lines.isEmpty && page.next == 4096)
        #expect(try long.all(query).lines.isEmpty)
    }

    @Test func aSingleRecordIsFoundWithAndWithoutAnIndex() throws {
        let folder = try IndexedFolder()
        let all = try folder.all(AuditQuery()).lines
        for isIndexed in [false, true] {
            if isIndexed { try folder.reindex() }
            for (number, line) in all.enumerated() {
                #expect(try AuditQuery.line(of: UInt64(number), directory: folder.path) == line)
            }
            #expect(try AuditQuery.line(of: UInt64(all.count), directory: folder.path) == nil)
            #expect(try AuditQuery.line(of: .max, directory: folder.path) == nil)
        }
        try folder.tamper("UPDATE block SET places = x'00'")
        #expect(try AuditQuery.line(of: 20, directory: folder.path) == all[20])
    }

    /// Segments that were pruned are gone from the answer and from the index, and nothing else is.
    @Test func aPrunedLogIsAnsweredFromWhatIsLeft() throws {
        for isIndexed in [false, true] {
            let folder = try IndexedFolder()
            try folder.append(60..<120)
            if isIndexed { try folder.reindex() }
            let all = try folder.all(AuditQuery()).lines
            let segments = try folder.segments()
            let firstKept = try #require(UInt64(segments[4].split(separator: "/").last?.prefix(12) ?? ""))
            let gapEnd = try #require(UInt64(segments[7].split(separator: "/").last?.prefix(12) ?? ""))
            let gapStart = try #require(UInt64(segments[6].split(separator: "/").last?.prefix(12) ?? ""))
            // The beginning, and one segment between others, as a hold leaves it.
            for segment in Array(segments[..<4]) + [segments[6]] {
                try FileManager.default.removeItem(atPath: segment)
                try FileManager.default.removeItem(atPath: segment.replacing(".jsonl", with: ".seal"))
            }
            let left = all.enumerated().filter {
                $0.offset >= firstKept && !(gapStart..<gapEnd).contains(UInt64($0.offset))
            }.map(\.element)
            for round in 0..<3 {
                let found = try folder.all(AuditQuery())
                #expect(found.lines == left && found.distrust == [], "\(isIndexed) \(round) \(found.distrust)")
                if round == 0 { try folder.reindex() }
                if round == 1 {
                    try LogIndexer(directory: folder.path).remove()
                    try folder.reindex()
                }
            }
            var query = AuditQuery()
            query.limit = 1000
            #expect(try query.page(directory: folder.path).indexed > gapEnd)
        }
    }

    @Test func everyQuestionIsAnsweredByAKeyAndNoneByLookingAtAllRows() throws {
        let folder = try IndexedFolder()
        try folder.reindex()
        let plans = try RecordIndex(path: folder.index, isReader: true).plans()
        #expect(plans.count == 8)
        for (query, plan) in plans {
            let text = plan.joined(separator: "; ")
            #expect(text.contains("SEARCH") || text.contains("COVERING INDEX"), "\(query): \(text)")
            #expect(
                plan.allSatisfy { step in
                    ["SCAN block", "SCAN posting", "SCAN stretch"].allSatisfy { scan in !step.hasPrefix(scan) }
                },
                "\(text)"
            )
            #expect(!text.contains("TEMP B-TREE"), "\(query): \(text)")
        }
        let byActor = try #require(plans.first { $0.query.hasPrefix("SELECT positions FROM posting") })
        #expect(byActor.plan.joined().contains("PRIMARY KEY (block=? AND word=?)"))
        let rare = try #require(plans.first { $0.query.hasPrefix("SELECT number FROM stretch") })
        #expect(rare.plan.joined().contains("PRIMARY KEY (word=? AND number>?)"))
    }
}
