import CZstd
import CoffreCrypto
import Testing

@testable import CoffreAudit

/// Sealed segments are compressed; what they say stays the same, and no bit of the new file is free.
@Suite struct CompressedSegmentTests {
    /// A log of three sealed segments.
    private static func makeDisk(records: Int = 30) throws -> MemoryDisk {
        let disk = MemoryDisk()
        for _ in 0..<3 {
            let log = try TestLog.open(disk)
            for number in 0..<records { log.append(TestLog.read("secret/\(number)"), completion: { _ in }) }
            log.close()
        }
        return disk
    }

    private static func pack(_ disk: MemoryDisk) throws(AuditError) -> Int {
        let identity = LogIdentity(disk[LogIdentity.path] ?? [])
        guard let identity else { throw .failed(reason: "no log.vkey") }
        let epochs: EpochChain
        do throws(FileFailure) { epochs = try EpochChain.load(disk, identity).chain } catch { throw error.asAuditError }
        return try SegmentPacker(files: disk).run(epochs)
    }

    @Test func aPackedLogVerifiesReadsAndGoesOn() throws {
        let disk = try Self.makeDisk()
        let before = try TestLog.verify(disk)
        let lines = try Self.readLines(disk)
        #expect(try Self.pack(disk) == 2)
        #expect(disk.paths(ending: ".jsonl").count == 1)
        #expect(disk.paths(ending: ".jsonl.zst").count == 2)
        #expect(try TestLog.verify(disk) == before)
        #expect(try Self.readLines(disk) == lines)
        #expect(try Self.pack(disk) == 0)
        // All of them packed, a start has only the compressed end to look at.
        let log = try TestLog.open(disk)
        log.append(TestLog.read("secret/more"), completion: { _ in })
        log.close()
        #expect(try Self.pack(disk) == 1)
        let again = try TestLog.open(disk)
        again.close()
        #expect(try TestLog.verify(disk).isValid)
    }

    private static func readLines(_ disk: MemoryDisk) throws -> [[UInt8]] {
        var lines: [[UInt8]] = []
        let report = try LogVerifier(files: disk).verify(
            progress: nil,
            visit: { line, _ in
                lines.append(Array(line))
                return nil
            }
        )
        #expect(report.isValid && lines.count == Int(report.records))
        return lines
    }

    @Test func theVerdictDoesNotDependOnTheNumberOfJobs() throws {
        let disk = try Self.makeDisk()
        _ = try Self.pack(disk)
        let paths = disk.paths(ending: ".zst") + disk.paths(ending: ".jsonl") + disk.paths(ending: ".seal")
        for path in paths {
            let copy = disk.afterKill()
            var bytes = try #require(copy[path])
            bytes[bytes.count / 2] ^= 1
            copy[path] = bytes
            let one = try LogVerifier(files: copy).verify()
            #expect(!one.isValid, "\(path)")
            for jobs in 2...4 { #expect(try LogVerifier(files: copy, jobs: jobs).verify() == one, "\(path)") }
        }
    }

    @Test func everyBitOfACompressedFileCounts() throws {
        let disk = try Self.makeDisk(records: 4)
        _ = try Self.pack(disk)
        let path = try #require(disk.paths(ending: ".zst").first)
        let bytes = try #require(disk[path])
        func isAccepted() -> Bool {
            do throws(FileFailure) {
                return try CompressedFile(try disk.open(path, writable: false), path: path).isWhole()
            } catch {
                #expect(CompressedFile.isDamage(error))
                return false
            }
        }
        #expect(isAccepted())
        for index in bytes.indices {
            for bit in 0..<8 {
                var mutant = bytes
                mutant[index] ^= 1 << UInt8(bit)
                disk[path] = mutant
                #expect(!isAccepted(), "byte \(index), bit \(bit)")
            }
            if index.isMultiple(of: 7) {
                #expect(try TestLog.verify(disk).findings.first?.file == path, "byte \(index)")
            }
        }
        disk[path] = bytes
        #expect(try TestLog.verify(disk).isValid)
    }

    /// Hostile case 30.
    @Test func bombsTruncationTrailersAndSecondFramesAreRefused() throws {
        let disk = try Self.makeDisk(records: 4)
        let first = try #require(disk.paths(ending: ".jsonl").first)
        let raw = try #require(disk[first])
        _ = try Self.pack(disk)
        let path = try #require(disk.paths(ending: ".zst").first)
        let bytes = try #require(disk[path])
        let bomb = Self.frame([UInt8](repeating: 0x61, count: 1 << 28))
        let second = Self.frame(raw)
        var files: [[UInt8]] = [
            [], bomb, second, Self.container([bomb], rawBytes: raw.count), bytes + [0], bytes + second,
        ]
        files += [second + bytes, Self.container([second, second], rawBytes: SegmentContainer.frameBytes + raw.count)]
        files.append(Self.container([second], rawBytes: raw.count - 1))
        for length in stride(from: 0, to: bytes.count, by: 11) { files.append(Array(bytes[..<length])) }
        for file in files {
            disk[path] = file
            #expect(try TestLog.verify(disk).findings.first?.file == path, "\(file.count) bytes")
        }
        // Whole, and of other content than was sealed.
        var changed = raw
        changed[changed.count - 10] ^= 1
        disk[path] = Self.container([Self.frame(changed)], rawBytes: changed.count)
        #expect(try !TestLog.verify(disk).isValid)
        // Other frames with the same content are as good: the container says nothing of its own.
        disk[path] = Self.container([Self.frame(raw)], rawBytes: raw.count)
        #expect(try TestLog.verify(disk).isValid)
    }

    private static func frame(_ bytes: [UInt8]) -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        return [UInt8](unsafeUninitializedCapacity: bound) { target, count in
            count = ZSTD_compress(target.baseAddress, bound, bytes, bytes.count, 1)
        }
    }

