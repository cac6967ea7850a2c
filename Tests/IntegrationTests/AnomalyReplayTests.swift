import CoffreTestSupport
import Foundation
import Testing

/// `coffre anomaly replay` over organisations that nobody has tuned anything for.
@Suite(.serialized)
struct AnomalyReplayTests {
    private struct Stream {
        let folder: TestFolder
        var events: String { folder.path + "/s.jsonl" }
        var context: String { folder.path + "/s.context.json" }
        var labels: String { folder.path + "/s.labels.json" }

        init(seed: Int, days: Int = 35) throws {
            folder = try TestFolder()
            let (status, output) = try RunningProcess.run(
                try CoffredProcess.python(),
                [
                    try Self.script("anomaly_stream.py"), "--seed", "\(seed)", "--days", "\(days)", "--learning", "14",
                    "--people", "20", "--services", "14", "--rate", "2500", "--out", folder.path + "/s",
                ]
            )
            guard status == 0 else { throw StreamError(output: output) }
        }

        static func script(_ name: String) throws -> String {
            #filePath.replacing("IntegrationTests/AnomalyReplayTests.swift", with: "Scripts/" + name)
        }

        /// What is found in a file of events.
        func replay(_ events: String, _ more: [String] = [], expect: Int32 = 0) throws -> [String] {
            let out = folder.path + "/found-\(UUID().uuidString)"
            // As it is shipped: the detectors are several times slower without the optimiser.
            let release = ProcessInfo.processInfo.environment["COFFRE_TEST_RELEASE"].map { $0 + "/coffre" }
            let program = try release ?? CoffredProcess.program("coffre")
            let (status, output) = try RunningProcess.run(
                "/bin/sh",
                ["-c", "exec \"$0\" \"$@\" > \(out)", program, "anomaly", "replay", events, "--context", context] + more
            )
            #expect(status == expect, "\(output)")
            return try String(contentsOfFile: out, encoding: .utf8).split(separator: "\n").map(String.init)
        }
    }

    private struct StreamError: Error { let output: String }

