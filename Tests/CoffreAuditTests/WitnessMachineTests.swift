import CoffreCrypto
import Testing

@testable import CoffreAudit

@Suite struct WitnessMachineTests {
    private static let now: Int64 = 1_795_452_011
    private static let text = Array("test.example/coffre\n20\n\(Base64.encode(root.bytes))\n".utf8)
    private static let root = SHA256.hash([1])
    private static let head = WitnessMachine.Head(size: 20, root: root, text: text)

    private let witness: TestWitness
    private var machine: WitnessMachine

    init() throws {
        witness = try TestWitness(clock: TestClock())
        machine = WitnessMachine(key: witness.key, state: WitnessState(key: witness.key))
    }

    private mutating func remember(_ size: UInt64) {
        machine = WitnessMachine(
            key: witness.key,
            state: WitnessState(key: witness.key, size: size, root: SHA256.hash([2]), time: 5)
        )
    }

    private func reply(_ status: Int, _ body: String = "", _ type: String = "text/x.tlog.size") -> WitnessMachine.Answer
    {
        .replied(status: status, contentType: type, body: Array(body.utf8))
    }

    private func isRest(_ action: WitnessMachine.Action) -> Bool { action == .rest }

    @Test mutating func aCosignatureIsKeptAndRemembered() throws {
        #expect(machine.submit(Self.head) == .send(old: 0))
        let line = witness.line(over: Self.text, at: UInt64(Self.now))
        let action = machine.received(reply(200, line), at: Self.now)
        #expect(action == .keep(Cosignature(line: Array(line.utf8), time: UInt64(Self.now))))
        #expect(machine.state == WitnessState(key: witness.key, size: 20, root: Self.root, time: Self.now))
        #expect(machine.error == nil)
        #expect(machine.submit(Self.head) == .send(old: 20))
    }

    @Test mutating func aWitnessThatKnowsMoreStopsTheLog() {
        _ = machine.submit(Self.head)
        let refusal = WitnessState.Refusal(theirs: 21, ours: 20, kind: .longer)
        #expect(machine.received(reply(409, "21\n"), at: Self.now) == .stop(refusal))
        #expect(machine.state.refusal == refusal)
        #expect(refusal.reason.contains("21") && refusal.reason.contains("20"))
    }

    @Test mutating func aWitnessThatKnowsLessGetsTheProofItNeeds() {
        _ = machine.submit(Self.head)
        #expect(machine.received(reply(409, "7\n"), at: Self.now) == .send(old: 7))
        let line = witness.line(over: Self.text, at: UInt64(Self.now))
        guard case .keep = machine.received(reply(200, line), at: Self.now) else {
            Issue.record("not kept")
            return
        }
    }

    @Test mutating func aProofRefusedForTheSizeThatItNamedStopsTheLog() {
        _ = machine.submit(Self.head)
        _ = machine.received(reply(409, "7\n"), at: Self.now)
        let refusal = WitnessState.Refusal(theirs: 7, ours: 20, kind: .other)
        #expect(machine.received(reply(422), at: Self.now) == .stop(refusal))
    }

    @Test mutating func aProofRefusedForTheSizeThatWeRememberIsAskedAboutFirst() {
        remember(9)
        #expect(machine.submit(Self.head) == .send(old: 9))
        #expect(machine.received(reply(422), at: Self.now) == .send(old: 0))
        #expect(machine.received(reply(409, "9\n"), at: Self.now) == .send(old: 9))
        guard case .stop = machine.received(reply(422), at: Self.now) else {
            Issue.record("not stopped")
            return
        }
    }

    @Test mutating func anotherRootOfTheSameSizeStopsTheLog() {
        remember(20)
        #expect(machine.submit(Self.head) == .send(old: 20))
        let refusal = WitnessState.Refusal(theirs: 20, ours: 20, kind: .other)
        #expect(machine.received(reply(409, "20\n"), at: Self.now) == .stop(refusal))
    }

    @Test mutating func anOlderSizeIsALieAndNoReasonToStop() {
        remember(9)
        _ = machine.submit(Self.head)
        #expect(isRest(machine.received(reply(409, "8\n"), at: Self.now)))
        #expect(machine.isMisbehaving && machine.error?.contains("forgotten") == true)
        #expect(machine.state.size == 9 && machine.state.refusal == nil)
    }

    @Test mutating func sizesThatChangeAllTheTimeComeToAnEnd() {
        _ = machine.submit(Self.head)
        var rounds = 0
        var action = machine.received(reply(409, "1\n"), at: Self.now)
        while case .send = action {
            rounds += 1
            action = machine.received(reply(409, "\(rounds % 2 + 1)\n"), at: Self.now)
        }
        #expect(rounds <= 4 && machine.isMisbehaving)
    }

    @Test mutating func aTimeToComeIsALie() {
        _ = machine.submit(Self.head)
        let line = witness.line(over: Self.text, at: UInt64(Self.now) + 3600)
        #expect(isRest(machine.received(reply(200, line), at: Self.now)))
        #expect(machine.isMisbehaving && machine.error?.contains("to come") == true)
        // Clocks differ a little.
        _ = machine.submit(Self.head)
        let near = witness.line(over: Self.text, at: UInt64(Self.now) + 60)
        guard case .keep = machine.received(reply(200, near), at: Self.now) else {
            Issue.record("not kept")
            return
        }
    }

    @Test(arguments: [
        "", "x", "12", "012\n", "+12\n", "-1\n", "99999999999999999999999\n", "12\n\n", " 12\n", "12 \n",
    ])
    mutating func aSizeThatIsNoneIsALie(body: String) {
        _ = machine.submit(Self.head)
        #expect(isRest(machine.received(reply(409, body), at: Self.now)))
        #expect(machine.isMisbehaving)
    }

