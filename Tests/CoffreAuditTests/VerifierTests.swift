import CoffreAudit
import CoffreCrypto
import CoffreTestSupport
import Foundation
import Testing

/// Every change of a sealed log is found, by both verifiers.
@Suite struct VerifierTests {
    /// Twelve records of many kinds in two sealed segments.
    static func sealedLog() throws -> MemoryDisk {
        let disk = MemoryDisk()
        let clock = TestClock()
        let log = try TestLog.open(disk, clock: clock)
        _ = try log.subject(kind: .human, uid: 1000, entity: nil, card: [1])
        var change = TestLog.read("é/\u{1B}", connector: "c-\"1\\")
        change.phase = .outcome
        change.generation = 7
        change.references = [3]
        log.append(change) { _ in }
        log.close()
        let second = try TestLog.open(disk, clock: clock)
        second.append(
            AuditDraft(
                .authFail,
                outcome: .denied,
                error: "no",
                correlation: "0123456789abcdef",
                acceptedAt: 0,
                who: .system
            )
        ) { _ in }
        second.close()
        return disk
    }

    static func isLogFile(_ path: String) -> Bool {
        path.hasPrefix("seg/") || path.hasPrefix("epochs/") || ["log.vkey", "checkpoint"].contains(path)
    }

    @Test func theLogIsLargeEnoughAndValid() throws {
        let report = try TestLog.verify(try Self.sealedLog())
        #expect(report.findings == [])
        #expect(report.records == 12)
        #expect(report.sealedSegments == 2)
        #expect(report.openSegment == nil)
    }

    /// One bit of each byte; all of them with `COFFRE_SOAK` set, and with an optimised verifier in LogTortureTests.
    private static func isTried(_ offset: Int, _ bit: Int) -> Bool {
        offset % 8 == bit || ProcessInfo.processInfo.environment["COFFRE_SOAK"] != nil
    }

