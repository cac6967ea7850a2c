import CoffreTestSupport
import Foundation
import Glibc

/// A real coffred that watches its log, a real broker, a real mail server (aiosmtpd) and a web server that checks signatures.
final class AlertStage {
    let daemon: CoffredProcess
    let root: String
    let authority: TestAuthority
    /// What arrived.
    let arrivals: TestFolder
    private let brokerConfiguration: String
    private var broker: RunningProcess?
    private var post: RunningProcess?

    /// - Parameter anomaly: further lines of `[anomaly]`.
    init(_ anomaly: String = "", hasPost: Bool = true) throws {
        authority = try TestAuthority()
        arrivals = try TestFolder("a")
        let key = try arrivals.write("hook.key", "signing key of the tests")
        var lines = anomaly
        if hasPost {
            let post = try RunningProcess(
                try CoffredProcess.python(),
                [
                    WitnessStage.script("alerts.py"), arrivals.path, "--cert", authority.server, "--key", key,
                ]
            )
            guard post.says("listening", within: 20) else {
                throw RunningProcess.Failure(description: "alerts.py: \(post.output)")
            }
            self.post = post
            lines += """

                webhook = "https://127.0.0.1:\(Self.word("web", post))/hook"
                webhook_credential = "hook.key"
                mail_server = "smtps://127.0.0.1:\(Self.word("smtps", post))"
                mail_from = "coffre@vault.example"
                mail_to = ["officer@vault.example"]
                """
        }
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        setup.isWatched = true
        setup.anomaly = lines
        daemon = try CoffredProcess(setup)
        try FileManager.default.copyItem(atPath: key, toPath: daemon.folder.file("credentials/hook.key"))
        brokerConfiguration = try daemon.folder.write(
            "broker.toml",
            """
            socket = "\(daemon.folder.file("broker"))"
            state_directory = "\(daemon.folder.file("broker-state"))"
            coffred_user = "\(geteuid())"
            allow = ["127.0.0.0/8"]
            ca_file = "\(authority.certificate)"
            """
        )
        try daemon.start()
        root = try daemon.initialise().rootToken
        try startBroker()
    }

    deinit {
        for process in [post, broker].compactMap({ $0 }) { process.signal(SIGKILL) }
    }

    func startBroker() throws {
        let process = try RunningProcess(
            try CoffredProcess.program("coffre-broker"),
            ["--config", brokerConfiguration]
        )
        guard process.says("listening", within: 20) else {
            throw RunningProcess.Failure(description: "coffre-broker: \(process.output)")
        }
        broker = process
    }

    func killBroker() throws {
        broker?.signal(SIGKILL)
        _ = try broker?.wait()
    }

    private static func word(_ name: String, _ process: RunningProcess) -> String {
        let line = process.output.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.map { String($0.dropFirst(name.count + 1)) } ?? ""
    }

    /// - Parameters:
    ///   - channel: `mail` or `hook`.
    ///   - word: `honest`, `refuse` or `slow`.
    func behave(_ channel: String, _ word: String) throws {
        let file = URL(fileURLWithPath: arrivals.path + "/\(channel)-behaviour")
        try Data(word.utf8).write(to: file, options: .atomic)
    }

    /// Mails as they came, headers and text.
    func mails() throws -> [(headers: String, text: String)] {
        try files("mail-").map { data in
            let message = String(decoding: data, as: UTF8.self)
            let halves = message.components(separatedBy: "\r\n\r\n")
            let text = Data(base64Encoded: halves.dropFirst().joined(), options: .ignoreUnknownCharacters) ?? Data()
            return (halves.first ?? "", String(decoding: text, as: UTF8.self))
        }
    }

    /// What came to the web server: status that it answered, whether the signature held, and the body.
    func hooks() throws -> [(status: Int, isValid: Bool, body: [String: Any])] {
        try files("hook-").map { data in
            let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
            return (
                object["status"] as? Int ?? 0, object["valid"] as? Bool ?? false,
                object["body"] as? [String: Any] ?? [:]
            )
        }
    }

    private func files(_ prefix: String) throws -> [Data] {
        try FileManager.default.contentsOfDirectory(atPath: arrivals.path)
            .filter { $0.hasPrefix(prefix) && ($0.hasSuffix(".eml") || $0.hasSuffix(".json")) }.sorted()
            .map { try Data(contentsOf: URL(fileURLWithPath: arrivals.path + "/" + $0)) }
    }

    // MARK: the vault

    @discardableResult
    func call(_ method: String, _ path: String, _ body: String? = nil, token: String? = nil) throws -> UnixHTTP.Answer {
        try daemon.request(method, path, token: token ?? root, body: body)
    }

    /// A KV engine with secrets `app/0…`, a policy that reads them, and a token with it under a name of its own.
    func secrets(_ count: Int) throws {
        _ = try call("POST", "sys/mounts/secret", #"{"type":"kv-v2"}"#)
        for number in 0..<count { try call("POST", "secret/data/app/\(number)", #"{"data":{"k":"v"}}"#) }
        let policy = try CoffredProcess.json(["policy": #"path "secret/*" { capabilities = ["read", "list"] }"#])
        try call("PUT", "sys/policies/acl/reader", policy)
    }

    func reader(_ name: String) throws -> String {
        let body = #"{"policies":["reader"],"display_name":"\#(name)","entity_alias":"\#(name)","ttl":"1h"}"#
        _ = try call(
            "POST",
            "auth/token/roles/readers",
            #"{"allowed_policies":"reader","allowed_entity_aliases":"*"}"#
        )
        let made = try call("POST", "auth/token/create/readers", body)
        guard let token = (made.json["auth"] as? [String: Any])?["client_token"] as? String else {
            throw RunningProcess.Failure(description: made.text)
        }
        return token
    }

    /// Reads `count` secrets one after another, as somebody who goes through everything.
    func sweep(_ token: String, _ count: Int) throws {
        var client = try UnixHTTP(daemon.socket)
        defer { client.close() }
        for number in 0..<count { _ = try client.request("GET", "secret/data/app/\(number)", token: token) }
    }

    /// Incidents of a kind.
    func incidents(_ kind: String, state: String = "all") throws -> [[String: Any]] {
        let answer = try call("GET", "sys/anomalies?state=\(state)&kind=\(kind)&limit=1000")
        return answer.data["incidents"] as? [[String: Any]] ?? []
    }

    /// Names of the findings that the log holds: each must stand there once.
    func findings() throws -> [String] {
        try daemon.records().compactMap { record in
            let what = record["what"] as? [String: Any]
            guard what?["op"] as? String == "anomaly.raise" else { return nil }
            return (what?["det"] as? [String: Any])?["finding"] as? String
        }
    }

    func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let file = try daemon.folder.write("token", root)
        chmod(file, 0o600)
        return try RunningProcess.run(
            try CoffredProcess.program("coffre"),
            arguments + ["--lang", "en"],
            environment: ["COFFRE_SOCKET": daemon.socket, "COFFRE_TOKEN_FILE": file]
        )
    }
}