    @Test mutating func a409OfAnotherTypeNamesNoSize() {
        _ = machine.submit(Self.head)
        #expect(isRest(machine.received(reply(409, "99\n", "text/plain"), at: Self.now)))
        #expect(machine.state.refusal == nil)
    }

    @Test(arguments: [403, 404, 500, 302, 200])
    mutating func whateverElseItAnswersIsNoCosignature(status: Int) {
        _ = machine.submit(Self.head)
        #expect(isRest(machine.received(reply(status, "x"), at: Self.now)))
        #expect(machine.error != nil && machine.state.size == 0)
    }

    @Test mutating func silenceIsNoLie() {
        _ = machine.submit(Self.head)
        #expect(isRest(machine.received(.unreachable("nobody"), at: Self.now)))
        #expect(!machine.isMisbehaving && machine.error == "nobody")
    }

    @Test mutating func aLogThatIsShorterThanOurMemoryAsksFromItsOwnEnd() {
        remember(30)
        #expect(machine.submit(Self.head) == .send(old: 20))
        guard case .stop = machine.received(reply(409, "30\n"), at: Self.now) else {
            Issue.record("not stopped")
            return
        }
    }

    @Test mutating func aCosignatureEndsARefusal() {
        _ = machine.submit(Self.head)
        _ = machine.received(reply(409, "21\n"), at: Self.now)
        _ = machine.submit(Self.head)
        _ = machine.received(reply(200, witness.line(over: Self.text, at: UInt64(Self.now))), at: Self.now)
        #expect(machine.state.refusal == nil)
    }
}

@Suite struct CosignatureTests {
    private static let text = Array("test.example/coffre\n20\n\(Base64.encode(SHA256.hash([1]).bytes))\n".utf8)

    /// A key of the public witness network, as its operator publishes it.
    @Test func aPublishedKeyIsRead() throws {
        let text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
        let key = try #require(CosignerKey(text))
        #expect(key.text == text && key.name == "remora.n621.de" && key.fileName == "w-remora.n621.de-da77ade7")
    }

    @Test(arguments: [
        "remora.n621.de+da77ade8+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw3",
        "remora.n621.de+DA77ADE7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "remora.n621.de+da77ade7+AevN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "remora.n621.de+da77ade7", "",
    ])
    func aKeyThatIsNoneIsRefused(text: String) { #expect(CosignerKey(text) == nil) }

    @Test func everyChangedBitOfASignatureLineIsNoticed() throws {
        let witness = try TestWitness(clock: TestClock())
        let line = Array(witness.line(over: Self.text, at: 1_795_452_011).utf8)
        #expect(try Cosignature.find(in: line, by: witness.key, over: Self.text).time == 1_795_452_011)
        for place in line.indices {
            for bit in 0..<8 {
                var changed = line
                changed[place] ^= 1 << UInt8(bit)
                #expect(throws: Cosignature.Defect.self) {
                    try Cosignature.find(in: changed, by: witness.key, over: Self.text)
                }
            }
        }
        #expect(throws: Cosignature.Defect.self) {
            try Cosignature.find(in: line, by: witness.key, over: Self.text.dropLast() + [0x0a, 0x0a])
        }
    }

    @Test func linesOfStrangersAreIgnoredAndFloodsRefused() throws {
        let witness = try TestWitness(clock: TestClock())
        let own = witness.line(over: Self.text, at: 5)
        let stranger = "— stranger.example/w \(Base64.encode([UInt8](repeating: 7, count: 76)))\n"
        func find(_ count: Int) throws -> Cosignature {
            let body = String(repeating: stranger, count: count) + own
            return try Cosignature.find(in: Array(body.utf8), by: witness.key, over: Self.text)
        }
        #expect(try find(15).time == 5)
        #expect(throws: Cosignature.Defect("its answer has more than 16 signature lines")) { try find(16) }
        #expect(throws: Cosignature.Defect.self) { try find(10_000) }
        #expect(throws: Cosignature.Defect("its answer has no signature of the key in the configuration")) {
            try Cosignature.find(in: Array(stranger.utf8), by: witness.key, over: Self.text)
        }
    }

    @Test func whatIsRememberedIsReadBackAndNothingElse() throws {
        let key = try #require(CosignerKey("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"))
        let refusal = WitnessState.Refusal(theirs: 12, ours: 10, kind: .longer)
        for state in [
            WitnessState(key: key), WitnessState(key: key, size: 12, root: SHA256.hash([1]), time: 7, refusal: refusal),
        ] {
            #expect(WitnessState(state.text) == state)
            for place in state.text.indices {
                for value in [UInt8(0), 0x0a, 0x20, 0x2b, 0x39, 0xff, state.text[place] ^ 1] {
                    var changed = state.text
                    changed[place] = value
                    if let read = WitnessState(changed) { #expect(read.text == changed) }
                    changed.remove(at: place)
                    if let read = WitnessState(changed) { #expect(read.text == changed) }
                }
                #expect(WitnessState(Array(state.text[..<place])) == nil)
            }
        }
    }

    @Test func pausesGrowToAnHourAndASuccessEndsThem() {
        var schedule = OutsideSchedule(period: 60)
        var now: UInt64 = 100
        var pauses: [UInt64] = []
        for _ in 0..<14 {
            #expect(schedule.isDue(at: now))
            schedule.failed(at: now)
            let start = now
            while !schedule.isDue(at: now) { now += 1 }
            pauses.append(now - start)
        }
        #expect(pauses.prefix(4) == [5, 10, 20, 40] && pauses.suffix(3) == [3600, 3600, 3600])
        schedule.succeeded(at: now)
        #expect(!schedule.isDue(at: now + 59) && schedule.isDue(at: now + 60))
    }
}
