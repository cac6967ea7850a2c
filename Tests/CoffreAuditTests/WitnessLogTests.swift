import CoffreCrypto
import Synchronization
import Testing

@testable import CoffreAudit

/// A log and those who remember it.
@Suite struct WitnessLogTests {
    private static let hour: Int64 = 3_600_000_000

    /// A log on a disk in memory with witnesses that are turned to when the test says so.
    private final class Stage {
        let clock: TestClock
        let disk: MemoryDisk
        let witnesses: [TestWitness]
        let reports = Reports()
        let log: AuditLog

        init(
            _ witnesses: [TestWitness],
            on disk: MemoryDisk = MemoryDisk(),
            clock: TestClock,
            segmentBytes: Int = 1 << 20
        ) throws {
            (self.disk, self.witnesses, self.clock) = (disk, witnesses, clock)
            log = try AuditLog.open(Self.configuration(disk, witnesses, clock, reports, segmentBytes))
        }

        private static func configuration(
            _ disk: MemoryDisk,
            _ witnesses: [TestWitness],
            _ clock: TestClock,
            _ reports: Reports,
            _ segmentBytes: Int
        ) -> AuditLogConfiguration {
            var configuration = TestLog.configuration(disk, clock: clock, segmentBytes: segmentBytes)
            configuration.checkpointMilliseconds = 1
            var outside = OutsideConfiguration(
                send: { message in
                    guard case .addCheckpoint(let index, let body) = message else { return .failed("not a witness") }
                    return witnesses[index].receive(body)
                },
                report: { reports.add($0) }
            )
            outside.witnesses = witnesses.map(\.key)
            outside.tickMilliseconds = nil
            configuration.outside = outside
            return configuration
        }

        func append(_ count: Int = 1) {
            for number in 0..<count {
                let collected = Collected()
                log.append(TestLog.read("secret/\(number)")) { collected.add($0) }
                while collected.all.isEmpty { yieldThread() }
            }
        }

        /// Waits for a signed head of everything, then turns to the witnesses.
        func turn(after seconds: Int64 = 61) {
            clock.pass(seconds * 1_000_000)
            while log.health.checkpointSize < log.health.size { yieldThread() }
            log.outsideKeeper.turn(log.outsideLog)
        }

        var refused: AuditError? {
            let collected = Collected()
            log.append(TestLog.read("x")) { collected.add($0) }
            while collected.all.isEmpty { yieldThread() }
            guard case .failure(let error) = collected.all.first else { return nil }
            return error
        }
    }

