import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// The command line beside a daemon, as an operator uses it for backups.
struct BackupStage {
    let vault: CoffredProcess
    let root: String
    let files: TestFolder

    init(_ setup: CoffredProcess.Setup = CoffredProcess.Setup()) throws {
        (vault, root) = try CoffredProcess.unsealed(setup)
        files = try TestFolder("b")
        _ = try files.write("token", root)
    }

    var environment: [String: String] {
        ["COFFRE_SOCKET": vault.socket, "COFFRE_TOKEN_FILE": files.file("token"), "LC_ALL": "C"]
    }

    @discardableResult
    func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        try RunningProcess.run(try CoffredProcess.program("coffre"), arguments, environment: environment)
    }

    /// Takes a snapshot.
    /// - Returns: its path.
    func backup(_ name: String = "snapshot.tar") throws -> String {
        let path = files.file(name)
        let result = try coffre(["operator", "backup", path])
        guard result.status == 0 else { throw RunningProcess.Failure(description: result.output) }
        return path
    }

    /// Stops the daemon, puts the snapshot in place, starts and unseals.
    func restore(_ snapshot: String) throws {
        try vault.stop()
        let result = try coffre(["operator", "restore", "--state-directory", vault.stateFolder, snapshot])
        guard result.status == 0 else { throw RunningProcess.Failure(description: result.output) }
        #expect(result.output.contains("hold mode"))
        try vault.start()
        try vault.unseal()
    }

    /// Writes secrets until the database has about this size.
    func fill(megabytes: Int) throws {
        let value = String(repeating: "v", count: 60_000)
        let writers: [@Sendable () throws -> Void] = (0..<8).map { worker in
            { [vault, root] in
                var client = try UnixHTTP(vault.socket)
                defer { client.close() }
                for number in 0..<megabytes * 2 {
                    let path = "secret/data/fill/w\(worker)n\(number)"
                    let answer = try client.request("POST", path, token: root, body: #"{"data":{"v":"\#(value)"}}"#)
                    #expect(answer.status == 200)
                }
            }
        }
        _ = try onThreads(writers)
    }

    /// What lies in the state folder, and in that of the snapshots.
    func leftovers() throws -> [String] {
        try
            (FileManager.default.contentsOfDirectory(atPath: vault.stateFolder)
            + FileManager.default.contentsOfDirectory(atPath: files.path))
            .filter {
                $0.contains("snapshot.") && $0 != "snapshot.tar" || $0.hasSuffix("db.snapshot")
                    || $0.contains("restoring")
            }
    }
}
