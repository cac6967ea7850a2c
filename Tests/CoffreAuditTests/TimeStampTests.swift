import CoffreCrypto
import CoffreTestSupport
import Foundation
import Testing

@testable import CoffreAudit

/// Requests that openssl reads, and answers of an authority that openssl is.
@Suite struct TimeStampTests {
    private static let text = Array("test.example/coffre\n3\nAAAA\n\n— x y\n".utf8)

    private static func openssl(_ arguments: [String]) throws -> String {
        let (status, output) = try RunningProcess.run("/usr/bin/env", ["openssl"] + arguments)
        try #require(status == 0, "openssl \(arguments): \(output)")
        return output
    }

    /// An answer to `request`, made by openssl.
    private static func answer(_ authority: TestAuthority, _ request: TimeStampRequest) throws -> [UInt8] {
        let (query, reply) = (authority.path + "/q.tsq", authority.path + "/q.tsr")
        try Data(request.bytes).write(to: URL(fileURLWithPath: query))
        _ = try openssl(["ts", "-reply", "-config", authority.path + "/tsa.cnf", "-queryfile", query, "-out", reply])
        return Array(try Data(contentsOf: URL(fileURLWithPath: reply)))
    }

    @Test func opensslReadsTheRequest() throws {
        let folder = try TestFolder("tsq")
        for nonce: [UInt8] in [[1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0x80, 1, 1, 1, 1, 1, 1]] {
            let request = TimeStampRequest(over: Self.text, nonce: nonce)
            let file = folder.file("r.tsq")
            try Data(request.bytes).write(to: URL(fileURLWithPath: file))
            let words = try Self.openssl(["ts", "-query", "-in", file, "-text"])
            #expect(words.contains("Hash Algorithm: sha256") && words.contains("Certificate required: yes"))
        }
    }

    @Test func aStampHoldsForItsRequestAlone() throws {
        let authority = try TestAuthority()
        let request = TimeStampRequest(over: Self.text, nonce: [1, 2, 3, 4, 5, 6, 7, 8])
        let answer = try Self.answer(authority, request)
        let time = try request.check(answer)
        #expect(time.count >= 15 && time.hasSuffix("Z") && time.hasPrefix("20"))
        let others = [
            TimeStampRequest(over: Self.text + [0x0a], nonce: [1, 2, 3, 4, 5, 6, 7, 8]),
            TimeStampRequest(over: Self.text, nonce: [1, 2, 3, 4, 5, 6, 7, 9]),
        ]
        for other in others {
            #expect(throws: TimeStampRequest.Defect("its answer is not a stamp of what was sent")) {
                try other.check(answer)
            }
        }
        // openssl accepts what is accepted here.
        try Data(Self.text).write(to: URL(fileURLWithPath: authority.path + "/text"))
        let verdict = try Self.openssl([
            "ts", "-verify", "-data", authority.path + "/text", "-in", authority.path + "/q.tsr", "-CAfile",
            authority.certificate,
        ])
        #expect(verdict.contains("Verification: OK"))
    }

    @Test func anAnswerThatIsCutOffChangedOrRefusesIsNoStamp() throws {
        let authority = try TestAuthority()
        let request = TimeStampRequest(over: Self.text, nonce: [9, 2, 3, 4, 5, 6, 7, 8])
        let answer = try Self.answer(authority, request)
        for length in 0..<answer.count {
            #expect(throws: TimeStampRequest.Defect.self) { try request.check(Array(answer[..<length])) }
        }
        #expect(throws: TimeStampRequest.Defect.self) { try request.check(answer + [0]) }
        // A changed bit is noticed, or lies in the time or in what openssl alone looks at.
        func holds(_ bytes: [UInt8], _ part: [UInt8]) -> Bool { Data(bytes).range(of: Data(part)) != nil }
        var accepted = 0
        for place in answer.indices {
            for bit in 0..<8 {
                var changed = answer
                changed[place] ^= 1 << UInt8(bit)
                guard (try? request.check(changed)) != nil else { continue }
                accepted += 1
                #expect(holds(changed, request.imprint.bytes) && holds(changed, [2, 8, 9, 2, 3, 4, 5, 6, 7, 8]))
            }
        }
        #expect(accepted > 0)
        // PKIStatus 2, rejection, with a text and a failure.
        let refusal: [UInt8] = [0x30, 0x0c, 0x30, 0x0a, 0x02, 0x01, 0x02, 0x30, 0x00, 0x03, 0x03, 0x05, 0x00, 0x20]
        #expect(throws: TimeStampRequest.Defect("it refuses the request")) { try request.check(refusal) }
        let bomb: [UInt8] = [UInt8](repeating: 0x30, count: 5000)
        #expect(throws: TimeStampRequest.Defect.self) { try request.check(bomb) }
        for lengthForm: [UInt8] in [
            [0x30, 0x80], [0x30, 0x81, 0x05], [0x30, 0x84, 0xff, 0xff, 0xff, 0xff], [0x3f, 0x01],
            [0x30, 0x82, 0, 0x80],
        ] {
            #expect(throws: TimeStampRequest.Defect.self) { try request.check(lengthForm + [0, 0, 0, 0, 0]) }
        }
    }
}
