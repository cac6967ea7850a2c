import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Rehearsed restores, and the units that take snapshots.
@Suite(.serialized)
struct DrillTests {
    private static func stage() throws -> BackupStage {
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        return try BackupStage(setup)
    }

    /// Runs a drill whose scratch folder is searched afterwards.
    private static func drill(_ stage: BackupStage, _ arguments: [String]) throws -> (
        status: Int32, report: [String: Any]
    ) {
        let scratch = stage.files.file("scratch")
        try? FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: false)
        let result = try stage.coffre(["operator", "drill", "--format", "json", "--scratch", scratch] + arguments)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch).isEmpty)
        let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        return (result.status, try #require(report, "\(result.output)"))
    }

    @Test func aDrillWithTheKeyVerifiesEveryRow() throws {
        let stage = try Self.stage()
        _ = try stage.vault.request("POST", "secret/data/a", token: stage.root, body: #"{"data":{"k":"v"}}"#)
        let folder = stage.files.file("kept")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        #expect(try stage.coffre(["operator", "backup", "--keep", "2", folder]).status == 0)
        let records = try stage.vault.records().count
        let result = try Self.drill(
            stage,
            ["--directory", folder, "--credentials-directory", stage.vault.folder.file("credentials")]
        )
        #expect(result.status == 0, "\(result.report)")
        for fact in ["passed", "archive_verified", "daemon_started", "opened", "rows_verified"] {
            #expect(result.report[fact] as? Bool == true, "\(fact)")
        }
        #expect((result.report["age_seconds"] as? Int ?? -1) >= 0)
        // The vault itself noticed nothing.
        #expect(try stage.vault.records().count == records)
        let old = try Self.drill(stage, ["--snapshot", try stage.backup()])
        #expect(old.status == 0)
        #expect(old.report["opened"] as? Bool == false)
        #expect(old.report["daemon_started"] as? Bool == true)
    }

    @Test func aDrillTellsAWrongKeyAndADamagedSnapshot() throws {
        let stage = try Self.stage()
        let snapshot = try stage.backup()
        let wrong = stage.files.file("wrong")
        try FileManager.default.createDirectory(atPath: wrong, withIntermediateDirectories: false)
        _ = try stage.files.write("wrong/coffre.unseal", String(repeating: "k", count: 32))
        let closed = try Self.drill(stage, ["--snapshot", snapshot, "--credentials-directory", wrong])
        #expect(closed.status == 1)
        #expect(closed.report["passed"] as? Bool == false)
        #expect((closed.report["failure"] as? String)?.contains("does not open") == true, "\(closed.report)")
        let whole = try #require(FileManager.default.contents(atPath: snapshot))
        try whole.dropLast(700).write(to: URL(fileURLWithPath: snapshot))
        let cut = try Self.drill(stage, ["--snapshot", snapshot])
        #expect(cut.status == 1)
        #expect(cut.report["archive_verified"] as? Bool == false)
        #expect((cut.report["failure"] as? String)?.contains("cut off") == true)
    }

    @Test func anOldSnapshotFailsTheDrill() throws {
        let stage = try BackupStage()
        let snapshot = try stage.backup()
        #expect(try Self.drill(stage, ["--snapshot", snapshot, "--maximum-age", "1"]).status == 0)
        let none = try stage.coffre(["operator", "drill", "--directory", stage.files.path])
        #expect(none.status == 4)
        #expect(none.output.contains("no snapshot"))
    }
}
