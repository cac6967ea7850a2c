import CoffreTestSupport
import Foundation
import Synchronization
import Testing

@testable import CoffreAudit

/// The index of a running log is kept whatever becomes of its file.
@Suite struct IndexKeeperTests {
    @Test func aDeletedOrDamagedFileIsMadeAnew() throws {
        let folder = try IndexedFolder()
        let size = UInt64(try folder.all(AuditQuery()).lines.count)
        let keeper = IndexKeeper(directory: folder.path, blockRecords: 8)
        keeper.catchUp(to: 30)
        #expect(keeper.current.size == 24 && keeper.current.failure == nil)
        // Nothing is touched before there is another block to write.
        try FileManager.default.removeItem(atPath: folder.index)
        keeper.catchUp(to: 31)
        #expect(!FileManager.default.fileExists(atPath: folder.index))
        keeper.catchUp(to: 40)
        #expect(keeper.current.size == 40)
        try Data("no database at all".utf8).write(to: URL(filePath: folder.index))
        keeper.catchUp(to: size)
        #expect(keeper.current.size == size / 8 * 8 && keeper.current.failure == nil)
        #expect(try folder.all(AuditQuery()).distrust == [])
    }

    @Test func anIndexThatLiesIsMadeAnew() throws {
        let folder = try IndexedFolder()
        let keeper = IndexKeeper(directory: folder.path, blockRecords: 8)
        keeper.catchUp(to: 60)
        try folder.tamper("DELETE FROM block WHERE number = 2")
        #expect(try !folder.all(AuditQuery()).distrust.isEmpty)
        keeper.distrust()
        keeper.catchUp(to: 60)
        #expect(try folder.all(AuditQuery()).distrust == [])
        #expect(!keeper.current.isDistrusted && keeper.current.size == 56)
    }

    @Test func theLastOfTheDiskIsLeftToTheLog() throws {
        let folder = try IndexedFolder()
        let free = Mutex<UInt64>(IndexKeeper.leastFreeBytes - 1)
        let keeper = IndexKeeper(directory: folder.path, blockRecords: 8) { free.withLock { $0 } }
        keeper.catchUp(to: 60)
        #expect(keeper.current.failure == .noSpace(path: "index.sqlite"))
        #expect(!FileManager.default.fileExists(atPath: folder.index))
        free.withLock { $0 = .max }
        // It is tried again, though not at every look.
        for _ in 0..<3 where keeper.current.size == 0 { keeper.catchUp(to: 60) }
        #expect(keeper.current.size == 56 && keeper.current.failure == nil)
    }

    @Test func aFileThatCannotBeWrittenIsSaidAndStopsNothing() throws {
        let folder = try IndexedFolder()
        try FileManager.default.createDirectory(atPath: folder.index, withIntermediateDirectories: false)
        let keeper = IndexKeeper(directory: folder.path, blockRecords: 8)
        keeper.catchUp(to: 60)
        #expect(keeper.current.failure != nil && keeper.current.size == 0)
        #expect(try folder.all(AuditQuery()).lines.count > 60)
    }
}
