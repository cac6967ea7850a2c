import CoffreAPI
import CoffreCrypto
@_spi(Unrecorded) import CoffreVault
import Foundation
import Testing

@Suite(.serialized, .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/curl")))
struct ClientToolTests {
    private func curl(_ fixture: ServerFixture, _ arguments: [String], input: Data? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = ["-sS", "--max-time", "20", "--unix-socket", fixture.path] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        let stdin = Pipe()
        process.standardInput = stdin
        try process.run()
        if let input { try stdin.fileHandleForWriting.write(contentsOf: input) }
        try stdin.fileHandleForWriting.close()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    @Test
    func curlReadsListsAndWrites() async throws {
        try await ServerFixture.with { fixture in
            let host = "http://localhost/v1"
            try #expect(curl(fixture, ["\(host)/a/b?x=1"]) == "GET a/b 0")
            try #expect(curl(fixture, ["-X", "LIST", "\(host)/a/"]) == "LIST a/ 0")
            try #expect(curl(fixture, ["-d", "{\"a\":1}", "\(host)/c", "\(host)/d"]) == "PUT c 7PUT d 7")
            try #expect(curl(fixture, ["-H", "Transfer-Encoding: chunked", "-d", "12345", "\(host)/e"]) == "PUT e 5")
            try #expect(curl(fixture, ["-0", "\(host)/f"]) == "GET f 0")
            let large = Data(repeating: 0x61, count: 3_000_000)
            try #expect(curl(fixture, ["-T", "-", "\(host)/g"], input: large) == "PUT g 3000000")
        }
    }

    @Test
    func curlSeesTheRefusalOfAnOversizedUpload() async throws {
        var configuration = APIServerConfiguration()
        configuration.limits.bodyBytes = 10_000
        try await ServerFixture.with(configuration) { fixture in
            let large = Data(repeating: 0x61, count: 3_000_000)
            let status = ["-o", "/dev/null", "-w", "%{http_code}"]
            try #expect(curl(fixture, status + ["--data-binary", "@-", "http://h/v1/a"], input: large) == "413")
        }
    }
}
