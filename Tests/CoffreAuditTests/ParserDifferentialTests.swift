import CoffreAudit
import CoffreCrypto
import CoffreTestSupport
import Foundation
import Testing

/// Case 27: two parsers that know nothing of each other draw the line at the same place.
@Suite struct ParserDifferentialTests {
    /// Edits that somebody would try: of names, numbers, white space, strings.
    private static let edits: [(String, String)] = [
        ("\"v\":1", "\"v\":1,\"v\":1"), ("\"v\":1", "\"v\":1.0"), ("\"v\":1", "\"v\":1e3"), ("\"v\":1", "\"v\":-0"),
        ("\"v\":1", "\"v\": 1"), ("\"mono\":", "\"mono\":9007199254740993,\"monp\":"), (":", ":-"), (":", ": "),
        (",", ", "), (",", ",,"), ("}", ",}"), ("}", "}\t"), ("{", "{ "), ("\"", "'"), ("\"what\"", "\"What\""),
        ("\"what\"", "\"whau\""), ("\"who\"", "\"whn\""), ("granted", "Granted"), ("single", "intent"),
        ("single", "outcome"),
        ("Z\"", "+00:00\""), ("T", "t"), ("\"", "\\\""), ("a", "\\u0061"), ("a", "\\\\u{61}"), ("e", "\\\\u{1B}"),
        ("e", "e\u{301}"), ("e", "é"), ("e", "\u{202E}"), ("e", "\u{2028}"), ("e", "\u{FEFF}"), ("e", "\u{A0}"),
        ("e", "😀"),
        ("1", "9007199254740991"), ("1", "9007199254740992"), ("1", "-9007199254740991"), ("1", "-9007199254740992"),
        ("1", "01"), ("1", "+1"), ("1", "1."), ("1", ".1"), ("1", "0x1"), ("1", "true"), ("1", "null"), ("1", "[]"),
        ("1", "{}"),
        ("1", "[[[[1]]]]"), ("1", "{\"a\":{\"b\":{\"c\":{}}}}"), ("1", "NaN"), ("1", "Infinity"), ("1", "\"1\""),
        ("1", "1E1"),
        ("\"_p\"", "\"_P\""), ("=", "-"), ("=", "=="), ("=", ""), ("0", ""), ("\"op\":\"", "\"op\":\"x"), ("\"", ""),
        ("\"kind\":", "\"kind\":[],\"kine\":"), ("\"kind\":\"", "\"kind\":\"k"), ("service", "human"),
        ("service", "nobody"),
        ("\"ph\":", "\"pg\":1,\"ph\":"), ("\"_s\":", "\"_r\":1,\"_s\":"), ("\"out\":{", "\"out\":{\"a\":1,"),
        ("\"out\":{", "\"out\":{\"us\":1,"), ("\"boot\":\"", "\"boot\":\"g"), ("\"boot\":\"0", "\"boot\":\"A"),
        ("{", "["),
        ("_t\":\"2026", "_t\":\"1969"), ("-11-", "-13-"), ("-11-", "-02-"), ("-23T", "-31T"), ("T16:", "T24:"),
        (":40:", ":60:"),
    ]

    private static func seeds() throws -> [[UInt8]] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors/golden/lines.jsonl")
        return try Data(contentsOf: file).split(separator: 0x0a).map { Array($0) }
    }

    /// Everything that two parsers may see differently, and random damage that can be made again from its seed.
    private static func candidates(_ seeds: [[UInt8]], random count: Int) -> [[UInt8]] {
        var candidates = seeds
        for (number, seed) in seeds.enumerated() {
            let text = String(decoding: seed, as: UTF8.self)
            for (index, edit) in edits.enumerated() {
                let places = text.ranges(of: edit.0)
                guard !places.isEmpty else { continue }
                for place in Set([0, places.count / 2, places.count - 1, (number + index) % places.count]).sorted() {
                    candidates.append(Array(text.replacingCharacters(in: places[place], with: edit.1).utf8))
                }
            }
        }
        let punctuation = Array("\"{}[],:\\u0129-eE. ".utf8)
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<count {
            var line = seeds[next(seeds.count)]
            for _ in 0...next(3) {
                let place = next(line.count)
                switch next(4) {
                case 0: line[place] = UInt8(next(256))
                case 1: line.remove(at: place)
                case 2: line.insert(punctuation[next(punctuation.count)], at: place)
                default: line[place] ^= 1 << UInt8(next(8))
                }
            }
            candidates.append(line.map { $0 == 0x0a ? 0x20 : $0 })
        }
        return candidates
    }

    @Test func bothParsersTakeTheSameLines() throws {
        let lines = Self.candidates(try Self.seeds(), random: 20_000)
        let input = lines.map { Hex.encode($0) }.joined(separator: "\n") + "\n"
        let file = FileManager.default.temporaryDirectory.appending(path: "coffre-lines-\(Random.base62(8))")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(input.utf8).write(to: file)
        let script = PackageFolder.path + "/Tests/Scripts/judge_lines.py"
        let command = ["-c", "exec python3 -I '\(script)' < '\(file.path())'"]
        let result = try RunningProcess.run("/bin/sh", command, timeout: 300)
        let theirs = Array(result.output.utf8)
        try #require(theirs.count == lines.count, "\(result.output.suffix(500))")
        var disputes: [String] = []
        var taken = 0
        for (line, verdict) in zip(lines, theirs) {
            let defect = AuditLine.defect(in: line)
            if defect == nil { taken += 1 }
            if (defect == nil) != (verdict == 0x31) {
                disputes.append("\(defect ?? "taken"): \(String(decoding: line, as: UTF8.self))")
            }
        }
        #expect(disputes.isEmpty, "\(disputes.count): \(disputes.prefix(8).joined(separator: "\n"))")
        // Both yes and no were said often.
        #expect(taken > 2000 && lines.count - taken > 10_000, "\(taken) of \(lines.count)")
    }
}