    private static func container(_ frames: [[UInt8]], rawBytes: Int) -> [UInt8] {
        let table = SegmentContainer.table(frames.map { UInt32($0.count) }, rawBytes: rawBytes)
        let body = frames.flatMap { $0 }
        return body + SegmentContainer.digestHeader + SHA256.hash(body + table).bytes + table
    }

    /// The process is killed, or the disk fails, at every call of a run.
    @Test(arguments: [MemoryDisk.Trouble.kills, .fails(errno: 28), .fails(errno: 5), .writesHalf])
    func packingThatEndsAnywhereLosesNothing(trouble: MemoryDisk.Trouble) throws {
        let disk = try Self.makeDisk(records: 3)
        let whole = try TestLog.verify(disk)
        let counted = disk.afterKill()
        _ = try Self.pack(counted)
        let calls = counted.calls
        #expect(calls > 20)
        for call in 1...calls {
            let copy = disk.afterKill()
            copy.arrange(trouble, atCall: call)
            _ = try? Self.pack(copy)
            for after in [copy.afterKill(), copy.afterPowerCut()] {
                #expect(try TestLog.verify(after) == whole, "call \(call)")
                _ = try Self.pack(after)
                #expect(try TestLog.verify(after) == whole, "call \(call)")
                #expect(after.paths(ending: ".new").isEmpty)
                #expect(after.paths(ending: ".zst").count == 2)
                #expect(after.paths(ending: ".jsonl").count == 1)
            }
        }
    }

    @Test func aSegmentThatIsNotWhatWasSealedIsKeptAsItIs() throws {
        let disk = try Self.makeDisk(records: 3)
        let path = try #require(disk.paths(ending: ".jsonl").first)
        var bytes = try #require(disk[path])
        bytes[40] ^= 1
        disk[path] = bytes
        #expect(throws: AuditError.self) { try Self.pack(disk) }
        #expect(disk[path] == bytes)
    }

    @Test func framesOfEverySizeReadBackAtEveryOffset() throws {
        let frame = SegmentContainer.frameBytes
        for size in [1, frame - 1, frame, frame + 1, 2 * frame, 3 * frame + 7] {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 9) }
            let parts = stride(from: 0, to: size, by: frame).map {
                Self.frame(Array(bytes[$0..<min(size, $0 + frame)]))
            }
            let disk = MemoryDisk()
            disk["x.zst"] = Self.container(parts, rawBytes: size)
            let file = try CompressedFile(try disk.open("x.zst", writable: false), path: "x.zst")
            #expect(try file.size() == size)
            #expect(try file.isWhole())
            #expect(try file.bytes(at: 0, count: size + 10) == bytes)
            for offset in [0, 1, frame - 1, frame, frame + 1, size - 1] where offset < size {
                #expect(try file.bytes(at: offset, count: 5000) == Array(bytes[offset..<min(size, offset + 5000)]))
            }
            #expect(try file.bytes(at: size, count: 10).isEmpty)
        }
    }
}
