import CoffreVault
import CoffreWire
import Testing

/// Paths with the caller's identity in them: whom they fit, and that no value widens them.
@Suite struct PolicyTemplateTests {
    private static func subject(_ value: String = "red") -> PolicySubject {
        PolicySubject(
            id: "e1",
            name: "bob",
            metadata: ["team": value, "a.b": "dotted"],
            aliases: [
                "acc": PolicySubject.Alias(
                    id: "al1",
                    name: "bob-login",
                    metadata: ["k": "v1"],
                    customMetadata: ["c": "v2"]
                )
            ],
            groups: [PolicySubject.Group(id: "g1", name: "eng", metadata: ["site": "nice"])]
        )
    }

    private func rights(_ path: String, _ text: String, _ subject: PolicySubject? = subject()) throws -> [String] {
        ACL(policies: [try Policy(name: "p", text: text, version: 1)], subject: subject, now: 0)
            .capabilities(path: Array(path.utf8))
    }

    @Test(arguments: [
        ("identity.entity.id", "e1"), (" identity.entity.name ", "bob"), ("identity.entity.metadata.team", "red"),
        ("identity.entity.metadata.a.b", "dotted"), ("identity.entity.aliases.acc.id", "al1"),
        ("identity.entity.aliases.acc.name", "bob-login"), ("identity.entity.aliases.acc.metadata.k", "v1"),
        ("identity.entity.aliases.acc.custom_metadata.c", "v2"), ("identity.groups.ids.g1.name", "eng"),
        ("identity.groups.ids.g1.id", "g1"), ("identity.groups.names.eng.id", "g1"),
        ("identity.groups.names.eng.metadata.site", "nice"),
    ])
    func aSelectorGivesItsValue(_ selector: String, _ value: String) throws {
        let text = "path \"x/{{\(selector)}}/y*\" { capabilities = [\"read\"] }"
        #expect(try rights("x/\(value)/yz", text) == ["read"])
        #expect(try rights("x/other/yz", text) == ["deny"])
        #expect(try rights("x/\(value)/yz", text, nil) == ["deny"])
    }

    @Test(arguments: [
        "identity.entity.metadata.none", "identity.entity.aliases.other.id", "identity.groups.ids.g2.name",
        "identity.groups.names.ops.id", "identity.groups.names.eng.metadata.none",
        "identity.entity.aliases.acc.metadata.none",
    ])
    func aMissingValueLeavesTheRuleOut(_ selector: String) throws {
        let text = "path \"x/{{\(selector)}}*\" { policy = \"deny\" }\npath \"x/*\" { policy = \"read\" }"
        #expect(try rights("x/", text) == ["list", "read"])
    }

    @Test func anEmptyValueIsAMissingOne() throws {
        let text = #"path "x/{{identity.entity.metadata.team}}*" { capabilities = ["read"] }"#
        #expect(try rights("x/secret", text, Self.subject("")) == ["deny"])
    }

    /// As in the real server, which refuses everything to such a token: a rule that is left out could be a `deny`.
    @Test(arguments: ["*", "+", "a*", "a+b", "a/b", "/", "+*"])
    func aValueThatCouldWidenARuleGrantsNothing(_ value: String) throws {
        let text = """
            path "x/{{identity.entity.metadata.team}}" { capabilities = ["read"] }
            path "y" { capabilities = ["read"] }
            """
        for path in ["x/\(value)", "x/other", "x/", "y"] {
            #expect(try rights(path, text, Self.subject(value)) == ["deny"], "\(path)")
        }
        let acl = ACL(
            policies: [try Policy(name: "p", text: text, version: 3)],
            subject: Self.subject(value),
            now: 0
        )
        let decision = acl.decide(.read, path: Array("y".utf8))
        #expect(!decision.isAllowed && !decision.hasSudo)
        #expect(decision.policy == "p" && decision.policyVersion == 3 && decision.rule == 0)
        #expect(!acl.hasAnyCapability(underMount: Array("x/".utf8)))
    }

    @Test(arguments: ["{{identity.entity.id}}", "a}}", "..", "a b", "é", "%2f", "${x}"])
    func anyOtherValueIsItself(_ value: String) throws {
        let text = #"path "x/{{identity.entity.metadata.team}}/k" { capabilities = ["read"] }"#
        #expect(try rights("x/\(value)/k", text, Self.subject(value)) == ["read"])
        #expect(try rights("x/e1/k", text, Self.subject(value)) == ["deny"])
    }

    @Test(arguments: [
        "{{", "}}", "{{a", "{{a}}}}", "{{identity.entity.id}}{{", "{{{{identity.entity.id}}}}", "{{foo}}", "{{}}",
        "{{identity.entity}}", "{{identity.entity.foo}}", "{{identity.entity.metadata.}}",
        "{{identity.entity.metadata}}",
        "{{identity.entity.aliases.acc}}", "{{identity.entity.aliases..id}}", "{{identity.groups.names.eng}}",
        "{{identity.groups.other.eng.id}}", "{{time.now}}", "{{identity.entity.id\u{308}}}",
        "{{\u{308}identity.entity.id}}",
    ])
    func whatIsNoTemplateIsRefusedWhenWritten(_ path: String) throws {
        let error = #expect(throws: PolicyError.self) {
            try Policy(name: "p", text: "\npath \"x/\(path)\" { policy = \"read\" }", version: 1)
        }
        #expect(try #require(error).message.hasPrefix("line 2: "))
    }
}
