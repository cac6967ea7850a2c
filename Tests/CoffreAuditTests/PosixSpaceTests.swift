import CoffreAudit
import CoffreCrypto
import Foundation
import Testing

/// Space that is really set aside, on the file systems of this machine.
@Suite struct PosixSpaceTests {
    /// A folder below `/tmp` or in memory (tmpfs).
    private final class Folder: Sendable {
        let path: String

        init(_ place: String) throws {
            path = "\(place)/coffre-space-\(Random.base62(8))"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            chmod(path, 0o700)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        var log: String { path + "/log" }

        func open() throws -> AuditLog {
            try AuditLog.open(
                AuditLogConfiguration(
                    directory: log,
                    origin: TestLog.origin,
                    softwareVersion: "1.0.0",
                    keys: .file,
                    segmentBytes: 65_536,
                    space: SpaceSettings(reserveBytes: 1 << 20, lookMilliseconds: nil)
                )
            )
        }

        func status(_ name: String) -> stat {
            var status = stat()
            return lstat(log + "/" + name, &status) == 0 ? status : stat()
        }

        /// Bytes of the blocks of a file.
        func blocks(_ name: String) -> Int { Int(status(name).st_blocks) * 512 }

        func segments() throws -> [String] {
            try FileManager.default.subpathsOfDirectory(atPath: log).filter { $0.hasSuffix(".jsonl") }.sorted()
        }
    }

    @Test(arguments: ["/tmp", "/dev/shm"])
    func blocksAreSetAsideTakenOverAndGivenBack(place: String) async throws {
        let folder = try Folder(place)
        let log = try folder.open()
        log.lookAtDisk()
        #expect(log.health.disk.preallocation == .on)
        #expect(log.health.disk.failure == nil)
        let first = try #require(try folder.segments().first)
        #expect(folder.blocks(first) >= 65_536 + (1 << 20))
        #expect(folder.status("spare").st_size == 0)
        #expect(folder.blocks("spare") >= 65_536 + (1 << 20))
        #expect(folder.blocks("reserve") >= 1 << 20)
        #expect(folder.status("spare").st_mode & 0o7777 == 0o640)
        #expect(folder.status("reserve").st_mode & 0o7777 == 0o600)
        let spare = folder.status("spare").st_ino
        for index in 0..<200 { try await log.append(TestLog.read("p/\(index)")) }
        let second = try #require(try folder.segments().dropFirst().first)
        #expect(folder.status(second).st_ino == spare)
        #expect(folder.status(second).st_mode & 0o7777 == 0o640)
        #expect(folder.blocks(first) <= Int(folder.status(first).st_size) + 65_536)
        log.close()
        for segment in try folder.segments() {
            #expect(folder.blocks(segment) <= Int(folder.status(segment).st_size) + 65_536)
        }
        #expect(try LogVerifier(directory: folder.log).verify().findings == [])
    }

    @Test func aReserveThatACopyMadeHolesOfIsFilledAgain() throws {
        let folder = try Folder("/tmp")
        let opened = try folder.open()
        opened.lookAtDisk()
        opened.close()
        #expect(truncate(folder.log + "/reserve", 0) == 0)
        #expect(truncate(folder.log + "/reserve", 1 << 20) == 0)
        #expect(folder.blocks("reserve") == 0)
        try folder.open().close()
        #expect(folder.blocks("reserve") >= 1 << 20)
    }

    @Test(arguments: ["symlink", "fifo", "folder", "hard link", "text", "writable by others"])
    func aForeignThingInPlaceOfTheSpareHarmsNothing(kind: String) async throws {
        let folder = try Folder("/tmp")
        let opened = try folder.open()
        opened.lookAtDisk()
        opened.close()
        let outside = folder.path + "/outside"
        let text = Data("not ours".utf8)
        try text.write(to: URL(filePath: outside))
        let spare = folder.log + "/spare"
        if kind != "writable by others" { unlink(spare) }
        switch kind {
        case "symlink": symlink(outside, spare)
        case "fifo": mkfifo(spare, 0o600)
        case "folder": mkdir(spare, 0o700)
        case "hard link": link(outside, spare)
        case "text": try text.write(to: URL(filePath: spare))
        default: chmod(spare, 0o666)
        }
        do {
            let log = try folder.open()
            log.lookAtDisk()
            for index in 0..<200 { try await log.append(TestLog.read("p/\(index)")) }
            log.close()
            #expect(kind != "folder")
            #expect(try LogVerifier(directory: folder.log).verify().findings == [])
        } catch {
            // A folder is not removed for somebody: the start says what is in the way.
            #expect(kind == "folder", "\(error)")
        }
        #expect(FileManager.default.contents(atPath: outside) == text)
        for segment in try folder.segments() { #expect(folder.status(segment).st_mode & 0o7777 == 0o640) }
    }

    @Test(arguments: ["symlink", "fifo", "folder", "hard link"])
    func aForeignThingInPlaceOfTheReserveIsRefused(kind: String) throws {
        let folder = try Folder("/tmp")
        let opened = try folder.open()
        opened.lookAtDisk()
        opened.close()
        let outside = folder.path + "/outside"
        let text = Data("not ours".utf8)
        try text.write(to: URL(filePath: outside))
        let reserve = folder.log + "/reserve"
        unlink(reserve)
        switch kind {
        case "symlink": symlink(outside, reserve)
        case "fifo": mkfifo(reserve, 0o600)
        case "folder": mkdir(reserve, 0o700)
        default: link(outside, reserve)
        }
        #expect(throws: AuditError.self) { try folder.open() }
        #expect(FileManager.default.contents(atPath: outside) == text)
    }
}
