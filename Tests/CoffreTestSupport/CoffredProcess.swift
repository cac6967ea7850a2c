import Foundation
import Glibc

/// The real coffred with a configuration, a state and a log of its own, gone when the test is.
///
/// The programs are those that were built beside the tests.
package final class CoffredProcess: @unchecked Sendable {  // One test drives it; what changes is guarded by the lock.
    /// How a daemon is set up.
    package struct Setup: Sendable {
        /// `shamir`, or `credential` with a key in a credentials folder.
        package var seal = "shamir"
        package var operators: [Int] = []
        package var segmentBytes = 67_108_864
        /// What is set aside on the log's disk: little, as tests are many.
        package var preallocates = false
        package var reserveBytes = 1_048_576
        /// Where the database lies; below the test's folder when nil.
        package var stateFolder: String?
        /// Where the log lies; below the test's folder when nil.
        package var auditFolder: String?
        /// Whether the log is watched: findings are records, and tests that count those want none.
        package var isWatched = false
        /// Further lines of `[anomaly]`.
        package var anomaly = ""
        /// Further lines at the end of the configuration.
        package var extraConfiguration = ""
        /// A program and its arguments that start coffred, such as strace.
        package var launcher: [String] = []
        package var environment: [String: String] = [:]

        package init() {}
    }

    /// What `sys/init` gives.
    package struct Keys: Sendable {
        package let shares: [String]
        package let rootToken: String
    }

    package let folder: TestFolder
    package let setup: Setup
    package var socket: String { folder.file("s") }
    package var stateFolder: String { setup.stateFolder ?? folder.file("state") }
    package var database: String { stateFolder + "/coffre.db" }
    package var auditFolder: String { setup.auditFolder ?? folder.file("audit") }
    package var configuration: String { folder.file("coffre.toml") }

    private let lock = NSLock()
    private var running: RunningProcess?
    private var earlier = ""
    private var made: Keys?

    /// Writes the configuration; starts nothing yet.
    package init(_ setup: Setup = Setup()) throws {
        self.setup = setup
        folder = try TestFolder("i")
        chmod(folder.path, 0o711)
        let group = geteuid() == 0 ? "nogroup" : ""
        let text = """
            state_directory = "\(setup.stateFolder ?? folder.file("state"))"
            [listener]
            socket = "\(folder.file("s"))"
            group = "\(group)"
            [seal]
            type = "\(setup.seal)"
            operators = [\(setup.operators.map(String.init).joined(separator: ", "))]
            [audit]
            directory = "\(setup.auditFolder ?? folder.file("audit"))"
            origin = "test.example/coffre"
            segment_bytes = \(setup.segmentBytes)
            preallocate = \(setup.preallocates)
            reserve_bytes = \(setup.reserveBytes)
            [broker]
            socket = "\(folder.file("broker"))"
            user = "\(NSUserName())"
            [anomaly]
            enabled = \(setup.isWatched)
            \(setup.anomaly)
            [telemetry]
            log_level = "debug"
            \(setup.extraConfiguration)

            """
        _ = try folder.write("coffre.toml", text)
        if setup.seal == "credential" {
            try FileManager.default.createDirectory(
                atPath: folder.file("credentials"),
                withIntermediateDirectories: false
            )
            let key = Data((0..<32).map { _ in UInt8.random(in: 0...255) })
            try key.write(to: URL(fileURLWithPath: folder.file("credentials/coffre.unseal")))
        }
    }

    deinit { if isRunning { _ = Glibc.kill(pid, SIGKILL) } }

    /// Starts a daemon and waits for its socket.
    package static func started(_ setup: Setup = Setup()) throws -> CoffredProcess {
        let daemon = try CoffredProcess(setup)
        try daemon.start()
        return daemon
    }

    /// Starts a daemon, makes the vault and opens it.
    package static func unsealed(_ setup: Setup = Setup()) throws -> (daemon: CoffredProcess, root: String) {
        let daemon = try started(setup)
        let keys = try daemon.initialise()
        try daemon.unseal()
        return (daemon, keys.rootToken)
    }

    // MARK: programs

    /// A program of this package, as it was built beside the tests.
    package static func program(_ name: String) throws -> String {
        var candidates: [URL] = [URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()]
        candidates += CommandLine.arguments.map { URL(fileURLWithPath: $0) }
        for candidate in candidates {
            var folder = candidate.deletingLastPathComponent()
            for _ in 0..<4 where folder.path != "/" {
                let found = folder.appendingPathComponent(name).path
                if FileManager.default.isExecutableFile(atPath: found) { return found }
                folder.deleteLastPathComponent()
            }
        }
        throw RunningProcess.Failure(description: "\(name) is not beside the tests: run `swift build` first")
    }

    /// A tool that the tests need: named by `variable`, else `fallback` below the package's `.cache/venv/bin`, else on
    /// the path. A missing tool is a failure.
    package static func tool(_ name: String, variable: String) throws -> String {
        if let named = ProcessInfo.processInfo.environment[variable] {
            if FileManager.default.isExecutableFile(atPath: named) { return named }
            throw RunningProcess.Failure(description: "\(variable) is \(named), which is no program")
        }
        let cached = packageFolder + "/.cache/venv/bin/" + name
        if FileManager.default.isExecutableFile(atPath: cached) { return cached }
        throw RunningProcess.Failure(
            description: "\(name) is missing: install it into .cache/venv, or name it in \(variable)"
        )
    }

    /// The real OpenBao, client and server in one program.
    package static func bao() throws -> String { try tool("bao", variable: "COFFRE_TEST_BAO") }

    /// A Python with hvac and requests_unixsocket.
    package static func python() throws -> String { try tool("python", variable: "COFFRE_TEST_PYTHON") }

    /// The folder of Package.swift.
    package static let packageFolder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    // MARK: life

    /// The daemon itself, also below a launcher that stays its parent.
    package var pid: Int32 {
        let first = lock.withLock { running?.pid ?? 0 }
        let children = try? String(contentsOfFile: "/proc/\(first)/task/\(first)/children", encoding: .utf8)
        return children?.split(separator: " ").first.flatMap { Int32($0) } ?? first
    }
    package var isRunning: Bool { lock.withLock { running?.isRunning ?? false } }

    /// Everything that the daemon said, in all of its lives.
    package var output: String { lock.withLock { earlier + (running?.output ?? "") } }

    /// Starts the program without waiting for anything.
    @discardableResult
    package func launch() throws -> RunningProcess {
        let command = setup.launcher + [try Self.program("coffred"), "--config", configuration]
        var environment = setup.environment
        if setup.seal == "credential" { environment["CREDENTIALS_DIRECTORY"] = folder.file("credentials") }
        let process = try RunningProcess("/usr/bin/env", command, environment: environment)
        lock.withLock {
            earlier += running?.output ?? ""
            running = process
        }
        Self.launched.add(process)
        return process
    }

    /// Starts the program and waits until it answers.
    package func start() throws {
        let process = try launch()
        try eventually(within: 30, "coffred answers on its socket") {
            if !process.isRunning {
                let status = try process.wait()
                process.drain()
                throw RunningProcess.Failure(description: "coffred ended with \(status): \(process.output)")
            }
            return (try? request("GET", "sys/seal-status").status) == 200
        }
    }

    /// SIGTERM, once the daemon listens for it.
    /// - Returns: the exit status.
    @discardableResult
    package func stop() throws -> Int32 {
        guard let process = lock.withLock({ running }) else { return 0 }
        try eventually("coffred handles SIGTERM") { !process.isRunning || Self.handles(SIGTERM, pid) }
        _ = Glibc.kill(pid, SIGTERM)
        return try process.wait(timeout: 30)
    }

    /// Whether a process ignores or catches a signal (proc(5)).
    private static func handles(_ number: Int32, _ pid: Int32) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return true }
        return status.split(separator: "\n").contains { line in
            guard line.hasPrefix("SigIgn:") || line.hasPrefix("SigCgt:"),
                let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
            else { return false }
            return mask >> UInt64(number - 1) & 1 == 1
        }
    }

    /// SIGKILL.
    package func kill() throws {
        guard let process = lock.withLock({ running }) else { return }
        _ = Glibc.kill(pid, SIGKILL)
        try process.wait(timeout: 30)
    }

    /// Stops, starts again and unseals.
    package func restart() throws {
        try stop()
        try start()
        try unseal()
    }

    /// Daemons that live as long as the tests: what a static property holds is never freed.
    private static let launched = Launched()

    private final class Launched: @unchecked Sendable {  // Guarded by the lock.
        private let lock = NSLock()
        private var processes: [RunningProcess] = []

        init() {
            atexit { CoffredProcess.launched.killAll() }
        }

        func add(_ process: RunningProcess) { lock.withLock { processes.append(process) } }

        func killAll() {
            for process in lock.withLock({ processes }) where process.isRunning { process.signal(SIGKILL) }
        }
    }

    // MARK: the vault

    /// One request on a connection of its own.
    @discardableResult
    package func request(
        _ method: String,
        _ path: String,
        token: String? = nil,
        body: String? = nil,
        headers: [String: String] = [:]
    ) throws -> UnixHTTP.Answer {
        try UnixHTTP.once(socket, method, path, token: token, body: body, headers: headers)
    }

    /// Makes the vault: three shares, two of which open it.
    @discardableResult
    package func initialise() throws -> Keys {
        let kind = setup.seal == "credential" ? "recovery" : "secret"
        let answer = try request("PUT", "sys/init", body: #"{"\#(kind)_shares":3,"\#(kind)_threshold":2}"#)
        let name = setup.seal == "credential" ? "recovery_keys_base64" : "keys_base64"
        guard answer.status == 200, let shares = answer.json[name] as? [String],
            let root = answer.json["root_token"] as? String
        else { throw RunningProcess.Failure(description: "init: \(answer.status) \(answer.text)") }
        let keys = Keys(shares: shares, rootToken: root)
        lock.withLock { made = keys }
        return keys
    }

    /// What ``initialise()`` gave.
    package var keys: Keys {
        get throws {
            guard let made = lock.withLock({ made }) else {
                throw RunningProcess.Failure(description: "the vault has not been made")
            }
            return made
        }
    }

    /// Opens the vault with the first shares.
    package func unseal() throws {
        var status = try request("GET", "sys/seal-status").json
        for share in try keys.shares where status["sealed"] as? Bool == true {
            let answer = try request("PUT", "sys/unseal", body: #"{"key":"\#(share)"}"#)
            guard answer.status == 200 else {
                throw RunningProcess.Failure(description: "unseal: \(answer.status) \(answer.text)")
            }
            status = answer.json
        }
        guard status["sealed"] as? Bool == false else {
            throw RunningProcess.Failure(description: "the vault did not open: \(status)")
        }
    }

    /// Writes a policy and gives a token that has it.
    package func token(policy: String, named name: String, root: String) throws -> String {
        let text = try Self.json(["policy": policy])
        let written = try request("PUT", "sys/policies/acl/\(name)", token: root, body: text)
        guard written.status == 204 || written.status == 200 else {
            throw RunningProcess.Failure(description: "policy \(name): \(written.status) \(written.text)")
        }
        return try token(policies: [name], root: root)
    }

    /// A token with these policies.
    package func token(policies: [String], root: String) throws -> String {
        let body = try Self.json(["policies": policies, "ttl": "1h"])
        let answer = try request("POST", "auth/token/create", token: root, body: body)
        guard let auth = answer.json["auth"] as? [String: Any], let token = auth["client_token"] as? String else {
            throw RunningProcess.Failure(description: "token: \(answer.status) \(answer.text)")
        }
        return token
    }

    /// JSON of property-list-like values.
    package static func json(_ value: Any) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: value, options: [.sortedKeys]), as: UTF8.self)
    }

    // MARK: the log

    /// Verifies the log with both verifiers; they must agree on the number of records.
    /// - Returns: the number of records.
    @discardableResult
    package func verifyLog() throws -> Int {
        let script = Self.packageFolder + "/Tests/Scripts/verify_log.py"
        let python = try RunningProcess.run("/usr/bin/env", ["python3", script, auditFolder])
        guard python.status == 0 else {
            throw RunningProcess.Failure(description: "verify_log.py: \(python.output)")
        }
        let coffre = try RunningProcess.run(
            try Self.program("coffre"),
            ["audit", "verify", "--format", "json", auditFolder]
        )
        let report = try JSONSerialization.jsonObject(with: Data(coffre.output.utf8)) as? [String: Any]
        guard coffre.status == 0, report?["valid"] as? Bool == true, let records = report?["records"] as? Int else {
            throw RunningProcess.Failure(description: "coffre audit verify: \(coffre.output)")
        }
        return records
    }

    /// Every record of the log, in order.
    package func records() throws -> [[String: Any]] {
        let root = auditFolder + "/seg"
        var records: [[String: Any]] = []
        for case let name as String in FileManager.default.enumerator(atPath: root) ?? FileManager.DirectoryEnumerator()
        where name.hasSuffix(".jsonl") {
            guard let data = FileManager.default.contents(atPath: root + "/" + name) else { continue }
            for line in data.split(separator: 0x0a) {
                if let record = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] {
                    records.append(record)
                }
            }
        }
        return records.sorted { ($0["_s"] as? Int ?? 0) < ($1["_s"] as? Int ?? 0) }
    }
}
