import Foundation
import Testing

/// The `coffre` program as it was built beside the tests, run to its end.
struct CommandLine {
    struct Result: Sendable, Equatable {
        var output: String
        var errors: String
        var status: Int32
    }

    var socketPath: String?
    var environment: [String: String] = [:]
    /// What is piped in; nothing by default.
    var input = ""

    /// Runs `coffre` with these arguments and only the environment given here.
    func run(_ arguments: [String]) throws -> Result {
        let process = try start(arguments)
        return try process.finish(input)
    }

    /// A program that is running.
    struct Running {
        let process: Process
        let input: Pipe
        let output: Pipe
        let errors: Pipe

        func finish(_ text: String = "") throws -> Result {
            try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
            try input.fileHandleForWriting.close()
            let output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            let errors = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
            return Result(output: output, errors: errors, status: status)
        }
    }

    func start(_ arguments: [String]) throws -> Running {
        let process = Process()
        process.executableURL = try Self.program()
        process.arguments = arguments
        var environment = ["PATH": "/usr/bin:/bin"]
        if let socketPath { environment["COFFRE_SOCKET"] = socketPath }
        process.environment = environment.merging(self.environment) { $1 }
        let running = Running(process: process, input: Pipe(), output: Pipe(), errors: Pipe())
        process.standardInput = running.input
        process.standardOutput = running.output
        process.standardError = running.errors
        try process.run()
        return running
    }

    private static func program() throws -> URL {
        let here = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let program = here.appendingPathComponent("coffre")
        try #require(
            FileManager.default.isExecutableFile(atPath: program.path),
            "coffre must be built beside the tests: swift build --build-tests"
        )
        return program
    }
}
