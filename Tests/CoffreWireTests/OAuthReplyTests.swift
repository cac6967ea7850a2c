import CoffreWire
import Testing

@Suite struct OAuthReplyTests {
    private static func full() -> OAuthReply {
        var reply = OAuthReply(.granted)
        reply.status = 200
        reply.expiresIn = 3600
        reply.refreshExpiresIn = 86_400
        reply.scope = ""
        reply.tokenType = "Bearer"
        reply.userCode = "ABCD-EFGH"
        reply.verificationURI = "https://id.example/device"
        reply.verificationURIComplete = "https://id.example/device?code=ABCD"
        reply.interval = 5
        reply.retryAfter = 0
        reply.serverTime = 1_800_000_000
        reply.learnt = [
            .init(name: "instance_url", index: 0, value: "https://x.my.salesforce.com"),
            .init(name: "tenant", index: 7, value: "Société générale 東京"),
        ]
        return reply
    }

    private static func samples() -> [(reply: OAuthReply, secrets: [OAuthReply.Secret: String])] {
        var refusal = OAuthReply(.failed(.invalidGrant))
        refusal.error = "invalid_grant"
        refusal.status = 400
        return [
            (full(), [.accessToken: "a", .refreshToken: "r", .idToken: "i", .deviceCode: "d", .tokenSecret: "t"]),
            (OAuthReply(.granted), [:]), (refusal, [:]),
        ] + OAuthProblem.allCases.map { (OAuthReply(.failed($0)), [:]) }
    }

    private static func encode(_ reply: OAuthReply, _ secrets: [OAuthReply.Secret: String]) throws -> [UInt8] {
        try BrokerOAuthTests.lend(secrets.map { ($0.key, Array($0.value.utf8)) }[...], [:]) { lent in
            var bytes = [UInt8](repeating: 0, count: reply.encodedSize(secretBytes: lent.mapValues(\.count)))
            let size = bytes.count
            let count = try bytes.withUnsafeMutableBytes { try reply.encode(secrets: lent, into: $0) }
            #expect(count == size)
            return bytes
        }
    }

    private static func again(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            let view = try OAuthReplyView(decoding: bytes)
            var copy = [UInt8](repeating: 0, count: bytes.count)
            let count = try copy.withUnsafeMutableBytes { try view.reply.encode(secrets: view.secrets, into: $0) }
            return Array(copy[..<count])
        }
    }

    @Test func aReplyComesBackAsItWas() throws {
        for (reply, secrets) in Self.samples() {
            let bytes = try Self.encode(reply, secrets)
            try bytes.withUnsafeBytes { bytes in
                let view = try OAuthReplyView(decoding: bytes)
                #expect(view.reply == reply)
                #expect(view.secrets.mapValues { String(decoding: $0, as: UTF8.self) } == secrets)
                // It passes for no answer of another kind, and the reverse.
                #expect(throws: BrokerWireError.self) { try BrokerAnswer(decoding: bytes) }
            }
        }
        let other = BrokerAnswer.failed(BrokerFailure(.timeout)).encode()
        #expect(throws: BrokerWireError.self) { try Self.again(other) }
    }

    @Test(arguments: 0..<3)
    func whateverDecodesEncodesToTheSameBytes(index: Int) throws {
        let (reply, secrets) = Self.samples()[index]
        let bytes = try Self.encode(reply, secrets)
        var generator = SplitMix(state: UInt64(index + 900))
        var decoded = 0
        for _ in 0..<20_000 {
            let changed = generator.mutate(bytes)
            guard let again = try? Self.again(changed) else { continue }
            decoded += 1
            #expect(again == changed)
        }
        #expect(decoded > 0)
        #expect(throws: BrokerWireError.self) { try Self.again(bytes + [0]) }
    }

    @Test func whatCannotBeShownOrKeptIsRefused() throws {
        let changes: [(inout OAuthReply) -> Void] = [
            { $0.error = "Has Spaces" }, { $0.error = "" }, { $0.status = 99 }, { $0.expiresIn = .max },
            { $0.scope = "é" }, { $0.scope = String(repeating: "x", count: 4097) }, { $0.tokenType = "a\nb" },
            { $0.verificationURI = "javascript:alert(1)" }, { $0.verificationURI = "https://x/<script>" },
            { $0.learnt = [.init(name: "a", index: 0, value: "")] },
            { $0.learnt = [.init(name: "a", index: 0, value: "turned \u{202e} round")] },
            { $0.learnt = [.init(name: "a b", index: 0, value: "x")] },
            { $0.learnt = (0..<20).map { .init(name: "n", index: $0, value: String(repeating: "x", count: 500)) } },
        ]
        for change in changes {
            var reply = Self.full()
            change(&reply)
            #expect(throws: BrokerWireError.self) { try Self.encode(reply, [:]) }
        }
        #expect(throws: BrokerWireError.self) { try Self.encode(OAuthReply(.failed(.timeout)), [.accessToken: "a"]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(OAuthReply(.granted), [.accessToken: "a\u{7f}"]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(OAuthReply(.granted), [.deviceCode: ""]) }
    }

    /// All at their longest at once: a box of the broker's must hold it, as a token that does not fit would be lost.
    @Test func theLongestReplyFitsASealedAnswer() throws {
        var reply = Self.full()
        reply.error = String(repeating: "e", count: 64)
        reply.scope = String(repeating: "s", count: 4096)
        reply.tokenType = String(repeating: "t", count: 64)
        reply.userCode = reply.tokenType
        reply.verificationURI = "https://" + String(repeating: "x", count: 1016)
        reply.verificationURIComplete = reply.verificationURI
        reply.learnt = (0..<15).map { .init(name: "n", index: $0, value: String(repeating: "x", count: 512)) }
        let secrets = OAuthReply.Secret.allCases.map { ($0, String(repeating: "k", count: $0.maximumBytes)) }
        let bytes = try Self.encode(reply, Dictionary(uniqueKeysWithValues: secrets))
        #expect(bytes.count <= OAuthReply.maximumBytes)
        // Nor could learnt values of the greatest length break that.
        #expect(bytes.count + OAuthReply.Limit.learntTotal - reply.learntBytes <= OAuthReply.maximumBytes)
    }

    @Test(arguments: [
        ("invalid_grant", "invalid_grant"), ("UserUnauthorizedException", "userunauthorizedexception"),
        ("a b", nil), ("", nil), ("é", nil), ("eyJ0eXAi/", nil), (String(repeating: "a", count: 65), nil),
    ])
    func aProvidersWordIsAShortOne(text: String, word: String?) {
        #expect(OAuthReply.errorWord(text.utf8) == word)
    }

    @Test func everyProblemHasASentenceAndWhatWasNotSentDidNotHappen() {
        for problem in OAuthProblem.allCases { #expect(!problem.sentence.isEmpty) }
        for problem: OAuthProblem in [.egressRefused, .unknownHost, .unreachable, .tls, .busy, .badJob, .invalidGrant] {
            #expect(!problem.mayHaveHappened)
        }
        for problem: OAuthProblem in [.timeout, .interrupted, .temporary, .malformed, .tooLarge] {
            #expect(problem.mayHaveHappened)
        }
        for code in BrokerFailure.Code.allCases { _ = OAuthProblem(BrokerFailure(code)) }
        #expect(OAuthProblem(BrokerFailure(.unavailable)) == .busy)
    }
}
