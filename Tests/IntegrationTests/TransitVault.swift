import CoffreTestSupport
import Foundation
import Testing

/// One coffred with a transit mount, for the tests that do not disturb each other.
enum TransitVault {
    static let shared = Result {
        let made = try CoffredProcess.unsealed()
        try mount(made.daemon, made.root)
        return made
    }

    static func mount(_ vault: CoffredProcess, _ root: String) throws {
        let answer = try vault.request("POST", "sys/mounts/transit", token: root, body: #"{"type":"transit"}"#)
        guard answer.status == 204 else { throw RunningProcess.Failure(description: "mount: \(answer.text)") }
    }
}

/// What tests of transit ask of the shared vault.
protocol TransitSuite {}

extension TransitSuite {
    var vault: CoffredProcess { get throws { try TransitVault.shared.get().daemon } }
    var root: String { get throws { try TransitVault.shared.get().root } }

    func call(_ method: String, _ path: String, _ body: [String: Any]? = nil) throws -> UnixHTTP.Answer {
        let text = try body.map { try CoffredProcess.json($0) }
        return try vault.request(method, "transit/" + path, token: root, body: text)
    }

    func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    func encrypt(_ key: String, _ text: String, _ more: [String: Any] = [:]) throws -> String {
        let body = more.merging(["plaintext": base64(text)]) { $1 }
        let answer = try call("POST", "encrypt/\(key)", body)
        return try #require(answer.data["ciphertext"] as? String, "\(answer.text)")
    }

    func decrypt(_ key: String, _ ciphertext: String) throws -> String {
        let answer = try call("POST", "decrypt/\(key)", ["ciphertext": ciphertext])
        let text = try #require(answer.data["plaintext"] as? String, "\(answer.text)")
        return String(decoding: try #require(Data(base64Encoded: text)), as: UTF8.self)
    }

    func results(_ answer: UnixHTTP.Answer) throws -> [[String: Any]] {
        try #require(answer.data["batch_results"] as? [[String: Any]], "\(answer.text)")
    }
}
