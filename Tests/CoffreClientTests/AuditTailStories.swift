import Foundation
import Testing

struct AuditTailStories {
    /// An audit folder with `count` records in each of these segments.
    private func folder(_ segments: [String: [String]]) throws -> String {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("coffre-tail-\(UUID().uuidString)")
            .path
        for (name, lines) in segments {
            let path = "\(root)/seg/\(name)"
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent,
                withIntermediateDirectories: true
            )
            try lines.map { $0 + "\n" }.joined().write(toFile: path, atomically: false, encoding: .utf8)
        }
        return root
    }

    private func record(_ number: Int, _ path: String = "app") -> String {
        #"{"_p":"x","_s":\#(number),"_t":"T","out":{"code":"granted"},"what":{"op":"secret.read","path":"\#(path)"},"who":{"unit":"a.service"}}"#
    }

    @Test func theNewestRecordsOfSeveralSegmentsAreShownInOrder() throws {
        let root = try folder([
            "2026/11/30/000000000000.jsonl": [record(0), record(1)], "2026/12/01/000000000002.jsonl": [record(2)],
        ])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let two = try CommandLine().run(["audit", "tail", "-n", "2", root])
        #expect(
            two.output == [1, 2].map { "\($0)  T  secret.read  granted  a.service  app\n" }.joined()
        )
        let all = try CommandLine().run(["audit", "tail", "--format", "json", root])
        #expect(all.output == [0, 1, 2].map { record($0) + "\n" }.joined())
        #expect(all.status == 0)
    }

    @Test func aLongSegmentIsReadFromItsEnd() throws {
        let lines = (0..<5000).map { record($0, "app/\($0)") }
        let root = try folder(["2026/12/01/000000000000.jsonl": lines])
        defer { try? FileManager.default.removeItem(atPath: root) }
        for count in [1, 999, 1000] {
            let result = try CommandLine().run(["audit", "tail", "-n", "\(count)", "--format", "json", root])
            #expect(result.output == lines.suffix(count).map { $0 + "\n" }.joined())
        }
    }

    @Test func aHalfLineIsNotARecordAndHostileTextIsEscaped() throws {
        let root = try folder(["2026/12/01/000000000000.jsonl": [record(0, "\\u001b[2Jx\\u202e")]])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let handle = try #require(FileHandle(forWritingAtPath: "\(root)/seg/2026/12/01/000000000000.jsonl"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"_s\":1".utf8))
        try handle.close()
        let result = try CommandLine().run(["audit", "tail", root])
        #expect(result.output == "0  T  secret.read  granted  a.service  \\u{1B}[2Jx\\u{202E}\n")
    }

    @Test func followingGoesOnIntoTheNextSegment() throws {
        let root = try folder(["2026/12/01/000000000000.jsonl": [record(0)]])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let running = try CommandLine().start(["audit", "tail", "-f", "--format", "json", root])
        let read = { () throws -> String in
            var line = ""
            while !line.hasSuffix("\n"), let byte = try running.output.fileHandleForReading.read(upToCount: 1) {
                line += String(decoding: byte, as: UTF8.self)
            }
            return line
        }
        #expect(try read() == record(0) + "\n")
        let handle = try #require(FileHandle(forWritingAtPath: "\(root)/seg/2026/12/01/000000000000.jsonl"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data((record(1) + "\n").utf8))
        #expect(try read() == record(1) + "\n")
        try FileManager.default.createDirectory(atPath: "\(root)/seg/2026/12/02", withIntermediateDirectories: true)
        try Data((record(2) + "\n").utf8).write(to: URL(fileURLWithPath: "\(root)/seg/2026/12/02/000000000002.jsonl"))
        #expect(try read() == record(2) + "\n")
        running.process.terminate()
        #expect(try running.finish().output.isEmpty)
    }

    @Test func anAbsentFolderIsAnErrorInWords() throws {
        let result = try CommandLine().run(["audit", "tail", "/nonexistent"])
        #expect(result.status == 1)
        #expect(result.errors == "coffre: cannot read the audit log in /nonexistent/seg: No such file or directory\n")
    }
}
