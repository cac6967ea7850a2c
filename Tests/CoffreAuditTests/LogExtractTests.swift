import CoffreCrypto
import Testing

@testable import CoffreAudit

/// A range of a log and what proves it, checked as a stranger would: from the lines and hashes handed out alone.
@Suite struct LogExtractTests {
    private static let always = LogExtract.Request(since: 0, until: .max)

    /// Twelve callers' records, four to a segment or so.
    private static func disk(_ clock: TestClock = TestClock()) throws -> MemoryDisk {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, clock: clock, segmentBytes: 2000)
        for number in 0..<12 {
            clock.pass(60_000_000)
            let path = number.isMultiple(of: 3) ? "secret/paie" : "secret/é\(number)"
            log.append(TestLog.read(path)) { _ in }
        }
        log.close()
        return disk
    }

    /// What somebody computes who has the proofs, the lines and the signed root.
    private static func isProved(_ extract: LogExtract, _ proofs: LogExtract.Proofs, _ lines: [[UInt8]]) -> Bool {
        guard let head = StrictBase64.decode(Array(extract.head.rootHash.utf8)).flatMap({ Digest($0) }) else {
            return false
        }
        var frontier = extract.start
        guard frontier.size == extract.range.lowerBound else { return false }
        for line in lines {
            let leaf: Digest? =
                line.first == 0x7b
                ? line.withUnsafeBytes { TreeHash.leaf($0) } : StrictBase64.decode(line).flatMap { Digest($0) }
            guard let leaf else { return false }
            frontier.append(leaf: leaf)
        }
        return frontier.size == extract.range.upperBound
            && TreeProof.isConsistent(
                old: frontier.size,
                frontier.root,
                new: extract.head.size,
                head,
                proof: proofs.toCheckpoint
            )
    }

    private static func read(_ extract: LogExtract) throws -> (proofs: LogExtract.Proofs, lines: [[UInt8]]) {
        var lines: [[UInt8]] = []
        let proofs = try extract.read { line in
            lines.append(Array(line))
            return true
        }
        return (try #require(proofs), lines)
    }

    @Test func everyRangeOfALogIsProvedAndNoChangedLineIs() throws {
        let disk = try Self.disk()
        let whole = try LogExtract.plan(disk, Self.always)
        #expect(whole.range == 0..<whole.head.size)
        let times = try Self.read(whole).lines.map { line in
            var form = RecordForm()
            #expect(line.withUnsafeBytes { form.read($0) } == nil)
            return form.time.microseconds
        }
        for begin in 0..<times.count {
            for end in begin + 1...times.count where times[end - 1] > times[begin] || end == begin + 1 {
                let extract = try LogExtract.plan(disk, .init(since: times[begin], until: times[end - 1] + 1))
                let (proofs, lines) = try Self.read(extract)
                #expect(Self.isProved(extract, proofs, lines))
                #expect(extract.bytes == UInt64(lines.reduce(0) { $0 + $1.count + 1 }))
                #expect(extract.shown == UInt64(lines.count))
                for place in lines.indices {
                    var forged = lines
                    forged[place][forged[place].count / 2] ^= 1
                    #expect(!Self.isProved(extract, proofs, forged))
                    forged = lines
                    forged.remove(at: place)
                    #expect(!Self.isProved(extract, proofs, forged))
                }
            }
        }
    }

    @Test func whatAFilterHidesIsStillCountedByItsHash() throws {
        let disk = try Self.disk()
        var request = Self.always
        request.filter.path = "secret/paie"
        let extract = try LogExtract.plan(disk, request)
        #expect(extract.shown == 4 && extract.single.count == 4)
        let (proofs, lines) = try Self.read(extract)
        #expect(lines.count == Int(extract.head.size))
        #expect(lines.filter { $0.first == 0x7b }.count == 4)
        #expect(extract.bytes == UInt64(lines.reduce(0) { $0 + $1.count + 1 }))
        #expect(Self.isProved(extract, proofs, lines))
        let root = try #require(StrictBase64.decode(Array(extract.head.rootHash.utf8)).flatMap { Digest($0) })
        for (index, path) in proofs.inclusion {
            let leaf = lines[Int(index)].withUnsafeBytes { TreeHash.leaf($0) }
            #expect(TreeProof.isIncluded(leaf, at: index, path: path, size: extract.head.size, root: root))
        }
    }

    @Test func eachConditionOfAFilterCounts() throws {
        let disk = try Self.disk()
        func shown(_ change: (inout RecordFilter) -> Void) throws -> UInt64 {
            var request = Self.always
            change(&request.filter)
            return try LogExtract.plan(disk, request).shown
        }
        #expect(try shown { $0.operation = .secretRead } == 12)
        #expect(try shown { $0.outcome = .denied } == 0)
        #expect(try shown { $0.path = "secret/*" } == 12)
        #expect(try shown { $0.path = "secret/é1" } == 1)
        #expect(try shown { $0.path = "secret/e\u{301}1" } == 0)
        #expect(try shown { $0.actor = "s-0123456789abcdefghijkl" } == 12)
        #expect(try shown { $0.actor = "s-nobody" } == 0)
        #expect(try shown { $0.connector = "c-none" } == 0)
    }

    @Test func aKeptCheckpointIsShownToBeContinued() throws {
        let clock = TestClock()
        let disk = try Self.disk(clock)
        let kept = try SignedHead.newest(disk)
        let log = try TestLog.open(disk, clock: clock)
        log.close()
        var request = Self.always
        request.previous = kept.note
        let extract = try LogExtract.plan(disk, request)
        let proofs = try Self.read(extract).proofs
        let old = try #require(StrictBase64.decode(Array(kept.rootHash.utf8)).flatMap { Digest($0) })
        let new = try #require(StrictBase64.decode(Array(extract.head.rootHash.utf8)).flatMap { Digest($0) })
        #expect(extract.previousSize == kept.size && kept.size < extract.head.size)
        #expect(
            TreeProof.isConsistent(
                old: kept.size,
                old,
                new: extract.head.size,
                new,
                proof: try #require(proofs.fromPrevious)
            )
        )
        request.previous = Array("nothing\n".utf8)
        #expect(throws: AuditError.self) { try LogExtract.plan(disk, request) }
    }

    @Test func recordsBehindTheSignedHeadAreLeftOutAndCounted() throws {
        let clock = TestClock()
        let disk = try Self.disk(clock)
        let head = try #require(disk[Checkpoint.path])
        let signed = try SignedHead.newest(disk)
        let log = try TestLog.open(disk, clock: clock, segmentBytes: 2000)
        var last: Int64 = 0
        for _ in 0..<5 {
            clock.pass(60_000_000)
            last = clock.realMicroseconds()
            log.append(TestLog.read("secret/late")) { _ in }
        }
        log.close()
        #expect(try LogExtract.plan(disk, Self.always).unsigned == 0)
        disk[Checkpoint.path] = head
        let extract = try LogExtract.plan(disk, Self.always)
        #expect(extract.range.upperBound == signed.size && extract.head == signed)
        // The five, and what opening and closing the log has added.
        #expect(extract.unsigned >= 5)
        let earlier = try LogExtract.plan(disk, .init(since: 0, until: last - 60_000_000))
        #expect(earlier.unsigned < extract.unsigned && earlier.unsigned > 0)
    }

    @Test func nothingIsMadeOfAnEmptyRangeAnUnknownKeyOrAnInterruptedReading() throws {
        let disk = try Self.disk()
        #expect(throws: AuditError.self) { try LogExtract.plan(disk, .init(since: 0, until: 1)) }
        var request = Self.always
        request.trustedKeys = Array("other\n".utf8)
        #expect(throws: AuditError.self) { try LogExtract.plan(disk, request) }
        let extract = try LogExtract.plan(disk, Self.always)
        var count = 0
        let proofs = try extract.read { _ in
            count += 1
            return count < 3
        }
        #expect(proofs == nil && count == 3)
    }
}
