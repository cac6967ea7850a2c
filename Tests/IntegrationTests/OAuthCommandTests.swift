import CoffreTestSupport
import Foundation
import Testing

/// `coffre connection connect`, with a browser that is curl.
@Suite(.serialized)
struct OAuthCommandTests {
    private static func command(_ stage: OAuthStage, _ more: [String]) throws -> [String] {
        let token = try stage.vault.folder.write("sarah", try #require(stage.people.tokens["sarah"]))
        return ["connection", "connect", "forge", "--socket", stage.vault.socket, "--token-file", token] + more
    }

    /// The address that a command prints.
    private static func address(_ process: RunningProcess) throws -> String {
        #expect(process.says("Open https://", within: 20), "\(process.output)")
        try eventually("a whole line") { process.output.contains(/Open https:\S+\n/) }
        return String(try #require(process.output.firstMatch(of: /Open (https:\S+)/)?.1))
    }

    @Test func theBrowserComesBackToThisMachine() throws {
        let stage = try OAuthStage()
        let arguments = try Self.command(stage, ["--scope", "read"])
        let process = try RunningProcess(try CoffredProcess.program("coffre"), arguments, environment: ["LC_ALL": "C"])
        let location = try stage.server.consent(at: try Self.address(process))
        let base = try #require(location.split(separator: "/callback").first)
        // What is no answer is none: the command goes on waiting.
        for path in ["/favicon.ico", "/callback", "/callback?code=x", "/callback?state=%zz"] {
            let (_, output) = try RunningProcess.run("/usr/bin/env", ["curl", "-s", "-i", base + path])
            #expect(output.contains("404"))
        }
        let (_, page) = try RunningProcess.run("/usr/bin/env", ["curl", "-s", "-i", location])
        #expect(page.contains("200 OK") && page.contains("close this page"))
        #expect(try process.wait() == 0)
        process.drain()
        #expect(process.output.contains("forge: connected (read)"), "\(process.output)")
        #expect(try stage.works(stage.token().token))
    }

    @Test func theAddressCanBePasted() throws {
        let stage = try OAuthStage()
        let arguments = try Self.command(stage, ["--scope", "read", "--port", "8400", "--paste"])
        let pipe = stage.vault.folder.file("answer")
        let coffre = try CoffredProcess.program("coffre")
        let process = try RunningProcess(
            "/bin/sh",
            [
                "-c", #"mkfifo "$1" && { exec 3<>"$1"; shift; exec "$@" <&3 3<&-; }"#, "sh", pipe, "sh", "-c",
                #"head -n 1 | "$@""#, "sh", coffre,
            ] + arguments,
            environment: ["LC_ALL": "C"]
        )
        let location = try stage.server.consent(at: try Self.address(process))
        try Data((location + "\n").utf8).write(to: URL(fileURLWithPath: pipe))
        #expect(try process.wait() == 0, "\(process.output)")
        #expect(try stage.works(stage.token().token))
        let wrong = try RunningProcess.run(coffre, arguments, environment: ["LC_ALL": "C"], input: "no address\n")
        #expect(wrong.status == 1 || wrong.status == 64, "\(wrong)")
        #expect(wrong.output.contains("state and code"))
    }

    @Test func aDeviceIsShownItsCode() throws {
        let stage = try OAuthStage()
        try stage.connection(client: "coffre-device", secret: nil)
        let arguments = try Self.command(stage, ["--flow", "device", "--scope", "read"])
        let process = try RunningProcess(try CoffredProcess.program("coffre"), arguments, environment: ["LC_ALL": "C"])
        try eventually("a code") { process.output.contains(/enter [A-Z0-9-]+\n/) }
        let code = try #require(process.output.firstMatch(of: /enter ([A-Z0-9-]+)/)?.1)
        try stage.server.answerDevice(String(code))
        #expect(try process.wait() == 0, "\(process.output)")
        #expect(try stage.works(stage.token().token))
    }
}
