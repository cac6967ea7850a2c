import CoffreTestSupport
import Foundation
import Testing

/// The signed head of a running log: where it goes, and what somebody who kept it can show.
struct CheckpointBehaviourTests {
    private static func verify(_ folder: String, _ more: [String] = []) throws -> (status: Int32, output: String) {
        let arguments = ["audit", "verify", "--format", "json"] + more + [folder]
        let result = try RunningProcess.run(try CoffredProcess.program("coffre"), arguments)
        return (result.status, result.output)
    }

    /// The note that the daemon put into its journal.
    private static func journalled(_ output: String) -> Data? {
        guard let line = output.split(separator: "\n").first(where: { $0.contains("audit checkpoint") }),
            let note = line.split(separator: " ").first(where: { $0.hasPrefix("note=") })
        else { return nil }
        return Data(base64Encoded: String(note.dropFirst(5)).trimmingCharacters(in: ["\""]))
    }

    @Test func aCheckpointFromTheJournalConvictsALogThatWasCut() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        _ = try daemon.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#)
        try eventually("a checkpoint in the journal") { Self.journalled(daemon.output) != nil }
        let kept = daemon.folder.file("kept.checkpoint")
        try #require(Self.journalled(daemon.output)).write(to: URL(filePath: kept))
        let status = try daemon.request("GET", "sys/audit/status", token: root).data
        #expect((status["checkpoint_size"] as? Int ?? 0) > 0)
        #expect(status["checkpoint_error"] is NSNull)
        _ = try daemon.stop()

        let printed = try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            ["audit", "checkpoint", daemon.auditFolder]
        )
        let file = daemon.auditFolder + "/checkpoint"
        #expect(printed.status == 0)
        #expect(Data(printed.output.utf8) == FileManager.default.contents(atPath: file))
        #expect(try Self.verify(daemon.auditFolder, ["--checkpoint", kept]).status == 0)
        let trust = daemon.auditFolder + "/log.vkey"
        #expect(try Self.verify(daemon.auditFolder, ["--checkpoint", kept, "--trust", trust]).status == 0)
        #expect(try Self.verify(daemon.auditFolder, ["--trust", kept]).status == 64)

        // Root cuts the log back to its first three records, and takes the seal along.
        let names = try #require(FileManager.default.enumerator(atPath: daemon.auditFolder + "/seg")).compactMap {
            ($0 as? String).map { daemon.auditFolder + "/seg/" + $0 }
        }
        let segment = try #require(names.first { $0.hasSuffix(".jsonl") })
        for seal in names where seal.hasSuffix(".seal") { try FileManager.default.removeItem(atPath: seal) }
        let lines = try #require(FileManager.default.contents(atPath: segment)).split(separator: 0x0a)
        let handle = try #require(FileHandle(forWritingAtPath: segment))
        try handle.truncate(atOffset: UInt64(lines.prefix(3).reduce(0) { $0 + $1.count + 1 }))
        try handle.close()
        let cut = try Self.verify(daemon.auditFolder)
        #expect(cut.status == 5 && cut.output.contains("cut off"))
        #expect(throws: (any Error).self) { try daemon.start() }
        #expect(daemon.output.contains("the end was cut off"))

        // And the local checkpoint: now only the kept one shows it.
        try FileManager.default.removeItem(atPath: file)
        #expect(try Self.verify(daemon.auditFolder).status == 0)
        let convicted = try Self.verify(daemon.auditFolder, ["--checkpoint", kept])
        #expect(convicted.status == 5 && convicted.output.contains("your checkpoint"))
    }
}
