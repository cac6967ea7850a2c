import Foundation
import Testing

private let liveSocketPath = ProcessInfo.processInfo.environment["COFFRE_LIVE_SOCKET"]

/// The story of a vault, told to a real server on a Unix socket: any that speaks the API.
///
/// `COFFRE_LIVE_SOCKET` names the socket. A server that is not initialised is initialised and unsealed here; otherwise
/// `COFFRE_LIVE_TOKEN_FILE` names a file with a token that may do everything.
@Suite(.serialized, .enabled(if: liveSocketPath != nil, "COFFRE_LIVE_SOCKET names no server"))
struct LiveStory {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "coffre-live-\(UUID().uuidString)"
    )

    private func command(_ tokenFile: String?, _ input: String = "") -> CommandLine {
        let environment = tokenFile.map { ["COFFRE_TOKEN_FILE": $0] } ?? [:]
        return CommandLine(socketPath: liveSocketPath, environment: environment, input: input)
    }

    private func file(_ name: String, _ text: String) throws -> String {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.appendingPathComponent(name).path
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }

    /// A file with a token that may do everything.
    private func opened() throws -> String {
        let status = try command(nil).run(["status", "--format", "json"])
        let state = try #require(JSONSerialization.jsonObject(with: Data(status.output.utf8)) as? [String: Any])
        if state["initialized"] as? Bool == true {
            #expect(status.status == (state["sealed"] as? Bool == true ? 2 : 0))
            return try #require(ProcessInfo.processInfo.environment["COFFRE_LIVE_TOKEN_FILE"])
        }
        #expect(status.status == 2)
        let made = try command(nil).run(["operator", "init", "--shares", "3", "--threshold", "2", "--format", "json"])
        let json = try #require(JSONSerialization.jsonObject(with: Data(made.output.utf8)) as? [String: Any])
        let keys = try #require(json["keys_base64"] as? [String])
        #expect(keys.count == 3)
        #expect(try command(nil).run(["operator", "init"]).status == 1)
        #expect(try command(nil, keys[0]).run(["operator", "unseal"]).output.contains("1/2"))
        let open = try command(nil).run(["operator", "unseal", "--key-file", try file("share", keys[2])])
        #expect(open.output.contains("unsealed"))
        return try file("root", try #require(json["root_token"] as? String))
    }

    @Test func aVaultIsOpenedUsedAndClosedToOthers() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let root = try opened()
        let path = "secret/story-\(UUID().uuidString.prefix(8))/db"
        if try command(root).run(["read", "sys/internal/ui/mounts/secret"]).status != 0 {
            let mounted = try command(root, #"{"type":"kv","options":{"version":"2"}}"#)
                .run(["write", "sys/mounts/secret", "-"])
            #expect(mounted.status == 0)
        }

        // Versions of a secret.
        #expect(try command(root).run(["kv", "get", path]).status == 4)
        let written = try command(root, #"{"password":"p1","n":1234567890123}"#)
            .run(["kv", "put", "--cas", "0", path, "-"])
        #expect(written.output.hasPrefix("Version 1, "))
        #expect(try command(root, "{}").run(["kv", "put", "--cas", "0", path, "-"]).status == 1)
        #expect(try command(root, "p2").run(["kv", "patch", path, "password=-"]).output.hasPrefix("Version 2, "))
        #expect(try command(root).run(["kv", "get", "--field", "password", path]).output == "p2")
        #expect(try command(root).run(["kv", "get", "--field", "password", "--version", "1", path]).output == "p1")
        #expect(try command(root).run(["kv", "get", "--field", "n", path]).output == "1234567890123")
        #expect(try command(root).run(["kv", "list", String(path.dropLast(3))]).output == "db\n")
        #expect(try command(root).run(["kv", "delete", path]).status == 0)
        let deleted = try command(root).run(["kv", "get", path])
        #expect(deleted.status == 4)
        #expect(deleted.errors == "coffre: nothing there: version 2 is deleted\n")
        #expect(try command(root).run(["kv", "undelete", "--versions", "2", path]).status == 0)
        #expect(try command(root).run(["kv", "destroy", "--versions", "1", path]).status == 0)
        let first = try command(root).run(["kv", "get", "--version", "1", path])
        #expect(first.errors == "coffre: nothing there: version 1 is destroyed\n")
        #expect(try command(root).run(["kv", "metadata", path]).output.contains("yes"))

        // A token that may read this and nothing else.
        let api = path.replacingOccurrences(of: "secret/", with: "secret/data/")
        let policy = "path \"\(api)\" { capabilities = [\"read\"] }\n"
        #expect(try command(root, policy).run(["policy", "write", "story", "-"]).status == 0)
        #expect(try command(root).run(["policy", "list"]).output.split(separator: "\n").contains("story"))
        #expect(try command(root).run(["policy", "read", "story"]).output == policy)
        let made = try command(root).run([
            "token", "create", "--policy", "story", "--ttl", "10m", "--field", "client_token",
        ])
        let reader = try file("reader", made.output)
        #expect(try command(reader).run(["token", "lookup"]).output.contains("default, story"))
        #expect(try command(reader).run(["kv", "get", "--field", "password", path]).output == "p2")
        #expect(try command(reader, "x").run(["kv", "put", path, "password=-"]).status == 3)
        #expect(try command(reader).run(["token", "capabilities", api]).output.contains("read"))
        let ran = try command(reader).run(["run", "--env", "P=\(path)#password", "--", "sh", "-c", "echo $P; exit 4"])
        #expect(ran == CommandLine.Result(output: "p2\n", errors: "", status: 4))
        #expect(try command(reader).run(["token", "renew", "--increment", "5m"]).status == 0)
        #expect(try command(root).run(["token", "revoke", "--of", reader]).status == 0)
        #expect(try command(reader).run(["kv", "get", path]).status == 3)

        #expect(try command(root).run(["policy", "delete", "story"]).status == 0)
        #expect(try command(root).run(["kv", "destroy", "--all", path]).status == 0)
        #expect(try command(root).run(["kv", "get", path]).status == 4)
    }
}
