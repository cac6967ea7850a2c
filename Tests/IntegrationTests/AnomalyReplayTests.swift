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
        let parts = [lines[..<(lines.count / 2)], lines[(lines.count / 2)...]]
        var found: [String] = []
        for (index, part) in parts.enumerated() {
            let file = stream.folder.path + "/part\(index)"
            try (part.joined(separator: "\n") + "\n").write(toFile: file, atomically: false, encoding: .utf8)
            found += try stream.replay(file, ["--state", stream.folder.path + "/state"])
            if index == 0 { #expect(found == Array(whole.prefix(found.count)) && !found.isEmpty) }
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
}