    @Test(arguments: [21, 22])
    func anOrganisationIsWatchedWell(seed: Int) throws {
        let stream = try Stream(seed: seed)
        let found = try stream.replay(stream.events)
        try (found.joined(separator: "\n") + "\n").write(
            toFile: stream.folder.path + "/found",
            atomically: false,
            encoding: .utf8
        )
        let (status, output) = try RunningProcess.run(
            try CoffredProcess.python(),
            [try Stream.script("anomaly_score.py"), stream.folder.path + "/found", stream.labels]
        )
        try #require(status == 0, "\(output)")
        let score = try #require(
            JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Double],
            "\(output)"
        )
        #expect(score["windows"] ?? 0 > 15)
        #expect(score["f1"] ?? 0 >= 0.85, "\(score)")
        #expect(score["false_a_day"] ?? 9 <= 0.5, "\(score)")
        #expect(score["median_delay"] ?? 999 <= 120, "\(score)")
        for line in found {
            let finding = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            #expect((finding["reason"] as? String)?.contains(" ") == true)
            #expect((finding["reason_en"] as? String)?.contains(" ") == true)
            #expect((finding["records"] as? [Int])?.isEmpty == false)
        }
    }

    /// The stream in two parts, with a state between them, says what the whole says; and so does its beginning.
    @Test func aStreamMayBeReadInParts() throws {
        let stream = try Stream(seed: 24, days: 28)
        let whole = try stream.replay(stream.events)
        #expect(whole.count > 10)
        let lines = try String(contentsOfFile: stream.events, encoding: .utf8).split(separator: "\n")
        // Something is found on both sides: the first half is what is learnt from, and nothing happens in it.
        let cut = lines.count * 3 / 4
        let parts = [lines[..<cut], lines[cut...]]
        var found: [String] = []
        for (index, part) in parts.enumerated() {
            let file = stream.folder.path + "/part\(index)"
            try (part.joined(separator: "\n") + "\n").write(toFile: file, atomically: false, encoding: .utf8)
            found += try stream.replay(file, ["--state", stream.folder.path + "/state"])
            if index == 0 {
                #expect(found == Array(whole.prefix(found.count)))
                #expect(!found.isEmpty && found.count < whole.count)
            }
        }
        #expect(found == whole)
        let mode = try FileManager.default.attributesOfItem(atPath: stream.folder.path + "/state")[.posixPermissions]
        #expect(mode as? Int == 0o600)
    }

    @Test func whatIsNoEventIsNamedAndLeftOut() throws {
        let stream = try Stream(seed: 25, days: 28)
        let lines = try String(contentsOfFile: stream.events, encoding: .utf8).split(separator: "\n").prefix(2000)
        let good = stream.folder.path + "/good"
        let bad = stream.folder.path + "/bad"
        try (lines.joined(separator: "\n") + "\n").write(toFile: good, atomically: false, encoding: .utf8)
        let noise = ["{", "", String(repeating: "x", count: 300_000), "{\"time\":1}"]
        try (noise + lines.map(String.init) + noise).joined(separator: "\n").write(
            toFile: bad,
            atomically: false,
            encoding: .utf8
        )
        #expect(try stream.replay(bad, expect: 1) == stream.replay(good))
        let (status, output) = try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            ["anomaly", "replay", "/nonexistent", "--lang", "en"]
        )
        #expect(status == 1 && output.contains("cannot read /nonexistent"))
    }

    /// Names that move cursors or close quotes, clocks that jump, lines in any order, bytes that are no text: what comes out
    /// is JSON all the same, and what is no event is counted.
    @Test func hostileLinesGiveLinesOfJSON() throws {
        let stream = try Stream(seed: 26, days: 28)
        var lines = try String(contentsOfFile: stream.events, encoding: .utf8).split(separator: "\n").map {
            Data($0.utf8)
        }
        lines = Array(lines.suffix(40_000))
        var random = SystemRandomNumberGenerator()
        let names = [#"\u202e\u0007\r\n\"}"#, #"\u2028\ud83d\ude00"#, String(repeating: "w", count: 40_000)]
        var bad = 0
        for index in lines.indices where index % 7 == 0 {
            let text = String(decoding: lines[index], as: UTF8.self)
            switch index / 7 % 6 {
            case 0: lines.swapAt(index, Int.random(in: lines.indices, using: &random))
            case 1: lines[index] = Data(text.replacing("\"id\": \"", with: "\"id\": \"" + names[index % 3]).utf8)
            case 2: lines[index] = Data(text.replacing("\"path\": \"", with: "\"path\": \"" + names[index % 3]).utf8)
            case 3: lines[index] = Data(text.replacing("\"time\": \"20", with: "\"time\": \"2\(index % 2)").utf8)
            case 4: lines[index] = Data(text.replacing("\"read\"", with: "\"audit_write\"").utf8)
            default: lines.append(Data("{\"time\":\"".utf8) + Data([0xff, 0xfe, 0xc0]))
            }
            bad += index / 7 % 6 == 5 ? 1 : 0
        }
        lines.append(Data("{\"actor\":\"".utf8) + Data(repeating: 0x41, count: 1 << 20))
        let hostile = stream.folder.path + "/hostile"
        try Data(lines.joined(separator: Data("\n".utf8))).write(to: URL(fileURLWithPath: hostile))
        let found = try stream.replay(hostile, expect: 1)
        #expect(found.count > 10 && bad > 500)
        for line in found {
            let finding = try #require(
                JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                "\(line.prefix(400))"
            )
            #expect(finding.count == 8 && line.utf8.count < 8192)
            let hidden = line.unicodeScalars.filter { [.control, .format].contains($0.properties.generalCategory) }
            #expect(hidden.isEmpty, "\(line.prefix(400))")
        }
    }
}
