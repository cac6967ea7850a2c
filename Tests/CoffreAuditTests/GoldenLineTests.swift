import CoffreAudit
import CoffreCrypto
import Foundation
import Testing

/// One line per operation, compared byte for byte with `Vectors/golden/lines.jsonl`.
@Suite struct GoldenLineTests {
    static let vectors = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Vectors/golden/lines.jsonl")

    static let human = AuditWho(
        kind: .human,
        sid: "s-abcdefghijklmnopqrstuv",
        kernelSid: "s-ABCDEFGHIJKLMNOPQRSTUV",
        pid: 77,
        team: "juridique",
        tokenAccessor: "a-zyxwvutsrqponmlk"
    )
    static let behalf = AuditWho(
        kind: .service,
        sid: "s-0123456789abcdefghijkl",
        uid: 988,
        gid: 988,
        pid: 4121,
        unit: "chatbot@paie.service",
        tokenAccessor: "a-0123456789abcdef",
        forSid: "s-abcdefghijklmnopqrstuv",
        tokenDigest: "MDEyMzQ1Njc4OWFiY2RlZg=="
    )
    static let admin = AuditWho(kind: .admin, sid: "s-admin0123456789abcdef", uid: 0, gid: 0, pid: 9)
    static let rule = AuditWhy(
        policy: "p-lecture-paie",
        policyVersion: 4,
        rule: 2,
        set: "c2V0IGRpZ2VzdCBvZiBydWxlcw==",
        subject: .required,
        purpose: "service"
    )
    static let glass = AuditWhy(
        policy: "root",
        purpose: "incident",
        ticket: "INC-2026-0042",
        breakGlass: true,
        approver: "s-abcdefghijklmnopqrstuv"
    )

    /// Every operation with what is typical of it: reads single, changes intent and outcome, denials, people, services.
    static func draft(_ operation: AuditOperation, number: Int) -> AuditDraft {
        let phase: AuditDraft.Phase = [.single, .intent, .outcome][number % 3]
        let outcome = AuditDraft.Outcome.allCases[number / 3 % 4]
        let what: AuditWhat
        switch number % 5 {
        case 0:
            what = AuditWhat(
                connector: "c-7f3a",
                path: "secret/paie/base-rh",
                version: 12,
                fields: ["password", "user"]
            )
        case 1:
            what = AuditWhat(details: [
                ("free", .int(-1)), ("ok", .flag(true)), ("note", .text("é \"q\" \\ \u{1B}[0m")),
            ])
        case 2: what = AuditWhat(mount: "secret", pathDigest: "MDEyMzQ1Njc4OWFiY2RlZg==", pathLength: 31)
        case 3: what = AuditWhat(connector: "c-b2", lease: "database/creds/r/0123456789", recipient: "payroll.service")
        default:
            what = AuditWhat(
                path: "p/" + String(repeating: "x", count: 600),
                details: [
                    ("raw", .bytes([0xff, 0xfe, 0x00])), ("wide", .int(.max)),
                    ("counts", .counts([.init(key: "z/granted", count: 2), .init(key: "a.b/denied", count: 1 << 53)])),
                ]
            )
        }
        return AuditDraft(
            operation,
            phase: phase,
            outcome: outcome,
            error: outcome == .granted ? nil : "permission_denied",
            correlation: "cid-\(String(repeating: "0", count: 12 - String(number).count))\(number)",
            references: phase == .outcome ? [UInt64(number - 1)] : [],
            generation: phase == .outcome ? UInt64(1000 + number) : nil,
            acceptedAt: 1_000_000,
            who: [TestLog.service, human, behalf, admin, .system][number / 2 % 5],
            what: what,
            why: [.none, rule, glass][number / 7 % 3]
        )
    }

    static func lines() throws -> [[UInt8]] {
        let clock = TestClock()
        let key = HMACKey(SecretBytes.key(count: 32) { $0.copyBytes(from: (0..<32).map { UInt8($0) }) })
        var previous = Digest.zero
        return try AuditOperation.allCases.enumerated().map { number, operation in
            let line = try AuditLine.encode(
                draft(operation, number: number),
                sequence: UInt64(number),
                previous: previous,
                clock: clock,
                digestKey: key
            )
            previous = AuditLine.leafHash(of: line)
            return line
        }
    }

    @Test func everyOperationIsWrittenAsItsGoldenLine() throws {
        let expected = try Data(contentsOf: Self.vectors).split(separator: 0x0a).map { Array($0) }
        let written = try Self.lines()
        #expect(written.count == expected.count)
        for (line, golden) in zip(written, expected) {
            #expect(String(decoding: line, as: UTF8.self) == String(decoding: golden, as: UTF8.self))
            #expect(line == golden)
        }
    }

    @Test func everyGoldenLineIsInTheStrictForm() throws {
        for line in try Self.lines() { #expect(AuditLine.defect(in: line) == nil) }
    }

    /// RFC 8785: sorting the keys and writing the values without white space gives the same bytes.
    @Test func everyGoldenLineIsItsOwnCanonicalForm() throws {
        for line in try Self.lines() {
            let value = try JSONSerialization.jsonObject(with: Data(line))
            let again = try JSONSerialization.data(
                withJSONObject: value,
                options: [.sortedKeys, .withoutEscapingSlashes]
            )
            #expect(String(decoding: again, as: UTF8.self) == String(decoding: line, as: UTF8.self))
        }
    }

    @Test func theListOfOperationsHasNoDoubles() {
        #expect(Set(AuditOperation.allCases.map { Array($0.rawValue.utf8) }).count == AuditOperation.allCases.count)
        #expect(AuditOperation.allCases.count == 100)
    }
}
