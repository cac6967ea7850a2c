import Foundation

/// Programs on Go's own checksum database code, built once from `Tests/Scripts`.
package enum GoProgram {
    private static let folder = try? TestFolder("go")
    private static let lock = NSLock()

    /// - Parameter name: of the source, without `.go`, or of its folder.
    /// - Returns: path of the program.
    package static func path(_ name: String) throws -> String {
        try lock.withLock {
            guard let folder else { throw RunningProcess.Failure(description: "no folder for Go") }
            let program = folder.file(name)
            if FileManager.default.isExecutableFile(atPath: program) { return program }
            let source = PackageFolder.path + "/Tests/Scripts/" + name
            let isFolder = FileManager.default.fileExists(atPath: source)
            let build = try RunningProcess.run(
                "/bin/sh",
                [
                    "-c",
                    isFolder ? "cd '\(source)' && go build -o '\(program)'" : "go build -o '\(program)' '\(source).go'",
                ],
                environment: [
                    "PATH": "/usr/bin:/bin", "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
                    "GOCACHE": folder.file("cache"),
                ],
                timeout: 300
            )
            guard build.status == 0 else { throw RunningProcess.Failure(description: build.output) }
            return program
        }
    }
}
