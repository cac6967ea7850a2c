import Dispatch
import Foundation
import Testing

struct CommandTests {
    @Test(arguments: Story.all)
    func aCommandSaysAsksAndEndsAsWritten(story: Story) throws {
        let daemon = try FakeDaemon(Story.routes)
        let command = CommandLine(
            socketPath: daemon.socketPath,
            environment: story.environment,
            input: story.input
        )
        let result = try command.run(story.arguments)
        #expect(result == CommandLine.Result(output: story.output, errors: story.errors, status: story.status))
        if let requests = story.requests {
            #expect(daemon.requests.map { "\($0.line) \($0.body)" } == requests)
        }
    }

    @Test func aTerminationSignalReachesTheChildAndTheLeaseIsRevoked() throws {
        let daemon = try FakeDaemon(Story.routes)
        let running = try CommandLine(socketPath: daemon.socketPath).start([
            "run", "--env", "U=database/creds/r#username", "--file", "F=secret/app#n", "--", "sh", "-c",
            #"trap "echo stopped; exit 9" TERM; dirname $F; while :; do sleep 0.05; done"#,
        ])
        // The child's first line says that it runs and has its trap.
        var first = ""
        while !first.hasSuffix("\n"), let byte = try running.output.fileHandleForReading.read(upToCount: 1) {
            first += String(decoding: byte, as: UTF8.self)
        }
        running.process.terminate()
        let result = try running.finish()
        #expect(result == CommandLine.Result(output: "stopped\n", errors: "", status: 9))
        #expect(daemon.requests.last?.line == "PUT /v1/sys/leases/revoke")
        #expect(!FileManager.default.fileExists(atPath: first.trimmingCharacters(in: .newlines)))
    }

    @Test func aStopDuringAReadStartsNothingAndRevokesWhatWasIssued() throws {
        let asked = DispatchSemaphore(value: 0)
        let stopped = DispatchSemaphore(value: 0)
        let daemon = try FakeDaemon { request in
            if request.line == "GET /v1/database/creds/r" {
                asked.signal()
                stopped.wait()
            }
            return Story.routes[request.line] ?? .json(404, "{}")
        }
        let running = try CommandLine(socketPath: daemon.socketPath).start([
            "run", "--env", "U=database/creds/r#username", "--", "echo", "never",
        ])
        asked.wait()
        running.process.terminate()
        // The answer is held until the signal has been taken: SIGTERM is no longer pending (proc_pid_status(5)).
        waitUntilTaken(running.process.processIdentifier)
        stopped.signal()
        let result = try running.finish()
        #expect(result == CommandLine.Result(output: "", errors: "", status: 128 + 15))
        #expect(daemon.requests.last?.line == "PUT /v1/sys/leases/revoke")
    }

    @Test func aSecondStopDoesNotWaitForAnAnswer() throws {
        let asked = DispatchSemaphore(value: 0)
        let daemon = try FakeDaemon { request in
            if request.line == "GET /v1/database/creds/r" {
                asked.signal()
                return .silence
            }
            return Story.routes[request.line] ?? .json(404, "{}")
        }
        let running = try CommandLine(socketPath: daemon.socketPath).start([
            "run", "--env", "U=database/creds/r#username", "--", "echo", "never",
        ])
        asked.wait()
        kill(running.process.processIdentifier, SIGTERM)
        waitUntilTaken(running.process.processIdentifier)
        kill(running.process.processIdentifier, SIGINT)
        let result = try running.finish()
        #expect(result == CommandLine.Result(output: "", errors: "", status: 128 + 15))
        #expect(daemon.requests.last?.line == "GET /v1/database/creds/r")
    }

    private func waitUntilTaken(_ pid: Int32) {
        let pending = { () -> Bool in
            let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
            return status.split(separator: "\n").contains {
                ($0.hasPrefix("ShdPnd:") || $0.hasPrefix("SigPnd:")) && $0.hasSuffix("4000")
            }
        }
        while pending() { sched_yield() }
    }

    @Test(arguments: [
        "password=x", "DB_PASSWORD=x", "token=x", "secret_id=x", "private_key=x", "url=https://u:p@h/",
        "dsn=db://u:p@h@x/d",
    ])
    func aWriteRefusesWhatLooksSecretInItsArguments(argument: String) throws {
        let daemon = try FakeDaemon(Story.routes)
        let command = CommandLine(socketPath: daemon.socketPath)
        let refused = try command.run(["write", "cubbyhole/x", argument])
        #expect(refused.status == 64)
        #expect(daemon.requests.isEmpty)
        #expect(try command.run(["write", "--insecure-argv", "cubbyhole/x", argument]).status == 0)
    }

    @Test(arguments: [
        "public_key=x", "bind_secret_id=true", "token_ttl=1h", "token_policies=a", "url=https://h/a@b:c", "keys=a",
        "url=postgresql://{{username}}:{{password}}@h/d",
    ])
    func aWriteTakesConfigurationInItsArguments(argument: String) throws {
        let daemon = try FakeDaemon(Story.routes)
        #expect(try CommandLine(socketPath: daemon.socketPath).run(["write", "cubbyhole/x", argument]).status == 0)
    }

    @Test func aTokenComesFromAFileOrStandardInputBeforeTheEnvironment() throws {
        let daemon = try FakeDaemon(Story.routes)
        var command = CommandLine(
            socketPath: daemon.socketPath,
            environment: ["BAO_TOKEN": "s.env"],
            input: "s.stdin\n"
        )
        _ = try command.run(["read", "policy", "--token-file", "-"])
        _ = try command.run(["read", "policy"])
        command.environment = ["HOME": daemon.directory, "VAULT_ADDR": "unix://\(daemon.socketPath)"]
        command.socketPath = nil
        try Data("s.home".utf8).write(to: URL(fileURLWithPath: "\(daemon.directory)/.vault-token"))
        defer { try? FileManager.default.removeItem(atPath: "\(daemon.directory)/.vault-token") }
        _ = try command.run(["read", "policy"])
        #expect(daemon.requests.map { $0.header("X-Vault-Token") } == ["s.stdin", "s.env", nil])
    }

    /// What follows `run` is another's command line; these two are not.
    @Test(arguments: ["-h", "--help"])
    func runExplainsItself(flag: String) throws {
        let result = try CommandLine().run(["run", flag])
        #expect(result.status == 0 && result.output.contains("EXAMPLES") && result.errors.isEmpty)
    }

    @Test func helpOfEveryCommandShowsAnExample() throws {
        let help = try CommandLine().run(["--experimental-dump-help"]).output
        let root = try #require(try JSONSerialization.jsonObject(with: Data(help.utf8)) as? [String: Any])
        let command = try #require(root["command"] as? [String: Any])
        var leaves = 0
        func visit(_ command: [String: Any]) {
            let children = (command["subcommands"] as? [[String: Any]] ?? []).filter {
                $0["commandName"] as? String != "help"
            }
            for child in children { visit(child) }
            guard children.isEmpty else { return }
            leaves += 1
            let text = command["discussion"] as? String ?? ""
            #expect(text.contains("EXAMPLES\n  coffre "), "\(command["commandName"] ?? "")")
        }
        visit(command)
        #expect(leaves > 25)
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func completionsAreGenerated(shell: String) throws {
        let result = try CommandLine().run(["--generate-completion-script", shell])
        #expect(result.status == 0)
        #expect(result.output.contains("unseal"))
    }

    @Test func aCoreFileCannotBeWritten() throws {
        let result = try CommandLine().run(["run", "--", "sh", "-c", "ulimit -c; ulimit -Hc"])
        #expect(result.output == "0\n0\n")
    }
}
