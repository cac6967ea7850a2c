import CoffreTestSupport
import Foundation
import Glibc

/// A real coffred and coffre-broker, with a witness (`witness.py`) and others who remember the log (`outside.py`).
final class WitnessStage {
    let daemon: CoffredProcess
    let root: String
    let authority: TestAuthority
    let witnessFolder: String
    private(set) var vkey = ""
    private(set) var witnessPort = 0
    private let broker: RunningProcess
    private let basis: String
    private(set) var witness: RunningProcess?
    private(set) var outside: RunningProcess?

    static func script(_ name: String) -> String { PackageFolder.path + "/Tests/Scripts/" + name }

    /// A log that exists, and a daemon that is stopped.
    init(_ setup: CoffredProcess.Setup = CoffredProcess.Setup()) throws {
        authority = try TestAuthority()
        daemon = try CoffredProcess(setup)
        witnessFolder = daemon.folder.file("witness-state")
        let configuration = try daemon.folder.write(
            "broker.toml",
            """
            socket = "\(daemon.folder.file("broker"))"
            state_directory = "\(daemon.folder.file("broker-state"))"
            coffred_user = "\(geteuid())"
            allow = ["127.0.0.0/8"]
            ca_file = "\(authority.certificate)"
            """
        )
        broker = try RunningProcess(try CoffredProcess.program("coffre-broker"), ["--config", configuration])
        guard broker.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "coffre-broker: \(broker.output)")
        }
        try daemon.start()
        root = try daemon.initialise().rootToken
        try daemon.stop()
        basis = try String(contentsOfFile: daemon.configuration, encoding: .utf8)
    }

    deinit {
        for process in [witness, outside, broker].compactMap({ $0 }) { process.signal(SIGKILL) }
    }

    /// Starts a witness that knows the log's key.
    func startWitness(plain: Bool = false) throws {
        var arguments = [Self.script("witness.py"), witnessFolder, "--log", daemon.auditFolder + "/log.vkey"]
        if !plain { arguments += ["--cert", authority.server] }
        if witnessPort > 0 { arguments += ["--port", "\(witnessPort)"] }
        let process = try RunningProcess("/usr/bin/env", ["python3"] + arguments)
        guard process.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "witness.py: \(process.output)")
        }
        witness = process
        vkey = Self.word("vkey", process) ?? ""
        witnessPort = Self.word("listening", process).flatMap { Int($0) } ?? 0
    }

    func stopWitness() throws {
        witness?.signal(SIGKILL)
        _ = try witness?.wait()
    }

    /// Starts the authority for time stamps, the web server and the mail server.
    func startOutside(login: String? = nil) throws {
        let arguments = [Self.script("outside.py"), authority.path, "--cert", authority.server]
        let process = try RunningProcess(
            "/usr/bin/env",
            ["python3"] + arguments + (login.map { ["--login", $0] } ?? [])
        )
        guard process.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "outside.py: \(process.output)")
        }
        outside = process
    }

    func outsidePort(_ name: String) -> String { outside.flatMap { Self.word(name, $0) } ?? "0" }

    private static func word(_ name: String, _ process: RunningProcess) -> String? {
        let line = process.output.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.map { String($0.dropFirst(name.count + 1)) }
    }

    func behave(_ word: String, in folder: String? = nil) throws {
        let file = URL(fileURLWithPath: (folder ?? witnessFolder) + "/behaviour")
        try Data(word.utf8).write(to: file, options: .atomic)
    }

    /// Writes the `[witness]` section.
    func configure(_ lines: [String]) throws {
        let section = lines.isEmpty ? "" : "\n[witness]\n" + lines.joined(separator: "\n") + "\n"
        try Data((basis + section).utf8).write(to: URL(fileURLWithPath: daemon.configuration))
    }

    /// The witness of this stage, asked every second.
    func configureWitness(scheme: String = "https", host: String = "127.0.0.1") throws {
        try configure([
            "cosigners = [\"\(vkey) \(scheme)://\(host):\(witnessPort)/\"]", "interval_seconds = 1",
        ])
    }

    func status() throws -> [String: Any] {
        try daemon.request("GET", "sys/audit/status", token: root).data
    }

    /// What `sys/audit/status` says of the first of `kind`.
    func entry(_ kind: String) throws -> [String: Any] {
        let all = try status()["witnesses"] as? [[String: Any]] ?? []
        return all.first { $0["kind"] as? String == kind } ?? [:]
    }

    func write(_ name: String = "a") throws -> Int {
        try daemon.request("POST", "secret/data/\(name)", token: root, body: #"{"data":{"k":"v"}}"#).status
    }

    /// Copies what the daemon keeps, as a snapshot of the machine would.
    func snapshot(_ name: String) throws {
        for (folder, copy) in folders(name) { try Self.run("cp", ["-a", folder, copy]) }
    }

    /// Puts a copy back in place of what is there.
    func restore(_ name: String) throws {
        for (folder, copy) in folders(name) {
            try FileManager.default.removeItem(atPath: folder)
            try Self.run("cp", ["-a", copy, folder])
        }
    }

    private func folders(_ name: String) -> [(String, String)] {
        [
            (daemon.auditFolder, daemon.folder.file(name + "-audit")),
            (daemon.stateFolder, daemon.folder.file(name + "-state")),
        ]
    }

    private static func run(_ program: String, _ arguments: [String]) throws {
        let (status, output) = try RunningProcess.run("/usr/bin/env", [program] + arguments)
        guard status == 0 else { throw RunningProcess.Failure(description: "\(program): \(output)") }
    }
}
