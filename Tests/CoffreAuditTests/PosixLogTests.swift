import CoffreAudit
import CoffreCrypto
import Foundation
import Testing

/// The log on a real file system: modes, locks, links, foreign things in the way.
@Suite struct PosixLogTests {
    final class Folder: Sendable {
        let path: String

        init() throws {
            path = FileManager.default.temporaryDirectory.appending(path: "coffre-audit-\(Random.base62(8))").path()
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            chmod(path, 0o700)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        var log: String { path + "/log" }

        func configuration(_ keys: AuditLogConfiguration.KeyMaterial = .file) -> AuditLogConfiguration {
            AuditLogConfiguration(directory: log, origin: TestLog.origin, softwareVersion: "1.0.0", keys: keys)
        }

        func open() throws -> AuditLog { try AuditLog.open(configuration()) }

        func mode(_ name: String) -> mode_t {
            var status = stat()
            return lstat(log + "/" + name, &status) == 0 ? status.st_mode & 0o7777 : 0
        }

        func files(ending: String) throws -> [String] {
            try FileManager.default.subpathsOfDirectory(atPath: log).filter { $0.hasSuffix(ending) }.sorted()
        }
    }

    @Test func aRealLogIsWrittenReopenedAndVerified() async throws {
        let folder = try Folder()
        for _ in 0..<2 {
            let log = try folder.open()
            for index in 0..<20 { try await log.append(TestLog.read("p/\(index)")) }
            log.close()
        }
        let report = try LogVerifier(directory: folder.log).verify()
        #expect(report.findings == [])
        #expect(report.sealedSegments == 2)
        #expect(report.records > 40)
    }

    @Test func modesAreThoseOfTheFormat() throws {
        let folder = try Folder()
        let log = try folder.open()
        _ = try log.subject(kind: .human, uid: 1000, entity: nil, card: [1])
        log.close()
        #expect(folder.mode("") == 0o2750)
        #expect(folder.mode("seg") == 0o2750)
        for path in try folder.files(ending: ".jsonl") + folder.files(ending: ".seal") {
            #expect(folder.mode(path) == 0o640)
        }
        #expect(folder.mode("log.vkey") == 0o640)
        #expect(folder.mode("keys") & 0o777 == 0o700)
        #expect(folder.mode("keys/log.keys") == 0o600)
        #expect(folder.mode("cards") & 0o777 == 0o700)
        let card = try #require(try folder.files(ending: "").first { $0.hasPrefix("cards/") })
        #expect(folder.mode(card) == 0o600)
        #expect(folder.mode("lock") == 0o600)
    }

    @Test func aSecondWriterOfTheSameFolderIsRefused() throws {
        let folder = try Folder()
        let log = try folder.open()
        #expect(throws: AuditError.alreadyOpen(path: folder.log)) { try folder.open() }
        log.close()
        try folder.open().close()
    }

