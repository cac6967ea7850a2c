import CoffreTestSupport
import Foundation
import Testing

/// Rules about sources that no compiler checks.
struct SourceRulesTests {
    /// Lines of a Swift file below Sources, and where it lies there.
    private struct Source {
        let path: String
        let lines: [Substring]
        var target: String { String(path.prefix { $0 != "/" }) }
    }

    private static func sources() throws -> [Source] {
        let root = PackageFolder.path + "/Sources"
        let names = try FileManager.default.subpathsOfDirectory(atPath: root).filter { $0.hasSuffix(".swift") }
        return try names.sorted().map { name in
            let text = try String(contentsOfFile: root + "/" + name, encoding: .utf8)
            return Source(path: name, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    /// The modules that a line imports, without its attributes and its access level.
    private static func imported(_ line: Substring) -> String? {
        let words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
        guard let position = words.firstIndex(of: "import"), position <= 1, position + 1 < words.count else {
            return nil
        }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        let name = kinds.contains(words[position + 1]) ? words.dropFirst(position + 2).first : words[position + 1]
        return name.map { String($0.prefix { $0 != "." }) }
    }

    @Test func noDaemonLinksFoundationByItsOwnSources() throws {
        let manifest = try PackageManifest.current.get()
        let daemons = ["coffred", "coffre-broker"]
        let linked = daemons.reduce(into: Set(daemons)) { $0.formUnion(manifest.reachable(from: $1)) }
        let sources = try Self.sources().filter { linked.contains($0.target) }
        #expect(sources.count > 50)
        for source in sources {
            for line in source.lines {
                #expect(Self.imported(line)?.hasPrefix("Foundation") != true, "\(source.path): \(String(line))")
            }
        }
    }

    @Test func onlyWireAndClientDeclareAnythingPublic() throws {
        let declaration = try Regex(#"^\s*(@\w+(\(.*?\))?\s+)*(public|open)\s"#)
        let sources = try Self.sources().filter { !["CoffreWire", "CoffreClient"].contains($0.target) }
        for source in sources {
            for (above, line) in zip([""] + source.lines, source.lines) where line.firstMatch(of: declaration) != nil {
                // An SPI has to be spelled `public`; who uses one says so in its import.
                #expect(above.contains("@_spi("), "\(source.path): \(String(line))")
            }
        }
        #expect(sources.count > 50)
    }

    /// The umask is one for all threads: two that tighten it for a moment can leave it tight for good.
    @Test func onlyTheStartOfAProcessSetsItsUmask() throws {
        let setting = try Self.sources().filter { source in
            source.lines.contains { $0.contains("umask(") }
        }
        #expect(setting.map(\.path) == ["CoffreHost/ProcessHardening.swift"])
    }

    @Test func everyPromiseToTheCompilerSaysWhyItHolds() throws {
        var promises = 0
        for source in try Self.sources() {
            let words = ["@unchecked Sendable", "nonisolated(unsafe)", "unsafeBitCast"]
            for line in source.lines where words.contains(where: { line.contains($0) }) {
                promises += 1
                let reason = line.firstRange(of: "// ").map { String(line[$0.upperBound...]) } ?? ""
                #expect(!reason.isEmpty && reason != "See above.", "\(source.path): \(String(line))")
            }
        }
        #expect(promises > 0, "the words that are looked for have changed")
    }

    @Test func nothingIsLeftForLater() throws {
        for source in try Self.sources() {
            for line in source.lines {
                let isOpen = ["TODO", "FIXME", "not implemented", "unimplemented"].contains { line.contains($0) }
                #expect(!isOpen, "\(source.path): \(String(line))")
            }
        }
    }
}
