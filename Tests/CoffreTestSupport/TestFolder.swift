import Foundation
import Glibc

/// A private folder that goes with the test. Short enough for socket paths.
package final class TestFolder: Sendable {
    package let path: String

    package init(_ name: String = "t") throws {
        var template = Array("/tmp/coffre-\(name)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw RunningProcess.Failure(description: "mkdtemp: \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { path + "/" + name }

    package func write(_ name: String, _ text: String, mode: Int = 0o600) throws -> String {
        let file = file(name)
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        chmod(file, mode_t(mode))
        return file
    }

    /// Every byte of every file below, for searching.
    package func contains(_ needle: String, below folder: String? = nil) throws -> [String] {
        let root = folder ?? path
        var hits: [String] = []
        for case let name as String in FileManager.default.enumerator(atPath: root) ?? FileManager.DirectoryEnumerator()
        {
            let file = root + "/" + name
            guard let data = FileManager.default.contents(atPath: file) else { continue }
            if data.range(of: Data(needle.utf8)) != nil { hits.append(file) }
        }
        return hits
    }
}