    @Test func aHeadIsCosignedKeptAndRecorded() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.append(3)
        stage.turn()
        let status = try #require(stage.log.outside.first)
        #expect(status.level == .witness && status.error == nil && status.lastContact != nil)
        let known = witness.state.withLock { $0.size }
        #expect(status.lastSize == known && known > 0)
        // The note as it was, with one more line under it, which the key verifies.
        let cosigned = try #require(stage.disk["witness/checkpoint"])
        let head = try #require(SignedHead(note: cosigned, origin: TestLog.origin))
        #expect(head.size == known)
        let line = try #require(cosigned.split(separator: 0x0a).last) + [0x0a]
        #expect(try Cosignature.find(in: Array(line), by: witness.key, over: head.text).line == Array(line))
        stage.log.close()
        #expect(TestLog.lines(stage.disk).count { $0.contains(#""op":"witness.cosigned""#) } == 1)
        #expect(try TestLog.verify(stage.disk).findings == [])
        #expect(stage.reports.messages == [])
    }

    @Test func aLogThatDoesNotGrowIsNotSubmittedAgain() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.turn()
        #expect(witness.state.withLock { $0.submissions } == 1)
        for _ in 0..<5 { stage.turn() }
        // Its own record of the cosignature is no growth.
        #expect(witness.state.withLock { $0.submissions } == 1)
        stage.append()
        stage.turn(after: 1)
        #expect(witness.state.withLock { $0.submissions } == 2)
    }

    @Test(arguments: [1, 2, 5, 16, 33, 64])
    func everyProofHoldsWhateverTheWitnessKnows(step: Int) throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        // Small segments, so that proofs begin in the middle of the log.
        let stage = try Stage([witness], clock: clock, segmentBytes: 4000)
        for _ in 0..<8 {
            stage.append(step)
            stage.turn()
            #expect(stage.log.outside.first?.error == nil)
        }
        #expect(witness.state.withLock { $0.contradictions } == 0)
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func everyPairOfSizesIsProvedFromTheSegments() throws {
        let disk = MemoryDisk()
        let log = try TestLog.open(disk, segmentBytes: 3000)
        for number in 0..<40 {
            let collected = Collected()
            log.append(TestLog.read("secret/\(number)")) { collected.add($0) }
            while collected.all.isEmpty { yieldThread() }
        }
        log.close()
        #expect(disk.paths(ending: ".seal").count > 5)
        let leaves = TestLog.lines(disk).map { line in
            Array(line.utf8).withUnsafeBytes { TreeHash.leaf($0) }
        }
        var frontiers = [Frontier()]
        for leaf in leaves {
            var next = frontiers[frontiers.count - 1]
            next.append(leaf: leaf)
            frontiers.append(next)
        }
        let prover = ConsistencyProver(files: disk)
        for new in 1..<frontiers.count {
            let head = Checkpoint(frontiers[new])
            for old in 0...new {
                let proof = try prover.proof(from: UInt64(old), to: head)
                let holds = TreeProof.isConsistent(
                    old: UInt64(old),
                    frontiers[old].root,
                    new: UInt64(new),
                    head.root,
                    proof: proof
                )
                #expect(holds, "\(old) to \(new)")
            }
        }
        #expect(throws: AuditError.self) {
            var other = frontiers[leaves.count - 1]
            other.append(leaf: .zero)
            _ = try prover.proof(from: 3, to: Checkpoint(other))
        }
    }

    @Test func aWitnessThatSaysMoreEndsTheWriting() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.append(2)
        let size = stage.log.health.size
        witness.knows(size + 50, .zero)
        stage.turn()
        let error = try #require(stage.refused)
        #expect(error.message.contains(witness.key.name) && error.message.contains("\(size + 50)"))
        #expect(!stage.log.health.isWritable)
        #expect(
            stage.log.outside.first?.isContradicting == true
                && stage.log.outside.first?.level == OutsideStatus.Level.none
        )
        #expect(stage.reports.alarms.count == 1)
        stage.log.close()
        // Not one record more.
        #expect(TestLog.lines(stage.disk).count == Int(size))
        // The next start asks before it writes, and does not believe silence.
        witness.behave(.unreachable)
        #expect(throws: AuditError.self) { _ = try Stage([witness], on: stage.disk.afterKill(), clock: clock) }
        witness.behave(.honest)
        #expect(throws: AuditError.self) { _ = try Stage([witness], on: stage.disk.afterKill(), clock: clock) }
        witness.knows(0, .zero)
        let again = try Stage([witness], on: stage.disk.afterKill(), clock: clock)
        #expect(again.log.outside.first?.isContradicting == false)
    }

    @Test func aRolledBackLogIsRefusedBeforeAnythingIsChanged() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.append(3)
        stage.turn()
        let snapshot = stage.disk.afterKill()
        stage.append(20)
        stage.turn()
        stage.log.close()
        let before = Dictionary(uniqueKeysWithValues: snapshot.paths().map { ($0, snapshot[$0] ?? []) })
        let error = #expect(throws: AuditError.self) { _ = try Stage([witness], on: snapshot, clock: clock) }
        guard case .contradicted(let name, let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(name == witness.key.name && reason.contains("only"))
        for (path, bytes) in before where path.hasPrefix("seg/") || path == "checkpoint" {
            #expect(snapshot[path] == bytes, "\(path)")
        }
        // Without a witness nobody can tell (case 7).
        #expect(throws: Never.self) { _ = try Stage([], on: snapshot.afterKill(), clock: clock) }
    }

    @Test func aForkIsRefusedWhateverItsLength() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.append(3)
        let snapshot = stage.disk.afterKill()
        stage.append(5)
        stage.turn()
        stage.log.close()
        // The copy goes on by itself, past the other's length.
        let fork = try Stage([], on: snapshot, clock: clock)
        fork.append(40)
        fork.log.close()
        let error = #expect(throws: AuditError.self) {
            _ = try Stage([witness], on: snapshot.afterKill(), clock: clock)
        }
        #expect(error?.message.contains("other records") == true)
    }

    @Test(arguments: [
        TestWitness.Behaviour.wrongKey, .future(7200), .strangers(10_000), .unreachable,
        .answers(status: 200, type: "text/plain", body: ""),
        .answers(status: 409, type: "text/x.tlog.size", body: "not a number\n"),
        .answers(status: 500, type: "", body: "x"),
        .answers(status: 200, type: "text/plain", body: String(repeating: "— a b\n", count: 10_000)),
    ])
    func aWitnessThatIsOfNoUseStopsNothing(behaviour: TestWitness.Behaviour) throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        witness.behave(behaviour)
        let stage = try Stage([witness], clock: clock)
        stage.append(2)
        stage.turn()
        #expect(stage.refused == nil && stage.log.health.isWritable)
        let status = try #require(stage.log.outside.first)
        #expect(status.error != nil && status.level == .none && !status.isOverdue)
        #expect(stage.disk["witness/checkpoint"] == nil)
        // After a day without a cosignature there is an alarm, once a day.
        let early = stage.reports.messages.count { $0.contains("within the window") }
        stage.turn(after: 86_400)
        stage.turn(after: 60)
        #expect(early == 0)
        #expect(stage.reports.messages.count { $0.contains("within the window") } == 1)
        #expect(stage.log.outside.first?.isOverdue == true)
        // Then it comes to its senses; what it has signed in between it signs again.
        witness.behave(.honest)
        stage.append()
        stage.turn(after: 3700)
        #expect(stage.log.outside.first?.level == .witness && stage.log.outside.first?.isOverdue == false)
        stage.log.close()
        #expect(try TestLog.verify(stage.disk).findings == [])
    }

    @Test func twoWitnessesStandUnderOneNote() throws {
        let clock = TestClock()
        let witnesses = try [TestWitness("a.example", clock: clock), TestWitness("b.example", clock: clock)]
        let stage = try Stage(witnesses, clock: clock)
        stage.append(2)
        stage.turn()
        let cosigned = try #require(stage.disk["witness/checkpoint"])
        let head = try #require(SignedHead(note: cosigned, origin: TestLog.origin))
        let lines = String(decoding: cosigned, as: UTF8.self).split(separator: "\n")
        for witness in witnesses {
            let line = try #require(lines.first { $0.hasPrefix("— \(witness.key.name) ") })
            _ = try Cosignature.find(in: Array("\(line)\n".utf8), by: witness.key, over: head.text)
        }
        #expect(throws: AuditError.self) {
            _ = try Stage([witnesses[0], TestWitness("a.example", clock: clock)], clock: clock)
        }
    }

    @Test func aStateThatSomebodyHasChangedIsNoStateOfThisWitness() throws {
        let clock = TestClock()
        let witness = try TestWitness(clock: clock)
        let stage = try Stage([witness], clock: clock)
        stage.turn()
        stage.log.close()
        let disk = stage.disk.afterKill()
        let path = try #require(disk.paths().first { $0.hasPrefix("witness/w-") })
        disk[path] = Array("garbage".utf8)
        #expect(throws: AuditError.self) { _ = try Stage([witness], on: disk, clock: clock) }
    }

    @Test func aNewLogCitesTheOneThatItTakesThePlaceOf() throws {
        let old = MemoryDisk()
        let log = try TestLog.open(old)
        log.close()
        let note = try #require(old["checkpoint"])
        let continuation = try LogContinuation(notes: [note, note])
        func configuration(_ origin: String, _ disk: MemoryDisk) -> AuditLogConfiguration {
            var configuration = TestLog.configuration(disk, origin: origin)
            configuration.continues = continuation
            return configuration
        }
        #expect(throws: AuditError.self) { try AuditLog.open(configuration(TestLog.origin, MemoryDisk())) }
        let disk = MemoryDisk()
        try AuditLog.open(configuration("test.example/coffre-2", disk)).close()
        try AuditLog.open(configuration("test.example/coffre-2", disk.afterKill())).close()
        #expect(try TestLog.verify(disk).findings == [])
        let genesis = try #require(TestLog.lines(disk).first)
        let root = try #require(SignedHead(note: note, origin: TestLog.origin)).rootHash
        #expect(
            genesis.contains(#""continues/root":"\#(root)""#)
                && genesis.contains(#""continues/origin":"test.example/coffre""#)
        )
        #expect(genesis.contains(#""continues/witness/size":"#) && genesis.contains(#""continues/note":"#))
        for bad in [[], [note, note, note], [Array("x".utf8)], [Array(note.prefix(60))]] {
            #expect(throws: AuditError.self) { _ = try LogContinuation(notes: bad) }
        }
        let other = MemoryDisk()
        try AuditLog.open(TestLog.configuration(other, origin: "other.example/x")).close()
        #expect(throws: AuditError.self) { _ = try LogContinuation(notes: [note, try #require(other["checkpoint"])]) }
    }
}
