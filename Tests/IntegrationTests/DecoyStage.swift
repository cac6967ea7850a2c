import CoffreTestSupport
import Foundation
import Testing

/// A vault with decoys, its operator and a service.
struct DecoyStage {
    private let stage: BackupStage
    var vault: CoffredProcess { stage.vault }
    var root: String { stage.root }
    var files: TestFolder { stage.files }

    init() throws { stage = try BackupStage() }

    func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) { try stage.coffre(arguments) }

    func backup() throws -> String { try stage.backup() }

    func restore(_ snapshot: String) throws { try stage.restore(snapshot) }

    func call(_ verb: String, _ path: String, _ body: String? = nil, _ headers: [String: String] = [:]) throws
        -> UnixHTTP.Answer
    {
        try vault.request(verb, path, token: root, body: body, headers: headers)
    }

    func create(_ path: String, _ body: String = "{}") throws -> UnixHTTP.Answer {
        try call("POST", "sys/decoys/\(path)", body)
    }

    // MARK: a service

    /// Gives uid 65534 a right to read, without any token.
    func serviceMay(read path: String) throws {
        let policy = try CoffredProcess.json(["policy": #"path "\#(path)" { capabilities = ["read"] }"#])
        #expect(try call("PUT", "sys/policies/acl/service", policy).status == 204)
        let role = #"{"bound_uids":[65534],"policies":["service"]}"#
        #expect(try call("POST", "auth/peer/role/service", role).status == 204)
    }

    /// curl under another uid.
    func asService(_ verb: String, _ path: String, token: String? = nil, body: String? = nil) throws
        -> (status: Int, body: String)
    {
        var arguments = [
            "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", vault.socket, "-X",
            verb,
            "-w", "\n%{http_code}", "http://localhost/v1/\(path)",
        ]
        if let token { arguments += ["-H", "X-Vault-Token: \(token)"] }
        if let body { arguments += ["-d", body] }
        let result = try RunningProcess.run("/usr/bin/setpriv", arguments)
        try #require(result.status == 0, "\(result.output)")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    // MARK: the log

    /// A record with the mark of a decoy.
    struct Touch {
        let record: [String: Any]
        var what: [String: Any] { record["what"] as? [String: Any] ?? [:] }
        var operation: String { what["op"] as? String ?? "" }
        var phase: String { record["ph"] as? String ?? "" }
        var code: String { (record["out"] as? [String: Any])?["code"] as? String ?? "" }
    }

    func lastRecord() throws -> Int { try vault.records().last?["_s"] as? Int ?? 0 }

    func marked(after number: Int) throws -> [Touch] {
        try vault.records().filter { ($0["_s"] as? Int ?? 0) > number }.map(Touch.init).filter {
            ($0.what["det"] as? [String: Any])?["decoy"] as? Bool == true
        }
    }
}
