import CoffreCrypto
import CoffreStorage
import Foundation
import Testing

@testable import CoffreAudit

/// The index answers as the log does, and can only be slow or silent, never false.
@Suite struct IndexTests {
    /// A log of three days in a real folder, some eighty records over several segments.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.path() + "/coffre-index-\(Random.base62(8))"
        let clock = TestClock()
        var index: String { path + "/" + LogIndexer.fileName }

        private static let cron = AuditWho(
            kind: .service,
            sid: "s-cronaaaaaaaaaaaaaaaaaaa",
            uid: 989,
            gid: 989,
            pid: 17,
            unit: "cron.service",
            team: "paie",
            tokenAccessor: "a-0123456789abcdef"
        )

        init() throws {
            try append(0..<60)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func append(_ numbers: Range<Int>) throws {
            let configuration = AuditLogConfiguration(
                directory: path,
                origin: TestLog.origin,
                softwareVersion: "1",
                keys: .file,
                segmentBytes: 6000,
                checkpointMilliseconds: nil,
                clock: clock
            )
            let log = try AuditLog.open(configuration)
            for number in numbers {
                clock.pass(3_600_000_000)
                let path = number.isMultiple(of: 5) ? "secret/é\(number)" : "secret/pay/\(number % 7)"
                var draft = TestLog.read(path, connector: number.isMultiple(of: 3) ? "c-\(number % 2)" : nil)
                if number.isMultiple(of: 4) { draft.who = Self.cron }
                if number.isMultiple(of: 6) { draft.outcome = .denied }
                log.append(draft) { _ in }
            }
            log.close()
        }

        func segments() throws -> [String] {
            try FileManager.default.subpathsOfDirectory(atPath: path).filter { $0.hasSuffix(".jsonl") }.sorted {
                lastPart(of: $0) < lastPart(of: $1)
            }.map { path + "/" + $0 }
        }
    }

    private static func all(_ query: AuditQuery, _ folder: Folder) throws -> [[UInt8]] {
        var (query, lines): (AuditQuery, [[UInt8]]) = (query, [])
        var next: UInt64? = 0
        while let begin = next {
            query.from = begin
            let page = try query.page(directory: folder.path)
            #expect(page.lines.count <= query.limit)
            lines += page.lines
            next = page.next
        }
        return lines
    }

    /// Conditions of every kind, alone and together.
    private static func queries() -> [AuditQuery] {
        var queries: [AuditQuery] = []
        let actors: [String?] = [nil, "cron.service", "s-0123456789abcdefghijkl", "nobody"]
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
        let folder = try Folder()
        for round in 0..<3 {
            // Without an index, with one that is behind, with one that is not.
            if round == 1 {
                try LogIndexer(directory: folder.path).catchUp()
                try folder.append(60..<75)
            }
            if round == 2 { try LogIndexer(directory: folder.path).catchUp() }
            for query in Self.queries() {
                var scan = query
                scan.isScan = true
                let (found, expected) = (try Self.all(query, folder), try Self.all(scan, folder))
                #expect(found == expected, "\(query)")
            }
        }
        #expect(try Self.all(AuditQuery(), folder).count > 90)
        #expect(try AuditQuery().page(directory: folder.path).indexed > 90)
    }

    @Test func aChangedRecordIsNotShown() throws {
        let folder = try Folder()
        try LogIndexer(directory: folder.path).catchUp()
        let segment = try #require(
            try folder.segments().first {
                try String(contentsOfFile: $0, encoding: .utf8).contains("payroll.service")
            }
        )
        let bytes = try #require(FileManager.default.contents(atPath: segment))
        var query = AuditQuery()
        query.filter.operation = .secretRead
        let place = try #require(String(decoding: bytes, as: UTF8.self).utf8Offset(of: "payroll.service"))
        var changed = bytes
        changed[place] ^= 1
        try changed.write(to: URL(filePath: segment))
        #expect(throws: AuditError.self) { try Self.all(query, folder) }
        query.isScan = true
        #expect(throws: AuditError.self) { try Self.all(query, folder) }
    }

    @Test func anIndexThatIsDamagedForeignOrFalseOnlyCostsTime() throws {
        let folder = try Folder()
        var query = AuditQuery()
        query.filter.path = "secret/pay/*"
        let expected = try Self.all(query, folder)
        let indexer = LogIndexer(directory: folder.path)
        try indexer.catchUp()
        let good = try #require(FileManager.default.contents(atPath: folder.index))
        let other = try Folder()
        try LogIndexer(directory: other.path).catchUp()
        let foreign = try #require(FileManager.default.contents(atPath: other.index))
        for content in [Data(), Data("no database".utf8), Data(good.prefix(5000)), foreign, Data(count: 9000)] {
            try content.write(to: URL(filePath: folder.index))
            #expect(try Self.all(query, folder) == expected, "\(content.count)")
            let count = try LogIndexer(directory: folder.path).catchUp()
            #expect(count > 60)
            #expect(try Self.all(query, folder) == expected)
        }
        // Rows that point elsewhere: the record there is not the one, so the log itself is read.
        try FileManager.default.removeItem(atPath: folder.index)
        let honest = try LogIndexer(directory: folder.path).catchUp()
        let index = try RecordIndex(path: folder.index, isReader: false)
        let mark = try #require(try index.mark())
        var row = RecordIndex.Row(
            sequence: honest + 5,
            time: TestClock.start,
            operation: "secret.read",
            outcome: "granted",
            segment: 0,
            offset: 100
        )
        row.path = Array("secret/pay/1".utf8)
        try index.add([row], upTo: mark)
        #expect(try Self.all(query, folder) == expected)
    }

    @Test func indexingGoesOnWhereItWasInterrupted() throws {
        let folder = try Folder()
        let indexer = LogIndexer(directory: folder.path)
        #expect(try indexer.catchUp(to: 10) == 10)
        #expect(try LogIndexer(directory: folder.path).catchUp(to: 25) == 25)
        #expect(try indexer.catchUp(to: 5) == 25)
        let rest = try indexer.catchUp()
        #expect(try AuditQuery().page(directory: folder.path).indexed == rest)
        try indexer.remove()
        #expect(try AuditQuery().page(directory: folder.path).indexed == 0)
    }
}

extension String {
    fileprivate func utf8Offset(of text: String) -> Int? {
        range(of: text).map { utf8.distance(from: startIndex, to: $0.lowerBound) }
    }
}
