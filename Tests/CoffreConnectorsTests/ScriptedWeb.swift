import CoffreTestSupport
import CoffreWire
import Foundation

/// `scripted_web.py`: answers what a test has written, and keeps what came.
final class ScriptedWeb: Sendable {
    let authority: TestAuthority
    private let folder: TestFolder
    private let process: RunningProcess
    let port: Int

    init(_ options: [String] = [], authority: TestAuthority? = nil) throws {
        let authority = try authority ?? TestAuthority()
        self.authority = authority
        folder = try TestFolder("web")
        let script = PackageFolder.path + "/Tests/Scripts/scripted_web.py"
        process = try RunningProcess(
            "/usr/bin/env",
            ["python3", script, folder.path, "--cert", authority.server] + options
        )
        guard process.says("listening", within: 20),
            let line = process.output.split(separator: "\n").first(where: { $0.hasPrefix("listening ") }),
            let port = Int(line.dropFirst(10))
        else { throw RunningProcess.Failure(description: "scripted_web.py: \(process.output)") }
        self.port = port
    }

    deinit { process.signal(SIGKILL) }

    func url(_ name: String, host: String = "127.0.0.1") -> String { "https://\(host):\(port)/\(name)" }

    func answer(_ name: String, _ script: [String: Any]) throws {
        try JSONSerialization.data(withJSONObject: script).write(to: URL(fileURLWithPath: folder.file(name + ".json")))
    }

    /// What came last under this name; nil when nothing did.
    func request(_ name: String) throws -> [String: Any]? {
        guard let data = FileManager.default.contents(atPath: folder.file(name + ".request")) else { return nil }
        return try JSONSerialization.jsonObject(with: data) as? [String: Any]
    }
}
