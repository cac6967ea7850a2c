import CoffreTestSupport
import Foundation
import Testing

/// The same transit requests, asked of coffred and of a real OpenBao: the same status, the same shape, the same errors.
@Suite(.serialized)
struct TransitDifferentialTests {
    private typealias Step = TransitTable.Step

    private struct Answer {
        let status: Int
        let json: [String: Any]

        var data: [String: Any] { json["data"] as? [String: Any] ?? [:] }
        /// Without the frame that OpenBao puts around errors of its framework.
        var errors: [String] {
            (json["errors"] as? [String] ?? []).map { text in
                let frame = "1 error occurred:\n\t* "
                guard text.hasPrefix(frame), text.hasSuffix("\n\n") else { return text }
                return String(text.dropFirst(frame.count).dropLast(2))
            }
        }
    }

    private static func send(_ client: inout UnixHTTP, _ step: Step, _ body: String?, token: String) throws -> Answer {
        let answer = try client.request(step.method, "transit/" + step.path, token: token, body: body)
        return Answer(status: answer.status, json: answer.json)
    }

    private static let plainNumbers: Set = [
        "key_version", "latest_version", "min_available_version", "min_decryption_version", "min_encryption_version",
        "auto_rotate_period", "key_size",
    ]
    private static let plainTexts: Set = ["error", "reference", "name", "type", "sum", "certificate_chain"]

    /// Every member with its path; the values of those that do not depend on keys, times and chance.
    private static func shape(_ value: Any, _ path: String = "", _ key: String = "") -> [String] {
        if let object = value as? [String: Any] {
            if object.isEmpty { return ["\(path) {}"] }
            return object.keys.sorted().flatMap { shape(object[$0] ?? "", "\(path).\($0)", $0) }
        }
        if let list = value as? [Any] {
            return list.enumerated().flatMap { shape($1, "\(path)[\($0)]", key) } + ["\(path) has \(list.count)"]
        }
        // Nothing here is derived, and the answer says so; a time has as many digits as it needs.
        if key == "supports_derivation" || key == "creation_time" { return [path] }
        if let text = value as? String {
            return [plainTexts.contains(key) || text.isEmpty ? "\(path)=\(text)" : "\(path)=…\(text.utf8.count)"]
        }
        if let number = value as? Int, !plainNumbers.contains(key), number > 1 { return ["\(path)=number"] }
        return ["\(path)=\(value)"]
    }

    @Test func answersAreThoseOfOpenBao() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let folder = try TestFolder("bao")
        let socket = folder.file("s")
        let configuration = try folder.write("listener.hcl", "listener \"unix\" { address = \"\(socket)\" }\n")
        let bao = try RunningProcess(
            try CoffredProcess.bao(),
            [
                "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", "-config=\(configuration)",
                "-dev-listen-address=127.0.0.1:\(try PostgresServer.freePort())",
            ],
            environment: ["HOME": folder.path]
        )
        defer { bao.signal(SIGKILL) }
        try eventually(within: 30, "OpenBao answers") {
            (try? UnixHTTP.once(socket, "GET", "sys/mounts", token: "root").status) == 200
        }
        for (path, token) in [(vault.socket, root), (socket, "root")] {
            let mount = #"{"type":"transit"}"#
            let made = try UnixHTTP.once(path, "POST", "sys/mounts/transit", token: token, body: mount)
            try #require(made.status == 204, "\(made.text)")
        }
        var mine = try UnixHTTP(vault.socket)
        var other = try UnixHTTP(socket)
        defer {
            mine.close()
            other.close()
        }

        var ours: [String: String] = ["P": "aGVsbG8="]
        var theirs = ours
        func filled(_ body: String?, _ saved: [String: String]) -> String? {
            saved.reduce(body) { $0?.replacingOccurrences(of: "{\($1.key)}", with: $1.value) }
        }
        let steps = TransitTable.steps
        for step in steps {
            let answer = try Self.send(&mine, step, filled(step.body, ours), token: root)
            let theirAnswer = try Self.send(&other, step, filled(step.body, theirs), token: "root")
            let label = "\(step.method) \(step.path) \(step.body ?? "")"
            if let difference = step.difference {
                #expect(answer.status == difference.status, "\(label): \(answer.json)")
                #expect(answer.errors == (difference.error.map { [$0] } ?? []), "\(label): \(answer.json)")
                let isSame =
                    theirAnswer.status == answer.status && theirAnswer.errors == answer.errors
                    && Self.shape(theirAnswer.data) == Self.shape(answer.data)
                #expect(!isSame, "\(label) is no longer different (\(difference.why))")
            } else {
                #expect(answer.status == theirAnswer.status, "\(label): \(answer.json) / \(theirAnswer.json)")
                #expect(answer.errors == theirAnswer.errors, "\(label)")
                #expect(Self.shape(answer.data) == Self.shape(theirAnswer.data), "\(label)")
            }
            if let name = step.saved {
                ours[name] = answer.data[name] as? String
                theirs[name] = theirAnswer.data[name] as? String
            }
        }
        #expect(steps.count > 250)
        #expect(ours.count == 4 && theirs.count == 4)
    }
}
