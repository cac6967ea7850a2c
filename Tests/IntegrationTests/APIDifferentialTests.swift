import CoffreTestSupport
import Foundation
import Testing

/// The same requests, in the same order, given to coffred and to a real OpenBao: status, shape and values agree.
@Suite(.serialized)
struct APIDifferentialTests {
    private static let vault = Result { try CoffredProcess.unsealed() }
    private static let bao = Result { try BaoServer() }

    @Test(arguments: APIStories.all)
    func bothAnswerAlike(_ story: APIStory) throws {
        let (daemon, root) = (try Self.vault.get().daemon, try Self.vault.get().root)
        let bao = try Self.bao.get()
        var ours = StoryTeller(socket: daemon.socket, root: root)
        var theirs = StoryTeller(socket: bao.socket, root: BaoServer.root)
        for (number, step) in story.steps.enumerated() {
            let mine = try ours.take(step)
            var real = try theirs.take(step)
            if step.isEventual {
                try eventually("OpenBao has carried out what it queued: \(step.line)") {
                    real = try theirs.take(step)
                    return real.status == mine.status
                }
            }
            #expect(
                mine.status == real.status,
                "step \(number + 1): \(step.line)\n  coffred: \(mine.status) \(mine.text)\n  OpenBao: \(real.status) \(real.text)"
            )
            guard !step.isStatusOnly else { continue }
            for difference in AnswerComparison.differences(mine, real, texts: step.comparesTexts) {
                Issue.record(
                    "step \(number + 1): \(step.line)\n  \(difference)\n  coffred: \(mine.text)\n  OpenBao: \(real.text)"
                )
            }
        }
    }
}

/// Requests, one on each line:
/// `[@token] [^wrap-ttl] [~|=|…] METHOD path [body] [-> name=json.path …]`, with `{name}` for what an earlier answer gave.
/// `…` gives OpenBao time to carry out what it has queued, `~` compares the status alone (the difference is wanted), `=` the error texts as well.
struct APIStory: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let steps: [APIStep]

    init(_ name: String, _ text: String) {
        testDescription = name
        steps = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }.map { APIStep($0) }
    }
}

struct APIStep: Sendable {
    let line: String
    private(set) var token: String?
    private(set) var wrapTTL: String?
    private(set) var isStatusOnly = false
    private(set) var comparesTexts = false
    private(set) var isEventual = false
    let method: String
    let path: String
    let body: String?
    let captures: [(name: String, path: String)]

    init(_ line: String) {
        self.line = line
        let halves = line.components(separatedBy: " -> ")
        captures =
            halves.count < 2
            ? []
            : halves[1].split(separator: " ").map { item in
                let parts = item.split(separator: "=", maxSplits: 1).map(String.init)
                return (parts[0], parts[1])
            }
        var words = halves[0].split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        while let first = words.first {
            if first.hasPrefix("@") {
                token = String(first.dropFirst())
            } else if first.hasPrefix("^") {
                wrapTTL = String(first.dropFirst())
            } else if first == "~" {
                isStatusOnly = true
            } else if first == "…" {
                isEventual = true
            } else if first == "=" {
                comparesTexts = true
            } else {
                break
            }
            words.removeFirst()
        }
        method = words.removeFirst()
        path = words.removeFirst()
        body = words.isEmpty ? nil : words.joined(separator: " ")
    }
}

/// Sends the steps of a story to one server and remembers what it gave.
struct StoryTeller {
    let socket: String
    let root: String
    private var known: [String: String] = [:]

    init(socket: String, root: String) {
        self.socket = socket
        self.root = root
    }

    mutating func take(_ step: APIStep) throws -> UnixHTTP.Answer {
        var headers: [String: String] = [:]
        if let ttl = step.wrapTTL { headers["X-Vault-Wrap-TTL"] = ttl }
        if step.method == "PATCH" { headers["Content-Type"] = "application/merge-patch+json" }
        let token = step.token.map { known[$0] ?? $0 } ?? root
        let answer = try UnixHTTP.once(
            socket,
            step.method,
            filled(step.path),
            token: token,
            body: step.body.map { filled($0) },
            headers: headers
        )
        for (name, path) in step.captures {
            var value: Any? = answer.json
            for part in path.split(separator: ".").map(String.init) {
                if let index = Int(part) {
                    value = (value as? [Any]).flatMap { $0.indices.contains(index) ? $0[index] : nil }
                } else {
                    value = (value as? [String: Any])?[part]
                }
            }
            known[name] = value as? String ?? "nothing-captured"
        }
        return answer
    }

