import CoffreTestSupport
import Foundation
import Testing

/// `coffre anomaly replay --csv` over series that are made here.
@Suite(.serialized)
struct SeriesReplayTests {
    private let folder: TestFolder
    private let program: String

    init() throws {
        folder = try TestFolder()
        // As it is shipped, where it is there.
        let release = ProcessInfo.processInfo.environment["COFFRE_TEST_RELEASE"].map { $0 + "/coffre" }
        program = try release ?? CoffredProcess.program("coffre")
    }

    private func script(_ name: String) -> String {
        #filePath.replacing("IntegrationTests/SeriesReplayTests.swift", with: "Scripts/" + name)
    }

    /// - Returns: the exit status, standard output and what was said on standard error.
    private func replay(_ bytes: Data) throws -> (status: Int32, output: String, words: String) {
        let (input, output) = (folder.file("in.csv"), folder.file("out.csv"))
        try bytes.write(to: URL(fileURLWithPath: input))
        let (status, words) = try RunningProcess.run(
            "/bin/sh",
            ["-c", "exec \"$0\" anomaly replay --csv \(input) --lang en > \(output)", program]
        )
        return (status, try String(contentsOfFile: output, encoding: .utf8), words)
    }

    /// Three sets of 21 series of seven kinds. 40 other sets reached 71 to 90 of 100, in the mean 81: the floor leaves room for
    /// other seeds, not for another detector.
    @Test(arguments: [901, 902, 903])
    func theBenchmarksScoreIsReached(seed: Int) throws {
        let python = try CoffredProcess.python()
        let made = try RunningProcess.run(
            python,
            [script("series_stream.py"), "--seed", "\(seed)", "--out", folder.file("s")]
        )
        try #require(made.status == 0, "\(made.output)")
        try FileManager.default.createDirectory(atPath: folder.file("scored"), withIntermediateDirectories: false)
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.file("s")) where name.hasSuffix(".csv") {
            let text = try String(contentsOfFile: folder.file("s/" + name), encoding: .utf8)
            let (status, output, words) = try replay(Data(text.utf8))
            try #require(status == 0, "\(words)")
            // The same rows, each with a score.
            let rows = output.split(separator: "\n").map { $0.prefix(upTo: $0.lastIndex(of: ",") ?? $0.endIndex) }
            #expect(rows == text.split(separator: "\n"), "\(name)")
            try Data(output.utf8).write(to: URL(fileURLWithPath: folder.file("scored/" + name)))
        }
        let (status, output) = try RunningProcess.run(
            python,
            [script("nab_score.py"), folder.file("scored"), folder.file("s/labels.json")]
        )
        try #require(status == 0, "\(output)")
        let result = try #require(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], "\(output)")
        #expect(result["score"] as? Double ?? 0 >= 62, "\(output)")
        #expect(result["series"] as? Int == 21 && result["windows"] as? Int ?? 0 > 20)
    }

    /// The scorer itself: nobody gets points for silence, and everything for the first row of every window.
    @Test func theScoreIsTheBenchmarks() throws {
        let rows = (0..<1000).map { "2024-01-01 \(String(format: "%02d:%02d:00", $0 / 60, $0 % 60))" }
        try Data(#"{"a-0.csv": [["\#(rows[400])", "\#(rows[449])"], ["\#(rows[700])", "\#(rows[749])"]]}"#.utf8).write(
            to: URL(fileURLWithPath: folder.file("labels.json"))
        )
        func score(_ detections: [Int]) throws -> Double {
            let lines = rows.enumerated().map { "\($1),1,\(detections.contains($0) ? 0.9 : 0.1)" }
            try Data((["timestamp,value,anomaly_score"] + lines).joined(separator: "\n").utf8).write(
                to: URL(fileURLWithPath: folder.file("a-0.csv"))
            )
            let (_, output) = try RunningProcess.run(
                try CoffredProcess.python(),
                [script("nab_score.py"), folder.path, folder.file("labels.json")]
            )
            let result = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            return try #require(result?["score"] as? Double, "\(output)")
        }
        #expect(try score([]) == 0)
        #expect(try abs(score([400, 700]) - 100) < 1e-9)
        // Half of the first window late: (1 - (2 / (1 + exp(-2.5)) - 1) / (2 / (1 + exp(-5)) - 1)) of 4.
        #expect(try abs(score([425, 700]) - 96.495) < 0.001)
        // One window alone; two false ones, far from any window, of 0.11 each, one of them in the probationary period.
        #expect(try abs(score([400]) - 50) < 1e-9)
        #expect(try abs(score([10, 300, 400, 700]) - 97.25) < 1e-9)
        // Just behind a window it costs less than far behind it.
        #expect(try score([400, 455, 700]) > score([400, 600, 700]))
    }

    @Test func whatIsNoRowIsNamedAndLeftOut() throws {
        let good = (0..<300).map { "2026-01-0\(1 + $0 / 144) \(clock($0 % 144 * 10)),\($0 % 7).5" }
        let (clean, expected, _) = try replay(Data((["timestamp,value"] + good).joined(separator: "\n").utf8))
        #expect(clean == 0 && expected.split(separator: "\n").count == 301)
        let hostile = [
            "x", ",", "2026-01-03 00:00:00", "2026-01-03 00:00:00,", "2026-01-03 00:00:00,nan",
            "2026-01-03 00:00:00,-inf",
            "2026-01-03 00:00:00,infinity", "2026-01-03 00:00:00,1e308", "2026-01-03 00:00:00,-1e400",
            "2026-01-03 00:00:00,0x10", "2026-01-03 00:00:00,1,2", "2026-01-03 00:00:00, 1",
            "2026-01-03 00:00:00,1_000",
            "2026-01-03 00:00:00,\"1\"", "2026-02-30 00:00:00,1", "2026-01-03 24:00:00,1", "1969-12-31 23:59:59,1",
            "2026-01-03T00:00:00,1", "2026-01-03 00:00:00+1:00,1", "2025-12-31 23:59:59,1",
            "2026-01-03 00:00:00,\u{661}",
            "2026-01-03 00:00:00,1\u{0}", "\u{202e}2026-01-03 00:00:00,1", "timestamp,value",
            String(repeating: "9", count: 10_000_000),
            "2026-01-03 00:00:00," + String(repeating: "0", count: 300) + "1",
        ]
        var bytes = Data("timestamp,value\r\n".utf8)
        for (index, row) in good.enumerated() {
            bytes += Data((row + (index % 2 == 0 ? "\r\n" : "\n")).utf8)
            if index >= 200, index - 200 < hostile.count { bytes += Data((hostile[index - 200] + "\n").utf8) }
        }
        bytes += Data([0xff, 0xfe, 0x2c, 0x31, 0x0a, 0x0a])
        let (status, output, words) = try replay(bytes)
        #expect(status == 1 && output == expected)
        #expect(words.contains("line 203 is no time and number") && words.contains("line 205 "))
        #expect(words.contains("\(hostile.count + 1) of ") && words.utf8.count < 2000, "\(words)")
    }

    private func clock(_ minute: Int) -> String { String(format: "%02d:%02d:00", minute / 60, minute % 60) }

    @Test func aSeriesHasAHeaderAndAnOrder() throws {
        let row = "2026-01-01 00:00:00,1"
        let nothing = try replay(Data())
        #expect(nothing.status == 1 && nothing.output.isEmpty && nothing.words.contains("is empty"))
        let headless = try replay(Data("\(row)\n\(row)\n".utf8))
        #expect(headless.status == 1 && headless.output == "\(row),0.00000\n", "\(headless)")
        #expect(headless.words.contains("line 1 is not the header timestamp,value"))
        let other = try replay(
            Data("timestamp,value\n2026-01-01T01:00:00.5+01:00,1\n2026-01-01T00:00:00Z,1\n\(row),\n".utf8)
        )
        #expect(other.status == 1 && other.words.contains("line 3 is earlier than the one before"))
        let (status, words) = try RunningProcess.run(program, ["anomaly", "replay", "--csv", "-", "--state", "x"])
        #expect(status == 64 && words.contains("--csv takes neither"), "\(words)")
    }

    /// Each row is answered before the next is there.
    @Test func aPipeIsAnsweredRowByRow() throws {
        let text = """
            import subprocess, sys
            p = subprocess.Popen([sys.argv[1], "anomaly", "replay", "--csv", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for k in range(40):
                row = b"timestamp,value" if k == 0 else b"2026-01-01 00:%02d:00,%d" % (k, k)
                p.stdin.write(row + b"\\n"); p.stdin.flush()
                assert p.stdout.readline().startswith(row + b",")
            p.stdin.close()
            assert p.stdout.read() == b"" and p.wait() == 0
            print("answered")
            """
        let (status, output) = try RunningProcess.run(try CoffredProcess.python(), ["-c", text, program])
        #expect(status == 0 && output.contains("answered"), "\(output)")
    }
}
