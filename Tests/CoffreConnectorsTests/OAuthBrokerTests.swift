import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@testable import CoffreConnectors

/// The broker itself with a real authorization server: tokens leave it sealed, and survive it.
@Suite(.serialized) final class OAuthBrokerTests {
    private let keys = SealedBox.KeyPair()
    private let server: OAuthServer
    private let broker: RunningBroker

    init() throws {
        server = try OAuthServer()
        broker = try RunningBroker(more: ["ca_file = \"\(server.authority.certificate)\""])
    }

    private func exchange() throws -> [UInt8] {
        let consent = try server.consent()
        let job = try OAuthServerTests.job(.exchange, server, publicKey: keys.publicKey) {
            $0.parameters = [.init("redirect_uri", OAuthServer.redirect)]
        }
        return try OAuthJobBytes.encode(
            job,
            [.clientSecret: OAuthServer.secret, .grant: consent.code, .verifier: consent.verifier]
        )
    }

    private func refresh(_ token: String) throws -> [UInt8] {
        let job = try OAuthServerTests.job(.refresh, server, publicKey: keys.publicKey)
        return try OAuthJobBytes.encode(job, [.clientSecret: OAuthServer.secret, .grant: token])
    }

    private func open(_ heard: Line.Heard, _ id: BrokerJobID) throws -> OAuthJobBytes.Reply {
        guard case .sealed(id, let box) = heard else {
            throw RunningProcess.Failure(description: "not sealed: \(heard)")
        }
        return try box.withUnsafeBytes { box in
            let plain = try SealedBox.open(box, privateKey: keys.privateKey)
            return try plain.withBytes { try OAuthJobBytes.Reply($0) }
        }
    }

    private func ask(_ line: Line, _ body: [UInt8]) throws -> OAuthJobBytes.Reply {
        let id = randomJobID()
        try line.say(BrokerFrame.encode(.job, jobID: id, body: body))
        let reply = try open(try line.hear(), id)
        try line.say(.ack, id)
        return reply
    }

    @Test func tokensLeaveSealedAndLieNowhereInClear() throws {
        let line = try broker.connect()
        let id = randomJobID()
        try line.say(BrokerFrame.encode(.job, jobID: id, body: try exchange()))
        let reply = try open(try line.hear(), id)
        let token = try #require(reply.secrets[.refreshToken])
        #expect(broker.parked == [id.description])
        for secret in [token, reply.secrets[.accessToken] ?? "", OAuthServer.secret] {
            #expect(try broker.folder.contains(secret).isEmpty)
            #expect(!broker.process.output.contains(secret))
        }
        try eventually("the journal names the job") { broker.process.output.contains("oauth exchange") }
        // Asked again, the same answer comes: the provider is not asked twice.
        try line.say(BrokerFrame.encode(.job, jobID: id, body: try refresh("other")))
        #expect(try open(try line.hear(), id).secrets == reply.secrets)
        try line.say(.ack, id)
        try line.say(.collect, id)
        #expect(try line.hear() == .gone(id))
        #expect(broker.parked.isEmpty)
        #expect(try server.statuses("refresh_token").isEmpty)
    }

    @Test func aRotatedTokenSurvivesTheBrokersDeath() throws {
        let first = try ask(try broker.connect(), try exchange())
        var token = try #require(first.secrets[.refreshToken])
        // coffred hears nothing of the answers: each time the broker is killed as soon as it has one.
        for _ in 0..<5 {
            let id = randomJobID()
            try broker.connect().say(BrokerFrame.encode(.job, jobID: id, body: try refresh(token)))
            try eventually("the answer is parked") { broker.parked.contains(id.description) }
            try broker.killAndRestart()
            let line = try broker.connect()
            try line.say(.collect, id)
            let reply = try open(try line.hear(), id)
            #expect(reply.reply.outcome == .granted)
            let next = try #require(reply.secrets[.refreshToken])
            #expect(next != token)
            token = next
            try line.say(.ack, id)
        }
        #expect(try ask(try broker.connect(), try refresh(token)).reply.outcome == .granted)
        #expect(try server.tokens()["families"] == 0)
    }

    @Test func refusalsAreSealedToo() throws {
        let reply = try ask(try broker.connect(), try refresh("none"))
        #expect(reply.problem == .invalidGrant && reply.reply.error == "invalid_grant")
        try server.kill()
        #expect(try ask(try broker.connect(), try refresh("none")).problem == .unreachable)
    }

    @Test func manyGrantsAtOnceAreAllServed() throws {
        let line = try broker.connect()
        var ids: Set<BrokerJobID> = []
        let job = try OAuthServerTests.job(
            .clientCredentials,
            server,
            publicKey: keys.publicKey,
            client: "coffre-machine"
        )
        for _ in 0..<40 {
            let id = randomJobID()
            ids.insert(id)
            let body = try OAuthJobBytes.encode(job, [.clientSecret: OAuthServer.secret])
            try line.say(BrokerFrame.encode(.job, jobID: id, body: body))
        }
        var tokens: Set<String> = []
        while !ids.isEmpty {
            let heard = try line.hear(seconds: 60)
            guard case .sealed(let id, _) = heard, ids.remove(id) != nil else {
                Issue.record("unexpected \(heard)")
                return
            }
            tokens.insert(try #require(try open(heard, id).secrets[.accessToken]))
        }
        #expect(tokens.count == 40)
    }
}
