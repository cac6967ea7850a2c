import CoffreTestSupport
import Foundation
import Testing

/// A witness outside of the machine: what it adds, and what it may not take away.
struct WitnessBehaviourTests {
    private static func stage() throws -> WitnessStage {
        let stage = try WitnessStage()
        try stage.startWitness()
        try stage.configureWitness()
        return stage
    }

    private static func cosigned(_ stage: WitnessStage, atLeast size: Int = 1) throws {
        try eventually(within: 30, "the witness cosigns \(size) records") {
            let entry = try stage.entry("witness")
            return entry["level"] as? String == "witness" && entry["last_size"] as? Int ?? 0 >= size
        }
    }

    @Test func theHeadOfARunningLogIsCosigned() throws {
        let stage = try Self.stage()
        try stage.daemon.start()
        try stage.daemon.unseal()
        #expect(try stage.write() == 200)
        let size = try #require(try stage.status()["size"] as? Int)
        try Self.cosigned(stage, atLeast: size)
        #expect(try stage.status()["witness"] as? String == "witness")
        let note = try String(contentsOfFile: stage.daemon.auditFolder + "/witness/checkpoint", encoding: .utf8)
        #expect(note.contains("— witness.example/w1 "))
        #expect(note.hasPrefix("test.example/coffre\n"))
        #expect(
            try stage.daemon.records().contains { record in
                let what = record["what"] as? [String: Any]
                let details = what?["det"] as? [String: Any]
                return what?["op"] as? String == "witness.cosigned"
                    && details?["name"] as? String == "witness.example/w1"
            }
        )
        _ = try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    @Test func aMachineThatWasRolledBackDoesNotServe() throws {
        let stage = try Self.stage()
        try stage.daemon.start()
        try stage.daemon.unseal()
        try Self.cosigned(stage)
        try stage.daemon.stop()
        try stage.snapshot("old")
        try stage.daemon.start()
        try stage.daemon.unseal()
        for number in 0..<5 { #expect(try stage.write("n\(number)") == 200) }
        try Self.cosigned(stage, atLeast: try #require(try stage.status()["size"] as? Int))
        try stage.daemon.stop()

        // Files, keys, database and what was remembered of the witness: all from before.
        try stage.restore("old")
        #expect(throws: (any Error).self) { try stage.daemon.start() }
        #expect(stage.daemon.output.contains("contradicts its witness witness.example/w1"))
        // Without the witness nobody could tell: specification, case 7.
        try stage.snapshot("evidence")
        try stage.configure([])
        try stage.daemon.start()
        try stage.daemon.unseal()
        #expect(try stage.write() == 200)
        try eventually("the journal is what is left") { try stage.status()["witness"] as? String == "journal" }
        try stage.daemon.stop()
        // And the fork is found whatever it has grown to.
        try stage.configureWitness()
        #expect(throws: (any Error).self) { try stage.daemon.start() }
    }

    @Test func aCutOfTheCurrentEpochIsAcceptedAloneAndRefusedByTheWitness() throws {
        let stage = try Self.stage()
        try stage.daemon.start()
        try stage.daemon.unseal()
        for number in 0..<3 { #expect(try stage.write("n\(number)") == 200) }
        try Self.cosigned(stage, atLeast: try #require(try stage.status()["size"] as? Int))
        try stage.daemon.kill()
        try stage.stopWitness()

        // Root cuts the end off and takes along what would tell: checkpoint, seal and the memory of the witness.
        let folder = stage.daemon.auditFolder
        let names = try #require(FileManager.default.enumerator(atPath: folder + "/seg")).compactMap {
            ($0 as? String).map { folder + "/seg/" + $0 }
        }
        let segment = try #require(names.filter { $0.hasSuffix(".jsonl") }.max())
        let lines = try #require(FileManager.default.contents(atPath: segment)).split(separator: 0x0a)
        let handle = try #require(FileHandle(forWritingAtPath: segment))
        try handle.truncate(atOffset: UInt64(lines.prefix(3).reduce(0) { $0 + $1.count + 1 }))
        try handle.close()
        for path in ["/checkpoint", "/witness"] { try FileManager.default.removeItem(atPath: folder + path) }
        // The witness is away: the shorter log is served, and by itself it is whole (cases 4 and 5).
        try stage.daemon.start()
        try stage.daemon.unseal()
        #expect(try stage.write() == 200)
        // It comes back.
        try stage.startWitness()
        try eventually(within: 40, "writing ends") { try stage.write() != 200 }
        #expect(stage.daemon.output.contains("the log contradicts a witness"))
        #expect(try stage.daemon.request("GET", "secret/data/n0", token: stage.root).status == 500)
        try stage.daemon.stop()
        #expect(throws: (any Error).self) { try stage.daemon.start() }
        try stage.configure([])
        try stage.daemon.start()
        try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    @Test(arguments: ["wrong-key", "future", "flood", "redirect", "large", "older"])
    func aWitnessThatMisbehavesIsIgnored(behaviour: String) throws {
        let stage = try Self.stage()
        try FileManager.default.createDirectory(atPath: stage.witnessFolder, withIntermediateDirectories: true)
        if behaviour == "older" {
            try stage.daemon.start()
            try stage.daemon.unseal()
            try Self.cosigned(stage, atLeast: 2)
            try stage.daemon.stop()
        }
        try stage.behave(behaviour)
        try stage.daemon.start()
        try stage.daemon.unseal()
        try eventually(within: 30, "the error shows") { try stage.entry("witness")["error"] is String }
        #expect(try stage.write() == 200)
        let entry = try stage.entry("witness")
        #expect(entry["contradicts"] as? Bool == false && entry["overdue"] as? Bool == false)
        if behaviour != "older" {
            #expect(!FileManager.default.fileExists(atPath: stage.daemon.auditFolder + "/witness/checkpoint"))
            try eventually("the journal is what is left") { try stage.status()["witness"] as? String == "journal" }
        }
        // No redirect is followed.
        #expect(stage.witness?.output.contains("/elsewhere") == false)
        try stage.behave("honest")
        try Self.cosigned(stage)
        try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    @Test func aWitnessThatNeverAnswersHoldsNothingUp() throws {
        let stage = try Self.stage()
        try FileManager.default.createDirectory(atPath: stage.witnessFolder, withIntermediateDirectories: true)
        try stage.behave("silent")
        // A new log has nothing to ask about; this one waits for the answer, and no longer than ten seconds.
        try stage.daemon.start()
        try stage.daemon.unseal()
        let begin = Date()
        #expect(try stage.write() == 200)
        #expect(Date().timeIntervalSince(begin) < 5)
        let end = Date()
        #expect(try stage.daemon.stop() == 0)
        #expect(Date().timeIntervalSince(end) < 8)
    }

    @Test(arguments: [("https", "localhost"), ("http", "127.0.0.1")])
    func namesAreCheckedAndPlainTextStaysOnTheMachine(scheme: String, host: String) throws {
        let stage = try WitnessStage()
        try stage.startWitness(plain: scheme == "http")
        try stage.configureWitness(scheme: scheme, host: host)
        try stage.daemon.start()
        try stage.daemon.unseal()
        try Self.cosigned(stage)
    }

    @Test func aCertificateForAnotherNameIsRefused() throws {
        let stage = try Self.stage()
        // 127.0.0.2 is this machine too, and not in the certificate.
        try stage.configureWitness(host: "127.0.0.2")
        try stage.daemon.start()
        try stage.daemon.unseal()
        try eventually(within: 30, "the error shows") { try stage.entry("witness")["error"] is String }
        #expect(try stage.entry("witness")["contradicts"] as? Bool == false)
    }
}
