import Foundation

/// Files of `Vectors`, each with its source beside it.
enum GoldenFile {
    static func bytes(_ name: String) -> [UInt8] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors/\(name)")
        return (try? Data(contentsOf: file)).map { Array($0) } ?? []
    }

    static func lines(_ name: String) -> [String] {
        String(decoding: bytes(name), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .map(String.init)
    }
}
