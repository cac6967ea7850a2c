import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

/// Warnings about policies: each for what it is for, and none for what is usual.
@Suite struct PolicyLinterTests {
    private static let now: Int64 = 1_790_000_000

    private func warnings(_ text: String) throws -> [PolicyWarning] {
        PolicyLinter(kvMounts: ["secret/", "team/kv/"], now: Self.now)
            .warnings(about: try Policy(name: "p", text: text, version: 1))
    }

    private static func rule(_ path: String, _ body: String = #"capabilities = ["read"]"#) -> String {
        "path \"\(path)\" { \(body) }"
    }

    private static let odd: [(String, String)] = [
        (rule("secret/foo"), "secret/data/foo"), (rule("secret/foo/*"), "KV version 2"),
        (rule("team/kv/x"), "team/kv/data/x"), (rule("secret/x*"), "reaches nothing"),
        (rule("secret/datas/x"), "nothing"),
        (rule("v1/secret/data/x"), "after /v1/"), (rule("a//b"), "never matches"), (rule("a/../b"), "never matches"),
        (rule("a/*/b"), "very end only"), (rule("a/b+/c"), "whole segment"), (rule("a/b/"), "only lists"),
        (rule(""), "empty"), (rule("a", ""), "no capabilities"), (rule("*"), "sys/"), (rule("sys/*"), "sys/"),
        (rule("s*"), "sys/"), (rule("+/x"), "begins with +"),
        (rule("a", #"policy = "read" expiration = "2020-01-01T00:00:00Z""#), "expired"),
        (rule("a/*", #"policy = "deny""#) + "\n" + rule("a/b"), "does not stop the narrower \"a/b\" (line 2)"),
        (rule("a/+/c", #"policy = "deny""#) + "\n" + rule("a/b/c"), "does not stop"),
        (rule("a") + "\n" + rule("/a", #"capabilities = ["list"]"#), "stands twice on line 1"),
        (rule("secret/data/x", #"capabilities = ["list"]"#), "no effect under data/"),
        (rule("secret/metadata/x", #"capabilities = ["list"]"#), "/ at the end"),
        (rule("u/{{identity.entity.name}}*"), "put a / before"),
        (rule("a", #"capabilities = ["update"] allowed_parameters = { a = [1] }"#), "equals no value"),
        (rule("a", #"capabilities = ["update"] allowed_parameters = { a = ["*"] }"#), "that text alone"),
        (rule("a", #"capabilities = ["update"] denied_parameters = { "*" = ["x"] }"#), "refuses every parameter"),
        (rule("a", #"capabilities = ["delete"] allowed_parameters = { a = [] }"#), "only"),
        (rule("a", #"capabilities = ["read"] pagination_limit = 3"#), "list and scan"),
        (rule("a", #"policy = "deny" required_parameters = ["x"]"#), "no effect"),
        (
            rule("secret/data/x", #"capabilities = ["update"] allowed_parameters = { password = [] }"#),
            "refuses every write"
        ),
    ]

    @Test(arguments: odd)
    func whatIsProbablyNotMeantIsTold(_ text: String, _ part: String) throws {
        let warnings = try warnings(text)
        #expect(warnings.contains { $0.message.contains(part) }, "\(warnings)")
        #expect(warnings.allSatisfy { $0.line > 0 })
    }

    @Test(arguments: [
        rule("secret/data/app/*"), rule("secret/*"), rule("secret/+/app/*"), rule("secret/d*"), rule("secret/config"),
        rule("secret/metadata/app/", #"capabilities = ["list"]"#), rule("secret/metadata/app/*", #"policy = "read""#),
        rule("database/creds/app"), rule("sys/policies/acl/*"), rule("auth/token/create", #"policy = "write""#),
        rule("a/*", #"policy = "deny""#) + rule("b/c"), rule("u/{{identity.entity.name}}/*"),
        rule("a", #"capabilities = ["update"] allowed_parameters = { a = ["x*", true] "*" = [] }"#), "",
    ])
    func whatIsUsualIsNotTold(_ text: String) throws {
        #expect(try warnings(text.isEmpty ? "# nothing" : text) == [])
    }

    @Test(arguments: try! FileManager.default.contentsOfDirectory(atPath: PackageFolder.path + "/policies").sorted())
    func shippedPoliciesHaveNoWarning(_ file: String) throws {
        let text = try String(contentsOfFile: PackageFolder.path + "/policies/\(file)", encoding: .utf8)
        #expect(try warnings(text) == [])
    }

    @Test func theDefaultPolicyHasNoWarning() throws { #expect(try warnings(Policy.defaultText) == []) }

    @Test func warningsAreBoundedAndInTheOrderOfTheText() throws {
        var lines = (0..<4000).map { Self.rule("secret/x\($0)") }
        lines.append(Self.rule("secret/*", #"policy = "deny""#))
        let warnings = try warnings(lines.joined(separator: "\n"))
        #expect(warnings.count == PolicyLinter.maximumWarnings)
        #expect(warnings.map(\.line) == warnings.map(\.line).sorted())
    }

    @Test func aWarningSaysItsLineUnlessThereIsNone() throws {
        #expect(try warnings("\n\n" + Self.rule("secret/foo")).first?.text.hasPrefix("line 3: ") == true)
        let json = try warnings(#"{"path":{"secret/foo":{"capabilities":["read"]}}}"#)
        #expect(json.first?.text.hasPrefix("path ") == true)
    }
}
