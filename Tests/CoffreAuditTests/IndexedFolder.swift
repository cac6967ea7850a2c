import CoffreCrypto
import CoffreTestSupport
import Foundation

@testable import CoffreAudit
@testable import CoffreStorage

/// A log of three days in a real folder, some eighty records over several segments, and its index.
final class IndexedFolder {
    let path = FileManager.default.temporaryDirectory.path() + "/coffre-index-\(Random.base62(8))"
    let clock = TestClock()
    var index: String { path + "/" + LogIndexer.fileName }

    private static func cron(for person: String?) -> AuditWho {
        AuditWho(
            kind: .service,
            sid: "s-cronaaaaaaaaaaaaaaaaaaa",
            kernelSid: "s-kernelaaaaaaaaaaaaaaaaa",
            uid: 989,
            gid: 989,
            pid: 17,
            unit: "cron.service",
            team: "paie",
            tokenAccessor: "a-0123456789abcdef",
            forSid: person
        )
    }

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
            if number.isMultiple(of: 4) {
                draft.who = Self.cron(for: number.isMultiple(of: 8) ? "s-personaaaaaaaaaaaaaaaaa" : nil)
            }
            if number.isMultiple(of: 6) { draft.outcome = .denied }
            guard number.isMultiple(of: 4) else {
                log.append(draft) { _ in }
                continue
            }
            // A few at a time: a segment is looked at between two batches.
            let isDurable = DispatchSemaphore(value: 0)
            log.append(draft) { _ in isDurable.signal() }
            isDurable.wait()
        }
        log.close()
    }

    func segments() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: path).filter { $0.hasSuffix(".jsonl") }.sorted {
            lastPart(of: $0) < lastPart(of: $1)
        }.map { path + "/" + $0 }
    }

    /// Small blocks, so that a small log has many.
    @discardableResult
    func reindex(to size: UInt64? = nil) throws -> UInt64 {
        try LogIndexer(directory: path, blockRecords: 8).catchUp(to: size)
    }

    /// Runs SQL on the index, as somebody would who may write it.
    func tamper(_ sql: String) throws {
        try SQLiteConnection(path: index, isReader: false).execute(sql)
    }

    /// Every page of an answer: its lines, and why the index was not believed.
    func all(_ query: AuditQuery) throws -> (lines: [[UInt8]], distrust: [String]) {
        var query = query
        var (lines, distrust): ([[UInt8]], [String]) = ([], [])
        var next: UInt64? = 0
        while let begin = next {
            query.from = begin
            let page = try query.page(directory: path)
            precondition(page.lines.count <= query.limit)
            lines += page.lines
            if let reason = page.distrust { distrust.append(reason) }
            next = page.next
        }
        return (lines, distrust)
    }
}