    private func filled(_ text: String) -> String {
        known.reduce(text) { $0.replacingOccurrences(of: "{\($1.key)}", with: $1.value) }
    }
}

/// What two answers do not have in common, leaving out what differs between any two servers.
enum AnswerComparison {
    /// Ids, and figures of the server itself.
    private static let own: Set = [
        "request_id", "accessor", "uuid", "mount_accessor", "running_plugin_version", "running_sha256", "cluster_id",
        "deprecation_status", "migration_id", "description", "namespace_id",
    ]
    /// Times of one's own clock.
    private static let near: Set = [
        "ttl", "creation_time", "lease_duration", "creation_ttl", "last_renewal_time", "expire_time",
    ]

    static func differences(_ mine: UnixHTTP.Answer, _ real: UnixHTTP.Answer, texts: Bool) -> [String] {
        if mine.body.isEmpty || real.body.isEmpty {
            return mine.body.isEmpty == real.body.isEmpty ? [] : ["one has a body, the other has none"]
        }
        var (left, right) = (mine.json, real.json)
        for side in ["errors", "warnings"] {
            let (a, b) = (left.removeValue(forKey: side) as? [String], right.removeValue(forKey: side) as? [String])
            if (a ?? []).isEmpty != (b ?? []).isEmpty { return ["\(side): \(a ?? []) and \(b ?? [])"] }
            if texts, side == "errors", a != b { return ["errors: \(a ?? []) and \(b ?? [])"] }
        }
        var found: [String] = []
        compare(left, right, "", &found)
        return found
    }

    private static func compare(_ left: Any, _ right: Any, _ path: String, _ found: inout [String]) {
        if let left = left as? [String: Any], let right = right as? [String: Any] {
            for key in Set(left.keys).union(right.keys).subtracting(own).sorted() {
                // What is named by an id stands under another name on either side.
                if isID(key) { continue }
                guard let a = left[key], let b = right[key] else {
                    found.append("\(path).\(key) is only in the answer of \(left[key] == nil ? "OpenBao" : "coffred")")
                    continue
                }
                compare(a, b, "\(path).\(key)", &found)
            }
        } else if let left = left as? [Any], let right = right as? [Any] {
            var (left, right) = (left, right)
            if path.hasSuffix(".keys"), let mine = left as? [String], let real = right as? [String] {
                (left, right) = (mine.sorted(), real.sorted())
            }
            if left.count != right.count { found.append("\(path): \(left.count) and \(right.count) elements") }
            for (index, (a, b)) in zip(left, right).enumerated() { compare(a, b, "\(path).\(index)", &found) }
        } else if let left = left as? String, let right = right as? String {
            if left != right, !(kind(left) != nil && kind(left) == kind(right)) {
                found.append("\(path): \"\(left)\" and \"\(right)\"")
            }
        } else if let left = left as? NSNumber, let right = right as? NSNumber {
            let isNear = near.contains(String(path.split(separator: ".").last ?? ""))
            if abs(left.doubleValue - right.doubleValue) > (isNear ? 5 : 0) {
                found.append("\(path): \(left) and \(right)")
            }
        } else if !(left is NSNull && right is NSNull) {
            found.append("\(path): \(left) and \(right)")
        }
    }

    private static func isID(_ text: String) -> Bool { kind(text) == "id" }

    private static func kind(_ text: String) -> String? {
        if text.range(of: #"^\d{4}-\d\d-\d\dT[\d:.]+Z$"#, options: .regularExpression) != nil { return "time" }
        if text.range(of: #"^[0-9a-f]{8}-[0-9a-f-]{27}$"#, options: .regularExpression) != nil { return "id" }
        if text.range(of: #"^[sb]\.[A-Za-z0-9_-]{24,}$"#, options: .regularExpression) != nil { return "token" }
        if text.range(of: #"^[A-Za-z0-9]{24}$|^[A-Za-z0-9]{36}$"#, options: .regularExpression) != nil { return "id" }
        if text.range(of: #"^vault:v\d+:[A-Za-z0-9+/=]+$"#, options: .regularExpression) != nil { return "ciphertext" }
        if text.range(of: #"^[A-Za-z0-9+/]{40,}=*$"#, options: .regularExpression) != nil { return "bytes" }
        if text.range(of: #"^(entity|group)_[0-9a-f]{8}"#, options: .regularExpression) != nil { return "name" }
        return nil
    }
}