    @Test func aLockFileRemovedUnderTheWriterStopsIt() async throws {
        let folder = try Folder()
        let log = try folder.open()
        unlink(folder.log + "/lock")
        let other = try? folder.open()
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("a")) }
        log.close()
        other?.close()
    }

    @Test(arguments: ["removed", "replaced", "linked"])
    func aSegmentMeddledWithUnderTheWriterStopsIt(how: String) async throws {
        let folder = try Folder()
        let log = try folder.open()
        let segment = folder.log + "/" + (try #require(try folder.files(ending: ".jsonl").first))
        switch how {
        case "removed": unlink(segment)
        case "replaced":
            let copy = try Data(contentsOf: URL(filePath: segment))
            unlink(segment)
            try copy.write(to: URL(filePath: segment))
        default: link(segment, folder.path + "/second-name")
        }
        await #expect(throws: AuditError.self) { try await log.append(TestLog.read("a")) }
        #expect(!log.health.isWritable)
        log.close()
    }

    @Test(arguments: ["symlink", "file", "world-writable", "world-writable parent"])
    func aFolderThatCannotBeTrustedIsRefusedWithASentence(kind: String) throws {
        let folder = try Folder()
        switch kind {
        case "symlink":
            mkdir(folder.path + "/real", 0o700)
            symlink("real", folder.log)
        case "file": try Data().write(to: URL(filePath: folder.log))
        case "world-writable":
            mkdir(folder.log, 0o700)
            chmod(folder.log, 0o777)
        default: chmod(folder.path, 0o777)
        }
        #expect {
            try folder.open()
        } throws: { error in
            guard case AuditError.unsafePath(let path, let problem, let remedy) = error else { return false }
            return path.hasPrefix(folder.path) && !problem.isEmpty && !remedy.isEmpty
        }
        #expect(try FileManager.default.subpathsOfDirectory(atPath: folder.path).count <= 2)
    }

    @Test(
        arguments: ["lock", "keys/log.keys", "log.vkey", "segment", "seal", "seg", "cards"],
        ["symlink", "fifo", "folder"]
    )
    func aForeignThingInPlaceOfAFileIsRefused(place: String, kind: String) throws {
        let folder = try Folder()
        try folder.open().close()
        let name: String
        switch place {
        case "segment": name = try #require(try folder.files(ending: ".jsonl").first)
        case "seal": name = try #require(try folder.files(ending: ".seal").first)
        default: name = place
        }
        let path = folder.log + "/" + name
        let outside = folder.path + "/outside"
        try FileManager.default.moveItem(atPath: path, toPath: outside)
        switch kind {
        case "symlink": symlink(outside, path)
        case "fifo": mkfifo(path, 0o600)
        default:
            // A folder in place of a folder is no foreign thing, except for one that others may write.
            mkdir(path, 0o700)
            chmod(path, place == "seg" || place == "cards" ? 0o777 : 0o700)
        }
        let before = try Self.snapshot(outside)
        #expect(throws: AuditError.self) { try folder.open() }
        #expect(try Self.snapshot(outside) == before)
    }

    private static func snapshot(_ path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        return isFolder.boolValue
            ? try FileManager.default.subpathsOfDirectory(atPath: path).sorted()
            : [try Data(contentsOf: URL(filePath: path)).base64EncodedString()]
    }

    @Test(arguments: [0o666, 0o602, 0o620] as [mode_t])
    func aKeyFileThatOthersMayWriteIsRefused(mode: mode_t) throws {
        let folder = try Folder()
        try folder.open().close()
        chmod(folder.log + "/keys/log.keys", mode)
        #expect(throws: AuditError.self) { try folder.open() }
    }

    @Test(arguments: ["keys/log.keys", "keys/epoch.key"], [0o644, 0o640, 0o604] as [mode_t])
    func aKeyFileThatOthersMayReadIsRefusedWithASentence(name: String, mode: mode_t) throws {
        let folder = try Folder()
        try folder.open().close()
        chmod(folder.log + "/" + name, mode)
        #expect {
            try folder.open()
        } throws: { error in
            (error as? AuditError)?.message.contains("chmod 600") == true
        }
        chmod(folder.log + "/" + name, 0o600)
        try folder.open().close()
    }

    /// A program that the daemon starts gets no descriptor of the log, hence no share of its lock.
    @Test func aChildOfTheWriterHoldsNothingOfTheLog() throws {
        let folder = try Folder()
        let log = try folder.open()
        let child = Process()
        child.executableURL = URL(filePath: "/bin/cat")
        let input = Pipe()
        child.standardInput = input
        child.standardOutput = FileHandle.nullDevice
        try child.run()
        let descriptors = "/proc/\(child.processIdentifier)/fd"
        let held = try FileManager.default.contentsOfDirectory(atPath: descriptors).compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: descriptors + "/" + $0)
        }
        #expect(!held.contains { $0.hasPrefix(folder.log) })
        log.close()
        try folder.open().close()
        try input.fileHandleForWriting.close()
        child.waitUntilExit()
    }

    @Test func aHardLinkInPlaceOfASegmentIsRefused() throws {
        let folder = try Folder()
        let log = try folder.open()
        log.close()
        let segment = folder.log + "/" + (try #require(try folder.files(ending: ".jsonl").first))
        link(segment, folder.path + "/second-name")
        #expect(throws: AuditError.self) { try folder.open() }
    }

    @Test func keysWrappedByACredentialNeedThatCredential() throws {
        let folder = try Folder()
        let credential = SharedSecret(SecretBytes.randomKey(count: 32))
        let log = try AuditLog.open(folder.configuration(.credential(credential)))
        #expect(log.health.keyLocation == .credential)
        log.close()
        #expect(throws: AuditError.self) { try folder.open() }
        #expect(throws: AuditError.self) {
            try AuditLog.open(folder.configuration(.credential(SharedSecret(SecretBytes.randomKey(count: 32)))))
        }
        try AuditLog.open(folder.configuration(.credential(credential))).close()
    }

    @Test func keysInAFileMoveUnderACredentialOnceThereIsOne() throws {
        let folder = try Folder()
        try folder.open().close()
        let clear = try Data(contentsOf: URL(filePath: folder.log + "/keys/log.keys"))
        let credential = SharedSecret(SecretBytes.randomKey(count: 32))
        try AuditLog.open(folder.configuration(.credential(credential))).close()
        let wrapped = try Data(contentsOf: URL(filePath: folder.log + "/keys/log.keys"))
        #expect(wrapped.range(of: clear.dropFirst(60).prefix(32)) == nil)
        #expect(throws: AuditError.self) { try folder.open() }
    }

    @Test func everyFlippedBitOfTheKeyFileIsNoticed() throws {
        for keys in [
            AuditLogConfiguration.KeyMaterial.file, .credential(SharedSecret(SecretBytes.randomKey(count: 32))),
        ] {
            let disk = MemoryDisk()
            try AuditLog.open(TestLog.configuration(disk, keys: keys)).close()
            let original = try #require(disk["keys/log.keys"])
            for offset in original.indices {
                disk["keys/log.keys"]?[offset] ^= 1 << UInt8(offset % 8)
                #expect(throws: AuditError.self) { try AuditLog.open(TestLog.configuration(disk, keys: keys)) }
                disk["keys/log.keys"] = original
            }
        }
    }

    @Test func aMissingFolderCannotBeVerified() {
        #expect(throws: AuditError.self) { try LogVerifier(directory: "/nonexistent/coffre").verify() }
    }

    @Test func anUnknownGroupIsRefused() throws {
        let folder = try Folder()
        var configuration = folder.configuration()
        configuration = AuditLogConfiguration(
            directory: folder.log,
            origin: TestLog.origin,
            softwareVersion: "1.0.0",
            keys: configuration.keys,
            group: "no-such-group-here"
        )
        #expect(throws: AuditError.self) { try AuditLog.open(configuration) }
    }
}
