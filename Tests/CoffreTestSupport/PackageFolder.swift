import Foundation

/// Where the package lies: tests run from its sources.
package enum PackageFolder {
    package static let path: String = {
        var url = URL(fileURLWithPath: #filePath)
        while url.path != "/" {
            url.deleteLastPathComponent()
            if FileManager.default.fileExists(atPath: url.appendingPathComponent("Package.swift").path) { break }
        }
        return url.path
    }()

    /// A program of the same build.
    package static func program(_ name: String) -> String { path + "/.build/debug/" + name }
}