    @Test(arguments: 0..<8)
    func everyFlippedBitIsFound(bit: Int) throws {
        let disk = try Self.sealedLog()
        for path in disk.paths() where Self.isLogFile(path) {
            let original = try #require(disk[path])
            for offset in original.indices where Self.isTried(offset, bit) {
                var bytes = original
                bytes[offset] ^= 1 << bit
                disk[path] = bytes
                let report = try TestLog.verify(disk)
                #expect(!report.isValid, "\(path), byte \(offset), bit \(bit)")
                // The finding names the record whose byte was changed, or the one after it that does not follow.
                if path.hasSuffix(".jsonl"), let found = report.findings.first {
                    let first = UInt64(path.split(separator: "/").last?.split(separator: ".").first ?? "") ?? 0
                    let place = first + UInt64(original[..<offset].count { $0 == 0x0a })
                    #expect(
                        found.record == nil || (place...(place + 1)).contains(found.record ?? 0)
                            || found.file.hasSuffix(".seal")
                    )
                }
            }
            disk[path] = original
        }
    }

    /// Named changes of the whole log.
    static let mutants: [(name: String, change: @Sendable (MemoryDisk) -> Void)] = [
        ("two records swapped", { edit($0) { $0.swapAt(3, 4) } }),
        ("a record dropped", { edit($0) { $0.remove(at: 2) } }),
        ("the first record dropped", { edit($0) { $0.remove(at: 0) } }),
        ("a record repeated", { edit($0) { $0.insert($0[2], at: 2) } }),
        ("a record replayed at the end", { edit($0) { $0.append($0[1]) } }),
        ("the last record dropped", { edit($0) { $0.removeLast() } }),
        ("all records dropped", { edit($0) { $0.removeAll() } }),
        ("a blank line", { edit($0) { $0.insert([], at: 2) } }),
        ("carriage returns", { edit($0) { $0[1].append(0x0d) } }),
        ("no last line feed", { disk in disk[data(disk)[0]]?.removeLast() }),
        ("renumbered and chained again", { disk in chainAgain(disk, dropping: 3) }),
        ("a trailing NUL", { disk in disk[data(disk)[1]]?.append(0) }),
        ("first segment removed", { disk in disk[data(disk)[0]] = nil }),
        (
            "first segment and seal removed",
            { disk in
                disk[data(disk)[0]] = nil
                disk[seals(disk)[0]] = nil
            }
        ),
        ("first seal removed", { disk in disk[seals(disk)[0]] = nil }),
        (
            "segments exchanged",
            { disk in
                let paths = data(disk)
                (disk[paths[0]], disk[paths[1]]) = (disk[paths[1]], disk[paths[0]])
            }
        ),
        (
            "seals exchanged",
            { disk in
                let paths = seals(disk)
                (disk[paths[0]], disk[paths[1]]) = (disk[paths[1]], disk[paths[0]])
            }
        ),
        (
            "a segment renamed",
            { disk in
                disk["seg/2026/11/23/000000000099.jsonl"] = disk[data(disk)[1]]
                disk[data(disk)[1]] = nil
            }
        ),
        ("a segment twice", { disk in disk["seg/2026/11/24/\(data(disk)[1].suffix(18))"] = disk[data(disk)[1]] }),
        ("a foreign file", { disk in disk["seg/2026/11/23/notes.txt"] = [1] }),
        (
            "a seal without signatures",
            { disk in
                let path = seals(disk)[1]
                let text = String(decoding: disk[path] ?? [], as: UTF8.self).components(separatedBy: "\n\n")[0]
                disk[path] = Array((text + "\n\n").utf8)
            }
        ),
        (
            "a seal without the epoch's signature",
            { disk in
                let path = seals(disk)[1]
                let lines = String(decoding: disk[path] ?? [], as: UTF8.self).split(
                    separator: "\n",
                    omittingEmptySubsequences: false
                )
                disk[path] = Array((lines.dropLast(2).joined(separator: "\n") + "\n").utf8)
            }
        ),
        (
            "a seal signed by other keys",
            { disk in
                let other = MemoryDisk()
                if let log = try? TestLog.open(other) {
                    log.close()
                    disk[seals(disk)[1]] = other[seals(other)[0]]
                }
            }
        ),
        (
            "another log's keys",
            { disk in
                let other = MemoryDisk()
                if let log = try? TestLog.open(other) {
                    log.close()
                    disk["log.vkey"] = other["log.vkey"]
                }
            }
        ),
        ("no keys", { disk in disk["log.vkey"] = nil }),
        ("empty keys", { disk in disk["log.vkey"] = [] }),
        (
            "one key",
            { disk in disk["log.vkey"] = disk["log.vkey"].map { Array($0[...($0.firstIndex(of: 0x0a) ?? 0)]) } }
        ),
    ]

    static func data(_ disk: MemoryDisk) -> [String] { disk.paths(ending: ".jsonl") }
    static func seals(_ disk: MemoryDisk) -> [String] { disk.paths(ending: ".seal") }

    static func edit(_ disk: MemoryDisk, _ change: (inout [[UInt8]]) -> Void) {
        let path = data(disk)[0]
        var lines = (disk[path] ?? []).split(separator: 0x0a).map { Array($0) }
        change(&lines)
        disk[path] = lines.flatMap { $0 + [0x0a] }
    }

    /// What somebody without the keys can do best: numbers and hashes are right again, the seals are not.
    static func chainAgain(_ disk: MemoryDisk, dropping index: Int) {
        edit(disk) { lines in
            lines.remove(at: index)
            var previous = Digest.zero
            for number in lines.indices {
                let text = String(decoding: lines[number], as: UTF8.self)
                let rest = text[(text.range(of: #","_t":"#)?.lowerBound ?? text.startIndex)...]
                lines[number] = Array(#"{"_p":"\#(Base64.encode(previous.bytes))","_s":\#(number)\#(rest)"#.utf8)
                previous = AuditLine.leafHash(of: lines[number])
            }
        }
    }

    @Test(arguments: mutants.indices)
    func everyNamedChangeIsFound(index: Int) throws {
        let disk = try Self.sealedLog()
        Self.mutants[index].change(disk)
        let report = try TestLog.verify(disk)
        #expect(!report.isValid, "\(Self.mutants[index].name)")
    }

    @Test func theFirstBadRecordIsNamed() throws {
        let disk = try Self.sealedLog()
        Self.edit(disk) { $0[3][200] ^= 1 }
        let first = try #require(try TestLog.verify(disk).findings.first)
        #expect(first.record == 3 || first.record == 4)
        #expect(first.file == Self.data(disk)[0])
        let dropped = try Self.sealedLog()
        Self.edit(dropped) { $0.remove(at: 2) }
        #expect(try TestLog.verify(dropped).findings.first?.record == 2)
    }

    @Test func aLogWithOtherKeysThanTheTrustedOnesIsUnknown() throws {
        let disk = try Self.sealedLog()
        let other = try Self.sealedLog()
        #expect(try LogVerifier(files: disk, trustedKeys: disk["log.vkey"]).verify().isValid)
        #expect(try LogVerifier(files: disk, trustedKeys: other["log.vkey"]).verify().isValid == false)
    }

    /// A line that nobody checks would be one in which anything may be written.
    @Test func aSignatureByAnUnknownKeyStandsOnlyInACheckpointThatWasKept() throws {
        let disk = try Self.sealedLog()
        let other = Array("\u{2014} witness.example AAAAAAAAAAA=\n".utf8)
        let kept = try #require(disk["checkpoint"])
        #expect(try LogVerifier(files: disk, checkpoint: kept + other).verify().findings == [])
        for path in [Self.seals(disk)[0], "checkpoint"] {
            let copy = disk.afterKill()
            copy[path]? += other
            #expect(try !TestLog.verify(copy).isValid, "\(path)")
        }
    }

    @Test func progressCountsUpToTheWholeLog() throws {
        let disk = try Self.sealedLog()
        var seen: [VerifyProgress] = []
        let report = try LogVerifier(files: disk).verify { seen.append($0) }
        #expect(seen.map(\.segments) == [1, 2])
        #expect(seen.last?.records == report.records)
        #expect(seen.allSatisfy { $0.allSegments == 2 })
    }

    /// The verifier written in Python from the format page, and one on Go's tree and note code, give the same verdict,
    /// size and root on every mutant.
    @Test func foreignVerifiersAgreeOnEveryMutant() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "coffre-mutants-\(Random.base62(8))")
        defer { try? FileManager.default.removeItem(at: folder) }
        var logs: [(disk: MemoryDisk, name: String)] = [(try Self.sealedLog(), "unchanged")]
        for mutant in Self.mutants {
            let disk = try Self.sealedLog()
            mutant.change(disk)
            logs.append((disk, mutant.name))
        }
        for seed in 0..<60 {
            let disk = try Self.sealedLog()
            let paths = disk.paths().filter(Self.isLogFile)
            let path = paths[seed % paths.count]
            let count = try #require(disk[path]).count
            let offset = Int(Random.number(below: UInt32(count)))
            disk[path]?[offset] ^= 1 << UInt8(seed % 8)
            logs.append((disk, "\(path), byte \(offset), bit \(seed % 8)"))
        }
        logs.append((try EpochTests.disk(3), "three epochs"))
        for seed in 0..<90 {
            let disk = try EpochTests.disk(3)
            let paths = disk.paths().filter(Self.isLogFile)
            let path = paths[seed % paths.count]
            let offset = Int(Random.number(below: UInt32(try #require(disk[path]).count)))
            disk[path]?[offset] ^= 1 << UInt8(seed % 8)
            logs.append((disk, "epochs: \(path), byte \(offset), bit \(seed % 8)"))
        }
        for path in try EpochTests.disk(3).paths() where path.hasPrefix("epochs/") || path == "checkpoint" {
            let disk = try EpochTests.disk(3)
            disk[path] = nil
            logs.append((disk, "without \(path)"))
        }
        let open = MemoryDisk()
        let log = try TestLog.open(open)
        log.append(TestLog.read("été/日本/\u{202E}\\")) { _ in }
        log.heartbeat([("z", .int(.min)), ("a", .bytes([0xff]))])
        let full = open
        logs.append((full.afterKill(), "open"))
        log.close()
        for (index, entry) in logs.enumerated() {
            for path in entry.disk.paths() where Self.isLogFile(path) {
                let file = folder.appending(path: "\(index)/\(path)")
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try Data(entry.disk[path] ?? []).write(to: file)
            }
        }
        let output = try Self.python(logs.indices.map { folder.appending(path: "\($0)").path() })
        #expect(output.count == logs.count)
        for (entry, result) in zip(logs, output) {
            let report = try TestLog.verify(entry.disk)
            #expect(result.valid == report.isValid, "\(entry.name): \(result) \(report.findings)")
            if report.isValid {
                #expect(result.records == report.records)
                #expect(result.root == report.rootHash)
                #expect(result.open == (report.openSegment != nil))
            }
        }
        #expect(output.first?.valid == true)
        #expect(output.last?.valid == true)
        let folders = logs.indices.map { folder.appending(path: "\($0)").path() }.joined(separator: "\n") + "\n"
        let go = try RunningProcess.run(try GoProgram.path("verify_log"), [], input: folders, timeout: 300)
        let lines = go.output.split(separator: "\n")
        try #require(lines.count == logs.count, "\(go.output.suffix(500))")
        for ((entry, result), line) in zip(zip(logs, output), lines) {
            let verdict = try JSONDecoder().decode(GoResult.self, from: Data(line.utf8))
            #expect(verdict.valid == result.valid, "\(entry.name): \(line) \(result)")
            if verdict.valid { #expect(verdict.records == result.records && verdict.root == result.root) }
        }
    }

    private struct GoResult: Decodable {
        let records: UInt64
        let root: String
        let valid: Bool
    }

    struct PythonResult: Decodable {
        let records: UInt64
        let root: String
        let open: Bool
        let valid: Bool
        let reason: String?
    }

    static func python(_ folders: [String]) throws -> [PythonResult] {
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Scripts/verify_log.py")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-I", script.path()] + folders
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try data.split(separator: 0x0a).map { try JSONDecoder().decode(PythonResult.self, from: $0) }
    }
}
