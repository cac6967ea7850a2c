import CoffreCrypto
import Testing

@testable import CoffreAudit

/// Days end, keys go, and what they have signed stays.
@Suite struct EpochTests {
    private static let day: Int64 = 86_400_000_000

    /// A log of as many days as `epochs`, two records a day.
    static func disk(_ epochs: Int, clock: TestClock = TestClock()) throws -> MemoryDisk {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, clock: clock)
        for epoch in 0..<epochs {
            if epoch > 0 { clock.pass(day) }
            for number in 0..<2 { try append(log, "secret/\(epoch)/\(number)") }
        }
        log.close()
        return disk
    }

    private static func append(_ log: AuditLog, _ path: String) throws {
        let collected = Collected()
        log.append(TestLog.read(path)) { collected.add($0) }
        while collected.all.isEmpty { yieldThread() }
        try #require(collected.receipts.count == 1, "\(collected.all)")
    }

    private static func signer(_ disk: MemoryDisk, clock: TestClock = TestClock()) throws -> LogSigner {
        let configuration = TestLog.configuration(disk, clock: clock)
        let keys = try LogKeys.load(from: disk, material: .file, create: false)
        let epochs = try EpochKeys.load(configuration, keys, create: false)
        return LogSigner(origin: TestLog.origin, keys: keys, epochs: epochs)
    }

    private static func chain(_ disk: MemoryDisk) throws -> EpochChain {
        let identity = try #require(disk[LogIdentity.path].flatMap { LogIdentity($0) })
        let (chain, defect) = try EpochChain.load(disk, identity)
        #expect(defect == nil)
        return chain
    }

    @Test func everyDayEndsWithOneSealAndItsKeyIsGone() throws {
        let clock = TestClock()
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, clock: clock)
        var seeds: [[UInt8]] = []
        for epoch in 0..<5 {
            if epoch > 0 { clock.pass(Self.day) }
            try Self.append(log, "secret/\(epoch)")
            let key = try Self.signer(disk).epochs
            #expect(key.number == UInt64(epoch) && key.pending == nil)
            seeds.append(key.live.withSeed { Array($0) })
        }
        log.close()
        let report = try TestLog.verify(disk)
        #expect(report.findings == [] && report.epochs == 5)
        #expect(disk.paths().filter { $0.hasPrefix("epochs/") }.count == 4)
        #expect(TestLog.lines(disk).count { $0.contains(#""op":"key.rotate""#) } == 4)
        for path in disk.paths() {
            let bytes = disk[path] ?? []
            for seed in seeds.dropLast() { #expect(!bytes.contains(seed), "\(path)") }
        }
        #expect(disk["keys/epoch.key"]?.contains(seeds[4]) == true)
        // It goes on with the key of today.
        let again = try TestLog.open(disk, clock: clock)
        try Self.append(again, "secret/again")
        again.close()
        #expect(try TestLog.verify(disk).findings == [])
    }

    @Test func aClockThatJumpsMakesOneEpochAndSkippedDaysAreNamed() throws {
        let clock = TestClock()
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, clock: clock)
        try Self.append(log, "a")
        clock.jump(by: 3650 * Self.day)
        try Self.append(log, "b")
        #expect(try Self.chain(disk).number == 1)
        clock.jump(by: -3650 * Self.day)
        try Self.append(log, "c")
        clock.jump(by: Self.day)
        try Self.append(log, "d")
        #expect(try Self.chain(disk).number == 1)
        clock.pass(Self.day / 2)
        try Self.append(log, "e")
        #expect(try Self.chain(disk).number == 2)
        log.close()
        #expect(try TestLog.verify(disk).findings == [])
        let skipped = TestLog.lines(disk).filter { $0.contains(#""op":"key.rotate""#) }
        #expect(skipped[0].contains(#""skipped":3649"#) && skipped[1].contains(#""skipped":0"#))
    }

    @Test func whoHasTodaysKeysCannotSignForYesterday() throws {
        let clock = TestClock()
        let disk = try Self.disk(4, clock: clock)
        let (signer, chain) = (try Self.signer(disk, clock: clock), try Self.chain(disk))
        for path in disk.paths(ending: ".seal").sorted() {
            let copy = disk.afterKill()
            let seal = try #require(SegmentSeal(note: disk[path] ?? [], epochs: chain))
            copy[path] = seal.note(signer)
            let isToday = seal.last >= chain.sealedSize
            let report = try TestLog.verify(copy)
            #expect(report.isValid == isToday, "\(path)")
            if !isToday { #expect(report.findings.first?.file == path) }
        }
        for seal in chain.seals {
            let copy = disk.afterKill()
            let note = seal.checkpoint.note(signer)
            let parts = try #require(TlogProof.parts(seal.text))
            copy[EpochSeal.path(seal.number)] = TlogProof.text(
                extra: parts.extra,
                index: parts.index,
                path: parts.path,
                checkpoint: note
            )
            #expect(!(try TestLog.verify(copy).isValid))
        }
        // A checkpoint over what an earlier epoch has signed.
        let copy = disk.afterKill()
        copy[Checkpoint.path] = chain.seals[1].checkpoint.note(signer)
        #expect(try TestLog.verify(copy).findings.first?.file == Checkpoint.path)
    }

    @Test func aLogThatIsCutAtTheEndOfAnEpochIsNotContinuedWithAnotherKey() throws {
        let clock = TestClock()
        let disk = try Self.disk(4, clock: clock)
        let chain = try Self.chain(disk)
        let cut = disk.afterKill()
        for path in disk.paths() {
            let isLater = path.hasPrefix("seg/") && (path.split(separator: "/").last ?? "") >= "000000000009"
            if isLater || path == EpochSeal.path(1) || path == EpochSeal.path(2) { cut[path] = nil }
        }
        cut[Checkpoint.path] = nil
        #expect(try TestLog.verify(cut).findings.first?.reason.contains("missing") == true)
        #expect(throws: AuditError.self) { try TestLog.open(cut, clock: clock) }
        // Also not when today's key signs the head of what is left.
        cut[Checkpoint.path] = chain.seals[0].checkpoint.note(try Self.signer(disk, clock: clock))
        #expect(!(try TestLog.verify(cut).isValid))
        #expect(throws: AuditError.self) { try TestLog.open(cut, clock: clock) }
    }

    @Test func aMissingASurplusAndEveryChangedSealOfAnEpochIsFound() throws {
        let clock = TestClock()
        let disk = try Self.disk(3, clock: clock)
        for number in UInt64(0)..<2 {
            let path = EpochSeal.path(number)
            let original = try #require(disk[path])
            let without = disk.afterKill()
            without[path] = nil
            #expect(!(try TestLog.verify(without).isValid))
            #expect(throws: AuditError.self) { try TestLog.open(without, clock: clock) }
            let twice = disk.afterKill()
            twice[EpochSeal.path(2)] = original
            #expect(try TestLog.verify(twice).findings.first?.file == EpochSeal.path(2))
            let mutant = disk.afterKill()
            for place in original.indices {
                for bit in 0..<8 {
                    var changed = original
                    changed[place] ^= 1 << bit
                    mutant[path] = changed
                    let report = try TestLog.verify(mutant)
                    #expect(!report.isValid, "bit \(bit) of byte \(place)")
                }
            }
        }
        let foreign = disk.afterKill()
        foreign["epochs/notes.txt"] = [0x0a]
        #expect(!(try TestLog.verify(foreign).isValid))
    }

    @Test func theProofOfAnEndHoldsInATreeOfAnySize() throws {
        let keys = (0..<3).map { _ in SigningKey() }
        let next = NoteVerifierKey(name: LogIdentity.epochName(TestLog.origin, 1), publicKey: keys[2].publicKey)
        let signers = [
            (TestLog.origin, keys[0]), (LogIdentity.epochName(TestLog.origin, 0), keys[1]), (next.name, keys[2]),
        ]
        let verifiers = signers.prefix(2).map { NoteVerifierKey(name: $0.0, publicKey: $0.1.publicKey) }
        let encoder = LineEncoder(
            digestKey: HMACKey(SecretBytes.key(count: 32) { $0.copyBytes(from: [UInt8](repeating: 7, count: 32)) })
        )
        var tree = Frontier()
        for size in UInt64(1)..<70 {
            tree.append(leaf: SHA256.hash(Array("\(size)".utf8)))
            var buffer = ByteBuffer(capacity: 4096)
            let record = PendingRecord.rotation(to: next, epoch: 1, skipped: 0)
            let time = BatchTime(TestClock())
            _ = try encoder.append(record.draft, sequence: size, previous: .zero, at: time, to: &buffer)
            for after in [nil, SHA256.hash([1])] {
                let text = RecordProof.text(
                    line: Array(buffer.bytes),
                    before: tree,
                    next: after,
                    origin: TestLog.origin,
                    signers: signers
                )
                let seal = EpochSeal(text, number: 0, origin: TestLog.origin, signers: verifiers)
                #expect(seal?.index == size && seal?.nextKey == next, "\(size)")
                #expect(EpochSeal(text, number: 1, origin: TestLog.origin, signers: verifiers) == nil)
            }
        }
    }

    @Test func aLogOfBeforeEpochsHadAFileGoesOn() throws {
        let clock = TestClock()
        let disk = try Self.disk(1, clock: clock)
        let signer = try Self.signer(disk, clock: clock)
        let seed = signer.epochs.live.withSeed { Array($0) }
        let file = KeyFile(path: LogKeys.path, name: "coffre-log-keys 1", publicCount: 32, secretCount: 128)
        let stored = try file.read(disk, .file)
        let (publicPart, secret) = try #require(stored)
        var bytes = secret.withBytes { Array($0) }
        bytes.replaceSubrange(32..<64, with: seed)
        try file.store(publicPart, SharedSecret(copying: bytes), disk, .file)
        disk[EpochKeys.path] = nil
        let log = try TestLog.open(disk, clock: clock)
        try Self.append(log, "a")
        log.close()
        #expect(disk.paths().allSatisfy { !(disk[$0] ?? []).contains(seed) })
        let report = try TestLog.verify(disk)
        #expect(report.findings == [] && report.epochs == 2)
    }

    @Test func aLostOrOldKeyOfAnEpochIsRefused() throws {
        let clock = TestClock()
        let disk = try Self.disk(1, clock: clock)
        let old = disk[EpochKeys.path]
        clock.pass(Self.day)
        let log = try TestLog.open(disk, clock: clock)
        try Self.append(log, "a")
        log.close()
        let size = TestLog.lines(disk).count
        for content in [nil, old, Array(repeating: 0, count: 200)] {
            let copy = disk.afterKill()
            copy[EpochKeys.path] = content
            #expect(throws: AuditError.self) { try TestLog.open(copy, clock: clock) }
            #expect(TestLog.lines(copy).count == size)
        }
        let wrapped = disk.afterKill()
        let credential = AuditLogConfiguration.KeyMaterial.credential(
            SharedSecret(copying: [UInt8](repeating: 9, count: 32))
        )
        try AuditLog.open(TestLog.configuration(wrapped, clock: clock, keys: credential)).close()
        #expect(wrapped[EpochKeys.path]?.starts(with: "coffre-epoch-key 1 credential\n".utf8) == true)
        #expect(throws: AuditError.self) { try TestLog.open(wrapped, clock: clock) }
    }
}
