import CoffreTestSupport
import Foundation
import Testing

@testable import CoffreAudit

/// A wrong path is told from a log that is damaged.
@Suite struct LogPlaceTests {
    @Test func aPlaceWithoutALogIsNoDamagedLog() throws {
        let folder = try TestFolder()
        #expect(LogPlace(path: folder.path) == .noLog)
        #expect(LogPlace(path: folder.file("missing")) == .nothing)
        #expect(LogPlace(path: try folder.write("text", "text") + "/below") == .nothing)
        #expect(LogPlace(path: folder.file("text")) == .otherFile)
        #expect(LogPlace(path: "/dev/null") == .otherFile)
    }

    @Test(arguments: ["log.vkey", "seg", "checkpoint"])
    func whateverIsLeftOfALogMakesItOne(name: String) throws {
        let folder = try TestFolder()
        _ = try folder.write(name, "")
        #expect(LogPlace(path: folder.path) == .log)
    }

    @Test func aBundleIsKnownByItsFirstHeader() throws {
        let folder = try TestFolder()
        let header = "coffre-audit/README.txt".padding(toLength: 257, withPad: "\0", startingAt: 0) + "ustar"
        let whole = header.padding(toLength: 512, withPad: "\0", startingAt: 0)
        #expect(LogPlace(path: try folder.write("bundle", whole)) == .bundle)
        #expect(LogPlace(path: try folder.write("short", String(whole.dropLast()))) == .otherFile)
        #expect(LogPlace(path: try folder.write("other", "x" + whole.dropFirst())) == .otherFile)
        #expect(LogPlace(path: try folder.write("no-tar", whole.replacing("ustar", with: "USTAR"))) == .otherFile)
    }
}
